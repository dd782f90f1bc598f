"""Queries of T-SQL: SELECT with everything that may stand in it, set operators, WITH, VALUES."""

from __future__ import annotations

from dataclasses import replace

from ..errors import SqlError, Unsupported
from . import lexer
from . import nodes as n
from .parse_expr import ExprParser

_COMPOUND = frozenset(("+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="))
_NOT_AN_ALIAS = frozenset(
    """
    FROM WHERE GROUP HAVING ORDER UNION EXCEPT INTERSECT FOR OPTION INTO INNER LEFT RIGHT FULL CROSS OUTER JOIN
    ON WITH SET VALUES GO OFFSET WINDOW SELECT INSERT UPDATE DELETE PRINT DECLARE EXEC EXECUTE IF ELSE BEGIN END
    WHILE RETURN CREATE ALTER DROP TRUNCATE USE COMMIT ROLLBACK SAVE GRANT DENY REVOKE MERGE USING WHEN
    RAISERROR THROW TABLESAMPLE PIVOT UNPIVOT OUTPUT DEFAULT GOTO BREAK CONTINUE WAITFOR
    """.split()  # noqa: SIM905
)


class QueryParser(ExprParser):
    """Parses queries."""

    def query(self) -> n.Query:
        """A query with its WITH, set operators and ORDER BY."""
        tables = self._common_tables() if self.at("WITH") else ()
        query = self._set_operation()
        if self.at("ORDER", "BY"):
            order = self.order_by()
            offset, fetch = self._offset()
            if not isinstance(query, n.Select | n.SetQuery):
                self.fail()
            query = replace(query, order=order, offset=offset, fetch=fetch)
        self._for_clause()
        self._options()
        if tables and isinstance(query, n.Select | n.SetQuery):
            query = replace(query, tables=tables)
        return query

    def _common_tables(self) -> tuple[n.CommonTable, ...]:
        self.expect("WITH")
        found: list[n.CommonTable] = []
        while True:
            name = self.identifier()
            columns = self.name_list() if self.at("(") else ()
            self.expect("AS", "(")
            found.append(n.CommonTable(name, columns, self.query()))
            self.expect(")")
            if not self.accept(","):
                return tuple(found)

    def _offset(self) -> tuple[n.Expr | None, n.Expr | None]:
        if not self.accept("OFFSET"):
            return None, None
        offset = self.expression()
        self.accept_any("ROW", "ROWS")
        fetch = None
        if self.accept("FETCH"):
            self.accept_any("NEXT", "FIRST")
            fetch = self.expression()
            self.accept_any("ROW", "ROWS")
            self.expect("ONLY")
        return offset, fetch

    def _for_clause(self) -> None:
        if self.at("FOR") and self.peek().upper in ("XML", "JSON"):
            from ..errors import Unsupported

            raise Unsupported(f"FOR {self.peek().upper}")
        if self.accept("FOR", "READ", "ONLY") or self.accept("FOR", "BROWSE"):
            return

    def _options(self) -> None:
        if self.at("OPTION", "("):
            self.take()
            self.skip_parentheses()

    def _set_operation(self) -> n.Query:
        left = self._intersection()
        while self.at_any("UNION", "EXCEPT"):
            operator = self.take().upper
            if operator == "UNION" and self.accept("ALL"):
                operator = "UNION ALL"
            left = n.SetQuery(operator, left, self._intersection())
        return left

    def _intersection(self) -> n.Query:
        left = self._query_term()
        while self.accept("INTERSECT"):
            left = n.SetQuery("INTERSECT", left, self._query_term())
        return left

    def _query_term(self) -> n.Query:
        if self.accept("("):
            query = self.query()
            self.expect(")")
            return query
        if self.at("VALUES"):
            return self.values()
        return self._select()

    def values(self) -> n.ValuesQuery:
        """VALUES (...), (...)."""
        self.expect("VALUES")
        rows: list[tuple[n.Expr, ...]] = []
        while True:
            self.expect("(")
            rows.append(self.expressions())
            self.expect(")")
            if not self.accept(","):
                return n.ValuesQuery(tuple(rows))

    def _select(self) -> n.Select:
        self.expect("SELECT")
        distinct = self.accept("DISTINCT")
        self.accept("ALL")
        top, percent, ties = self.top()
        items = self.select_items()
        into = self.name() if self.accept("INTO") else None
        if into is not None and self.accept("ON"):
            self.identifier()
        source = self.sources() if self.accept("FROM") else None
        where = self.expression() if self.accept("WHERE") else None
        group: tuple[n.Expr, ...] = ()
        if self.accept("GROUP", "BY"):
            group = self.expressions()
        having = self.expression() if self.accept("HAVING") else None
        return n.Select(items, source, where, group, having, (), distinct, top, percent, ties, None, None, into)

    def top(self) -> tuple[n.Expr | None, bool, bool]:
        """TOP (n) [PERCENT] [WITH TIES], if it stands here."""
        if not self.accept("TOP"):
            return None, False, False
        if self.accept("("):
            amount = self.expression()
            self.expect(")")
        else:
            amount = self._primary()
        percent = self.accept("PERCENT")
        return amount, percent, self.accept("WITH", "TIES")

    def select_items(self) -> tuple[n.SelectItem, ...]:
        """A select list."""
        items = [self._select_item()]
        while self.accept(","):
            items.append(self._select_item())
        return tuple(items)

    def _select_item(self) -> n.SelectItem:
        token = self.token
        if token.upper == "*":
            self.take()
            return n.SelectItem(n.Star())
        if token.kind == lexer.VARIABLE and self.peek().upper == "=":
            self.take()
            self.take()
            return n.SelectItem(self.expression(), None, token.value.lower())
        if token.kind == lexer.VARIABLE and self.peek().upper in _COMPOUND:
            self.take()
            operator = self.take().upper[0]
            name = token.value.lower()
            return n.SelectItem(n.Binary(operator, n.Variable(name), self.expression()), None, name)
        aliased = token.kind == lexer.QUOTED or (self.at_name() and token.upper not in _NOT_AN_ALIAS)
        if aliased and self.peek().upper == "=":
            alias = self.take().value
            self.take()
            return n.SelectItem(self.expression(), alias)
        expr = self.expression()
        return n.SelectItem(expr, self._alias(strings=True))

    def _alias(self, strings: bool = False) -> str | None:
        required = self.accept("AS")
        token = self.token
        if strings and token.kind in (lexer.STRING, lexer.NATIONAL):
            return self.take().value
        if token.kind == lexer.QUOTED:
            return self.take().value
        if token.kind == lexer.IDENTIFIER and (required or (self.at_name() and token.upper not in _NOT_AN_ALIAS)):
            return self.take().value
        if required:
            self.fail()
        return None

    # --- FROM ---

    def sources(self) -> n.Source:
        """What stands behind FROM."""
        source = self._joined()
        while self.accept(","):
            source = n.JoinSource("CROSS", source, self._joined())
        return source

    def _joined(self) -> n.Source:
        left = self._source()
        while True:
            kind = self._join_kind()
            if not kind:
                return left
            if kind.endswith("APPLY") or kind == "CROSS":
                left = n.JoinSource(kind, left, self._source())
                continue
            # "a JOIN b JOIN c ON .. ON .." nests to the right.
            right = self._joined_until_on()
            self.expect("ON")
            left = n.JoinSource(kind, left, right, self.expression())

    def _joined_until_on(self) -> n.Source:
        left = self._source()
        while not self.at("ON"):
            kind = self._join_kind()
            if not kind:
                return left
            if kind.endswith("APPLY") or kind == "CROSS":
                left = n.JoinSource(kind, left, self._source())
                continue
            right = self._joined_until_on()
            self.expect("ON")
            left = n.JoinSource(kind, left, right, self.expression())
        return left

    def _join_kind(self) -> str:
        if self.accept("CROSS", "JOIN"):
            return "CROSS"
        if self.accept("CROSS", "APPLY"):
            return "CROSS APPLY"
        if self.accept("OUTER", "APPLY"):
            return "OUTER APPLY"
        kind = "INNER"
        if self.at_any("INNER", "LEFT", "RIGHT", "FULL"):
            kind = self.take().upper
            self.accept("OUTER")
            self.accept_any("HASH", "LOOP", "MERGE", "REMOTE")
            self.expect("JOIN")
            return kind
        return kind if self.accept("JOIN") else ""

    def _source(self) -> n.Source:
        source = self._plain_source()
        while self.at("PIVOT", "(") or self.at("UNPIVOT", "("):
            source = self._pivot(source) if self.take().upper == "PIVOT" else self._unpivot(source)
        return source

    def _pivot(self, source: n.Source) -> n.Source:
        self.expect("(")
        aggregate = self.expression()
        if not isinstance(aggregate, n.Call) or len(aggregate.arguments) != 1:
            raise Unsupported("PIVOT with anything but one aggregate of one column")
        self.expect("FOR")
        column = self.name()[-1]
        self.expect("IN")
        values = self.name_list()
        self.expect(")")
        return n.PivotSource(source, aggregate, column, values, self._required_alias())

    def _unpivot(self, source: n.Source) -> n.Source:
        self.expect("(")
        value = self.identifier()
        self.expect("FOR")
        name = self.identifier()
        self.expect("IN")
        columns = self.name_list()
        self.expect(")")
        return n.UnpivotSource(source, value, name, columns, self._required_alias())

    def _required_alias(self) -> str:
        alias = self._alias()
        if alias is None:
            self.fail()
        return alias

    def _plain_source(self) -> n.Source:
        if self.at("("):
            return self._parenthesised_source()
        if self.token.kind == lexer.VARIABLE:
            name: n.Name = (self.take().value,)
            return n.TableSource(name, self._alias())
        name = self.name()
        if name[-1].upper() == "CHANGETABLE" and self.at("("):
            return self._change_table()
        if self.at("(") and self.peek().upper not in ("NOLOCK", "READPAST", "HOLDLOCK", "INDEX"):
            call = self._call(name)
            assert isinstance(call, n.Call)
            alias = self._alias()
            return n.FunctionSource(call, alias, self.name_list() if alias and self.at("(") else ())
        if self.accept("FOR", "SYSTEM_TIME"):
            self.expect("ALL")
        alias = self._alias()
        sample = self._sample()
        return n.TableSource(name, alias, sample, self._hints())

    def _change_table(self) -> n.Source:
        self.expect("(")
        versions = not self.accept("CHANGES")
        if versions:
            self.expect("VERSION")
        table = self.name()
        self.expect(",")
        since: n.Expr | None = None
        key: tuple[str, ...] = ()
        values: tuple[n.Expr, ...] = ()
        if versions:
            key = self.name_list()
            self.expect(",")
            self.expect("(")
            values = self.expressions()
            self.expect(")")
        else:
            since = self.expression()
        self.expect(")")
        alias = self._alias()
        if alias is None:
            raise SqlError(22104, "A table returned by the CHANGETABLE function must be aliased.")
        return n.ChangeTable(table, alias, since, key, values, self.name_list() if self.at("(") else ())

    def _sample(self) -> str:
        """TABLESAMPLE as DuckDB wants it, empty without one.

        Rows for pages: what DuckDB calls SYSTEM takes vectors of 2,048 rows, and a few of those are no sample.
        """
        if not self.accept("TABLESAMPLE"):
            return ""
        self.accept("SYSTEM")
        self.expect("(")
        amount = self.take().value
        unit = self.accept_any("PERCENT", "ROWS") or "PERCENT"
        self.expect(")")
        if self.accept("REPEATABLE"):
            self.skip_parentheses()
        return f"bernoulli({amount}%)" if unit == "PERCENT" else f"reservoir({amount} ROWS)"

    def _hints(self) -> tuple[str, ...]:
        """Table hints by their words; those of INDEX and the like only by their first one."""
        if self.at("WITH", "("):
            self.take()
        elif not (self.at("(") and self.peek().upper in ("NOLOCK", "READPAST", "HOLDLOCK", "INDEX")):
            return ()
        self.expect("(")
        found: list[str] = []
        while not self.accept(")"):
            if self.at("("):
                self.skip_parentheses()
            elif not self.accept(","):
                found.append(self.take().upper)
        return tuple(found)

    def _parenthesised_source(self) -> n.Source:
        if self._nested_select() or self.peek().upper == "VALUES":
            start = self.position
            self.take()
            query = self.query()
            self.expect(")")
            alias = self._alias()
            if alias is None:
                self.position = start
                self.fail()
            return n.QuerySource(query, alias, self.name_list() if self.at("(") else ())
        self.expect("(")
        source = self.sources()
        self.expect(")")
        return source
