"""SQL Server's CLR types in their stored form: geometry, geography and hierarchyid.

The layouts are those of [MS-SSCLRT]: a geometry is an SRID, property bits, points, figures and shapes; a hierarchyid
is a string of bits whose order as bytes is the order of the tree.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from ..errors import SqlError, Unsupported

# --- hierarchyid -----------------------------------------------------------------------------------------------

_WIDE = "0vvvvvv0vvv0v1vvv"
_TIERS: tuple[tuple[int, int, str], ...] = (
    # lowest and highest number, bits: v is a bit of the number, the bit that closes it comes behind
    (-281479271682120, -4294971465, "000100" + "v" * 14 + "0" + "v" * 21 + _WIDE),
    (-4294971464, -4169, "000101" + "v" * 19 + _WIDE),
    (-4168, -73, "000110vvvvv0vvv0v1vvv"),
    (-72, -9, "0010vv0v1vvv"),
    (-8, -1, "00111vvv"),
    (0, 3, "01vv"),
    (4, 7, "100vv"),
    (8, 15, "101vvv"),
    (16, 79, "110vv0v1vvv"),
    (80, 1103, "1110vvv0vvv0v1vvv"),
    (1104, 5199, "11110vvvvv0vvv0v1vvv"),
    (5200, 4294972495, "111110" + "v" * 19 + _WIDE),
    (4294972496, 281479271683151, "111111" + "v" * 14 + "0" + "v" * 21 + _WIDE),
)
_PATTERNS = tuple(
    (low, re.compile(bits[: bits.index("v")] + bits[bits.index("v") :].replace("v", "([01])") + "([01])"))
    for low, _, bits in _TIERS
)


def hierarchy_bytes(path: str) -> bytes:
    """The stored form of a path such as `/1/2.5/`.

    Raises:
        SqlError: 6522, it is no path.
    """
    if not re.fullmatch(r"/(?:-?\d+(?:\.-?\d+)*/)*", path):
        raise SqlError(6522, f"SqlHierarchyId.Parse failed because the input string '{path}' is not a valid path.")
    bits: list[str] = []
    for level in path.strip("/").split("/") if path != "/" else ():
        numbers = [int(number) for number in level.split(".")]
        for index, number in enumerate(numbers):
            last = index == len(numbers) - 1
            bits.append(_number_bits(number if last else number + 1) + ("1" if last else "0"))
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


def _number_bits(number: int) -> str:
    for low, high, pattern in _TIERS:
        if low <= number <= high:
            digits = iter(f"{number - low:0{pattern.count('v')}b}")
            return "".join(next(digits) if bit == "v" else bit for bit in pattern)
    raise SqlError(6522, f"SqlHierarchyId.Parse failed because {number} is out of range.")


def hierarchy_text(data: bytes) -> str:
    """The path of a stored hierarchyid.

    Raises:
        SqlError: 6522, the bytes are none.
    """
    bits = "".join(f"{byte:08b}" for byte in data)
    path = "/"
    position = 0
    while "1" in bits[position:]:
        found = ((low, pattern.match(bits, position)) for low, pattern in _PATTERNS)
        low, match = next(((low, match) for low, match in found if match), (0, None))
        if match is None:
            raise SqlError(6522, "SqlHierarchyId.Read failed because the bytes are not a hierarchyid.")
        groups = match.groups()
        number = low + int("".join(groups[:-1]), 2)
        path += f"{number}/" if groups[-1] == "1" else f"{number - 1}."
        position = match.end()
    return path


# --- geometry and geography ------------------------------------------------------------------------------------

_HAS_Z, _HAS_M, _VALID, _SINGLE_POINT, _SINGLE_LINE = 1, 2, 4, 8, 16
_SHAPES = (
    "POINT",
    "LINESTRING",
    "POLYGON",
    "MULTIPOINT",
    "MULTILINESTRING",
    "MULTIPOLYGON",
    "GEOMETRYCOLLECTION",
)
_PARTS_OF = {"MULTIPOINT": "POINT", "MULTILINESTRING": "LINESTRING", "MULTIPOLYGON": "POLYGON"}
_WKT_TOKEN = re.compile(r"\s*([A-Za-z]+|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[(),])")

Point = tuple[float, float, float | None, float | None]


@dataclass
class Geometry:
    """A geometry in the shape of its stored form: x is the longitude and y the latitude of a geography."""

    srid: int = 0
    points: list[Point] = field(default_factory=list)
    figures: list[tuple[int, int]] = field(default_factory=list)
    """Attribute (0 interior ring, 1 line, 2 exterior ring) and first point."""
    shapes: list[tuple[int, int, int]] = field(default_factory=list)
    """Parent shape (-1), first figure (-1 when empty), type (1 POINT ... 7 GEOMETRYCOLLECTION)."""

    # --- stored form ---

    def encode(self, geographic: bool) -> bytes:
        """The stored bytes; a geography has latitude first."""
        has_z = any(point[2] is not None for point in self.points)
        has_m = any(point[3] is not None for point in self.points)
        flags = _VALID | (_HAS_Z if has_z else 0) | (_HAS_M if has_m else 0)
        first = self.shapes[0][2]
        lone = first == 1 and len(self.points) == 1
        line = first == 2 and len(self.points) == 2
        flags |= (_SINGLE_POINT if lone else 0) | (_SINGLE_LINE if line else 0)
        body = b"".join(struct.pack("<dd", *((y, x) if geographic else (x, y))) for x, y, _, _ in self.points)
        nan = float("nan")
        for axis, present in ((2, has_z), (3, has_m)):
            if present:
                values = [nan if point[axis] is None else point[axis] for point in self.points]
                body += struct.pack(f"<{len(values)}d", *values)
        head = struct.pack("<iBB", self.srid, 1, flags)
        if lone or line:
            return head + body
        figures = b"".join(struct.pack("<Bi", *figure) for figure in self.figures)
        shapes = b"".join(struct.pack("<iiB", *shape) for shape in self.shapes)
        return (
            head
            + struct.pack("<I", len(self.points))
            + body
            + struct.pack("<I", len(self.figures))
            + figures
            + struct.pack("<I", len(self.shapes))
            + shapes
        )

    @classmethod
    def decode(cls, data: bytes, geographic: bool) -> Geometry:
        """Read the stored bytes.

        Raises:
            SqlError: 6522, they are none.
            Unsupported: curves.
        """
        try:
            return cls._decode(data, geographic)
        except struct.error:
            raise SqlError(6522, "The bytes are not a stored geometry.") from None

    @classmethod
    def _decode(cls, data: bytes, geographic: bool) -> Geometry:
        srid, version, flags = struct.unpack_from("<iBB", data)
        if version != 1:
            raise Unsupported("curves in geometry")
        geometry = cls(srid)
        position = 6
        if flags & _SINGLE_POINT or flags & _SINGLE_LINE:
            count = 1 if flags & _SINGLE_POINT else 2
        else:
            (count,) = struct.unpack_from("<I", data, position)
            position += 4
        xy = struct.unpack_from(f"<{count * 2}d", data, position)
        position += count * 16
        extra: list[tuple[float, ...] | None] = []
        for flag in (_HAS_Z, _HAS_M):
            extra.append(struct.unpack_from(f"<{count}d", data, position) if flags & flag else None)
            position += count * 8 if flags & flag else 0
        for index in range(count):
            first, second = xy[index * 2], xy[index * 2 + 1]
            x, y = (second, first) if geographic else (first, second)
            z, m = (None if axis is None or axis[index] != axis[index] else axis[index] for axis in extra)
            geometry.points.append((x, y, z, m))
        if flags & (_SINGLE_POINT | _SINGLE_LINE):
            geometry.figures = [(1, 0)]
            geometry.shapes = [(-1, 0, 1 if flags & _SINGLE_POINT else 2)]
            return geometry
        (count,) = struct.unpack_from("<I", data, position)
        geometry.figures = [struct.unpack_from("<Bi", data, position + 4 + i * 5) for i in range(count)]
        position += 4 + count * 5
        (count,) = struct.unpack_from("<I", data, position)
        geometry.shapes = [struct.unpack_from("<iiB", data, position + 4 + i * 9) for i in range(count)]
        return geometry

    # --- well-known text ---

    def wkt(self, with_z: bool = False) -> str:
        """Well-known text as STAsText gives it (AsTextZM with `with_z`)."""
        return self._shape_text(0, True, with_z)

    def _figures_of(self, shape: int) -> list[str]:
        first = self.shapes[shape][1]
        if first < 0:
            return []
        following = [s[1] for s in self.shapes[shape + 1 :] if s[1] >= 0]
        return [self._figure_text(i, False) for i in range(first, following[0] if following else len(self.figures))]

    def _figure_text(self, figure: int, with_z: bool) -> str:
        start = self.figures[figure][1]
        end = self.figures[figure + 1][1] if figure + 1 < len(self.figures) else len(self.points)
        return "(" + ", ".join(_point_text(point, with_z) for point in self.points[start:end]) + ")"

    def _shape_text(self, shape: int, named: bool, with_z: bool) -> str:
        kind = _SHAPES[self.shapes[shape][2] - 1]
        prefix = f"{kind} " if named else ""
        if kind in _PARTS_OF or kind == "GEOMETRYCOLLECTION":
            children = [i for i, s in enumerate(self.shapes) if s[0] == shape]
            parts = [self._shape_text(child, kind == "GEOMETRYCOLLECTION", with_z) for child in children]
            return f"{prefix}({', '.join(parts)})" if parts else f"{prefix}EMPTY"
        figures = self._figures_of(shape)
        if not figures:
            return f"{prefix}EMPTY"
        if kind == "POLYGON":
            return f"{prefix}({', '.join(figures)})"
        return f"{prefix}{self._figure_text(self.shapes[shape][1], with_z)}"


def _point_text(point: Point, with_z: bool) -> str:
    values = [point[0], point[1]]
    if with_z and point[2] is not None:
        values += [point[2]] + ([point[3]] if point[3] is not None else [])
    return " ".join(_coordinate(value) for value in values)


def _coordinate(value: float) -> str:
    return repr(value).removesuffix(".0").replace("e+", "E+").replace("e-", "E-")


class _WktReader:
    def __init__(self, text: str, srid: int) -> None:
        self.tokens = _WKT_TOKEN.findall(text)
        if "".join(self.tokens) != "".join(text.split()):
            raise _bad_wkt(text)
        self.text = text
        self.position = 0
        self.geometry = Geometry(srid)

    def take(self, expected: str = "") -> str:
        token: str = self.tokens[self.position] if self.position < len(self.tokens) else ""
        if not token or (expected and token != expected):
            raise _bad_wkt(self.text)
        self.position += 1
        return token

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def shape(self, parent: int, kind: str = "") -> None:
        if not kind:
            kind = self.take().upper()
            if self.peek().upper() in ("Z", "M", "ZM"):
                self.take()
        if kind not in _SHAPES:
            raise Unsupported(f"{kind} in geometry") if kind.isalpha() else _bad_wkt(self.text)
        geometry = self.geometry
        index = len(geometry.shapes)
        geometry.shapes.append((parent, -1, _SHAPES.index(kind) + 1))
        if self.peek().upper() == "EMPTY":
            self.take()
            return
        geometry.shapes[index] = (parent, len(geometry.figures), _SHAPES.index(kind) + 1)
        if kind in ("POINT", "LINESTRING"):
            self.figure(1)
            return
        self.take("(")
        count = 0
        while True:
            if kind == "POLYGON":
                self.figure(2 if count == 0 else 0)
            elif kind == "MULTIPOINT" and self.peek() not in ("(", "EMPTY"):
                geometry.shapes.append((index, len(geometry.figures), 1))
                geometry.figures.append((1, len(geometry.points)))
                self.point()
            else:
                self.shape(index, _PARTS_OF.get(kind, ""))
            count += 1
            if self.peek() != ",":
                break
            self.take()
        self.take(")")

    def figure(self, attribute: int) -> None:
        self.geometry.figures.append((attribute, len(self.geometry.points)))
        self.take("(")
        while True:
            self.point()
            if self.peek() != ",":
                break
            self.take()
        self.take(")")

    def point(self) -> None:
        values: list[float | None] = []
        while self.peek() not in (",", ")", ""):
            token = self.take()
            try:
                values.append(None if token.upper() == "NULL" else float(token))
            except ValueError:
                raise _bad_wkt(self.text) from None
        if not 2 <= len(values) <= 4 or values[0] is None or values[1] is None:
            raise _bad_wkt(self.text)
        z, m = [*values[2:], None, None][:2]
        self.geometry.points.append((values[0], values[1], z, m))


def _bad_wkt(text: str) -> SqlError:
    return SqlError(6522, f"The well-known text '{text[:80]}' is not valid.")


def from_wkt(text: str, srid: int, geographic: bool) -> bytes:
    """The stored form of well-known text.

    Raises:
        SqlError: 6522, the text is not well-known text.
        Unsupported: curves and the like.
    """
    reader = _WktReader(text, srid)
    reader.shape(-1)
    if reader.peek():
        raise _bad_wkt(text)
    return reader.geometry.encode(geographic)


def to_wkt(data: bytes, geographic: bool, with_z: bool = False) -> str:
    """Well-known text of a stored geometry."""
    return Geometry.decode(data, geographic).wkt(with_z)


def srid_of(data: bytes) -> int:
    """The SRID of a stored geometry."""
    return int.from_bytes(data[:4], "little", signed=True)


def to_wkb(data: bytes, geographic: bool) -> bytes:
    """Well-known binary of a stored geometry, without Z and M as STAsBinary gives it."""
    geometry = Geometry.decode(data, geographic)
    return _wkb(geometry, 0)


def _wkb(geometry: Geometry, shape: int) -> bytes:
    parent, first, kind = geometry.shapes[shape]
    del parent
    head = struct.pack("<BI", 1, kind)
    if kind >= 4:
        children = [i for i, s in enumerate(geometry.shapes) if s[0] == shape]
        return head + struct.pack("<I", len(children)) + b"".join(_wkb(geometry, child) for child in children)
    if first < 0:
        return head + (struct.pack("<dd", float("nan"), float("nan")) if kind == 1 else struct.pack("<I", 0))
    following = [s[1] for s in geometry.shapes[shape + 1 :] if s[1] >= 0]
    last = following[0] if following else len(geometry.figures)
    rings: list[bytes] = []
    for figure in range(first, last if kind == 3 else first + 1):
        start = geometry.figures[figure][1]
        end = geometry.figures[figure + 1][1] if figure + 1 < len(geometry.figures) else len(geometry.points)
        points = b"".join(struct.pack("<dd", x, y) for x, y, _, _ in geometry.points[start:end])
        rings.append(points if kind == 1 else struct.pack("<I", end - start) + points)
    return head + (struct.pack("<I", len(rings)) if kind == 3 else b"") + b"".join(rings)
