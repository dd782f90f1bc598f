"""What of a database's catalog a login gets to see.

Microsoft, "Metadata Visibility Configuration": a securable is listed for those who own it or hold some permission on
it, at its own scope or an enclosing one; a denied permission does not count; parts of a table (constraints, indexes,
triggers) follow the table. "Viewing Object Definitions": the text of a definition needs VIEW DEFINITION, or CONTROL,
ALTER or TAKE OWNERSHIP where VIEW DEFINITION is not denied; for everybody else it is NULL.
"""

from __future__ import annotations

from .database import Database
from .model import Principal, SchemaObject, Table

_ANY = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "EXECUTE",
    "REFERENCES",
    "ALTER",
    "CONTROL",
    "TAKE OWNERSHIP",
    "VIEW DEFINITION",
    "VIEW CHANGE TRACKING",
)
"""Permissions on objects ("GRANT Object Permissions"): holding one makes the object visible."""


class Sight:
    """What a principal sees in a database now.

    `any_definition` tells that the login holds VIEW ANY DEFINITION on the server. Made anew for each statement:
    decisions are remembered.
    """

    def __init__(self, database: Database, principal: Principal, any_definition: bool = False) -> None:
        self.database = database
        self.principal = principal
        self.any_definition = any_definition
        self.everything = any_definition or database.owned_by(principal)
        self._own = {
            major >> 16 if kind == "COLUMN" else major
            for (_, _, kind, major) in database.permissions
            if kind in ("OBJECT", "COLUMN")
        }
        self._seen: dict[tuple[int, int], bool] = {}
        self._defined: dict[tuple[int, int], bool] = {}

    def objects(self) -> list[SchemaObject]:
        """All objects that are seen."""
        found = self.database.every()
        return found if self.everything else [item for item in found if self.sees(item)]

    def tables(self) -> list[Table]:
        """All tables that are seen."""
        return [item for item in self.objects() if isinstance(item, Table) and item.kind == "U"]

    def sees(self, item: SchemaObject) -> bool:
        """Whether an object is listed."""
        if self.everything:
            return True
        securable = self._securable(item)
        place = self._place(securable)
        if place not in self._seen:
            self._seen[place] = any(self.database.has_some(self.principal, name, securable) for name in _ANY)
        return self._seen[place]

    def sees_schema(self, schema_id: int) -> bool:
        """Whether things in a schema that have no permissions of their own here (types, XML schemas) are listed."""
        return self.sees(SchemaObject(-1, schema_id, "", ""))

    def defines(self, item: SchemaObject) -> bool:
        """Whether the definition of an object, or of a part of it, is shown."""
        if self.everything:
            return True
        securable = self._securable(item)
        place = self._place(securable)
        if place not in self._defined:
            verdict = self.database.verdict(self.principal, "VIEW DEFINITION", securable)
            others = ("CONTROL", "ALTER", "TAKE OWNERSHIP")
            self._defined[place] = verdict == "GRANT" or (
                not verdict and any(self.database.allowed(self.principal, name, securable) for name in others)
            )
        return self._defined[place]

    def _securable(self, item: SchemaObject) -> SchemaObject:
        parent = self.database.objects.get(item.parent_id) if item.parent_id else None
        return item if parent is None else parent

    def _place(self, item: SchemaObject) -> tuple[int, int]:
        # Objects nobody was granted or denied anything on are all alike within a schema.
        return (item.schema_id, item.object_id if item.object_id in self._own else 0)

    def sees_principal(self, item: Principal) -> bool:
        """Whether a user or role is listed ("sys.database_principals"): oneself, one's roles, fixed and system ones."""
        if self.everything or item.principal_id <= 4 or item.principal_id >= 16384:
            return True
        mine = item is self.principal or item.name.lower() in self.principal.roles
        return mine or any(
            self.database.allowed(self.principal, permission)
            for permission in ("VIEW DEFINITION", "CONTROL", "ALTER ANY USER" if item.kind == "S" else "ALTER ANY ROLE")
        )

    def sees_permissions_of(self, name: str) -> bool:
        """Whether the permissions of a principal are listed ("sys.database_permissions"): one's own, or with rights."""
        mine = name in ("public", self.principal.name.lower(), *self.principal.roles)
        return self.everything or mine or self.database.allowed(self.principal, "VIEW DEFINITION")
