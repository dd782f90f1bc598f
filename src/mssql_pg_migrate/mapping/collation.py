"""What a case-insensitive source collation becomes: nothing, citext, or a nondeterministic ICU collation."""

from __future__ import annotations

from dataclasses import dataclass

from .objects import Note
from .options import MappingOptions
from .quoting import qualified


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How a SQL Server collation compares, read from its name.

    Collation names say it in their suffixes: ``_CI``/``_CS`` case, ``_AI``/``_AS`` accents, ``_BIN``/``_BIN2`` code
    points; ``_KS`` and ``_WS`` add kana type and width, which are insensitive otherwise.
    """

    case: bool = True
    accent: bool = True
    binary: bool = False

    @property
    def folds(self) -> bool:
        """Whether any two different texts may be equal (trailing blanks aside)."""
        return not (self.case and self.accent)


def sensitivity(collation: str | None) -> Sensitivity:
    """Read a collation's name; a column without a collation compares exactly."""
    if collation is None:
        return Sensitivity()
    parts = collation.upper().split("_")
    if "BIN" in parts or "BIN2" in parts:
        return Sensitivity(binary=True)
    return Sensitivity(case="CI" not in parts, accent="AI" not in parts)


_ICU_NAMES = {
    (False, True): ("mssql_ci_as", "und-u-ks-level2"),
    (False, False): ("mssql_ci_ai", "und-u-ks-level1"),
    (True, False): ("mssql_cs_ai", "und-u-ks-level1-kc-true"),
}
"""(case sensitive, accent sensitive) -> collation name and ICU locale (BCP 47, Unicode TR 35: ks strength, kc case)."""


class CollationPlan:
    """Applies ``options.collation`` to text columns and remembers what the database needs for it."""

    def __init__(self, options: MappingOptions, schema: str) -> None:
        self._option = options.collation
        self._schema = schema
        self._used: dict[tuple[bool, bool], None] = {}
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
        key = (how.case, how.accent)
        self._used[key] = None
        return pg_type, qualified(self._schema, _ICU_NAMES[key][0])

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
            for name, locale in (_ICU_NAMES[key] for key in self._used)
        )


def _is_text(pg_type: str) -> bool:
    return pg_type == "text" or pg_type.startswith(("varchar", "char"))
