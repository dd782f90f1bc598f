"""T-SQL LIKE patterns: to PostgreSQL LIKE, or to a regular expression where they use ``[...]``."""

from __future__ import annotations

from dataclasses import dataclass

from .literals import text_literal
from .parse import Untranslatable

_REGEX_SPECIAL = set(r"\.^$*+?()[]{}|")


@dataclass(frozen=True, slots=True)
class LikePattern:
    """``operator`` and ``operand`` follow the matched text.

    ``trim`` asks for the text without trailing blanks, ``letter_ranges`` tells of ranges like a-z.
    """

    operator: str
    operand: str
    trim: bool = False
    letter_ranges: bool = False


@dataclass(frozen=True, slots=True)
class _Class:
    negated: bool
    items: tuple[tuple[str, str], ...]
    """(first, last) of each range; a single character is its own range."""


def translate_pattern(
    pattern: str, escape: str | None, *, ignore_case: bool, binary: bool, ignore_blanks: bool
) -> LikePattern:
    """The condition for text to match ``pattern`` whole.

    ``binary`` is a collation that orders by code point, where a range is exact; elsewhere a range of letters follows
    the collation's order, and only letters and digits of ASCII are taken as themselves. ``ignore_blanks``: blanks at
    the end of the text may be left unmatched, as for char and varchar (those of nchar and nvarchar count).

    Raises:
        Untranslatable: the pattern depends on the collation's order in a way PostgreSQL does not have.
    """
    parts = _parse(pattern, escape)
    last = parts[-1] if parts else "="
    trim = ignore_blanks and _cannot_match_blank(last)
    loose_end = ignore_blanks and not trim and last != "%"
    if not loose_end and not any(isinstance(part, _Class) for part in parts):
        text = "".join(part if part in ("%", "_") else _escaped(part[1]) for part in parts if isinstance(part, str))
        operator = "ILIKE" if ignore_case and _has_letters(text) else "LIKE"
        return LikePattern(operator, text_literal(text), trim)
    letters = False
    regex = []
    for part in parts:
        if isinstance(part, _Class):
            regex.append(_regex_class(part, ignore_case=ignore_case, binary=binary))
            letters = letters or any(first != last and first.isalpha() for first, last in part.items)
        elif part == "%":
            regex.append(".*")
        elif part == "_":
            regex.append(".")
        else:
            regex.append(f"\\{part[1]}" if part[1] in _REGEX_SPECIAL else part[1])
    text = f"^{''.join(regex)}{' *' if loose_end else ''}$"
    operator = "~*" if ignore_case and _has_letters(pattern) else "~"
    return LikePattern(operator, text_literal(text), trim, letters and not binary)


def _cannot_match_blank(part: str | _Class) -> bool:
    if isinstance(part, _Class):
        return not part.negated and all(not first <= " " <= last for first, last in part.items)
    return part.startswith("=") and part not in ("=", "= ")


def _has_letters(text: str) -> bool:
    return any(char.lower() != char.upper() for char in text)


def _escaped(char: str) -> str:
    return f"\\{char}" if char in "%_\\" else char


def _parse(pattern: str, escape: str | None) -> list[str | _Class]:
    """Wildcards as ``%`` and ``_``, literal characters as ``=c``, and classes."""
    parts: list[str | _Class] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if escape and char == escape:
            if position + 1 == len(pattern):
                raise Untranslatable("its pattern ends with the escape character")
            parts.append(f"={pattern[position + 1]}")
            position += 2
            continue
        if char == "[":
            end, item = _parse_class(pattern, position, escape)
            parts.append(_single(item) or item)
            position = end
            continue
        parts.append(char if char in "%_" else f"={char}")
        position += 1
    return parts


def _single(item: _Class) -> str | None:
    """``[%]`` and the like are one literal character."""
    if not item.negated and len(item.items) == 1 and item.items[0][0] == item.items[0][1]:
        return f"={item.items[0][0]}"
    return None


def _parse_class(pattern: str, start: int, escape: str | None) -> tuple[int, _Class]:
    end = pattern.find("]", start + 1)
    body = pattern[start + 1 : end] if end > 0 else ""
    negated = body.startswith("^")
    if negated:
        body = body[1:]
    if end < 0 or not body or "[" in body[1:] or (escape and escape in body):
        raise Untranslatable(f"its pattern {pattern!r} has an unusual character class")
    items: list[tuple[str, str]] = []
    position = 0
    while position < len(body):
        if position + 2 < len(body) and body[position + 1] == "-":
            items.append((body[position], body[position + 2]))
            position += 3
        else:
            items.append((body[position], body[position]))
            position += 1
    return end + 1, _Class(negated, tuple(items))


def _regex_class(item: _Class, *, ignore_case: bool, binary: bool) -> str:
    text = ""
    for first, last in item.items:
        if first == last:
            text += f"\\{first}" if first in "\\]^-[" else first
            continue
        if not (first.isascii() and last.isascii() and first.isalnum() and last.isalnum() and first <= last):
            raise Untranslatable(f"the range {first}-{last} of its pattern follows the collation's order")
        if first.isdigit() != last.isdigit() or first.isupper() != last.isupper():
            raise Untranslatable(f"the range {first}-{last} of its pattern follows the collation's order")
        if first.isalpha() and not (binary or ignore_case):
            raise Untranslatable(f"the range {first}-{last} of its pattern mixes cases in the collation's order")
        text += f"{first}-{last}"
    return f"[{'^' if item.negated else ''}{text}]"
