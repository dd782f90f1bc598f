"""T-SQL queries into DuckDB SQL."""

from __future__ import annotations

import itertools
from dataclasses import replace

from ..catalog.model import Module, Synonym, Table
from ..catalog.sysviews import system_view
from ..errors import SqlError, Unsupported
from ..tsql import nodes as n
from ..values import sqltypes as st
from ..values.sqltypes import SqlType
from . import tracked
from .aggregates import order_sql
from .casts import Ex, cast, common_type
from .expressions import ExprCompiler
from .outputs import CompiledQuery, OutputColumn
from .pivots import everything, pivoted, unpivoted
from .scope import Scope, ScopeColumn, ScopeSource
from .session import CompilerSession
from .table_functions import table_function

MAX_VIEW_DEPTH = 32


class QueryCompiler(ExprCompiler):
    """Compiles the queries of one statement."""

    def __init__(self, session: CompilerSession) -> None:
        super().__init__(session)
        self._aliases = itertools.count(1)
        self._depth = 0
        self.tables: list[Table] = []
        """The tables read, for rights."""

    def query(self, query: n.Query, scope: Scope | None) -> CompiledQuery:
        """Any query.

        Raises:
            SqlError: a name is unknown, or types do not fit.
            Unsupported: the sandbox cannot do it.
        """
        if isinstance(query, n.Select):
            return self._select(query, scope)
        if isinstance(query, n.SetQuery):
            return self._set_query(query, scope)
        if isinstance(query, n.ValuesQuery):
            return self._values(query, scope)
        raise Unsupported(type(query).__name__)

    # --- set operators and VALUES ---

    def _set_query(self, query: n.SetQuery, scope: Scope | None) -> CompiledQuery:
        outer = Scope(parent=scope)
        prefix = self._common_tables(query.tables, outer)
        left, right = self.query(query.left, outer), self.query(query.right, outer)
        if len(left.columns) != len(right.columns):
            raise SqlError(
                205, "All queries combined using UNION, INTERSECT or EXCEPT must have an equal number of columns."
            )
        kinds = [common_type([a.type, b.type]) or st.INT for a, b in zip(left.columns, right.columns, strict=True)]
        first, second = self._cast_all(left, kinds), self._cast_all(right, kinds)
        columns = [
            OutputColumn(a.name, f"o{i}", kind, a.nullable or b.nullable)
            for i, (a, b, kind) in enumerate(zip(left.columns, right.columns, kinds, strict=True), 1)
        ]
        sql = f"({first}) {query.operator} ({second})"
        tail = self._order_outputs(query.order, columns, outer)
        if tail or query.offset is not None:
            sql = f"SELECT * FROM ({sql}) q{tail}{self._limit(query, outer)}"
        return CompiledQuery(prefix + sql, columns)

    def _cast_all(self, query: CompiledQuery, kinds: list[SqlType]) -> str:
        items = [
            f"{cast(Ex(f'q.{column.sql}', column.type), kind).sql} AS o{i}"
            for i, (column, kind) in enumerate(zip(query.columns, kinds, strict=True), 1)
        ]
        return f"SELECT {', '.join(items)} FROM ({query.sql}) q"

    def _order_outputs(self, order: tuple[n.OrderItem, ...], columns: list[OutputColumn], scope: Scope) -> str:
        if not order:
            return ""
        source = ScopeSource((), [ScopeColumn(c.name, f"q.{c.sql}", c.type) for c in columns])
        inner = Scope([source], scope)
        parts: list[str] = []
        for item in order:
            if isinstance(item.expr, n.Literal) and isinstance(item.expr.value, int):
                column = columns[item.expr.value - 1]
                key = self.key(Ex(f"q.{column.sql}", column.type))
                parts.append(f"{key} {'DESC NULLS LAST' if item.descending else 'ASC NULLS FIRST'}")
            else:
                parts.append(order_sql(self, item, inner))
        return " ORDER BY " + ", ".join(parts)

    def _values(self, query: n.ValuesQuery, scope: Scope | None) -> CompiledQuery:
        outer = scope or Scope()
        rows = [[self.value(item, outer) for item in row] for row in query.rows]
        if len({len(row) for row in rows}) != 1:
            raise SqlError(10709, "The number of columns for each row in a table value constructor must be the same.")
        kinds = [common_type([row[i].type for row in rows]) or st.INT for i in range(len(rows[0]))]
        lines = ", ".join(
            "(" + ", ".join(cast(item, kind).sql for item, kind in zip(row, kinds, strict=True)) + ")" for row in rows
        )
        columns = [OutputColumn("", f"o{i}", kind) for i, kind in enumerate(kinds, 1)]
        names = ", ".join(column.sql for column in columns)
        return CompiledQuery(f"SELECT * FROM (VALUES {lines}) v({names})", columns)

    # --- SELECT ---

    def _common_tables(self, tables: tuple[n.CommonTable, ...], scope: Scope) -> str:
        parts: list[str] = []
        recursive = False
        for table in tables:
            if isinstance(table.query, n.SetQuery) and _mentions(table.query.right, table.name):
                parts.append(self._recursive_table(table, scope))
                recursive = True
                continue
            compiled = self.query(table.query, scope)
            name = f"w{next(self._aliases)}"
            scope.tables[table.name.lower()] = (name, _renamed(compiled.columns, table.columns))
            parts.append(f"{name} AS ({compiled.sql})")
        if not parts:
            return ""
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} "

    def _recursive_table(self, table: n.CommonTable, scope: Scope) -> str:
        assert isinstance(table.query, n.SetQuery)
        anchor = self.query(table.query.left, scope)
        name = f"w{next(self._aliases)}"
        columns = [replace(c, sql=f"o{i}") for i, c in enumerate(_renamed(anchor.columns, table.columns), 1)]
        scope.tables[table.name.lower()] = (name, columns)
        step = self.query(table.query.right, scope)
        kinds = [column.type for column in columns]
        names = ", ".join(column.sql for column in columns)
        return f"{name}({names}) AS (({self._cast_all(anchor, kinds)}) UNION ALL ({self._cast_all(step, kinds)}))"

    def _select(self, query: n.Select, outer: Scope | None) -> CompiledQuery:
        scope = Scope(parent=outer)
        prefix = self._common_tables(query.tables, scope)
        source = "" if query.source is None else f" FROM {self.source(query.source, scope)}"
        where = "" if query.where is None else f" WHERE {self.predicate(query.where, scope)}"
        group = self._group_by(query, scope)
        items = self._items(query, scope)
        having = "" if query.having is None else f" HAVING {self.predicate(query.having, scope)}"
        columns = [
            OutputColumn(name, f"o{i}", ex.type or st.INT, ex.nullable, ex.column)
            for i, (name, ex) in enumerate(items, 1)
        ]
        selected = ", ".join(f"{_sql(ex)} AS o{i}" for i, (_, ex) in enumerate(items, 1))
        body = f"SELECT {selected}{source}{where}{group}{having}"
        if query.distinct:
            keys = ", ".join(self.key(Ex(f"q.{column.sql}", column.type)) for column in columns)
            plain = all(self.key(Ex("x", column.type)) == "x" for column in columns)
            body = (
                body.replace("SELECT ", "SELECT DISTINCT ", 1)
                if plain
                else f"SELECT DISTINCT ON ({keys}) * FROM ({body}) q"
            )
            order = self._order_outputs(query.order, columns, scope)
            if order or query.top is not None or query.offset is not None:
                body = f"SELECT * FROM ({body}) q{order}"
        else:
            body += self._order(query, items, scope)
        if query.top_ties:
            raise Unsupported("TOP ... WITH TIES")
        return CompiledQuery(
            prefix + body + self._limit(query, scope, body), columns, self._order_columns(query, items)
        )

    def _order_columns(self, query: n.Select, items: list[tuple[str, Ex]]) -> tuple[int, ...]:
        found: list[int] = []
        for item in query.order:
            if isinstance(item.expr, n.Column):
                name = self.database.fold(item.expr.parts[-1])
                matches = [i for i, (label, _) in enumerate(items, 1) if self.database.fold(label) == name]
                if not matches:
                    return ()
                found.append(matches[0])
            else:
                return ()
        return tuple(found)

    def _group_by(self, query: n.Select, scope: Scope) -> str:
        if not query.group:
            return ""
        compiled = [self.value(item, scope) for item in query.group]
        keys = [self.key(ex) for ex in compiled]
        # What is grouped by a key other than itself (text without its case) shows one of its values.
        scope.groups = {ex.sql: f"min({ex.sql})" for ex, key in zip(compiled, keys, strict=True) if key != ex.sql}
        return " GROUP BY " + ", ".join(keys)

    def _items(self, query: n.Select, scope: Scope) -> list[tuple[str, Ex]]:
        items: list[tuple[str, Ex]] = []
        for item in query.items:
            if isinstance(item.expr, n.Star):
                items += self._star(item.expr, scope)
                continue
            ex = self.value(item.expr, scope)
            name = item.alias
            if name is None:
                name = item.expr.parts[-1] if isinstance(item.expr, n.Column) else ""
                if isinstance(item.expr, n.Column):
                    name = scope.resolve(item.expr.parts).name
            items.append((name, ex))
        return items

    def _star(self, star: n.Star, scope: Scope) -> list[tuple[str, Ex]]:
        found: list[tuple[str, Ex]] = []
        matched = False
        for source in scope.sources:
            if star.qualifier and not source.matches(star.qualifier):
                continue
            matched = True
            for column in source.columns:
                if column.column is not None and column.column.hidden:
                    continue
                if column.refused is not None:
                    raise column.refused
                if column.column is not None:
                    source.used.add(column.column.physical)
                found.append((column.name, column.ex()))
        if not matched:
            raise SqlError(263, "Must specify table to select from.")
        return found

    def _order(self, query: n.Select, items: list[tuple[str, Ex]], scope: Scope) -> str:
        parts: list[str] = []
        for item in query.order:
            target: Ex | None = None
            if isinstance(item.expr, n.Literal) and isinstance(item.expr.value, int):
                if not 1 <= item.expr.value <= len(items):
                    raise SqlError(108, f"The ORDER BY position number {item.expr.value} is out of range.")
                target = items[item.expr.value - 1][1]
            elif isinstance(item.expr, n.Column) and len(item.expr.parts) == 1:
                name = self.database.fold(item.expr.parts[0])
                found = [ex for label, ex in items if self.database.fold(label) == name]
                target = found[0] if found else None
            if target is None:
                parts.append(order_sql(self, item, scope))
            elif target.type is not None and not target.is_const:
                parts.append(f"{self.key(target)} {'DESC NULLS LAST' if item.descending else 'ASC NULLS FIRST'}")
        return " ORDER BY " + ", ".join(parts) if parts else ""

    def _limit(self, query: n.Select | n.SetQuery, scope: Scope, body: str = "") -> str:
        text = ""
        if isinstance(query, n.Select) and query.top is not None:
            amount = cast(self.value(query.top, scope), st.FLOAT if query.top_percent else st.BIGINT)
            if query.top_percent:
                text += f" LIMIT (SELECT CAST(ceil(count(*) * {amount.sql} / 100) AS BIGINT) FROM ({body}) p)"
            else:
                text += f" LIMIT {amount.const if amount.is_const else f'({amount.sql})'}"
        if query.fetch is not None:
            fetch = cast(self.value(query.fetch, scope), st.BIGINT)
            text += f" LIMIT {fetch.const if fetch.is_const else f'({fetch.sql})'}"
        if query.offset is not None:
            offset = cast(self.value(query.offset, scope), st.BIGINT)
            text += f" OFFSET {offset.const if offset.is_const else f'({offset.sql})'}"
        return text

    # --- FROM ---

    def source(self, source: n.Source, scope: Scope) -> str:
        """What stands in FROM; its tables are added to the scope."""
        if isinstance(source, n.TableSource):
            return self._table(source, scope)
        if isinstance(source, n.JoinSource):
            return self._join(source, scope)
        if isinstance(source, n.QuerySource):
            # A derived table sees what is around the query, not its siblings.
            compiled = self.query(source.query, Scope([], scope.parent, scope.tables))
            return self._derived(compiled, source.alias, source.columns, scope)
        if isinstance(source, n.FunctionSource):
            return self._function(source, scope)
        if isinstance(source, n.PivotSource | n.UnpivotSource):
            outer = Scope([], scope.parent, scope.tables)
            inner = everything(source.source)
            names = [column.name for column in self.query(inner, outer).columns]
            rewritten = pivoted(source, names) if isinstance(source, n.PivotSource) else unpivoted(source, names)
            return self._derived(self.query(rewritten, outer), source.alias, (), scope)
        if isinstance(source, n.ChangeTable):
            return self._change_table(source, scope, Scope(parent=scope.parent, tables=scope.tables))
        raise Unsupported(type(source).__name__)

    def _derived(self, compiled: CompiledQuery, alias: str | None, names: tuple[str, ...], scope: Scope) -> str:
        inner = f"s{next(self._aliases)}"
        columns = [
            ScopeColumn(column.name, f"{inner}.{column.sql}", column.type, column.nullable, column.column)
            for column in _renamed(compiled.columns, names)
        ]
        scope.sources.append(self._named(alias, columns))
        return f"({compiled.sql}) {inner}"

    def _join(self, join: n.JoinSource, scope: Scope) -> str:
        left = self.source(join.left, scope)
        before = len(scope.sources)
        if join.kind.endswith("APPLY"):
            return self._apply(join, left, scope)
        right = self.source(join.right, scope)
        if join.kind in ("LEFT", "FULL"):
            for item in scope.sources[before:]:
                item.hide_not_null()
        if join.kind in ("RIGHT", "FULL"):
            for item in scope.sources[:before]:
                item.hide_not_null()
        if join.kind == "CROSS":
            return f"{left} CROSS JOIN {right}"
        assert join.condition is not None
        return f"({left} {join.kind} JOIN {right} ON {self.predicate(join.condition, scope)})"

    def _apply(self, join: n.JoinSource, left: str, scope: Scope) -> str:
        inner = Scope([], scope)
        if isinstance(join.right, n.ChangeTable):
            right = self._change_table(join.right, scope, inner)
        elif isinstance(join.right, n.QuerySource):
            compiled = self.query(join.right.query, inner)
            right = self._derived(compiled, join.right.alias, join.right.columns, scope)
        else:
            raise Unsupported("APPLY of a function")
        if join.kind == "CROSS APPLY":
            return f"{left} CROSS JOIN LATERAL {right}"
        scope.sources[-1].hide_not_null()
        return f"{left} LEFT JOIN LATERAL {right} ON true"

    def _function(self, source: n.FunctionSource, scope: Scope) -> str:
        outer = Scope(parent=scope.parent, tables=scope.tables)
        arguments = [self.value(item, outer) for item in source.call.arguments]
        inner = f"s{next(self._aliases)}"
        sql, columns = table_function(self.session, source.call.parts, arguments)
        found = [ScopeColumn(name, f"{inner}.{text}", kind) for name, text, kind in columns]
        alias = source.alias or source.call.parts[-1]
        for column, name in zip(found, source.columns, strict=False):
            column.name = name
        scope.sources.append(self._named(alias, found))
        return f"({sql}) {inner}"

    def _change_table(self, source: n.ChangeTable, scope: Scope, outer: Scope) -> str:
        item = self.session.find_object(source.table)
        name = ".".join(source.table)
        if isinstance(item, Synonym):
            return self._change_table(replace(source, table=item.base), scope, outer)
        if item is None:
            raise SqlError(208, f"Invalid object name '{name}'.")
        if not isinstance(item, Table):
            message = f"Object '{name}' is of a data type that is not supported by the CHANGETABLE function."
            raise SqlError(22107, message + " The object must be a user-defined table.")
        self.session.require("SELECT", item)
        self.session.require("VIEW CHANGE TRACKING", item)
        if item.tracking is None or item.primary_key is None:
            raise SqlError(22105, f"Change tracking is not enabled on table '{name}'.")
        keys = [item.by_id(column_id) for column_id, _ in item.primary_key.columns]
        inner = f"s{next(self._aliases)}"
        same = ", ".join(self.key(Ex(f"e.{column.physical}", column.type)) for column in keys)
        if source.since is not None:
            since = cast(self.value(source.since, outer), st.BIGINT)
            if not since.is_const:
                raise SqlError(22102, "The arguments supplied are not valid for the CHANGES option of CHANGETABLE.")
            sql, result = tracked.changes(item, same, since.sql), tracked.RESULT
        else:
            sql, result = tracked.row_version(self, source, item, keys, same, outer), tracked.RESULT[::4]
        columns = [ScopeColumn(label, f"{inner}.{text}", kind) for label, text, kind in result]
        columns += [ScopeColumn(c.name, f"{inner}.{c.physical}", c.type, False) for c in keys]
        for column, label in zip(columns, source.columns, strict=False):
            column.name = label
        scope.sources.append(self._named(source.alias, columns))
        return f"({sql}) {inner}"

    def _table(self, source: n.TableSource, scope: Scope) -> str:
        name = source.name
        alias = source.alias
        if len(name) == 1:
            common = scope.find_table(name[0])
            if isinstance(common, tuple):
                return self._common(common, alias or name[0], scope)
        view = system_view(self.session, name)
        if view is not None:
            return self._system_view(view, alias, name, scope)
        item = self.session.find_object(name)
        if isinstance(item, Synonym):
            return self._table(n.TableSource(item.base, alias or name[-1]), scope)
        if isinstance(item, Module) and item.kind == "V":
            return self._view(item, alias, name, scope)
        if not isinstance(item, Table):
            raise SqlError(208, f"Invalid object name '{'.'.join(name)}'.")
        self.session.require("SELECT", item, source.hints, chained=self._depth > 0)
        self.tables.append(item)
        text = self.table_source(item, alias, name, scope)
        return f"{text} TABLESAMPLE {source.sample}" if source.sample else text

    def table_source(self, table: Table, alias: str | None, name: n.Name, scope: Scope) -> str:
        """A table of the catalog in FROM."""
        inner = f"s{next(self._aliases)}"
        columns = [
            ScopeColumn(column.name, f"{inner}.{column.physical}", column.type, column.nullable, column)
            for column in table.columns
            if not column.encrypted
        ]
        for number, error in self.session.refused("SELECT", table).items() if not self._depth else ():
            for found in columns:
                if found.column is not None and found.column.column_id == number:
                    found.refused = error
        source = ScopeSource(self._names(alias, name, table), columns, table, inner, self.database.exact)
        scope.sources.append(source)
        return f"{self.session.physical(table, source)} {inner}"

    def _names(self, alias: str | None, name: n.Name, table: Table) -> tuple[n.Name, ...]:
        fold = self.database.fold
        if alias:
            return ((fold(alias),),)
        schema = self.database.schemas.get(table.schema_id, "dbo")
        return ((fold(self.database.name), fold(schema), fold(name[-1])),)

    def _named(self, alias: str | None, columns: list[ScopeColumn]) -> ScopeSource:
        names = ((self.database.fold(alias),),) if alias else ()
        return ScopeSource(names, columns, exact=self.database.exact)

    def _common(self, common: tuple[str, list[OutputColumn]], alias: str, scope: Scope) -> str:
        name, columns = common
        inner = f"s{next(self._aliases)}"
        found = [ScopeColumn(c.name, f"{inner}.{c.sql}", c.type, c.nullable, c.column) for c in columns]
        scope.sources.append(self._named(alias, found))
        return f"{name} {inner}"

    def _system_view(
        self, view: tuple[str, list[tuple[str, SqlType]]], alias: str | None, name: n.Name, scope: Scope
    ) -> str:
        relation, columns = view
        inner = f"s{next(self._aliases)}"
        found = [ScopeColumn(label, f'{inner}."{label}"', kind) for label, kind in columns]
        names = ((self.database.fold(alias),),) if alias else (tuple(self.database.fold(part) for part in name),)
        scope.sources.append(ScopeSource(names, found, exact=self.database.exact))
        return f"{relation} {inner}"

    def _view(self, view: Module, alias: str | None, name: n.Name, scope: Scope) -> str:
        self.session.require("SELECT", view, chained=self._depth > 0)
        if view.node is None or view.node.query is None:
            raise SqlError(40517, f"View '{name[-1]}' cannot be run: {view.node.body_error if view.node else ''}")
        self._depth += 1
        if self._depth > MAX_VIEW_DEPTH:
            raise SqlError(217, "Maximum view nesting level exceeded (limit 32).")
        compiled = self.query(view.node.query, None)
        self._depth -= 1
        return self._derived(compiled, alias or name[-1], view.node.columns, scope)


def _sql(ex: Ex) -> str:
    return f"CAST(NULL AS {st.INT.storage})" if ex.type is None else ex.sql


def _renamed(columns: list[OutputColumn], names: tuple[str, ...]) -> list[OutputColumn]:
    if not names:
        return columns
    if len(names) != len(columns):
        raise SqlError(8158, "The derived table has more or fewer columns than were specified in the column list.")
    return [replace(column, name=name) for column, name in zip(columns, names, strict=True)]


def _mentions(query: n.Query, name: str) -> bool:
    return f"'{name.lower()}'" in repr(query).lower()
