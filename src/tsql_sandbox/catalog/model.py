"""What the sandbox knows of its databases: schemas, tables, constraints, modules, users. No SQL is run here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mssql_pg_migrate.tds.collations import Collation

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


class Database:
    """One database."""

    def __init__(self, database_id: int, name: str, collation: str) -> None:
        self.database_id = database_id
        self.name = name
        self.collation = collation
        self.snapshot_allowed = True
        self.read_committed_snapshot = True
        """Whether readers under READ COMMITTED read row versions: the default of Azure SQL Database."""
        self.created = dt.datetime.now().replace(microsecond=0)
        self.version = 0
        """Grows with every change, so that copies of the catalog can tell that they are stale."""
        self.schemas: dict[int, str] = {number: key for key, number in SYSTEM_SCHEMAS.items()}
        self.objects: dict[int, SchemaObject] = {}
        self.types: dict[int, UserType] = {}
        self.principals: dict[str, Principal] = {}
        self.permissions: dict[tuple[str, str, str, int], str] = {}
        """(principal, permission, class, id of the securable) -> GRANT or DENY; principals in lower case."""
        self.properties: list[ExtendedProperty] = []
        self.xml_collections: dict[int, tuple[int, str]] = {}
        self._next_object = FIRST_OBJECT_ID
        self._next_type = FIRST_USER_TYPE_ID
        self._next_schema = 5
        self.row_version = 2000
        self.tracking: Tracking | None = None
        self.tracking_version = 0
        """The version of the last committed transaction with tracked changes."""
        for number, principal in enumerate(("public", "dbo", "guest", "INFORMATION_SCHEMA", "sys")):
            self.principals[principal.lower()] = Principal(number, principal, "R" if principal == "public" else "S")
        for number, role in enumerate(("db_owner", "db_datareader", "db_datawriter", "db_ddladmin")):
            self.principals[role] = Principal(16384 + number, role, "R")

    @property
    def exact(self) -> bool:
        """Whether the case of names counts: it does under the database's collation ("Database Identifiers")."""
        collation = Collation.from_name(self.collation)
        return collation.is_binary or not collation.ignore_case

    def fold(self, name: str) -> str:
        """A name in the form in which it compares."""
        return name if self.exact else name.lower()

    @property
    def alias(self) -> str:
        """The name under which DuckDB has it attached."""
        return f"db{self.database_id}"

    def changed(self) -> None:
        """Mark the catalog as changed."""
        self.version += 1

    def new_object_id(self) -> int:
        """A fresh object id."""
        self._next_object += 32
        return self._next_object

    def new_type_id(self) -> int:
        """A fresh user_type_id."""
        self._next_type += 1
        return self._next_type - 1

    # --- schemas ---

    def schema_id(self, name: str) -> int:
        """The id of a schema.

        Raises:
            SqlError: 2760, there is none.
        """
        found = self.find_schema(name)
        if found is None:
            raise SqlError(2760, f'The specified schema name "{name}" either does not exist or you cannot use it.')
        return found

    def find_schema(self, name: str) -> int | None:
        """The id of a schema, None without one."""
        folded = self.fold(name or "dbo")
        return next((number for number, key in self.schemas.items() if self.fold(key) == folded), None)

    def add_schema(self, name: str) -> int:
        """Make a schema.

        Raises:
            SqlError: 2714, it is there already.
        """
        if self.find_schema(name) is not None:
            raise SqlError(2714, f"There is already an object named '{name}' in the database.")
        number = self._next_schema
        self._next_schema += 1
        self.schemas[number] = name
        self.changed()
        return number

    # --- objects ---

    def add(self, item: SchemaObject) -> None:
        """Add an object.

        Raises:
            SqlError: 2714, its schema has one of that name.
        """
        if self.lookup(item.schema_id, item.name) is not None:
            raise SqlError(2714, f"There is already an object named '{item.name}' in the database.")
        self.objects[item.object_id] = item
        self.changed()

    def every(self) -> list[SchemaObject]:
        """All objects there are now; other sessions may add some meanwhile."""
        return list(self.objects.values())

    def lookup(self, schema_id: int, name: str) -> SchemaObject | None:
        """The object of a name in a schema."""
        folded, fold = self.fold(name), (str if self.exact else str.lower)
        for item in self.every():
            if item.schema_id == schema_id and fold(item.name) == folded and item.kind != "TT":
                return item
        return None

    def find(self, name: n.Name, default_schema: str = "dbo") -> SchemaObject | None:
        """The object of a one- or two-part name."""
        schema = name[-2] if len(name) > 1 and name[-2] else default_schema
        number = self.find_schema(schema)
        return None if number is None else self.lookup(number, name[-1])

    def tables(self) -> Iterator[Table]:
        """All tables."""
        for item in self.every():
            if isinstance(item, Table) and item.kind == "U":
                yield item

    def remove(self, item: SchemaObject) -> None:
        """Forget an object and all that hangs on it."""
        self.objects.pop(item.object_id, None)
        for child in [child for child in self.every() if child.parent_id == item.object_id]:
            self.remove(child)
        self.forget_permissions(securable=("OBJECT", item.object_id))
        self.properties = [p for p in self.properties if not (p.kind == 1 and p.major_id == item.object_id)]
        self.changed()

    def full_name(self, item: SchemaObject) -> str:
        """`schema.name`."""
        return f"{self.schemas.get(item.schema_id, '?')}.{item.name}"

    def find_type(self, name: n.Name) -> UserType | None:
        """The user type of a name."""
        schema = self.find_schema(name[-2]) if len(name) > 1 else None
        for item in self.types.values():
            if self.fold(item.name) == self.fold(name[-1]) and (schema is None or schema == item.schema_id):
                return item
        return None

    # --- rights ---

    def principal_of(self, login: Login) -> Principal | None:
        """The user a login is in this database; None when it may not enter."""
        if login.sysadmin:
            return self.principals["dbo"]
        for principal in self.principals.values():
            if principal.login.lower() == login.name.lower():
                return principal
        return None

    def forget_permissions(self, principal: str = "", securable: tuple[str, int] = ("", 0)) -> None:
        """Forget what a principal was granted or denied, or what anybody was on a securable."""
        for place in [place for place in self.permissions if place[0] == principal or place[2:] == securable]:
            del self.permissions[place]
        if securable[0] == "OBJECT":
            gone = [p for p in self.permissions if p[2] == "COLUMN" and p[3] >> 16 == securable[1]]
            for place in gone:
                del self.permissions[place]

    def owned_by(self, principal: Principal) -> bool:
        """Whether a principal may do everything here."""
        return principal.name == "dbo" or "db_owner" in principal.roles

    def allowed(self, principal: Principal, permission: str, item: SchemaObject | None = None) -> bool:
        """Whether a principal has a permission on an object (or the database): DENY beats GRANT."""
        return self.verdict(principal, permission, item) == "GRANT"

    def verdict(self, principal: Principal, permission: str, item: SchemaObject | None = None) -> str:
        """GRANT, DENY or nothing for a permission on an object (or the database).

        What the fixed roles imply: Microsoft, "Database-Level Roles". ALTER ANY SCHEMA of db_ddladmin covers ALTER on
        every object ("Permissions Hierarchy").
        """
        if self.owned_by(principal):
            return "GRANT"
        names = [principal.name.lower(), "public", *principal.roles]
        places = [("DATABASE", 0)]
        if item is not None:
            places += [("SCHEMA", item.schema_id), ("OBJECT", item.object_id)]
        found = {
            self.permissions.get((name, wanted, kind, major))
            for name in names
            for kind, major in places
            for wanted in (permission, "CONTROL")
        }
        if "DENY" in found:
            return "DENY"
        implied = {
            "db_datareader": ("SELECT",),
            "db_datawriter": ("INSERT", "UPDATE", "DELETE"),
            "db_ddladmin": ("ALTER",) if item is not None else (),
        }
        if any(permission in implied.get(role, ()) for role in principal.roles):
            return "GRANT"
        return "GRANT" if "GRANT" in found else ""

    def permit(self, principal: str, permission: str, place: tuple[str, int], verb: str) -> None:
        """GRANT, DENY or REVOKE; `place` is a class and an id. On a table, that of its columns goes with it."""
        key = (principal, permission, *place)
        if verb == "REVOKE":
            self.permissions.pop(key, None)
        else:
            self.permissions[key] = verb
        if place[0] == "OBJECT":
            for other in [p for p in self.permissions if p[:3] == (principal, permission, "COLUMN")]:
                if other[3] >> 16 == place[1]:
                    del self.permissions[other]

    def columns_of(self, principal: Principal, permission: str, item: SchemaObject) -> dict[int, str]:
        """GRANT or DENY by column id, for the columns of an object that have one of their own; DENY beats GRANT."""
        found: dict[int, str] = {}
        if self.owned_by(principal):
            return found
        names = {principal.name.lower(), "public", *principal.roles}
        for (name, single, kind, number), verb in self.permissions.items():
            if kind == "COLUMN" and single == permission and name in names and number >> 16 == item.object_id:
                column = number & 0xFFFF
                found[column] = "DENY" if "DENY" in (verb, found.get(column)) else verb
        return found

    def refused_columns(self, principal: Principal, permission: str, table: Table) -> set[int]:
        """The columns of a table a principal may not use.

        Its own DENY or GRANT decides for a column, also where the table's says otherwise ("DENY Object Permissions":
        a DENY on a table does not take precedence over a GRANT on a column).
        """
        own = self.columns_of(principal, permission, table)
        if not own:
            return set()
        whole = self.allowed(principal, permission, table)
        verdicts = {column.column_id: own.get(column.column_id, "GRANT" if whole else "") for column in table.columns}
        return {number for number, verdict in verdicts.items() if verdict != "GRANT"}

    def has_some(self, principal: Principal, permission: str, item: SchemaObject) -> bool:
        """Whether a principal has a permission on an object or on some column of it."""
        return (
            self.allowed(principal, permission, item)
            or "GRANT" in self.columns_of(principal, permission, item).values()
        )
