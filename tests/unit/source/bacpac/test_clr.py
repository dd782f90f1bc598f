"""Serialized CLR values to text: the specification's examples, made-up shapes of every kind, and damaged ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.source.bacpac.clr import ClrError, geography_text, geometry_text, hierarchyid_text

Point = tuple[float, float]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", "/"),
        ("58", "/1/"),
        ("59fb0540", "/1/-2.18/"),
        ("48", "/0/"),
        ("78", "/3/"),
        ("84", "/4/"),
        ("9c", "/7/"),
        ("a2", "/8/"),
        ("be", "/15/"),
        ("68", "/2/"),
        ("3f80", "/-1/"),
        ("c110", "/16/"),
        ("5ac0", "/1/1/"),
    ],
)
def test_hierarchyid(data: str, text: str) -> None:
    """The two examples of [MS-SSCLRT], and the ends of the short ranges."""
    assert hierarchyid_text(bytes.fromhex(data)) == text


@pytest.mark.parametrize("data", ["00", "5858", "01", "08", "40", "c1", "59fb05"])
def test_no_hierarchyid(data: str) -> None:
    """Damaged paths are refused."""
    with pytest.raises(ClrError, match="is not a hierarchyid"):
        hierarchyid_text(bytes.fromhex(data))


def spatial(
    points: Sequence[Point],
    figures: Sequence[tuple[int, int]],
    shapes: Sequence[tuple[int, int, int]],
    segments: bytes | None = None,
    flags: int = 4,
    extra: bytes = b"",
) -> bytes:
    """A value with all its parts."""
    parts = [struct.pack("<iBB", 4326, 1 if segments is None else 2, flags), struct.pack("<i", len(points))]
    parts += [struct.pack("<2d", *point) for point in points]
    parts += [extra, struct.pack("<i", len(figures))]
    parts += [struct.pack("<Bi", *figure) for figure in figures]
    parts += [struct.pack("<i", len(shapes))]
    parts += [struct.pack("<iiB", *shape) for shape in shapes]
    if segments:
        parts += [struct.pack("<i", len(segments)), segments]
    return b"".join(parts)


RING = [(0.0, 0.0), (0.0, 3.0), (3.0, 3.0), (0.0, 0.0)]
HOLE = [(1.0, 1.0), (1.0, 2.0), (2.0, 2.0), (1.0, 1.0)]
RING_TEXT = "(0 0, 0 3, 3 3, 0 0)"
HOLE_TEXT = "(1 1, 1 2, 2 2, 1 1)"
SHAPES = [
    ("POINT EMPTY", spatial([], [], [(-1, -1, 1)])),
    ("POINT (1 2.5)", spatial([(1, 2.5)], [(1, 0)], [(-1, 0, 1)])),
    ("LINESTRING (0 0, 0 3, 3 3, 0 0)", spatial(RING, [(1, 0)], [(-1, 0, 2)])),
    (f"POLYGON ({RING_TEXT}, {HOLE_TEXT})", spatial(RING + HOLE, [(2, 0), (0, 4)], [(-1, 0, 3)])),
    ("MULTIPOINT ((1 2), (3 4))", spatial([(1, 2), (3, 4)], [(1, 0), (1, 1)], [(-1, 0, 4), (0, 0, 1), (0, 1, 1)])),
    (
        f"MULTILINESTRING ({RING_TEXT}, {HOLE_TEXT})",
        spatial(RING + HOLE, [(1, 0), (1, 4)], [(-1, 0, 5), (0, 0, 2), (0, 1, 2)]),
    ),
    (
        f"MULTIPOLYGON (({RING_TEXT}, {HOLE_TEXT}), ({RING_TEXT}))",
        spatial(RING + HOLE + RING, [(2, 0), (0, 4), (2, 8)], [(-1, 0, 6), (0, 0, 3), (0, 2, 3)]),
    ),
    (
        "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (3 4, 5 6), POINT EMPTY)",
        spatial([(1, 2), (3, 4), (5, 6)], [(1, 0), (1, 1)], [(-1, 0, 7), (0, 0, 1), (0, 1, 2), (0, -1, 1)]),
    ),
    ("GEOMETRYCOLLECTION EMPTY", spatial([], [], [(-1, -1, 7)])),
    ("CIRCULARSTRING (0 0, 0 3, 3 3)", spatial(RING[:3], [(2, 0)], [(-1, 0, 8)], b"")),
    (
        "COMPOUNDCURVE ((0 0, 0 3, 3 3), CIRCULARSTRING (3 3, 4 4, 5 3))",
        spatial([*RING[:3], (4, 4), (5, 3)], [(3, 0)], [(-1, 0, 9)], b"\x02\x00\x03"),
    ),
    (
        "CURVEPOLYGON (CIRCULARSTRING (0 0, 2 0, 2 2, 0 1, 0 0))",
        spatial([(0, 0), (2, 0), (2, 2), (0, 1), (0, 0)], [(2, 0)], [(-1, 0, 10)], b""),
    ),
    (
        "CURVEPOLYGON (COMPOUNDCURVE (CIRCULARSTRING (0 0, 2 0, 2 2), (2 2, 0 0)))",
        spatial([(0, 0), (2, 0), (2, 2), (0, 0)], [(3, 0)], [(-1, 0, 10)], b"\x03\x02"),
    ),
    ("POINT (1 2)", spatial([(1, 2)], [(1, 0)], [(-1, 0, 1)], flags=7, extra=struct.pack("<2d", 9, 9))),
]


@pytest.mark.parametrize(("text", "data"), SHAPES, ids=[f"{n} {s[0].split()[0]}" for n, s in enumerate(SHAPES)])
def test_geometry(text: str, data: bytes) -> None:
    """Every type of shape; Z and M are passed over."""
    assert geometry_text(data) == text


def test_geography_has_its_coordinates_the_other_way() -> None:
    """Latitude is stored first, longitude is written first; every digit that tells the double is kept."""
    point = bytes.fromhex("E6100000010CAE8BFC28BCE4474067A89189898A5EC0")
    assert geography_text(point) == "POINT (-122.164644615406 47.7869921906598)"
    line = struct.pack("<iBB4d", 4326, 1, 0x14, 1, 2, 3, 4)
    assert geography_text(line) == "LINESTRING (2 1, 4 3)"
    assert geometry_text(line) == "LINESTRING (1 2, 3 4)"
    assert geography_text(spatial([], [], [(-1, -1, 11)], b"")) == "FULLGLOBE"


@pytest.mark.parametrize("cut", [1, 5, 6, 9, 12, 30])
def test_values_cut_short(cut: int) -> None:
    """Whatever is missing."""
    for _, data in SHAPES[1:]:
        with pytest.raises(ClrError, match="is not a spatial value"):
            geometry_text(data[: max(0, len(data) - cut)])


@given(st.binary(max_size=120), st.integers(0, len(SHAPES) - 1), st.integers(0, 200), st.integers(0, 255))
def test_random_and_damaged_values_end_in_text_or_an_error(noise: bytes, which: int, at: int, byte: int) -> None:
    """Never another exception, never a loop."""
    damaged = bytearray(SHAPES[which][1])
    damaged[at % len(damaged)] = byte
    for data in (noise, bytes(damaged)):
        for read in (hierarchyid_text, geometry_text, geography_text):
            with suppress(ClrError):
                assert isinstance(read(data), str)


@pytest.mark.parametrize(
    "text",
    [
        "-64.8040519990027 18.366768000647426",
        "-64.8011230006814 18.367451999336481",
        "-64.797389999032021 18.369273999705911",
        "-64.8034599982202 18.368359999731183",
        "-64.703370001167059 18.301725000143051",
        "-64.703745998442173 18.29857200011611",
        "-64.7031709998846 18.298143999651074",
        "0.1 -0.30000000000000004",
        "1E-05 1E+15",
    ],
)
def test_coordinates_as_sql_server_writes_them(text: str) -> None:
    """Fifteen digits where they are enough, else seventeen (all but the last two are a real server's own output)."""
    x, y = map(float, text.split())
    assert geometry_text(spatial([(x, y)], [(1, 0)], [(-1, 0, 1)])) == f"POINT ({text})"


def test_zero_has_no_sign() -> None:
    """As .NET Framework has it."""
    assert geometry_text(spatial([(-0.0, 0.0)], [(1, 0)], [(-1, 0, 1)])) == "POINT (0 0)"
