"""What a case-insensitive source collation becomes: nothing, citext, or a nondeterministic ICU collation."""

from __future__ import annotations

from collections.abc import Iterable

from .collation_names import Sensitivity, sensitivity
from .objects import MappedIndex, MappedKey, MappedTable, Note
from .options import MappingOptions
from .quoting import qualified
from .types import MappedColumn

_STRENGTHS = {
    (False, True): ("ci_as", "u-ks-level2"),
    (False, False): ("ci_ai", "u-ks-level1"),
    (True, False): ("cs_ai", "u-ks-level1-kc-true"),
}
"""(case sensitive, accent sensitive) -> end of the name and of the ICU locale (BCP 47, Unicode TR 35: ks strength,
kc case)."""


def icu_collation(how: Sensitivity) -> tuple[str, str]:
    """Name and locale of the ICU collation that folds as a source collation does: i and ı need the Turkish rules."""
    name, strength = _STRENGTHS[how.case, how.accent]
    return (f"mssql_tr_{name}", f"tr-{strength}") if how.turkic else (f"mssql_{name}", f"und-{strength}")


class CollationPlan:
    """Applies ``options.collation`` to text columns and remembers what the database needs for it."""

    def __init__(self, options: MappingOptions, schema: str) -> None:
        self._option = options.collation
        self._schema = schema
        self._used: dict[tuple[str, str], None] = {}
        self._uses_citext = False
        self.notes: list[Note] = []
        abilities = options.abilities
        if self._option == "citext" and "citext" not in abilities.extensions:
            self.notes.append(
                Note(
                    "error", "collation", "collation: citext needs the extension citext, which the server does not have"
                )
            )
        if self._option == "citext" and not abilities.folds_unicode:
            text = "citext: this database's locale folds the case of ASCII letters only, Ü and ü stay different"
            self.notes.append(Note("warning", "collation", text))
        if self._option == "icu" and not abilities.nondeterministic_collations:
            self.notes.append(Note("error", "collation", "collation: icu needs PostgreSQL 12 or later, built with ICU"))

    def apply(self, pg_type: str, collation: str | None) -> tuple[str, str | None]:
        """The type and COLLATE name of a text column; other types pass unchanged.

        citext has no length: a declared one is lost, the caller notes it.
        """
        how = sensitivity(collation)
        if self._option == "ignore" or not how.folds or not _is_text(pg_type):
            return pg_type, None
        if self._option == "citext":
            if how.case:
                return pg_type, None
            self._uses_citext = True
            return "citext", None
        made = icu_collation(how)
        self._used[made] = None
        return pg_type, qualified(self._schema, made[0])

    @property
    def extensions(self) -> tuple[str, ...]:
        """Extensions the mapped columns need."""
        return ("citext",) if self._uses_citext else ()

    @property
    def statements(self) -> tuple[str, ...]:
        """CREATE COLLATION statements the mapped columns need."""
        return tuple(
            f"CREATE COLLATION IF NOT EXISTS {qualified(self._schema, name)}"
            f" (provider = icu, locale = '{locale}', deterministic = false)"
            for name, locale in self._used
        )


_MOST_NAMES = 20


def notes_on_keys(tables: Iterable[MappedTable]) -> list[Note]:
    """One warning each for the unique keys and the foreign keys whose text is compared with its case from now on, and
    one for those that are compared without it and yet tell trailing blanks apart, which SQL Server does not."""
    unique: list[str] = []
    foreign: list[str] = []
    blanks: list[str] = []
    for table in tables:
        by_name = {column.name: column for column in table.columns}
        items: list[MappedKey | MappedIndex] = [
            key for key in (table.primary_key, *table.unique_keys) if key is not None
        ]
        items += [index for index in table.indexes if index.unique]
        for item in items:
            if any(_loses_folding(by_name[column.name]) for column in item.columns):
                unique.append(f"{table.source.full_name} {item.source.name}")
            if any(_counts_blanks(by_name[column.name]) for column in item.columns):
                blanks.append(f"{table.source.full_name} {item.source.name}")
        for foreign_key in table.foreign_keys:
            if any(_loses_folding(by_name[name]) for name in foreign_key.columns):
                foreign.append(f"{table.source.full_name} {foreign_key.source.name}")
            if any(_counts_blanks(by_name[name]) for name in foreign_key.columns):
                blanks.append(f"{table.source.full_name} {foreign_key.source.name}")
    texts = []
    if unique:
        texts.append(f"unique keys over case-insensitive text take 'a' beside 'A' in PostgreSQL: {_listed(unique)}")
    if foreign:
        texts.append(f"foreign keys over case-insensitive text tell 'a' from 'A' in PostgreSQL: {_listed(foreign)}")
    notes = [Note("warning", "collation", f"ignore: {text}") for text in texts]
    if blanks:
        text = (
            f"keys over text tell 'a' from 'a ' (a trailing blank) in PostgreSQL, not in the source: {_listed(blanks)}"
        )
        notes.append(Note("warning", "collation", text))
    return notes


def _counts_blanks(column: MappedColumn) -> bool:
    """Whether the column is compared without regard to case, but to blanks at its end (character(n) is not)."""
    return column.pg_type == "citext" or (column.collation_sql is not None and not column.pg_type.startswith("char("))


def _loses_folding(column: MappedColumn) -> bool:
    folds = not sensitivity(column.source.type.collation).case
    return folds and _is_text(column.pg_type) and column.collation_sql is None


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} others" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _is_text(pg_type: str) -> bool:
    return pg_type == "text" or pg_type.startswith(("varchar", "char"))
