"""What the sandbox knows of its databases: schemas, tables, constraints, modules, users. No SQL is run here."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from ..errors import SqlError
from ..tsql import nodes as n
from ..tsql import statements as sm
from ..values.sqltypes import SqlType

FIRST_OBJECT_ID = 245_575_913
FIRST_USER_TYPE_ID = 257
NO_SCHEMA = 0
"""In place of a schema's id for triggers on the database."""
SYSTEM_SCHEMAS = {"dbo": 1, "guest": 2, "INFORMATION_SCHEMA": 3, "sys": 4, "db_owner": 16384}


def column_place(object_id: int, column_id: int) -> int:
    """The number that stands for a column in the permissions of a database."""
    return object_id << 16 | column_id


def same_column(name: str, asked: str, exact: bool = False) -> bool:
    """Whether a column is the one asked for: `exact` in databases that know the case, and `$node_id` for
    `$node_id_0123...`."""
    if exact and name == asked:
        return True
    lowered = name.lower()
    return (not exact and lowered == asked.lower()) or (asked[:1] == "$" and lowered.startswith(f"{asked.lower()}_"))


@dataclass
class Identity:
    """IDENTITY(seed, increment); `last` is None before the first row."""

    seed: int
    increment: int
    last: int | None = None
    not_for_replication: bool = False

    def draw(self, count: int) -> int:
        """Hand out that many values; returns the first."""
        first = self.seed if self.last is None else self.last + self.increment
        self.last = first + self.increment * (count - 1)
        return first


@dataclass
class Column:
    """A column. `definition` and `expr` belong to computed columns."""

    name: str
    type: SqlType
    column_id: int
    nullable: bool = True
    user_type: UserType | None = None
    identity: Identity | None = None
    expr: n.Expr | None = None
    definition: str = ""
    persisted: bool = False
    sparse: bool = False
    column_set: bool = False
    rowguid: bool = False
    filestream: bool = False
    generated_always: int = 0
    hidden: bool = False
    encrypted: bool = False
    masked: str | None = None
    xml_collection: int = 0
    graph_type: int | None = None
    default: DefaultConstraint | None = None
    bound: DefaultConstraint | None = None
    """A default of its own (CREATE DEFAULT) that sp_bindefault has bound to the column."""

    @property
    def filling(self) -> DefaultConstraint | None:
        """What gives the column a value where an INSERT does not."""
        return self.default or self.bound

    @property
    def computed(self) -> bool:
        """Whether the column is computed."""
        return self.expr is not None

    @property
    def physical(self) -> str:
        """Its name in DuckDB."""
        return f"c{self.column_id}"


@dataclass
class SchemaObject:
    """Anything in sys.objects."""

    object_id: int
    schema_id: int
    name: str
    kind: str
    """`type` of sys.objects: U, V, P, FN, IF, TF, TR, SN, SO, PK, UQ, F, C, D, TT."""
    parent_id: int = 0
    created: dt.datetime = field(default_factory=lambda: dt.datetime.now().replace(microsecond=0))
    system_named: bool = False


@dataclass
class DefaultConstraint(SchemaObject):
    """A default constraint; a default made by CREATE DEFAULT has no parent."""

    definition: str = ""
    expr: n.Expr = field(default_factory=lambda: n.Literal(None, None))
    column_id: int = 0


@dataclass
class CheckConstraint(SchemaObject):
    """A check constraint; `column_id` 0 for one of the table."""

    definition: str = ""
    expr: n.Expr = field(default_factory=lambda: n.Literal(None, None))
    column_id: int = 0
    disabled: bool = False
    not_trusted: bool = False
    not_for_replication: bool = False


@dataclass
class ForeignKey(SchemaObject):
    """A foreign key; columns are pairs of column ids."""

    referenced_id: int = 0
    key_index_id: int = 1
    columns: list[tuple[int, int]] = field(default_factory=list)
    on_delete: str = "NO_ACTION"
    on_update: str = "NO_ACTION"
    disabled: bool = False
    not_trusted: bool = False
    not_for_replication: bool = False


@dataclass
class Index:
    """An index; `constraint` is the key constraint it belongs to. Columns are (column id, descending)."""

    index_id: int
    name: str
    kind: str
    columns: list[tuple[int, bool]]
    included: list[int] = field(default_factory=list)
    unique: bool = False
    primary: bool = False
    constraint: SchemaObject | None = None
    filter: str | None = None
    filter_expr: n.Expr | None = None
    disabled: bool = False
    ignore_dup_key: bool = False
    fill_factor: int = 0


@dataclass
class Tracking:
    """Change tracking of a database: what ALTER DATABASE sets; units are 1 minutes, 2 hours, 3 days."""

    retention: int = 2
    units: int = 3
    auto_cleanup: bool = True
    cleaned: dt.datetime | None = None


@dataclass
class TableTracking:
    """Change tracking of a table; versions as sys.change_tracking_tables shows them."""

    columns: bool = False
    begin: int = 0
    cleanup: int = 0
    min_valid: int = 0


@dataclass
class Table(SchemaObject):
    """A table, a table type or (for its columns) nothing else."""

    columns: list[Column] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    checks: list[CheckConstraint] = field(default_factory=list)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    temporal_type: int = 0
    history_id: int = 0
    period: tuple[int, int] | None = None
    graph: str = ""
    memory_optimized: bool = False
    next_column_id: int = 1
    database_id: int = 0
    fulltext: tuple[int, list[int]] | None = None
    tracking: TableTracking | None = None
    exact: bool = False
    """Whether the case of its columns' names counts."""
    ready: Any = None
    """The `rowstore.RowStore` of a generated table."""
    key_sets: dict[int, set[Any]] = field(default_factory=dict)
    """Keys of unique indexes by index id, as `insert_known` keeps them."""

    @property
    def physical(self) -> str:
        """Its name in DuckDB."""
        return f'"db{self.database_id}".main."t{self.object_id}"'

    def column(self, name: str) -> Column:
        """The column of a name.

        Raises:
            SqlError: 207, there is none.
        """
        for column in self.columns:
            if same_column(column.name, name, self.exact):
                return column
        raise SqlError(207, f"Invalid column name '{name}'.")

    def by_id(self, column_id: int) -> Column:
        """The column of an id."""
        return next(column for column in self.columns if column.column_id == column_id)

    @property
    def primary_key(self) -> Index | None:
        """The index of the primary key."""
        return next((index for index in self.indexes if index.primary), None)

    @property
    def identity(self) -> Column | None:
        """The identity column."""
        return next((column for column in self.columns if column.identity is not None), None)


@dataclass
class Module(SchemaObject):
    """A view, procedure, function or trigger with its text."""

    node: sm.CreateModule | None = None
    text: str = ""
    disabled: bool = False
    modified: dt.datetime = field(default_factory=lambda: dt.datetime.now().replace(microsecond=0))
    columns: list[Column] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)


@dataclass
class Synonym(SchemaObject):
    """A synonym."""

    base: n.Name = ()


@dataclass
class Sequence(SchemaObject):
    """A sequence; `current` is the last value given out, or the start before that."""

    type: SqlType | None = None
    user_type: UserType | None = None
    start: int = 1
    increment: int = 1
    minimum: int = 0
    maximum: int = 0
    cycle: bool = False
    cache: int | None = None
    current: int = 1
    used: bool = False

    def next_value(self) -> int:
        """The next value.

        Raises:
            SqlError: 11728, the sequence is exhausted.
        """
        if not self.used:
            self.used = True
            return self.current
        value = self.current + self.increment
        if not self.minimum <= value <= self.maximum:
            if not self.cycle:
                raise SqlError(11728, f"The sequence object '{self.name}' has reached its minimum or maximum value.")
            value = self.minimum if self.increment > 0 else self.maximum
        self.current = value
        return value


@dataclass
class UserType:
    """An alias type or a table type."""

    user_type_id: int
    schema_id: int
    name: str
    base: SqlType
    nullable: bool = True
    table: Table | None = None
    bound: DefaultConstraint | None = None


@dataclass
class Principal:
    """A user or role of a database."""

    principal_id: int
    name: str
    kind: str = "S"
    login: str = ""
    roles: set[str] = field(default_factory=set)


@dataclass
class Login:
    """A login of the server. The password is kept out of its repr."""

    name: str
    password: str = field(repr=False)
    sysadmin: bool = False


@dataclass
class ExtendedProperty:
    """A row of sys.extended_properties."""

    kind: int
    major_id: int
    minor_id: int
    name: str
    value: bytes | None
