"""What decides the mapping, as plain picklable data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .names import IdentifierCase

Mode: TypeAlias = Literal["drop_recreate", "truncate", "upsert"]
CollationOption: TypeAlias = Literal["ignore", "citext", "icu"]


@dataclass(frozen=True, slots=True)
class TargetAbilities:
    """What the target server can do (``target.inspect.read_abilities``); the defaults are a current PostgreSQL."""

    version_num: int = 170000
    """``SHOW server_version_num``."""
    extensions: frozenset[str] = frozenset({"citext"})
    """Extensions that are installed or can be created (``pg_available_extensions``)."""
    extension_schemas: Mapping[str, str] = field(default_factory=dict)
    """Installed extension -> the schema of its types, which need not be on the search path."""
    pgvector: bool = False
    """Whether columns can be of pgvector's type: the extension is installed, or the session may install it."""
    icu: bool = True
    """Whether the server was built with ICU."""
    encoding: str = "UTF8"
    folds_unicode: bool = True
    """Whether the database's locale knows that Ü is the upper case of ü (the locale C does not)."""

    turkic: bool = False
    """Whether the database's locale takes ı, not i, for the lower case of I (Turkish, Azeri)."""
    maps_whole_words: bool = False
    """Whether upper('ß') is SS and lower() of a last Σ is ς, as in ICU locales; SQL Server maps letter by letter."""

    @property
    def nulls_not_distinct(self) -> bool:
        """UNIQUE NULLS NOT DISTINCT: PostgreSQL 15."""
        return self.version_num >= 150000

    @property
    def is_json(self) -> bool:
        """The predicate IS JSON: PostgreSQL 16."""
        return self.version_num >= 160000

    @property
    def gen_random_uuid(self) -> bool:
        """gen_random_uuid() in core: PostgreSQL 13."""
        return self.version_num >= 130000

    @property
    def nondeterministic_collations(self) -> bool:
        """CREATE COLLATION (deterministic = false): PostgreSQL 12 with ICU."""
        return self.icu and self.version_num >= 120000


@dataclass(frozen=True, slots=True)
class MappingOptions:
    """The options of one run that decide names, types and what is created."""

    schemas: Mapping[str, str] = field(default_factory=dict)
    """Source schema -> target schema; a schema that is not listed keeps its (folded) name."""
    mode: Mode = "drop_recreate"
    identifier_case: IdentifierCase = "preserve"
    collation: CollationOption = "ignore"
    create_indexes: bool = True
    """Indexes and unique constraints: all that is not a primary key."""
    create_foreign_keys: bool = True
    create_check_constraints: bool = True
    create_views: bool = False
    taken: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Target schema -> names that the target has for something else: only tables of the source may have them."""
    reserved: frozenset[str] = frozenset()
    """The same for names of this tool, in every schema."""
    selected: frozenset[str] | None = None
    """``schema.table`` names (source) of this run; None takes every table of the catalog."""
    abilities: TargetAbilities = TargetAbilities()
