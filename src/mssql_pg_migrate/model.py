"""The source catalog as plain data: what SQL Server says about a database, before any mapping.

Frozen dataclasses, picklable, no I/O. Names are exactly those of the source. Every field that comes from a catalog
view names it in its comment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

KeyValue: TypeAlias = tuple[str, ...]
"""A position in a table, in the words of its source: for SQL Server the exact text of each key column of one row, in
key order (forms: see ``source.keys``)."""

HIDDEN = ""
"""A definition that is there and that the login may not see: the catalog shows NULL in its place."""


ChangeMethod: TypeAlias = Literal["change_tracking", "rowversion", "watermark", "compare"]
"""How the changes of a table are found after its rows were copied."""


@dataclass(frozen=True, slots=True)
class SqlType:
    """A column's data type as ``sys.columns`` and ``sys.types`` declare it."""

    name: str
    """System type name, lower case (``nvarchar``); a CLR type's own name (``geography``, ``hierarchyid``)."""
    max_length: int = 0
    """Bytes, as in sys.columns; -1 for (max), xml and large CLR types. nvarchar(10) has 20."""
    precision: int = 0
    scale: int = 0
    collation: str | None = None
    code_page: int | None = None
    """COLLATIONPROPERTY(collation, 'CodePage') of a char/varchar/text column; 0 is Unicode-only, 65001 UTF-8."""
    alias: str | None = None
    """``schema.name`` of the alias or CLR type the column is declared with, where it is not a system type."""
    vector_base: str | None = None

    @property
    def is_max(self) -> bool:
        """Whether this is a (max) type."""
        return self.max_length == -1

    @property
    def char_length(self) -> int:
        """Declared length in characters (UTF-16 units for n-types, bytes for char/varchar); -1 for (max)."""
        if self.max_length > 0 and self.name in ("nchar", "nvarchar"):
            return self.max_length // 2
        return self.max_length

    def __str__(self) -> str:
        if self.name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
            return f"{self.name}({'max' if self.is_max else self.char_length})"
        if self.name in ("decimal", "numeric"):
            return f"{self.name}({self.precision},{self.scale})"
        if self.name in ("datetime2", "datetimeoffset", "time"):
            return f"{self.name}({self.scale})"
        return self.name


@dataclass(frozen=True, slots=True)
class Identity:
    """``sys.identity_columns`` (seed, increment and last value as integers of any size up to decimal(38,0))."""

    seed: int
    increment: int
    last_value: int | None = None
    not_for_replication: bool = False


@dataclass(frozen=True, slots=True)
class Computed:
    """``sys.computed_columns``."""

    definition: str
    """`HIDDEN` where the login may not see it."""
    persisted: bool


@dataclass(frozen=True, slots=True)
class Default:
    """``sys.default_constraints``: the definition as SQL Server stores it, for example ``((0))``."""

    name: str
    definition: str
    """`HIDDEN` where the login may not see it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``sys.columns``."""

    name: str
    type: SqlType
    nullable: bool = True
    ordinal: int = 0
    """column_id: 1-based, with gaps where columns were dropped."""
    identity: Identity | None = None
    computed: Computed | None = None
    default: Default | None = None
    rowguid: bool = False
    sparse: bool = False
    column_set: bool = False
    hidden: bool = False
    """HIDDEN period columns of a temporal table; SELECT * leaves them out, this tool does not."""
    generated_always: int = 0
    """generated_always_type: 1 AS ROW START, 2 AS ROW END, 5-10 ledger columns."""
    graph_type: int | None = None
    """sys.columns.graph_type (2017+): pseudo-columns of node and edge tables."""
    encrypted: bool = False
    """Always Encrypted (encryption_type is not null)."""
    masked: bool = False
    filestream: bool = False
    bound: tuple[str, ...] = ()
    """What else limits the column and is not carried, in words: a rule, an XML schema collection."""
    description: str | None = None
    """Extended property MS_Description."""

    @property
    def untold(self) -> bool:
        """Whether it is computed and the source tells neither its type nor its values (a package)."""
        return self.computed is not None and not self.type.name


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of a key or index, with its direction."""

    name: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """A primary key or unique constraint (``sys.key_constraints`` and its index)."""

    name: str
    columns: tuple[KeyColumn, ...]
    primary: bool
    clustered: bool = False
    disabled: bool = False
    description: str | None = None
    """MS_Description of the constraint."""
    index_description: str | None = None
    """MS_Description of its index."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index that no key constraint owns (``sys.indexes``)."""

    name: str
    columns: tuple[KeyColumn, ...]
    included: tuple[str, ...] = ()
    unique: bool = False
    clustered: bool = False
    filter: str | None = None
    """filter_definition, for example ``([a] IS NOT NULL)``; None without a filter, `HIDDEN` where has_filter says that
    there is one and the login may not see it."""
    kind: str = "NONCLUSTERED"
    """sys.indexes.type_desc: CLUSTERED, NONCLUSTERED, XML, SPATIAL, CLUSTERED COLUMNSTORE, ..."""
    disabled: bool = False
    ignore_dup_key: bool = False
    description: str | None = None


ReferentialAction: TypeAlias = Literal["NO_ACTION", "CASCADE", "SET_NULL", "SET_DEFAULT"]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``sys.foreign_keys`` with its columns in constraint order."""

    name: str
    columns: tuple[str, ...]
    referenced_schema: str
    referenced_table: str
    referenced_columns: tuple[str, ...]
    on_delete: ReferentialAction = "NO_ACTION"
    on_update: ReferentialAction = "NO_ACTION"
    disabled: bool = False
    not_trusted: bool = False
    """True after WITH NOCHECK: rows may violate it."""
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """``sys.check_constraints``: the definition as stored, for example ``([Age]>(0))``."""

    name: str
    definition: str
    """`HIDDEN` where the login may not see it."""
    column: str | None = None
    """The column of a column-level check, None for a table-level one."""
    disabled: bool = False
    not_trusted: bool = False
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """One user table with all that hangs on it."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    object_id: int = 0
    primary_key: Key | None = None
    unique_keys: tuple[Key, ...] = ()
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[Check, ...] = ()
    fulltext: tuple[str, ...] = ()
    """Columns of its full-text index, which has no name: a table has one at most."""
    row_estimate: int = 0
    """Rows by sys.partitions: an estimate, exact only while nothing changes."""
    size_bytes: int | None = None
    """Used bytes by sys.allocation_units, None where the server does not tell."""
    version: str | None = None
    """What tells its rows from others, where the source knows it: a run goes on with the same ones only."""
    description: str | None = None
    temporal: Literal["none", "history", "versioned"] = "none"
    history_table: str | None = None
    """``schema.name`` of the history table of a system-versioned one."""
    graph: Literal["none", "node", "edge"] = "none"
    memory_optimized: bool = False
    external: bool = False
    filetable: bool = False

    @property
    def full_name(self) -> str:
        """``schema.name``, for people."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column:
        """The column of that exact name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.full_name} has no column {name}")


@dataclass(frozen=True, slots=True)
class Sequence:
    """``sys.sequences``; values as integers."""

    schema: str
    name: str
    type: SqlType
    start: int
    increment: int
    minimum: int
    maximum: int
    cycle: bool
    current: int
    cache: int | None = None
    last_used: int | None = None
    """None: never used, or a server that does not tell (before SQL Server 2017)."""
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """A view, routine, trigger or synonym: things that are code, not data (``sys.objects``, ``sys.sql_modules``)."""

    schema: str
    name: str
    kind: Literal["view", "procedure", "function", "trigger", "synonym"]
    definition: str | None = None
    """Source text; None when encrypted or not visible to the login. For a synonym the base object's name."""
    parent: str | None = None
    """``schema.table`` of a trigger."""
    schema_bound: bool = False
    columns: tuple[str, ...] = ()
    indexed: bool = False
    description: str | None = None
    column_descriptions: tuple[str | None, ...] = ()
    """MS_Description of each of ``columns``; empty where none has one."""


@dataclass(frozen=True, slots=True)
class AliasType:
    """A user type of ``sys.types`` (CREATE TYPE ... FROM)."""

    schema: str
    name: str
    base: SqlType
    nullable: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that the catalog shows and that cannot be carried: a line of the plan."""

    object: str
    """The source object, as in a note of the plan."""
    message: str
    table: str | None = None
    """``schema.name`` of the table it belongs to: it matters only where that is migrated."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything read from one source database for one run."""

    database: str
    collation: str | None
    server_version: str
    """ProductVersion, for example ``16.0.4135.4``; ``unknown`` when the server does not tell."""
    tables: tuple[Table, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    modules: tuple[Module, ...] = ()
    alias_types: tuple[AliasType, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What could not be read, and why: full sentences for the plan."""
    losses: tuple[Loss, ...] = ()
    description: str | None = None
    """MS_Description of the database."""
    schema_descriptions: tuple[tuple[str, str], ...] = ()
    """Schema and its MS_Description."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """A half-open interval ``(after, upto]`` of a table's positions: in SQL Server, of its key in the server's order.

    ``after`` None starts at the first row, ``upto`` None runs to the last one; both None is the whole table (the only
    range of a table that is not resumable).
    """

    id: int
    after: KeyValue | None = None
    upto: KeyValue | None = None
    row_estimate: int = 0
