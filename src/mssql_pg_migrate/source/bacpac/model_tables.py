"""Tables of a package's model: columns, keys, indexes, constraints, descriptions, into `model.Table`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Literal

from ...model import (
    HIDDEN,
    Check,
    Column,
    Computed,
    Default,
    ForeignKey,
    Identity,
    Index,
    Key,
    KeyColumn,
    Loss,
    ReferentialAction,
    SqlType,
    Table,
)
from .model_objects import Descriptions
from .model_types import UNTOLD, TypeReader
from .model_xml import Model, Node

_Name = tuple[str, ...]
# The numbers of SQL Server's own catalog (sys.foreign_keys.delete_referential_action).
_ACTIONS: dict[str, ReferentialAction] = {"0": "NO_ACTION", "1": "CASCADE", "2": "SET_NULL", "3": "SET_DEFAULT"}
_OTHER_INDEXES = {"SqlXmlIndex": "XML", "SqlSelectiveXmlIndex": "XML", "SqlSpatialIndex": "SPATIAL"}
_DIAGRAMS = "sysdiagrams"
_UNTRUSTED = "IsNotTrustedPropertyAnnotation"


class TableReader:
    """Puts the tables of a model together; afterwards ``notes`` and ``losses`` hold what could not be read."""

    def __init__(
        self,
        model: Model,
        types: TypeReader,
        descriptions: Descriptions,
        facts: Callable[[str, str, tuple[Column, ...]], tuple[int, int, str]],
    ) -> None:
        self.notes: list[str] = []
        self.losses: list[Loss] = []
        self.read: list[Node] = []
        self.indexed_views: set[_Name] = set()
        self._model = model
        self._types = types
        self._descriptions = descriptions
        self._facts = facts
        self._tables = self._take("SqlTable")
        self._external = {node.name for node in self._take("SqlExternalTable")}
        self._names = {node.schema_and_name for node in self._tables}
        self._defaults = self._read_defaults()
        self._bound = self._read_bound()
        self._keys = self._by("DefiningTable", "SqlPrimaryKeyConstraint", "SqlUniqueConstraint")
        self._checks = self._by("DefiningTable", "SqlCheckConstraint")
        self._foreign = self._by("DefiningTable", "SqlForeignKeyConstraint")
        self._indexes = self._by("IndexedObject", "SqlIndex", "SqlColumnStoreIndex", *_OTHER_INDEXES)
        self._fulltext = self._by("IndexedObject", "SqlFullTextIndex")
        self._history = {history: node.name for node in self._tables if (history := node.reference(_HISTORY_RELATION))}
        self.indexed_views = {name for name in self._indexes if name not in self._names}
        unused = {id(node) for name in self.indexed_views for node in self._indexes[name]}
        self.read = [node for node in self.read if id(node) not in unused]  # the plan says it of the view

    def tables(self) -> tuple[Table, ...]:
        """The tables, by schema and name."""
        found = []
        for node in sorted(self._tables, key=lambda node: node.name):
            schema, name = node.schema_and_name
            if name.lower() == _DIAGRAMS:
                self.notes.append(f"{schema}.{name} belongs to the database diagram tool and is not migrated.")
                self.read.remove(node)
                continue
            found.append(self._table(node, schema, name))
        for elsewhere in sorted(self._external):
            self.losses.append(Loss(".".join(elsewhere), "external table: its rows live in another system"))
        return tuple(found)

    def _take(self, *types: str) -> list[Node]:
        nodes = self._model.take(*types)
        self.read += nodes
        return nodes

    def _by(self, relation: str, *types: str) -> dict[_Name, list[Node]]:
        found: dict[_Name, list[Node]] = defaultdict(list)
        for node in self._take(*types):
            found[node.reference(relation)].append(node)
        return found

    def _table(self, node: Node, schema: str, name: str) -> Table:
        at = node.name
        columns = tuple(
            self._column(at, part, ordinal) for ordinal, part in enumerate(self._column_nodes(node), start=1)
        )
        keys = [self._key(one) for one in sorted(self._keys.get(at, ()), key=lambda one: one.name)]
        history = node.reference(_HISTORY_RELATION)
        rows, size, version = self._facts(schema, name, columns)
        return Table(
            schema=schema,
            name=name,
            columns=columns,
            primary_key=next((key for key in keys if key.primary), None),
            unique_keys=tuple(key for key in keys if not key.primary),
            indexes=tuple(self._index(one) for one in sorted(self._indexes.get(at, ()), key=lambda one: one.name)),
            foreign_keys=tuple(self._foreign_keys(at)),
            checks=tuple(self._check(one) for one in sorted(self._checks.get(at, ()), key=lambda one: one.name)),
            fulltext=tuple(column for one in self._fulltext.get(at, ()) for column in self._fulltext_columns(one)),
            row_estimate=rows,
            size_bytes=size,
            version=version,
            description=self._descriptions.of(at),
            temporal=_temporal(bool(history), at in self._history),
            history_table=".".join(history) or None,
            graph=_graph(node),
            memory_optimized=node.flag("IsMemoryOptimized"),
            filetable=node.flag("IsFileTable"),
        )

    # --- columns ------------------------------------------------------------------------------------------------------

    def _column_nodes(self, table: Node) -> list[Node]:
        nodes = table.parts("Columns")
        self.read += nodes
        return nodes

    def _column(self, table: _Name, node: Node, ordinal: int) -> Column:
        name = node.name[-1] if node.name else f"column {ordinal}"
        at = (*table, name)
        if node.type == "SqlComputedColumn":
            definition = node.text("ExpressionScript") or HIDDEN
            return Column(
                name=name,
                type=UNTOLD,
                nullable=node.flag("IsNullable", "IsPersistedNullable", default=True),
                ordinal=ordinal,
                computed=Computed(definition=definition, persisted=node.flag("IsPersisted")),
                description=self._descriptions.of(at),
            )
        declared, bound = self._types.column(node)
        graph = node.number("GraphType")
        if node.mentions("Encryption"):
            # Of the values there is only the ciphertext: another type than the declared one, which has no rule.
            declared = SqlType(f"Always Encrypted {declared.name}", -1)
        return Column(
            name=name,
            type=declared,
            nullable=node.flag("IsNullable", default=True),
            ordinal=ordinal,
            identity=_identity(node),
            default=self._defaults.get(at),
            rowguid=node.flag("IsRowGuidColumn", "IsRowGuidCol"),
            sparse=node.flag("IsSparse"),
            column_set=node.flag("IsColumnSet") or "ColumnSet" in node.type,
            hidden=node.flag("IsHidden"),
            generated_always=node.number("GeneratedAlwaysType") or 0,
            graph_type=graph if graph is not None and graph > 0 else None,
            masked=node.mentions("Mask"),
            filestream=node.flag("IsFileStream"),
            bound=(*bound, *self._bound.get(at, ())),
            description=self._descriptions.of(at),
        )

    def _read_defaults(self) -> dict[_Name, Default]:
        found: dict[_Name, Default] = {}
        for node in self._take("SqlDefaultConstraint"):
            column, _ = node.reference("ForColumn"), node.reference("DefiningTable")
            text = node.text("DefaultExpressionScript")
            if len(column) > 1 and text is not None:
                name = node.name[-1] if node.name else f"DF_{column[-2]}_{column[-1]}"
                found[column] = Default(name, text)
        return found

    def _read_bound(self) -> dict[_Name, list[str]]:
        """Rules and stand-alone defaults bound to columns."""
        found: dict[_Name, list[str]] = defaultdict(list)
        for node in self._take("SqlDefaultBinding", "SqlRuleBinding"):
            column = node.reference("BoundTarget") or node.reference("BoundObject") or node.reference("Column")
            what = ".".join(node.reference("BoundDefault") or node.reference("BoundRule") or node.name)
            if column:
                found[column].append(f"{what}, which is bound to it: make it a constraint of its own")
        return found

    # --- keys, indexes, constraints -----------------------------------------------------------------------------------

    def _parts(self, node: Node) -> tuple[KeyColumn, ...]:
        columns = []
        for part in node.parts("ColumnSpecifications"):
            self.read.append(part)
            descending = part.flag("IsDescending") or not part.flag("IsAscending", default=True)
            columns.append(KeyColumn(part.leaf("Column"), descending))
        return tuple(columns)

    def _key(self, node: Node) -> Key:
        primary = node.type == "SqlPrimaryKeyConstraint"
        table = node.reference("DefiningTable")
        columns = self._parts(node)
        unnamed = f"{'PK' if primary else 'UQ'}_{'_'.join((table[-1], *(part.name for part in columns)))}"
        return Key(
            name=node.name[-1] if node.name else unnamed,
            columns=columns,
            primary=primary,
            clustered=node.flag("IsClustered", default=primary),
            disabled=node.disabled(),
            description=self._described(node),
            index_description=self._descriptions.of((*table, node.name[-1])) if node.name else None,
        )

    def _index(self, node: Node) -> Index:
        clustered = node.flag("IsClustered")
        kind = "CLUSTERED" if clustered else "NONCLUSTERED"
        if node.type == "SqlColumnStoreIndex":
            kind = f"{kind} COLUMNSTORE"
        kind = _OTHER_INDEXES.get(node.type, kind)
        columns = self._parts(node)
        if not columns and node.reference("Column"):
            columns = (KeyColumn(node.leaf("Column")),)
        return Index(
            name=node.name[-1] if node.name else "unnamed",
            columns=columns,
            included=tuple(column[-1] for column in node.references("IncludedColumns") if column),
            unique=node.flag("IsUnique"),
            clustered=clustered and node.type == "SqlIndex",
            filter=_in_parentheses(node.text("FilterPredicate")),
            kind=kind,
            disabled=node.disabled(),
            ignore_dup_key=node.flag("IgnoreDuplicateKeys"),
            description=self._described(node),
        )

    def _fulltext_columns(self, node: Node) -> Iterable[str]:
        columns = node.parts("Columns")
        self.read += columns
        return [one.leaf("Column") for one in columns]

    def _foreign_keys(self, table: _Name) -> Iterable[ForeignKey]:
        for node in sorted(self._foreign.get(table, ()), key=lambda one: one.name):
            referenced = node.reference("ForeignTable")
            pairs = node.references("Columns"), node.references("ForeignColumns")
            actions = node.text("OnDeleteAction", "DeleteAction"), node.text("OnUpdateAction", "UpdateAction")
            name = node.name[-1] if node.name else f"FK_{table[-1]}_{referenced[-1] if referenced else ''}"
            if referenced not in self._names:
                where = ".".join(table)
                text = f"foreign key: {'.'.join(referenced) or 'its table'} is not in the package"
                self.losses.append(Loss(f"{where} constraint {name}", text, where))
                continue
            yield ForeignKey(
                name=name,
                columns=tuple(column[-1] for column in pairs[0] if column),
                referenced_schema=referenced[0],
                referenced_table=referenced[1],
                referenced_columns=tuple(column[-1] for column in pairs[1] if column),
                on_delete=_ACTIONS.get(actions[0] or "0", "NO_ACTION"),
                on_update=_ACTIONS.get(actions[1] or "0", "NO_ACTION"),
                disabled=node.disabled(),
                not_trusted=node.annotation(_UNTRUSTED) is not None,
                description=self._described(node),
            )

    def _described(self, node: Node) -> str | None:
        return self._descriptions.of(node.name) if node.name else None

    def _check(self, node: Node) -> Check:
        table = node.reference("DefiningTable")
        return Check(
            name=node.name[-1] if node.name else f"CK_{table[-1]}",
            definition=_in_parentheses(node.text("CheckExpressionScript")) or "",
            disabled=node.disabled(),
            not_trusted=node.annotation(_UNTRUSTED) is not None,
            description=self._described(node),
        )


_HISTORY_RELATION = "TemporalSystemVersioningHistoryTable"


def _temporal(versioned: bool, history: bool) -> Literal["none", "history", "versioned"]:
    return "versioned" if versioned else "history" if history else "none"


def _graph(node: Node) -> Literal["none", "node", "edge"]:
    return "node" if node.flag("IsNode") else "edge" if node.flag("IsEdge") else "none"


def _identity(node: Node) -> Identity | None:
    if not node.flag("IsIdentity"):
        return None
    seed, increment = node.number("IdentitySeed"), node.number("IdentityIncrement")
    return Identity(
        seed=1 if seed is None else seed,
        increment=1 if increment is None else increment,
        not_for_replication=node.flag("IdentityIsNotForReplication", "IsIdentityNotForReplication"),
    )


def _in_parentheses(text: str | None) -> str | None:
    """A condition as the catalog stores it; the model writes it without the outermost parentheses."""
    return None if text is None else f"({text})"
