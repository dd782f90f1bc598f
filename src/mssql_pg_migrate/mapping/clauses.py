"""GROUP BY, ORDER BY, TOP and OFFSET of a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .expressions import ExpressionTranslator
from .nodes import check_arguments
from .options import TargetAbilities
from .parse import Untranslatable
from .quoting import quote_ident
from .relations import OutputColumn
from .values import INT, TINYINT, Value

_GROUPINGS = {"Rollup": "ROLLUP ", "Cube": "CUBE ", "GroupingSets": "GROUPING SETS "}


class Clauses(ExpressionTranslator):
    """What `queries.QueryTranslator` does with the clauses that order, group and limit the rows."""

    def __init__(self, abilities: TargetAbilities, default_collation: str | None) -> None:
        super().__init__(abilities, default_collation, exact_text=False)
        self._outputs: dict[str, OutputColumn] = {}

    def _group(self, group: Any) -> str:
        """GROUP BY, with ROLLUP, CUBE and GROUPING SETS, which both servers have; WITH ROLLUP is the older spelling."""
        check_arguments(group, frozenset({"expressions", "rollup", "cube"}))
        values: list[Value] = []
        text = ", ".join(self._group_item(node, values) for node in group.expressions)
        self._remark_groups(values)
        for word in ("rollup", "cube"):
            if group.args.get(word):
                text = f"{word.upper()} ({text})"
        return text

    def _group_item(self, node: Any, values: list[Value]) -> str:
        kind = type(node).__name__
        if kind in _GROUPINGS or kind in ("Tuple", "Paren"):
            nodes = [node.this] if kind == "Paren" else node.expressions
            items = ", ".join(self._group_item(item, values) for item in nodes)
            return f"{_GROUPINGS.get(kind, '')}({items})"
        values.append(self.value(node))
        return values[-1].sql

    def _grouping(self, name: str, arguments: list[Any]) -> Value:
        """GROUPING (a tinyint) and GROUPING_ID, the bits of several."""
        if not arguments or (name == "grouping" and len(arguments) != 1):
            raise Untranslatable(f"{name.upper()} with {len(arguments)} arguments is not translated")
        listed = ", ".join(self.value(node).sql for node in arguments)
        return Value(f"GROUPING({listed})", TINYINT if name == "grouping" else INT, immutable=False)

    def ordering(self, order: Any) -> str:
        """The columns of ORDER BY: SQL Server sorts NULL first, before everything."""
        check_arguments(order, frozenset({"expressions"}))
        return self._order_items(order.expressions)

    def _order_items(self, items: Sequence[Any]) -> str:
        parts = []
        for item in items:
            check_arguments(item, frozenset({"this", "desc", "nulls_first"}))
            parts.append(self._sort_key(item.this) + (" DESC NULLS LAST" if item.args.get("desc") else " NULLS FIRST"))
        return ", ".join(parts)

    def _sort_key(self, node: Any) -> str:
        if type(node).__name__ == "Column" and len(node.parts) == 1:
            output = self._outputs.get(node.this.name.lower())
            if output is not None:
                self._must_sort(output.value)
                return quote_ident(output.name)
        if type(node).__name__ == "Literal":
            raise Untranslatable("ORDER BY a column's number")
        value = self.value(node)
        self._must_sort(value)
        return value.operand

    def _must_sort(self, value: Value) -> None:
        if value.kind == "uuid":
            raise Untranslatable("SQL Server orders uniqueidentifier by other bytes first")
        if value.kind == "str":
            self.remark("text is sorted by PostgreSQL's collation")

    def _limit(self, node: Any) -> tuple[str, bool]:
        """TOP and OFFSET/FETCH; True when the order has no effect (TOP 100 PERCENT)."""
        limit, offset = node.args.get("limit"), node.args.get("offset")
        text = ""
        if offset is not None:
            text += f"\nOFFSET {self._row_count(offset.expression)}"
        if limit is None:
            return text, False
        options = limit.args.get("limit_options")
        percent = bool(options and options.args.get("percent"))
        ties = bool(options and options.args.get("with_ties"))
        count = self._row_count(limit.args.get("expression") or limit.args.get("count"))
        if percent:
            if count != 100:
                raise Untranslatable("TOP with PERCENT")
            return text, True
        if ties:
            return f"{text}\nFETCH FIRST {count} ROWS WITH TIES", False
        return f"{text}\nLIMIT {count}", False

    def _row_count(self, node: Any) -> int:
        count = self.value(node).literal
        if not isinstance(count, int):
            raise Untranslatable("TOP or OFFSET with something that is no constant")
        return count

    def _remark_groups(self, values: Sequence[Value]) -> None:
        if any(
            value.kind == "str" and value.plain_text is None and not self.sensitivity(value).case for value in values
        ):
            self.remark("text is grouped with its case, the source ignores it")
        if any(value.type.scale == 7 and value.kind in ("time", "datetime", "offset") for value in values):
            self.remark("times less than a microsecond apart are one group: the seventh decimal is not kept")
