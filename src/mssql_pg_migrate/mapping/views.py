"""Views: translated where every part of them can be, listed by name otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..model import Module
from .context import NOT_VISIBLE, Context
from .names import Namespace
from .objects import MappedTable, MappedView
from .parse import Untranslatable, bounded_depth, parse_view
from .queries import QueryTranslator
from .quoting import qualified, quote_ident
from .relations import BaseRelation, OutputColumn
from .translate import column_value


def map_views(context: Context, tables: list[MappedTable]) -> list[MappedView]:
    """The views that are created, each after those it reads; a note for every other one."""
    views = [module for module in context.catalog.modules if module.kind == "view"]
    if not context.options.create_views:
        for module in views:
            context.note("not_carried", _label(module), "view: create_views is false")
        return []
    mapper = _ViewMapper(context, tables, views)
    for module in views:
        mapper.try_view(module)
    return mapper.done


def _label(module: Module) -> str:
    return f"{module.schema}.{module.name}"


_CHECK_OPTION = re.compile(r"\bWITH\s+CHECK\s+OPTION\s*;?\s*$", re.IGNORECASE)


_RARE = re.compile(
    r"\b(OPENJSON|OPENXML|XMLNAMESPACES|OPENROWSET|OPENQUERY|MATCH|CHANGETABLE|FOR\s+XML|FOR\s+JSON|PIVOT|UNPIVOT)\b",
    re.IGNORECASE,
)
_NO_CODE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\[[^\]]*\]|\"[^\"]*\"", re.DOTALL)


def _unparsed(text: str) -> str:
    """Why a text cannot be parsed: by the constructs in it that no other dialect has, where there are any."""
    found = dict.fromkeys(" ".join(name.upper().split()) for name in _RARE.findall(_NO_CODE.sub(" ", text)))
    return f"its text, which uses {', '.join(found)}, cannot be parsed" if found else "its text cannot be parsed"


class _ViewMapper:
    def __init__(self, context: Context, tables: list[MappedTable], views: list[Module]) -> None:
        self._context = context
        self._tables = {(t.source.schema.lower(), t.source.name.lower()): t for t in tables}
        self._modules = {(view.schema.lower(), view.name.lower()): view for view in views}
        self._columns: dict[str, tuple[OutputColumn, ...]] = {}
        self._failed: set[str] = set()
        self._under_way: list[str] = []
        self._reads: list[str] = []
        self.done: list[MappedView] = []

    def try_view(self, module: Module) -> bool:
        """Translate a view unless that was tried before; False when it cannot be."""
        label = _label(module)
        if label in self._columns:
            return True
        if label in self._failed or label in self._under_way:
            return False
        self._under_way.append(label)
        outer_reads, self._reads = self._reads, []
        try:
            self.done.append(self._translate(module))
        except Untranslatable as reason:
            self._context.note("not_carried", label, f"view: {reason.located()}")
            self._failed.add(label)
            return False
        finally:
            self._under_way.pop()
            self._reads = outer_reads
        return True

    def _translate(self, module: Module) -> MappedView:
        label = _label(module)
        if module.definition is None:
            raise Untranslatable(f"{NOT_VISIBLE}, or it is encrypted")
        text, checked = _CHECK_OPTION.subn("", module.definition)
        try:
            statement = parse_view(text)
        except Untranslatable as reason:
            raise Untranslatable(_unparsed(text)) from reason
        if type(statement).__name__ != "Create" or str(statement.args.get("kind", "")).upper() != "VIEW":
            raise Untranslatable(_unparsed(text))
        self._check_properties(statement)
        translator = QueryTranslator(self._context, module.schema, self._lookup(module.schema))
        with bounded_depth():
            query = translator.query(statement.expression)
        names = self._column_names(module, statement, [column.name for column in query.columns])
        target_names = self._target_names(label, names)
        self._columns[label] = tuple(
            OutputColumn(target, column.value, name)
            for target, name, column in zip(target_names, names, query.columns, strict=True)
        )
        context = self._context
        context.notes.extend(context.names.note_for("view", module.schema, module.name))
        if checked:
            context.note(
                "warning", label, "view: WITH CHECK OPTION is not carried, rows written through it are not checked"
            )
        for remark in translator.remarks:
            context.note("warning", label, f"view: {remark}")
        if module.indexed:
            context.note("not_carried", label, "indexed view: created as a plain view, its indexes are not carried")
        return MappedView(
            source=module,
            schema=context.names.schema(module.schema),
            name=context.names.view(module.schema, module.name),
            select_sql=query.sql,
            columns=tuple(target_names),
            depends_on=tuple(dict.fromkeys(self._reads)),
        )

    @staticmethod
    def _check_properties(statement: Any) -> None:
        allowed = {"this", "kind", "expression", "replace", "properties", "refresh", "unique"}
        extra = {name for name, value in statement.args.items() if value not in (None, False, [])} - allowed
        properties = statement.args.get("properties")
        for item in properties.expressions if properties is not None else []:
            if str(item.name or item.this).upper() not in ("SCHEMABINDING", "VIEW_METADATA"):
                extra.add(str(item))
        if extra:
            raise Untranslatable(f"{', '.join(sorted(extra))} is not translated")

    @staticmethod
    def _column_names(module: Module, statement: Any, found: list[str]) -> list[str]:
        names = list(module.columns)
        if not names and type(statement.this).__name__ == "Schema":
            names = [column.name for column in statement.this.expressions]
        names = names or found
        if len(names) != len(found) or not all(names):
            raise Untranslatable(f"it has {len(names)} columns, its query gives {len(found)}")
        return names

    def _target_names(self, label: str, names: list[str]) -> list[str]:
        namespace = Namespace(self._context.options.identifier_case)
        result = []
        for name in names:
            target, reason = namespace.allocate(name, f"{label}.{name}")
            if reason is not None:
                self._context.note("renamed", f"{label}.{name}", f'column becomes "{target}": {reason}')
            result.append(target)
        return result

    def _lookup(self, schema: str) -> Any:
        def find(parts: Sequence[str]) -> BaseRelation:
            lowered = [part.lower() for part in parts]
            if len(lowered) > 2 and lowered[-3] != self._context.catalog.database.lower():
                raise Untranslatable(f"it reads {'.'.join(parts)}, in another database")
            schemas = [lowered[-2]] if len(lowered) > 1 and lowered[-2] else [schema.lower(), "dbo"]
            for wanted in dict.fromkeys(schemas):
                key = (wanted, lowered[-1])
                table, module = self._tables.get(key), self._modules.get(key)
                if table is not None:
                    self._reads.append(table.full_name)
                    return _table_relation(table)
                if module is not None:
                    return self._view_relation(module)
            raise Untranslatable(f"it reads {'.'.join(parts)}, which is not carried")

        return find

    def _view_relation(self, module: Module) -> BaseRelation:
        if not self.try_view(module):
            raise Untranslatable(f"it reads the view {_label(module)}, which is not carried")
        names = self._context.names
        schema, name = names.schema(module.schema), names.view(module.schema, module.name)
        self._reads.append(f"{schema}.{name}")
        return BaseRelation(qualified(schema, name), self._columns[_label(module)])


def _table_relation(table: MappedTable) -> BaseRelation:
    columns = tuple(
        OutputColumn(column.name, column_value(column, quote_ident(column.name)), column.source.name)
        for column in table.columns
    )
    return BaseRelation(qualified(table.schema, table.name), columns)
