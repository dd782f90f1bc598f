"""SELECT statements of views to PostgreSQL: names resolved scope by scope, every expression typed.

The same rule as for expressions: a clause without a rule here is refused, nothing is passed through untranslated.
Comparisons of text are left to the target's own collation (see ``exact_text``), with a remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..model import SqlType
from . import aggregates, windows
from .clauses import Clauses
from .context import Context
from .nodes import check_arguments, describe, table_function, written
from .parse import Untranslatable
from .quoting import quote_ident
from .relations import (
    BaseLookup,
    OutputColumn,
    Query,
    Relation,
    argument,
    bracketed,
    mentions,
    output_sql,
    qualified_column,
    renamed,
    result_column,
    united,
)
from .rules import UnfitArguments
from .translate import find_sequence
from .values import Predicate, Value, common_type, kind_of

_SELECT = frozenset({"expressions", "from", "from_", "joins", "where", "group", "having", "distinct", "limit", "order",
                     "with", "with_", "offset", "options"})  # fmt: skip
_SET_OPERATION = frozenset({"this", "expression", "distinct", "order", "limit", "with", "with_", "offset"})


class QueryTranslator(Clauses):
    """Translates one query; subqueries get a translator of their own with this one as ``outer``."""

    def __init__(self, context: Context, schema: str, lookup: BaseLookup, outer: QueryTranslator | None = None) -> None:
        super().__init__(context.options.abilities, context.catalog.collation)
        self._context = context
        self._schema = schema
        self._lookup = lookup
        self._outer = outer
        self._relations: list[Relation] = []
        self._ctes: dict[str, tuple[OutputColumn, ...]] = dict(outer._ctes) if outer else {}
        if outer is not None:
            self.remarks = outer.remarks

    # -- names -----------------------------------------------------------------------------------------------------

    def column(self, parts: Sequence[str]) -> Value:
        found = self._own_column(parts)
        if found is not None:
            return found
        if self._outer is not None:
            return self._outer.column(parts)
        raise Untranslatable(f"it refers to {'.'.join(parts)}, which is not carried")

    def _own_column(self, parts: Sequence[str]) -> Value | None:
        qualifier, name = parts[:-1], parts[-1].lower()
        matches = [
            relation
            for relation in self._relations
            if name in relation.columns and (not qualifier or relation.answers_to(qualifier))
        ]
        if len(matches) > 1:
            raise Untranslatable(f"the column {'.'.join(parts)} is ambiguous")
        return qualified_column(matches[0], matches[0].columns[name]) if matches else None

    def sequence(self, parts: Sequence[str]) -> str:
        return find_sequence(self._context, parts, self._schema)

    def _function(self, name: str, arguments: list[Any]) -> Value:
        if name in aggregates.AGGREGATES:
            try:
                return aggregates.AGGREGATES[name](self, arguments, "")
            except UnfitArguments as reason:
                raise reason.named(name) from reason
        if name in ("grouping", "grouping_id"):
            return self._grouping(name, arguments)
        return super()._function(name, arguments)

    def value(self, node: Any) -> Value:
        try:
            return super().value(node)
        except Untranslatable as reason:
            reason.where = reason.where or written(node)
            raise

    def predicate(self, node: Any) -> Predicate:
        try:
            return super().predicate(node)
        except Untranslatable as reason:
            reason.where = reason.where or written(node)
            raise

    # -- queries ---------------------------------------------------------------------------------------------------

    def query(self, node: Any) -> Query:
        """A SELECT, a set operation, or either in parentheses.

        Raises:
            Untranslatable: a part of it has no equal in PostgreSQL.
        """
        kind = type(node).__name__
        if kind == "Subquery" and type(node.this).__name__ != "Table":
            check_arguments(node, frozenset({"this"}))
            inner = self._child().query(node.this)
            return replace(inner, sql=f"({inner.sql})")
        if kind == "Select":
            return self._select(node)
        if kind in ("Union", "Except", "Intersect"):
            return self._set_operation(node, kind)
        if kind == "Values":
            return self._values(node)
        raise Untranslatable(f"{describe(node)} is not translated")

    def _child(self) -> QueryTranslator:
        return QueryTranslator(self._context, self._schema, self._lookup, self)

    def _select(self, node: Any) -> Query:
        check_arguments(node, _SELECT)
        clauses: list[str] = []
        with_sql = self._with(node)
        source = argument(node, "from")
        joins = node.args.get("joins") or []
        from_sql = self._from(source.this, joins) if source is not None else None
        outputs = list(self._outputs_of(node.expressions))
        limit_sql, all_rows = self._limit(node)
        distinct = node.args.get("distinct")
        if distinct is not None:
            check_arguments(distinct, frozenset())
            self._remark_groups([value for _, value in outputs])
        select = ",\n    ".join(output_sql(name, value, self.padded) for name, value in outputs)
        clauses.append(f"SELECT {'DISTINCT ' if distinct is not None else ''}{select}")
        if from_sql is not None:
            clauses.append(f"FROM {from_sql}")
        if node.args.get("where") is not None:
            clauses.append(f"WHERE {self.predicate(node.args['where'].this).sql}")
        if node.args.get("group") is not None:
            clauses.append(f"GROUP BY {self._group(node.args['group'])}")
        if node.args.get("having") is not None:
            clauses.append(f"HAVING {self.predicate(node.args['having'].this).sql}")
        columns = tuple(result_column(name, value) for name, value in outputs)
        self._outputs = {column.name.lower(): column for column in columns if column.name}
        if node.args.get("order") is not None and not all_rows:
            clauses.append(f"ORDER BY {self.ordering(node.args['order'])}")
        return Query(with_sql + "\n".join(clauses) + limit_sql, columns)

    def _set_operation(self, node: Any, kind: str) -> Query:
        check_arguments(node, _SET_OPERATION)
        for side in (node.this, node.expression):
            # INTERSECT binds tighter in T-SQL; only one kind of operation keeps the order beyond doubt.
            if type(side).__name__ in ("Union", "Except", "Intersect") and "Intersect" in (kind, type(side).__name__):
                raise Untranslatable("INTERSECT beside UNION or EXCEPT without parentheses")
        if node.args.get("order") is not None or node.args.get("limit") is not None:
            raise Untranslatable(f"ORDER BY of a {kind.upper()}")
        with_sql = self._with(node)
        left, right = self._child().query(node.this), self._child().query(node.expression)
        columns = united(left, right)
        word = kind.upper() + (" ALL" if node.args.get("distinct") is False else "")
        if kind != "Union" or node.args.get("distinct") is not False:
            self._remark_groups([column.value for column in columns])
        sides = bracketed(node.this, left.sql, right=False), bracketed(node.expression, right.sql, right=True)
        return Query(f"{with_sql}{sides[0]}\n{word}\n{sides[1]}", columns)

    def _values(self, node: Any) -> Query:
        """A table of VALUES: each column has the common type of its values, as in a UNION."""
        rows = [[self.value(item) for item in row.expressions] for row in node.expressions]
        if len({len(row) for row in rows}) != 1:
            raise Untranslatable("VALUES with rows of different lengths")
        types = [common_type(list(column)) for column in zip(*rows, strict=True)]
        members = [[self.as_member(item, target) for item, target in zip(row, types, strict=True)] for row in rows]
        lines = ",\n    ".join(f"({', '.join(item.item for item in row)})" for row in members)
        columns = tuple(OutputColumn("", Value("", target, immutable=False), "") for target in types)
        return Query(f"VALUES\n    {lines}", columns)

    def _with(self, node: Any) -> str:
        clause = argument(node, "with")
        if clause is None:
            return ""
        parts, recursive = [], False
        for cte in clause.expressions:
            check_arguments(cte, frozenset({"this", "alias"}))
            name = cte.args["alias"].this.name
            names = [column.name for column in cte.args["alias"].args.get("columns") or []]
            if mentions(cte.this, name):
                recursive = True
                body = self._recursive(cte.this, name, names)
            else:
                body = self._child().query(cte.this)
            columns = renamed(body.columns, names, f"the common table expression {name}")
            self._ctes[name.lower()] = columns
            listed = ", ".join(quote_ident(column.name) for column in columns)
            parts.append(f"{quote_ident(name)} ({listed}) AS (\n{body.sql}\n)")
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)}\n"

    def _recursive(self, node: Any, name: str, names: list[str]) -> Query:
        if type(node).__name__ != "Union" or node.args.get("distinct") is not False or mentions(node.this, name):
            raise Untranslatable(f"the recursion of {name} is not of the usual form")
        anchor = self._child().query(node.this)
        child = self._child()
        child._ctes[name.lower()] = renamed(anchor.columns, names, name)
        step = child._child().query(node.expression)
        first = bracketed(node.this, anchor.sql, right=False)
        return Query(f"{first}\nUNION ALL\n{bracketed(node.expression, step.sql, right=True)}", anchor.columns)

    # -- FROM ------------------------------------------------------------------------------------------------------

    def _from(self, first: Any, joins: Sequence[Any]) -> str:
        text = self._relation(first)
        for join in joins:
            text += "\n    " + self._join(join)
        return text

    def _join(self, join: Any) -> str:
        check_arguments(join, frozenset({"this", "kind", "side", "on", "hint"}))
        kind, side = (join.args.get("kind") or "").upper(), (join.args.get("side") or "").upper()
        if type(join.this).__name__ == "Lateral":
            return self._apply(join.this)
        right = self._relation(join.this)
        condition = join.args.get("on")
        if condition is None:
            if side or kind not in ("", "CROSS"):
                raise Untranslatable("a join without a condition")
            # A comma binds less tightly than the joins that follow it, in both languages.
            return f"CROSS JOIN {right}" if kind else f", {right}"
        if kind not in ("", "INNER", "OUTER") or side not in ("", "LEFT", "RIGHT", "FULL"):
            raise Untranslatable(f"a {kind} JOIN is not translated")
        return f"{side + ' ' if side else ''}JOIN {right} ON {self.predicate(condition).sql}"

    def _apply(self, lateral: Any) -> str:
        check_arguments(lateral, frozenset({"this", "alias", "cross_apply"}))
        if type(lateral.this).__name__ != "Subquery":
            raise Untranslatable(f"it calls {table_function(lateral.this)} by APPLY")
        check_arguments(lateral.this, frozenset({"this"}))
        body = self._child().query(lateral.this.this)
        text = self._derived(body, lateral.args.get("alias"))
        if lateral.args.get("cross_apply"):
            return f"CROSS JOIN LATERAL {text}"
        return f"LEFT JOIN LATERAL {text} ON true"

    def _relation(self, node: Any) -> str:
        kind = type(node).__name__
        if kind == "Table":
            return self._table(node)
        if kind == "Subquery":
            check_arguments(node, frozenset({"this", "alias", "joins"}))
            if type(node.this).__name__ in ("Table", "Subquery") and node.args.get("alias") is None:
                inner = self._relation(node.this)
                for join in node.args.get("joins") or []:
                    inner += "\n    " + self._join(join)
                return f"({inner})"
            if node.args.get("joins"):
                raise Untranslatable("joins beside a derived table")
            return self._derived(self._apart().query(node.this), node.args.get("alias"))
        if kind == "Values":
            check_arguments(node, frozenset({"expressions", "alias"}))
            return self._derived(self._apart().query(node), node.args.get("alias"))
        raise Untranslatable(f"{describe(node)} in FROM is not translated")

    def _apart(self) -> QueryTranslator:
        """For a derived table, which does not see its neighbours."""
        child = QueryTranslator(self._context, self._schema, self._lookup, self._outer)
        child._ctes, child.remarks = dict(self._ctes), self.remarks
        return child

    def _table(self, node: Any) -> str:
        if type(node.this).__name__ != "Identifier":
            owners = [node.args[name].name for name in ("catalog", "db") if node.args.get(name) is not None]
            called = table_function(node.this) if not owners else f"the table-valued function {'.'.join(owners)}"
            raise Untranslatable(f"it calls {called}" + (f".{node.this.name}" if owners else ""))
        check_arguments(node, frozenset({"this", "db", "catalog", "alias", "hints", "joins"}))
        parts = [part.name for part in node.parts]
        alias_node = node.args.get("alias")
        alias = alias_node.this.name if alias_node is not None else parts[-1]
        cte = self._ctes.get(parts[0].lower()) if len(parts) == 1 else None
        if cte is not None:
            sql, columns, schema = quote_ident(parts[0]), cte, None
        else:
            base = self._lookup(parts)
            sql, columns = base.sql, base.columns
            schema = None if alias_node is not None else (parts[-2] if len(parts) > 1 else self._schema)
        self._add(Relation(alias, {column.source.lower(): column for column in columns}, schema))
        text = f"{sql} AS {quote_ident(alias)}"
        joins = node.args.get("joins") or []
        for join in joins:
            text += "\n    " + self._join(join)
        return f"({text})" if joins else text

    def _derived(self, body: Query, alias_node: Any) -> str:
        if alias_node is None:
            raise Untranslatable("a derived table without a name")
        alias = alias_node.this.name
        names = [column.name for column in alias_node.args.get("columns") or []]
        columns = renamed(body.columns, names, f"the derived table {alias}")
        self._add(Relation(alias, {column.source.lower(): column for column in columns}))
        listed = ", ".join(quote_ident(column.name) for column in columns)
        return f"(\n{body.sql}\n) AS {quote_ident(alias)} ({listed})"

    def _add(self, relation: Relation) -> None:
        if any(relation.alias.lower() == other.alias.lower() for other in self._relations):
            raise Untranslatable(f"two relations are called {relation.alias}")
        self._relations.append(relation)

    # -- SELECT list ------------------------------------------------------------------------

    def _outputs_of(self, nodes: Sequence[Any]) -> Iterator[tuple[str, Value]]:
        for node in nodes:
            kind = type(node).__name__
            if kind == "Star" or (kind == "Column" and type(node.this).__name__ == "Star"):
                check_arguments(node, frozenset({"this", "table", "db"}))
                qualifier = [part.name for part in node.parts[:-1]] if kind == "Column" else []
                yield from self._all_columns(qualifier)
            elif kind == "Alias":
                check_arguments(node, frozenset({"this", "alias"}))
                yield node.args["alias"].name, self.value(node.this)
            elif kind == "Column":
                yield node.this.name, self.value(node)
            else:
                yield "", self.value(node)

    def _all_columns(self, qualifier: Sequence[str]) -> Iterator[tuple[str, Value]]:
        found = [relation for relation in self._relations if not qualifier or relation.answers_to(qualifier)]
        if not found:
            raise Untranslatable(f"{'.'.join([*qualifier, '*'])} matches nothing")
        for relation in found:
            for column in relation.columns.values():
                yield column.source, qualified_column(relation, column)

    # -- expressions only queries have -------------------------------------------------------------------------------

    def convert(self, value: Value, target: SqlType, style: int | None = None, *, explicit: bool = True) -> Value:
        """Also float to money or decimal: by way of double precision, exact up to its 15th digit, which views may use.

        Directly, PostgreSQL makes a numeric of the six digits a real surely has, where SQL Server goes on with all of
        its bits.
        """
        if kind_of(target) not in ("money", "decimal") or value.kind != "float":
            return super().convert(value, target, style, explicit=explicit)
        self.remark("float and real become decimals by PostgreSQL's rules: 15 digits, halves rounded up")
        scale = 4 if kind_of(target) == "money" else target.scale
        wide = f"{value.operand}::double precision" if value.type.name == "real" else value.operand
        return Value(f"round({wide}::numeric, {scale})", target, value.immutable)

    def _value_subquery(self, node: Any) -> Value:
        check_arguments(node, frozenset({"this"}))
        inner = self._child().query(node.this)
        if len(inner.columns) != 1:
            raise Untranslatable("a subquery with several columns as a value")
        return replace(inner.columns[0].value, sql=f"(\n{inner.sql}\n)", immutable=False, plain_text=None)

    def _value_window(self, node: Any) -> Value:
        if node.args.get("alias") is not None:
            raise Untranslatable("a named WINDOW is not translated")
        check_arguments(node, frozenset({"this", "partition_by", "order", "over", "spec"}))
        value = windows.windowed(self, node.this)
        over = []
        if node.args.get("partition_by"):
            partition = [self.value(part) for part in node.args["partition_by"]]
            self._remark_groups(partition)
            over.append(f"PARTITION BY {', '.join(part.sql for part in partition)}")
        if node.args.get("order") is not None:
            over.append(f"ORDER BY {self._inner_ordering(node.args['order'])}")
        if node.args.get("spec") is not None:
            over.append(windows.frame(node.args["spec"]))
        window = f" OVER ({' '.join(over)})"
        return replace(value, sql=value.sql.replace(windows.MARK, window))

    def _inner_ordering(self, order: Any) -> str:
        """ORDER BY of a window or an aggregate, where the names of output columns are not known."""
        outputs, self._outputs = self._outputs, {}
        try:
            return self.ordering(order)
        finally:
            self._outputs = outputs

    def _value_groupconcat(self, node: Any) -> Value:
        check_arguments(node, frozenset({"this", "separator"}))
        inner, order = node.this, ""
        if type(inner).__name__ == "Order":
            check_arguments(inner, frozenset({"this", "expressions"}))
            order = self._order_items(inner.expressions)
            inner = inner.this
        try:
            return aggregates.string_agg(self, inner, node.args["separator"], order)
        except UnfitArguments as reason:
            raise reason.named("string_agg") from reason

    def special_predicate(self, node: Any) -> Predicate | None:
        kind = type(node).__name__
        if kind == "Exists":
            check_arguments(node, frozenset({"this"}))
            body = node.this.this if type(node.this).__name__ == "Subquery" else node.this
            return Predicate(f"EXISTS (\n{self._child().query(body).sql}\n)", immutable=False, atomic=True)
        if kind == "In" and node.args.get("query") is not None:
            value = self.value(node.this)
            body = node.args["query"]
            inner = self._child().query(body.this if type(body).__name__ == "Subquery" else body)
            if len(inner.columns) != 1 or inner.columns[0].value.kind != value.kind:
                raise Untranslatable("IN with a subquery of another type")
            if value.kind == "str":
                self.compare("=", value, inner.columns[0].value)
            return Predicate(f"{value.operand} IN (\n{inner.sql}\n)", immutable=False, atomic=True)
        return None
