"""What a conversion from text to text may change: characters its code page lacks, and where it is cut.

char(n) and varchar(n) hold n bytes of their code page, nchar(n) and nvarchar(n) n UTF-16 units ("char and varchar",
"nchar and nvarchar"); PostgreSQL's types of n characters hold more, and `left` counts characters.
"""

from __future__ import annotations

from typing import Protocol

from ..model import SqlType
from .collation_names import MULTIBYTE, UTF8
from .parse import Untranslatable
from .values import Value, is_unicode, kind_of, text_length

LACKING = "characters the source's code page lacks are kept, where the source makes ? of them"


class TextPlace(Protocol):
    """What is asked of the place of a conversion; see `rules.Place`."""

    exact_text: bool
    stored: bool

    def remark(self, text: str) -> None:
        """Something the reader of the plan should know about this translation."""

    def code_page(self, value: Value) -> int | None:
        """The code page of a char or varchar; None for Unicode, and where it is not known."""


def watch(place: TextPlace, value: Value, target: SqlType) -> None:
    """Remark on, or refuse, what CAST or CONVERT of a text to another text type may change.

    Raises:
        Untranslatable: the source cuts by bytes, and the result is stored or decides what a table takes.
    """
    if value.kind != "str" or kind_of(target) != "str" or value.literal is not None:
        return
    page = place.code_page(value) if not is_unicode(value.type) else None
    wanted = None if is_unicode(target) else page or place.code_page(Value("", _narrow(value.type)))
    if is_unicode(value.type) and not is_unicode(target) and wanted != UTF8:
        place.remark(LACKING)
    room, most = text_length(target), _most_bytes(value.type, page, wanted)
    if room < 0 or 0 <= most <= room:
        return
    if wanted in MULTIBYTE:
        if place.stored or place.exact_text:
            raise Untranslatable(f"{target} is cut at bytes of code page {wanted}, PostgreSQL cuts at characters")
        place.remark(f"{target} is cut at characters, where the source cuts at bytes of code page {wanted}")


def _narrow(sql_type: SqlType) -> SqlType:
    return SqlType("varchar", 1, collation=sql_type.collation)


def _most_bytes(have: SqlType, page: int | None, wanted: int | None) -> int:
    """The most bytes (UTF-16 units where ``wanted`` is None) that a text of type ``have`` needs; -1 without a limit."""
    length = text_length(have)
    if length < 0 or wanted is None or page == wanted:
        return length
    if wanted == UTF8:
        return length * 3
    return length * 2 if wanted in MULTIBYTE else length
