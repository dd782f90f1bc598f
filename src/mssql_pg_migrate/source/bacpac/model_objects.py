"""What a model holds beside tables: sequences, code, types, descriptions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from ...model import Loss, Module, Sequence, SqlType
from .model_types import TypeReader
from .model_xml import Model, Node

_Name = tuple[str, ...]
_CODE: dict[str, Literal["view", "procedure", "function", "trigger"]] = {
    "SqlView": "view",
    "SqlProcedure": "procedure",
    "SqlExtendedProcedure": "procedure",
    "SqlScalarFunction": "function",
    "SqlInlineTableValuedFunction": "function",
    "SqlMultiStatementTableValuedFunction": "function",
    "SqlAggregate": "function",
    "SqlDmlTrigger": "trigger",
}
_DATABASE_TRIGGERS = ("SqlDatabaseDdlTrigger",)
# Lowest and highest values of the types a sequence may have (CREATE SEQUENCE); decimal(p) follows from its digits.
_BOUNDS = {
    "tinyint": (0, 255),
    "smallint": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
_FIRST = 5
"""Names given of descriptions that are not carried."""
_LITERAL = re.compile(r"N?'((?:[^']|'')*)'\s*", re.S | re.I)


def read_sequences(model: Model, types: TypeReader, descriptions: Descriptions) -> tuple[list[Node], list[Sequence]]:
    """The sequences; what the model leaves out has the default of CREATE SEQUENCE."""
    nodes = model.take("SqlSequence")
    found: list[Sequence] = []
    for node in sorted(nodes, key=lambda node: node.name):
        schema, name = node.schema_and_name
        specifier = next(iter(node.parts("TypeSpecifier")), None)
        kind = types.specified(specifier) if specifier is not None else SqlType("bigint", 8, 19)
        low, high = _BOUNDS.get(kind.name) or (1 - 10**kind.precision, 10**kind.precision - 1)
        given = (node.number("MinValue"), node.number("MaxValue"))
        minimum = given[0] if given[0] is not None and not node.flag("HasNoMinValue") else low
        maximum = given[1] if given[1] is not None and not node.flag("HasNoMaxValue") else high
        increment = node.number("Increment", "IncrementValue") or 1
        start = node.number("StartValue")
        if start is None:
            start = minimum if increment > 0 else maximum
        cached = node.flag("IsCached", default=True)
        cache = node.number("CacheSize")
        found.append(
            Sequence(
                schema=schema,
                name=name,
                type=kind,
                start=start,
                increment=increment,
                minimum=minimum,
                maximum=maximum,
                cycle=node.flag("IsCycling"),
                current=_current(node, start),
                cache=cache if cached else 0,
                description=descriptions.of(node.name),
            )
        )
    return nodes, found


def _current(node: Node, start: int) -> int:
    """The value it stood at when the package was written: an annotation, since it is no part of the schema."""
    online = node.annotation("OnlinePropertyAnnotation")
    for child in online.children if online is not None else ():
        name = child.attributes.get("Name")
        text = child.attributes.get("Value", "")
        if name in ("Value", "CurrentValue") and re.fullmatch(r"-?\d+", text):
            return int(text)
    return start


def read_modules(model: Model, descriptions: Descriptions, indexed: set[_Name]) -> tuple[list[Node], list[Module]]:
    """Views, routines, triggers and synonyms; triggers on the database have no schema."""
    read: list[Node] = []
    found: list[Module] = []
    for kind, word in _CODE.items():
        for node in model.take(kind):
            read.append(node)
            # A trigger's name may have its table's name in the middle.
            schema, name = (node.name[0], node.name[-1]) if len(node.name) > 1 else node.schema_and_name
            columns = node.parts("Columns")
            parent = node.reference("Parent")
            module = Module(
                schema=schema,
                name=name,
                kind=word,
                definition=_definition(node, word),
                parent=".".join(parent) or None,
                schema_bound=node.flag("IsSchemaBound"),
                columns=tuple(column.name[-1] for column in columns if column.name) if word == "view" else (),
                indexed=node.name in indexed,
                description=descriptions.of(node.name) if word == "view" else None,
            )
            if word == "view":
                texts = tuple(descriptions.of(column.name) for column in columns if column.name)
                module = replace(module, column_descriptions=texts if any(texts) else ())
            found.append(module)
    for node in model.take("SqlSynonym"):
        read.append(node)
        schema, name = node.schema_and_name
        base = node.text("ForObjectScript") or ".".join(f"[{part}]" for part in node.reference("ForObject"))
        found.append(Module(schema=schema, name=name, kind="synonym", definition=base or None))
    for node in model.take(*_DATABASE_TRIGGERS):
        node.text("BodyScript")
        read.append(node)
        found.append(Module(schema="", name=node.label, kind="trigger"))
    return read, sorted(found, key=lambda one: (one.schema, one.name, one.kind))


def _definition(node: Node, word: str) -> str | None:
    """The statement that made it: its head is kept in an annotation, its body is a property.

    Packages that were built from scripts have no such head; of a view, the query is all that is needed of it.
    """
    body_of = next(iter(node.parts("FunctionBody")), node)
    body = body_of.text("QueryScript", "BodyScript")
    source = body_of.annotation("SysCommentsObjectAnnotation")
    if body is None:
        return None
    kept = {
        child.attributes.get("Name"): child.attributes.get("Value", "")
        for child in (source.children if source is not None else ())
    }
    if "HeaderContents" in kept:
        return f"{kept['HeaderContents']}{body}{kept.get('FooterContents', '')}"
    if word != "view":
        return body
    name = ".".join("[" + part.replace("]", "]]") + "]" for part in node.name)
    return f"CREATE VIEW {name} AS\n{body}"


@dataclass(slots=True)
class Descriptions:
    """MS_Description by the name of what it describes; those that were used are no loss."""

    texts: dict[_Name, str] = field(default_factory=dict)
    database: str | None = None
    others: Counter[str] = field(default_factory=Counter)
    """Other extended properties by their names."""
    _used: set[_Name] = field(default_factory=set)

    def of(self, name: _Name) -> str | None:
        """The description of that name."""
        self._used.add(name)
        return self.texts.get(name)

    def losses(self, database: str) -> list[Loss]:
        """What of all the properties is not carried."""
        losses = []
        unused = sorted(".".join(name) for name in self.texts.keys() - self._used)
        if unused:
            first = ", ".join(unused[:_FIRST]) + (", ..." if len(unused) > _FIRST else "")
            text = f"descriptions of what PostgreSQL does not get or has none for: {len(unused)} ({first})"
            losses.append(Loss(database, text))
        if self.others:
            counted = ", ".join(f"{name} ({number})" for name, number in sorted(self.others.items()))
            losses.append(Loss(database, f"extended properties other than MS_Description: {counted}"))
        return losses


def read_descriptions(nodes: Iterable[Node]) -> Descriptions:
    """Extended properties. The first part of a property's name is the kind of its host, the last its own name."""
    found = Descriptions()
    for node in nodes:
        host = node.reference("Host")
        literal = _LITERAL.fullmatch((node.text("Value") or "").strip())
        if not node.name or node.name[-1] != "MS_Description" or literal is None:
            found.others[node.name[-1] if node.name else "unnamed"] += 1
            continue
        text = literal[1].replace("''", "'")
        if host:
            found.texts[host] = text
        elif node.name[0] == "SqlDatabaseOptions":
            found.database = text
        else:
            found.others["MS_Description of other objects"] += 1
    return found


def read_types(model: Model) -> list[Loss]:
    """Types that are not carried, by name."""
    kinds = {
        "SqlTableType": "table type: PostgreSQL has none",
        "SqlUserDefinedType": "CLR type: its columns become text",
    }
    return [Loss(node.label, text) for kind, text in kinds.items() for node in model.take(kind)]
