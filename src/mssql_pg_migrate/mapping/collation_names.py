"""What the name of a SQL Server collation says: what it tells apart, its code page, how it counts and folds.

Sources: Microsoft's "Windows collation name", "SQL Server collation name" and "Collation and Unicode support".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..tds.collations import Collation

FoldFunction: TypeAlias = Literal["upper", "lower"]

MULTIBYTE = (932, 936, 949, 950, 65001)
"""Code pages whose characters take different numbers of bytes: Japanese, Chinese, Korean, UTF-8."""
UTF8 = 65001


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How a SQL Server collation compares, read from its name.

    Collation names say it in their suffixes: ``_CI``/``_CS`` case, ``_AI``/``_AS`` accents, ``_BIN``/``_BIN2`` code
    points; ``_KS`` and ``_WS`` add kana type and width, which are insensitive otherwise. ``turkic``: i and I are
    letters of their own (the upper case of i is İ), as in Turkish and Azeri.
    """

    case: bool = True
    accent: bool = True
    binary: bool = False
    turkic: bool = False

    @property
    def folds(self) -> bool:
        """Whether any two different texts may be equal (trailing blanks aside)."""
        return not (self.case and self.accent)


def sensitivity(collation: str | None) -> Sensitivity:
    """Read a collation's name; a column without a collation compares exactly."""
    if collation is None:
        return Sensitivity()
    parts = collation.upper().split("_")
    turkic = is_turkic(collation)
    if "BIN" in parts or "BIN2" in parts:
        return Sensitivity(binary=True, turkic=turkic)
    return Sensitivity(case="CI" not in parts, accent="AI" not in parts, turkic=turkic)


def is_turkic(collation: str | None) -> bool:
    """Whether its language has the letters ı and İ beside i and I."""
    lowered = (collation or "").lower()
    return lowered.startswith(("turkish_", "azeri_latin_")) or "_cp1254_" in lowered


def is_lithuanian(collation: str | None) -> bool:
    """Whether it sorts y among i, as Lithuanian does."""
    return (collation or "").lower().startswith("lithuanian_")


def code_page_of(collation: str | None) -> int | None:
    """The code page of char and varchar under a collation; None for a name that is not known here."""
    if collation is None:
        return None
    if collation.lower().endswith("_utf8"):
        return UTF8
    try:
        return Collation.from_name(collation).code_page
    except ValueError:
        return None


def codec_of(code_page: int) -> str:
    """Python's name of a code page."""
    return "utf-8" if code_page == UTF8 else f"cp{code_page}"


def counts_pairs_once(collation: str | None) -> bool:
    """Whether the functions for text take a surrogate pair as one character.

    Collations with ``_SC`` do, those with ``_UTF8`` (which always have it), and those of version 140; the binary
    collations without ``_UTF8`` do not.
    """
    parts = (collation or "").upper().split("_")
    if "UTF8" in parts:
        return True
    return "BIN" not in parts and "BIN2" not in parts and ("SC" in parts or "140" in parts)


def fold_sql(sql: str, function: FoldFunction, *, turkic: bool) -> str:
    """``sql`` in upper or lower case as the source's language has it, whatever the locale of the target is."""
    if not turkic:
        return f"{function}({sql})"
    pair = "'Iİ', 'ıi'" if function == "lower" else "'iı', 'İI'"
    return f"{function}(translate({sql}, {pair}))"


_TURKIC = {"lower": str.maketrans("Iİ", "ıi"), "upper": str.maketrans("iı", "İI")}


def fold_constant(text: str, function: FoldFunction, *, turkic: bool, unicode: bool = False) -> str | None:
    """A constant in upper or lower case; None where that is left to the target's locale (letters beyond ASCII).

    ``unicode`` takes letters beyond ASCII too, one for one, as a locale does that knows them.
    """
    if turkic:
        text = text.translate(_TURKIC[function])
    done = []
    for char in text:
        folded = char if char in "ıİ" and turkic else char.lower() if function == "lower" else char.upper()
        if not char.isascii() and not (unicode or (turkic and char in "ıİ")):
            return None
        done.append(folded if len(folded) == 1 else char)
    return "".join(done)
