"""XML that is not trusted: expat without document types, entities or external files, bounded in depth and size.

A document is read in one pass; `parse_xml` keeps all of it, `stream_xml` hands over one element at a time and forgets
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from xml.parsers import expat

from ...errors import SchemaError

_DEEPEST = 64
_MOST_ELEMENTS = 20_000_000
_ENCODINGS = ("utf-8", "utf-16", "us-ascii")


@dataclass(slots=True)
class Element:
    """One element; names are without their namespace."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all_at(self, *path: str) -> list[Element]:
        """The elements below this one along a path of names."""
        found = [self]
        for name in path:
            found = [child for element in found for child in element.children if child.name == name]
        return found

    def text_at(self, *path: str) -> str | None:
        """The text of the first element along a path; None when there is none."""
        found = self.all_at(*path)
        return found[0].text if found else None


def parse_xml(pieces: Iterable[bytes], what: str) -> Element:
    """The whole document. Raises SchemaError: it is not well-formed, or holds what is refused here."""
    reader = _Reader(what, None, None)
    reader.read(pieces)
    if reader.root is None:
        raise SchemaError(f"{what} is empty.")
    return reader.root


def stream_xml(pieces: Iterable[bytes], what: str, parent: str, take: Callable[[Element], None]) -> Element:
    """Hand every child of the elements called ``parent`` to ``take``; the root without them.

    Raises:
        SchemaError: it is not well-formed, or holds what is refused here.
    """
    reader = _Reader(what, parent, take)
    reader.read(pieces)
    if reader.root is None:
        raise SchemaError(f"{what} is empty.")
    return reader.root


class _Reader:
    def __init__(self, what: str, parent: str | None, take: Callable[[Element], None] | None) -> None:
        self.root: Element | None = None
        self._what = what
        self._parent = parent
        self._take = take
        self._stack: list[Element] = []
        self._texts: list[list[str]] = []
        self._count = 0
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse

    def read(self, pieces: Iterable[bytes]) -> None:
        try:
            for piece in pieces:
                self._parser.Parse(piece, False)
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise SchemaError(f"{self._what} is not well-formed XML: {error}.") from None

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise SchemaError(f"{self._what} is not well-formed XML: it claims the encoding {encoding}.")

    def _refuse(self, *_: object) -> None:
        raise SchemaError(f"{self._what} declares a document type or entities, which is refused.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._stack) >= _DEEPEST or self._count > _MOST_ELEMENTS:
            raise SchemaError(f"{self._what} is nested deeper or larger than any that SQL Server writes.")
        element = Element(name.rpartition("}")[2], attributes)
        if self._stack:
            above = self._stack[-1]
            if self._take is None or above.name != self._parent:
                above.children.append(element)
        else:
            self.root = element
        self._stack.append(element)
        self._texts.append([])

    def _text(self, data: str) -> None:
        self._texts[-1].append(data)

    def _end(self, _: str) -> None:
        element = self._stack.pop()
        element.text = "".join(self._texts.pop())
        if self._take is not None and self._stack and self._stack[-1].name == self._parent:
            self._take(element)
