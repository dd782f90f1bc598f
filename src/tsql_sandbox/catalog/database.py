"""One database: its objects by name, and who may do what with them. No SQL is run here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from mssql_pg_migrate.tds.collations import Collation

from ..errors import SqlError
from ..tsql import nodes as n
from .model import (
    FIRST_OBJECT_ID,
    FIRST_USER_TYPE_ID,
    SYSTEM_SCHEMAS,
    ExtendedProperty,
    Login,
    Principal,
    SchemaObject,
    Table,
    Tracking,
    UserType,
)


class Database:
    """One database."""

    def __init__(self, database_id: int, name: str, collation: str) -> None:
        self.database_id = database_id
        self.name = name
        self.collation = collation
        parsed = Collation.from_name(collation)
        self.exact = parsed.is_binary or not parsed.ignore_case
        """Whether the case of names counts: it does under the database's collation ("Database Identifiers")."""
        self.snapshot_allowed = True
        self.read_only = False
        """ALTER DATABASE ... SET READ_ONLY: nothing can be written ("ALTER DATABASE SET options")."""
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

    def xml_collection(self, name: n.Name) -> int:
        """The id of an XML schema collection.

        Raises:
            SqlError: 2715, there is none.
        """
        for number, (_, found) in self.xml_collections.items():
            if found.lower() == name[-1].lower():
                return number
        raise SqlError(2715, f"Cannot find the XML schema collection '{'.'.join(name)}'.")

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
