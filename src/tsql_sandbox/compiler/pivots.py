"""PIVOT and UNPIVOT as the queries they stand for.

Microsoft's page "FROM - Using PIVOT and UNPIVOT": PIVOT groups by every column of its source but the one it turns and
the one it aggregates; UNPIVOT leaves NULLs out.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import SqlError
from ..tsql import nodes as n
from ..values import sqltypes as st

_ALIAS = "pivot_source"


def everything(source: n.Source) -> n.Select:
    """SELECT * of what is turned."""
    return n.Select((n.SelectItem(n.Star()),), source)


def _column(name: str) -> n.Column:
    return n.Column((_ALIAS, name))


def _present(name: str, names: list[str]) -> str:
    for found in names:
        if found.lower() == name.lower():
            return found
    raise SqlError(207, f"Invalid column name '{name}'.")


def pivoted(pivot: n.PivotSource, names: list[str]) -> n.Query:
    """The query of a PIVOT over columns of these names.

    Raises:
        SqlError: 207, a column is not there.
    """
    argument = pivot.aggregate.arguments[0]
    if not isinstance(argument, n.Column):
        raise SqlError(102, "Incorrect syntax near the aggregate of PIVOT.", 15)
    turned, value = _present(pivot.column, names), _present(argument.parts[-1], names)
    groups = [_column(name) for name in names if name not in (turned, value)]
    items = [n.SelectItem(column) for column in groups]
    for wanted in pivot.values:
        condition = n.Binary("=", _column(turned), n.Literal(wanted, st.make("nvarchar", max(len(wanted), 1))))
        case = n.Case(None, ((condition, _column(value)),), None)
        items.append(n.SelectItem(replace(pivot.aggregate, arguments=(case,)), wanted))
    source = n.QuerySource(everything(pivot.source), _ALIAS)
    counted = n.Binary(">", n.Call("COUNT", (n.Star(),), parts=("COUNT",)), n.Literal(0, st.INT))
    return n.Select(tuple(items), source, group=tuple(groups), having=None if groups else counted)


def unpivoted(unpivot: n.UnpivotSource, names: list[str]) -> n.Query:
    """The query of an UNPIVOT over columns of these names.

    Raises:
        SqlError: 207, a column is not there.
    """
    turned = [_present(name, names) for name in unpivot.columns]
    kept = [n.SelectItem(_column(name)) for name in names if name not in turned]
    whole: n.Query | None = None
    for name in turned:
        source = n.QuerySource(everything(unpivot.source), _ALIAS)
        label = n.Literal(name, st.make("nvarchar", 128))
        items = (*kept, n.SelectItem(_column(name), unpivot.value), n.SelectItem(label, unpivot.name))
        part = n.Select(items, source, where=n.IsNull(_column(name), True))
        whole = part if whole is None else n.SetQuery("UNION ALL", whole, part)
    assert whole is not None
    return whole
