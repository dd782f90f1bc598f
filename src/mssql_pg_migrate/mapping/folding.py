"""Notes that say the same of many objects, as one line each: for people. Documents keep every note."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .objects import Note, Severity

NAMED = 3
"""Objects that a line names; of more it gives the number."""
_GAP = "…"

_PIECE = re.compile(r"""\(|"(?:[^"]|"")*"|'(?:[^']|'')*'|\[(?:[^\]]|\]\])*\]|[\w@#$]+(?:\.[\w@#$]+)*""")
_OUR_WORDS = frozenset({"constraint", "index"})
"""Part of labels: ``dbo.t index ix``."""
_LOOKS_LIKE_NAME = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|[\d_@#$.]")


@dataclass(frozen=True, slots=True)
class FoldedNote:
    """One line for ``notes`` of one severity, which all say ``message``; where they differ it has an ellipsis."""

    severity: Severity
    message: str
    notes: tuple[Note, ...]

    @property
    def objects(self) -> tuple[str, ...]:
        """All objects concerned, in the notes' order."""
        return tuple(note.object for note in self.notes)

    def text(self) -> str:
        """The line: a note alone as ``object: message``, several with their number and the first names."""
        if len(self.notes) == 1:
            return f"{self.notes[0].object}: {self.message}"
        first, rest = ", ".join(self.objects[:NAMED]), len(self.notes) - NAMED
        more = f" and {rest} more; see --output-json for all" if rest > 0 else ""
        return f"{self.message} ({len(self.notes)} times: {first}{more})"


def fold(notes: Iterable[Note]) -> list[FoldedNote]:
    """The notes as few lines, in the order in which each is first said.

    Notes are one line when they have the same severity and say the same but for names, numbers and expressions. Two or
    three that differ in these stay apart: a line for all would save little and tell less.
    """
    notes = list(notes)
    names = frozenset(part for note in notes for part in re.findall(r"[\w@#$]+", note.object)) - _OUR_WORDS
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[Note, tuple[str, ...]]]] = {}
    for note in notes:
        fixed, gaps = _take_apart(note, names)
        groups.setdefault((note.severity, fixed), []).append((note, gaps))
    lines: list[FoldedNote] = []
    for (_, fixed), members in groups.items():
        same: dict[tuple[str, ...], list[Note]] = {}
        for note, gaps in members:
            same.setdefault(gaps, []).append(note)
        if len(same) > 1 and len(members) > NAMED:
            lines.append(_line([note for note, _ in members], _filled(fixed, list(same))))
        else:
            lines.extend(_line(equal, _filled(fixed, [gaps])) for gaps, equal in same.items())
    order = {id(note): position for position, note in enumerate(notes)}
    return sorted(lines, key=lambda line: order[id(line.notes[0])])


def _line(notes: Sequence[Note], message: str) -> FoldedNote:
    return FoldedNote(notes[0].severity, message, tuple(notes))


def _take_apart(note: Note, names: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The message as fixed texts and what stands between them: one more of the first than of the second.

    What is taken for a name by its looks may be a word of ours: it is shown where all notes have the same.
    """
    fixed: list[str] = []
    gaps: list[str] = []
    end = 0
    for start, stop in _pieces(note.message):
        piece = note.message[start:stop]
        if not (piece[0] in "\"'[(" or piece in names or _LOOKS_LIKE_NAME.search(piece)):
            continue
        between = note.message[end:start]
        if gaps and between in (", ", ""):  # a list of names is one gap, however long it is
            gaps[-1] += between + piece
        else:
            fixed.append(between)
            gaps.append(piece)
        end = stop
    return (*fixed, note.message[end:]), tuple(gaps)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Where words, quoted names and what is in parentheses stand, from left to right."""
    position = 0
    while (found := _PIECE.search(text, position)) is not None:
        position = found.end()
        if found[0] == "(":
            closed = _closing(text, found.start())
            if closed is None:
                continue
            position = closed
        yield found.start(), position


def _closing(text: str, opening: int) -> int | None:
    """The position behind the parenthesis that closes this one."""
    depth = 0
    for found in re.finditer(r"[()]", text[opening:]):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return opening + found.end()
    return None


def _filled(fixed: Sequence[str], variants: Sequence[Sequence[str]]) -> str:
    """The fixed texts with what all variants have between them, an ellipsis where they differ."""
    parts = [fixed[0]]
    for position, after in enumerate(fixed[1:]):
        found = {variant[position] for variant in variants}
        parts += [found.pop() if len(found) == 1 else _GAP, after]
    return "".join(parts)
