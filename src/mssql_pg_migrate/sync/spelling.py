"""Keys that the source takes for equal and the target does not: 'abc' that became 'ABC', 'a' that became 'a '.

SQL Server compares text by the column's collation, and never counts blanks at its end ("Collation and Unicode support";
"= (Equals)", on trailing blanks): such a change of a key is, to it, still the same row, and nothing tells of the old
spelling. The target holds text that is equal only when it is the same, so the old row would stay beside the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..mapping.collation import icu_collation
from ..mapping.collation_names import sensitivity
from ..mapping.types import MappedColumn
from ..source.changes import OPERATION
from ..target.ddl import quote_ident, relation
from .statements import DELETED, StagedTable

if TYPE_CHECKING:
    import psycopg


def respelled(connection: psycopg.Connection[Any], staged: StagedTable) -> bool:
    """Whether a staged row that is new to the target may be one that the target has under another spelling of its key.

    Looks at the target's keys only where a pass brings new rows into a table with text in its key. A yes may be wrong
    (the source's collation is known by its sensitivities only): whoever asks compares the table then.
    """
    table = staged.table
    columns = {column.name: column for column in table.copied_columns}
    texts = [name for name in staged.key if columns[name].encoding == "text"]
    if not texts:
        return False
    there = " AND ".join(f"t.{quote_ident(name)} = s.{quote_ident(name)}" for name in staged.key)
    stage = staged.relation
    fresh = f"s.{OPERATION} <> '{DELETED}' AND NOT EXISTS (SELECT FROM {relation(table)} t WHERE {there})"
    row = connection.execute(f"SELECT EXISTS (SELECT FROM {stage} s WHERE {fresh})".encode()).fetchone()
    if row is None or not row[0]:
        return False
    folds = {name: _fold(connection, columns[name]) for name in texts}
    alike = " AND ".join(
        f"{folds[name].of('t', name)} = {folds[name].of('s', name)}"
        if name in texts
        else f"t.{quote_ident(name)} = s.{quote_ident(name)}"
        for name in staged.key
    )
    unsure = " OR ".join(f"s.{quote_ident(name)}::text ~ '[^ -~]'" for name in texts if not folds[name].sure)
    named = " AND ".join(f"t.{quote_ident(name)} = d.{quote_ident(name)}" for name in staged.key)
    # Nothing is known of the staged rows' number yet: the target's keys are to be read once, not once for each.
    connection.execute("SET LOCAL enable_nestloop = off")
    connection.execute("SET LOCAL enable_mergejoin = off")
    key = ", ".join(f"s.{quote_ident(name)}" for name in staged.key)
    found = connection.execute(
        f"WITH fresh AS MATERIALIZED (SELECT {key} FROM {stage} s"
        f" WHERE {fresh}) SELECT EXISTS (SELECT FROM fresh s JOIN {relation(table)} t ON {alike}"
        f" WHERE NOT EXISTS (SELECT FROM {stage} d WHERE {named}))".encode()
    ).fetchone()
    connection.execute("SET LOCAL enable_nestloop TO DEFAULT")
    connection.execute("SET LOCAL enable_mergejoin TO DEFAULT")
    if unsure and not (found and found[0]):
        found = connection.execute(
            f"SELECT EXISTS (SELECT FROM {stage} s WHERE {fresh} AND ({unsure}))".encode()
        ).fetchone()
    return bool(found and found[0])


@dataclass(frozen=True, slots=True)
class _Fold:
    """An SQL form in which texts that the source takes for equal are equal; ``sure``: beyond ASCII, too."""

    form: str
    sure: bool = True

    def of(self, alias: str, name: str) -> str:
        """The form of a column."""
        return self.form.replace("{}", f"rtrim({alias}.{quote_ident(name)}::text)")


def _fold(connection: psycopg.Connection[Any], column: MappedColumn) -> _Fold:
    import psycopg

    how = sensitivity(column.source.type.collation)
    if not how.folds:
        return _Fold('{} COLLATE "C"')
    locale = icu_collation(how)[1]
    name = f"pg_temp.{quote_ident('_mpm_' + locale.replace('-', '_'))}"
    try:
        with connection.transaction():
            connection.execute(
                f"CREATE COLLATION IF NOT EXISTS {name}"
                f" (provider = icu, locale = '{locale}', deterministic = false)".encode()
            )
        return _Fold("{} COLLATE " + name)
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidParameterValue):
        return _fold_without_icu(connection)


def _fold_without_icu(connection: psycopg.Connection[Any]) -> _Fold:
    if connection.info.parameter_status("server_encoding") != "UTF8":
        return _Fold("lower({})", sure=False)
    return _Fold(r"lower(regexp_replace(normalize({}, NFKD), '[\u0300-\u036f]', '', 'g'))", sure=False)
