"""The texts of the CLR types that SQL Server itself brings: hierarchyid, geometry and geography.

From their serialized bytes ([MS-SSCLRT]) to what ``ToString()`` and ``STAsText()`` say of them. Coordinates are written
in the shortest decimal form that reads back as the same double; Z and M and the SRID are not part of the text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

_POINT, _LINE, _POLYGON, _MULTI_POINT, _MULTI_LINE, _MULTI_POLYGON, _COLLECTION = range(1, 8)
_CIRCULAR, _COMPOUND, _CURVE_POLYGON, _FULL_GLOBE = range(8, 12)
_NAMES = (
    "", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION",
    "CIRCULARSTRING", "COMPOUNDCURVE", "CURVEPOLYGON", "FULLGLOBE",
)  # fmt: skip
_HAS_Z, _HAS_M, _ONE_POINT, _ONE_LINE = 0x01, 0x02, 0x08, 0x10
_ARC_FIGURE, _COMPOSITE_FIGURE = 2, 3
_LINE_SEGMENT, _ARC_SEGMENT, _FIRST_LINE, _FIRST_ARC = range(4)
_DEEPEST = 100


class ClrError(ValueError):
    """The bytes are not a value of the type; the message says why, as the end of a sentence."""


# --- hierarchyid ------------------------------------------------------------------------------------------------------

# [MS-SSCLRT]: the bits that begin a number (L), the lowest number they stand for, and those that follow (O): x is a bit
# of the number, 0 and 1 are fixed ones between. A last bit (F) says whether the level ends here; where it does not, the
# number is one less.
_NUMBERS: tuple[tuple[str, int, str], ...] = (
    ("000100", -281479271682120, "xxxxxxxxxxxxxx0xxxxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxx"),
    ("000101", -4294971464, "xxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxx"),
    ("000110", -4168, "xxxxx0xxx0x1xxx"),
    ("0010", -72, "xx0x1xxx"),
    ("00111", -8, "xxx"),
    ("01", 0, "xx"),
    ("100", 4, "xx"),
    ("101", 8, "xxx"),
    ("110", 16, "xx0x1xxx"),
    ("1110", 80, "xxx0xxx0x1xxx"),
    ("11110", 1104, "xxxxx0xxx0x1xxx"),
    ("111110", 5200, "xxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxx"),
    ("111111", 4294972496, "xxxxxxxxxxxxxx0xxxxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxx"),
)


def hierarchyid_text(data: bytes) -> str:
    """A hierarchyid as its path, for example ``/1/-2.18/``; the root is ``/``.

    Raises:
        ClrError: the bytes are no hierarchyid.
    """
    bits = "".join(f"{byte:08b}" for byte in data)
    at, path = 0, "/"
    while "1" in bits[at:]:
        found = next((number for number in _NUMBERS if bits.startswith(number[0], at)), None)
        if found is None:
            raise ClrError("is not a hierarchyid (no number begins with its bits)")
        prefix, low, form = found
        body = bits[at + len(prefix) : at + len(prefix) + len(form) + 1]
        if len(body) <= len(form) or any(mark not in ("x", bit) for mark, bit in zip(form, body, strict=False)):
            raise ClrError("is not a hierarchyid (a number is cut short or damaged)")
        number = low + int("".join(bit for mark, bit in zip(form, body, strict=False) if mark == "x"), 2)
        ends = body[-1] == "1"
        path += f"{number}/" if ends else f"{number - 1}."
        at += len(prefix) + len(body)
    if not path.endswith("/") or len(bits) - at >= 8:
        raise ClrError("is not a hierarchyid (its last level does not end)")
    return path


# --- geometry and geography -------------------------------------------------------------------------------------------


def geometry_text(data: bytes) -> str:
    """A geometry in well-known text, x before y. Raises ClrError."""
    return _Shapes(data, swapped=False).text()


def geography_text(data: bytes) -> str:
    """A geography in well-known text, longitude before latitude. Raises ClrError."""
    return _Shapes(data, swapped=True).text()


TEXTS: dict[str, Callable[[bytes], str]] = {
    "hierarchyid": hierarchyid_text,
    "geometry": geometry_text,
    "geography": geography_text,
}
"""From the bytes of a type's value to its text."""


class _Shapes:
    """The parts of one spatial value. geography stores latitude before longitude, which text has the other way."""

    def __init__(self, data: bytes, *, swapped: bool) -> None:
        self._data = data
        self._at = 0
        self._swapped = swapped
        self._next_segment = 0
        try:
            self._parse()
        except struct.error:
            raise ClrError("is not a spatial value (it is cut short)") from None

    def _take(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return found

    def _count(self, size: int) -> int:
        (count,) = self._take("<i")
        if count < 0 or count * size > len(self._data) - self._at:
            raise ClrError("is not a spatial value (it holds less than it says)")
        return count

    def _parse(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.figures: list[tuple[int, int]] = []
        self.shapes: list[tuple[int, int, int]] = []
        self.segments: list[int] = []
        _, version, flags = self._take("<iBB")
        if version not in (1, 2):
            raise ClrError(f"is not a spatial value (version {version})")
        self._version = version
        single = 1 if flags & _ONE_POINT else 2 if flags & _ONE_LINE else 0
        self._read_points(single or self._count(16), flags)
        if single:
            self.figures = [(1, 0)]
            self.shapes = [(-1, 0, _POINT if single == 1 else _LINE)]
        else:
            self.figures = [(a, b) for a, b in (self._take("<Bi") for _ in range(self._count(5)))]
            self.shapes = [(a, b, c) for a, b, c in (self._take("<iiB") for _ in range(self._count(9)))]
            if version == 2 and self._at < len(self._data):
                self.segments = [self._take("<B")[0] for _ in range(self._count(1))]
        if self._at != len(self._data):
            raise ClrError("is not a spatial value (bytes follow its end)")

    def _read_points(self, count: int, flags: int) -> None:
        numbers = struct.unpack_from(f"<{2 * count}d", self._data, self._at)
        extra = bool(flags & _HAS_Z) + bool(flags & _HAS_M)
        self._at += 16 * count + 8 * count * extra
        if self._at > len(self._data):
            raise ClrError("is not a spatial value (it is cut short)")
        first, second = numbers[::2], numbers[1::2]
        self.points = list(zip(second, first, strict=True) if self._swapped else zip(first, second, strict=True))

    def text(self) -> str:
        """The well-known text of the value."""
        if not self.shapes or self.shapes[0][0] != -1:
            raise ClrError("is not a spatial value (it has no outermost shape)")
        children: dict[int, list[int]] = {}
        for index, (parent, _, _) in enumerate(self.shapes[1:], 1):
            if not 0 <= parent < index:
                raise ClrError("is not a spatial value (a shape comes before the one it is part of)")
            children.setdefault(parent, []).append(index)
        return self._shape(0, children, 0)

    def _shape(self, index: int, children: dict[int, list[int]], depth: int) -> str:
        kind = self.shapes[index][2]
        if not _POINT <= kind <= _FULL_GLOBE or depth > _DEEPEST:
            raise ClrError(f"is not a spatial value (shape type {kind})")
        name = _NAMES[kind]
        if kind == _FULL_GLOBE:
            return name
        body = self._body(index, children, depth)
        return f"{name} {body or 'EMPTY'}"

    def _body(self, index: int, children: dict[int, list[int]], depth: int) -> str:
        """What follows a shape's name; empty for an empty one."""
        kind = self.shapes[index][2]
        inner = children.get(index, [])
        if kind == _COLLECTION:
            parts = [self._shape(child, children, depth + 1) for child in inner]
        elif kind in (_MULTI_POINT, _MULTI_LINE, _MULTI_POLYGON):
            parts = [self._body(child, children, depth + 1) or "EMPTY" for child in inner]
        else:
            return self._figures(index, kind)
        return f"({', '.join(parts)})" if parts else ""

    def _figures(self, index: int, kind: int) -> str:
        begin = self.shapes[index][1]
        if begin == -1:
            return ""
        later = [figure for _, figure, _ in self.shapes[index + 1 :] if figure != -1]
        end = later[0] if later else len(self.figures)
        if not 0 <= begin < end <= len(self.figures):
            raise ClrError("is not a spatial value (a shape's figures are not there)")
        parts = [self._figure(figure, kind) for figure in range(begin, end)]
        if kind in (_POLYGON, _CURVE_POLYGON):
            return f"({', '.join(parts)})"
        if len(parts) != 1:
            raise ClrError(f"is not a spatial value ({_NAMES[kind]} of {len(parts)} parts)")
        return parts[0]

    def _figure(self, figure: int, kind: int) -> str:
        attribute, begin = self.figures[figure]
        end = self.figures[figure + 1][1] if figure + 1 < len(self.figures) else len(self.points)
        if not 0 <= begin < end <= len(self.points):
            raise ClrError("is not a spatial value (a figure's points are not there)")
        points = self.points[begin:end]
        if self._version == 2 and attribute == _COMPOSITE_FIGURE:
            text = self._compound(points)
            return f"COMPOUNDCURVE {text}" if kind == _CURVE_POLYGON else text
        if self._version == 2 and attribute == _ARC_FIGURE and kind == _CURVE_POLYGON:
            return f"CIRCULARSTRING {_points(points)}"
        return _points(points)

    def _compound(self, points: Sequence[tuple[float, float]]) -> str:
        """A curve of lines (one point more each) and arcs (two points more each); a first one begins a new part."""
        parts: list[str] = []
        at = begin = 0
        arc = False
        while at < len(points) - 1:
            if self._next_segment >= len(self.segments):
                raise ClrError("is not a spatial value (a curve has fewer segments than points)")
            segment = self.segments[self._next_segment]
            self._next_segment += 1
            if segment > _FIRST_ARC:
                raise ClrError(f"is not a spatial value (segment type {segment})")
            if segment >= _FIRST_LINE:
                if at > begin:
                    parts.append(_part(points[begin : at + 1], arc=arc))
                begin, arc = at, segment == _FIRST_ARC
            at += 2 if segment in (_ARC_SEGMENT, _FIRST_ARC) else 1
        if at != len(points) - 1:
            raise ClrError("is not a spatial value (a curve ends between its points)")
        parts.append(_part(points[begin:], arc=arc))
        return f"({', '.join(parts)})"


def _part(points: Sequence[tuple[float, float]], *, arc: bool) -> str:
    return f"CIRCULARSTRING {_points(points)}" if arc else _points(points)


def _points(points: Sequence[tuple[float, float]]) -> str:
    return f"({', '.join(f'{_number(x)} {_number(y)}' for x, y in points)})"


def _number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        raise ClrError("is not a spatial value (a coordinate is no number)")
    # The round-trip format of .NET Framework: 15 digits where they are enough, else 17; zero has no sign.
    text = f"{value:.15G}" if value else "0"
    return text if float(text) == value else f"{value:.17G}"
