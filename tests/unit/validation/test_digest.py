"""The digest of COPY tuples: the compiled one and the one in Python agree, and both follow the rule."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssql_pg_migrate._kernel._digest import Digest as CompiledDigest
from mssql_pg_migrate.validation import digest as digests
from mssql_pg_migrate.validation.buckets import BucketTable, bitmap, bits_for
from mssql_pg_migrate.validation.digest import Digest
from mssql_pg_migrate.validation.kinds import PRIME, Fault, Kind, Role
from mssql_pg_migrate.validation.slow_digest import SlowDigest

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
KEY = bytes(range(1, 41))
FLOAT_TENTH = struct.unpack(">f", struct.pack(">f", 0.1))[0]
BOTH = pytest.mark.parametrize("make", [CompiledDigest, SlowDigest])
Make = Callable[..., Digest]
Field = bytes | None


def tuple_of(*fields: Field) -> bytes:
    parts = [struct.pack(">h", len(fields))]
    for field in fields:
        parts.append(b"\xff\xff\xff\xff" if field is None else struct.pack(">i", len(field)) + field)
    return b"".join(parts)


def sums(make: Make, kinds: list[Kind], rows: list[bytes], *, bits: int = 0, roles: list[Role] | None = None) -> bytes:
    made = make(bytes(kinds), bytes(roles or [Role.DATA] * len(kinds)), KEY, bits)
    data = b"".join(rows)
    assert made.update(data) == (len(data), False)
    return made.buckets()


def numeric(weight: int, sign: int, scale: int, *groups: int) -> bytes:
    return struct.pack(f">HhHH{len(groups)}H", len(groups), weight, sign, scale, *groups)


def hash_by_the_rule(row: bytes, key: bytes) -> int:
    """rowhash.h, word by word."""
    mask = 2**64 - 1

    def mix(value: int) -> int:
        value ^= value >> 33
        value = value * 0xFF51AFD7ED558CCD & mask
        value ^= value >> 33
        value = value * 0xC4CEB9FE1A85EC53 & mask
        return value ^ value >> 33

    point = int.from_bytes(key[:16], "little") & PRIME
    value = 0
    for start in range(0, len(row), 8):
        value = (value * point + int.from_bytes(row[start : start + 8], "little")) % PRIME
    value = (value * point + len(row)) % PRIME
    low, high = value & mask, value >> 64
    rounds = struct.unpack("<3Q", key[16:])
    low ^= mix((high + rounds[0]) & mask)
    high ^= mix((low + rounds[1]) & mask)
    low ^= mix((high + rounds[2]) & mask)
    return high << 64 | low


# --- values -----------------------------------------------------------------------------------------------------------

anything = st.binary(max_size=40) | st.sampled_from([b"", b" ", b"a  ", b"x" * 31, b"x" * 32, b"x" * 33, b"y" * 5000])
integers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 10_000, -10_000, 99_990_000, 2**31, -(2**15)])


@st.composite
def integer_fields(draw: st.DrawFn) -> bytes:
    value = draw(integers)
    size = next(size for size in (2, 4, 8) if -(2 ** (8 * size - 1)) <= value < 2 ** (8 * size - 1))
    return value.to_bytes(draw(st.sampled_from([s for s in (2, 4, 8) if s >= size])), "big", signed=True)


@st.composite
def numeric_fields(draw: st.DrawFn) -> bytes:
    groups = draw(st.lists(st.sampled_from([0, 0, 1, 9999, 42]), max_size=8))
    sign = draw(st.sampled_from([0, 0x4000, 0xC000, 0xD000, 0xF000]))
    return numeric(draw(st.integers(-20, 20)), sign, draw(st.integers(0, 38)), *groups)


FIELDS: dict[Kind, st.SearchStrategy[bytes]] = {
    Kind.RAW: anything,
    Kind.INTEGER: integer_fields(),
    Kind.NUMERIC: numeric_fields(),
    Kind.INT_NUMERIC: integer_fields(),
    Kind.FLOAT: st.floats(width=32).map(lambda value: struct.pack(">f", value))
    | st.floats().map(lambda value: struct.pack(">d", value)),
    Kind.TRIMMED: anything,
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Kind], list[Role], list[bytes]]:
    kinds = draw(st.lists(st.sampled_from(list(Kind)), max_size=7))
    roles = [draw(st.sampled_from(list(Role))) for _ in kinds]
    rows = draw(st.lists(st.tuples(*(st.none() | FIELDS[kind] for kind in kinds)), max_size=20))
    return kinds, roles, [tuple_of(*row) for row in rows]


# --- the hash ---------------------------------------------------------------------------------------------------------


@BOTH
@given(row=st.binary(max_size=300) | st.binary(min_size=8000, max_size=9000), key=st.binary(min_size=40, max_size=40))
@settings(deadline=None, max_examples=60)
def test_the_hash_follows_its_rule(make: Make, row: bytes, key: bytes) -> None:
    made = make(b"\0", b"\0", key, 0)
    made.update(tuple_of(row))
    low, high, count = struct.unpack("=3Q", made.buckets())
    assert (high << 64 | low, count) == (hash_by_the_rule(struct.pack(">i", len(row)) + row, key), 1)


@BOTH
def test_the_hash_at_the_ends_of_the_field(make: Make) -> None:
    """Words of all ones, the points nearest to the prime, and lengths around the block of 32 bytes."""
    for point in (2, PRIME - 1, PRIME - 2, 2**64, 2**126):
        key = point.to_bytes(16, "little") + b"\xff" * 24
        for size in range(200):
            made = make(b"\0", b"\0", key, 0)
            made.update(tuple_of(b"\xff" * size))
            low, high, _ = struct.unpack("=3Q", made.buckets())
            assert high << 64 | low == hash_by_the_rule(struct.pack(">i", size) + b"\xff" * size, key), (point, size)


def test_hashes_of_similar_rows_are_far_apart() -> None:
    """One changed bit changes about half of the hash's bits; and sums tell swapped values from each other."""
    base = bytes(random.Random(1).randbytes(60))
    hashes = [hash_by_the_rule(base, KEY)]
    for bit in range(len(base) * 8):
        changed = bytearray(base)
        changed[bit >> 3] ^= 1 << (bit & 7)
        hashes.append(hash_by_the_rule(bytes(changed), KEY))
    distances = [(hashes[0] ^ other).bit_count() for other in hashes[1:]]
    assert min(distances) > 35
    assert 60 < sum(distances) / len(distances) < 68
    assert len(set(hashes)) == len(hashes)


@BOTH
def test_swapped_values_are_noticed(make: Make) -> None:
    """The sum of two rows changes when they exchange a value, although the polynomial alone is linear."""
    raw = [Kind.RAW, Kind.RAW]
    before = sums(make, raw, [tuple_of(b"0001", b"a" * 16), tuple_of(b"0002", b"b" * 16)])
    after = sums(make, raw, [tuple_of(b"0001", b"b" * 16), tuple_of(b"0002", b"a" * 16)])
    assert before != after


# --- compiled and Python ----------------------------------------------------------------------------------------------


@given(tables(), st.integers(0, 7), st.randoms())
@settings(deadline=None, max_examples=60)
def test_both_digests_agree(
    table: tuple[list[Kind], list[Role], list[bytes]], bits: int, chance: random.Random
) -> None:
    kinds, roles, rows = table
    chosen = chance.randbytes(((1 << bits) + 7) // 8)
    data = b"".join(rows)
    results = []
    for make in (CompiledDigest, SlowDigest):
        made = make(bytes(kinds), bytes(roles), KEY, bits)
        assert made.update(data) == (len(data), False)
        added = made.buckets()
        made.select(chosen)
        made.update(data)
        listed = made.take()
        made.keep(chosen)
        made.update(data)
        kept, count = made.kept()
        assert count == len(listed), "as many are kept as were listed"
        assert made.kept() == (b"", 0)
        again = make(bytes(kinds), bytes(roles), KEY, bits)
        assert again.update(kept) == (len(kept), False)
        assert again.rows == count
        results.append((added, listed, made.take(), kept, made.rows))
    assert results[0] == results[1]


@given(st.binary(max_size=200), st.lists(st.sampled_from(list(Kind)), max_size=3), st.booleans())
@settings(deadline=None, max_examples=100)
def test_both_digests_refuse_the_same(noise: bytes, kinds: list[Kind], header: bool) -> None:
    outcomes = []
    for make in (CompiledDigest, SlowDigest):
        made = make(bytes(kinds), bytes(len(kinds)), KEY, 2, header)
        try:
            outcomes.append((made.update(noise), made.rows, made.buckets()))
        except ValueError as error:
            outcomes.append(tuple(int(number) for number in error.args))
    assert outcomes[0] == outcomes[1]


@given(tables(), st.randoms())
@settings(deadline=None, max_examples=60)
def test_damaged_rows_never_do_worse_than_fail(
    table: tuple[list[Kind], list[Role], list[bytes]], chance: random.Random
) -> None:
    """Valid rows with a few bytes overwritten, cut or doubled."""
    kinds, roles, rows = table
    data = bytearray(b"".join(rows))
    for _ in range(chance.randrange(1, 6)):
        if data:
            at = chance.randrange(len(data))
            data[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    cut = data[: chance.randrange(len(data) + 1)]
    outcomes = []
    for make in (CompiledDigest, SlowDigest):
        made = make(bytes(kinds), bytes(roles), KEY, 3)
        made.select(b"\xff")
        try:
            outcomes.append((made.update(bytes(cut)), made.take()))
        except ValueError as error:
            outcomes.append(tuple(int(number) for number in error.args))
    assert outcomes[0] == outcomes[1]


# --- canonical forms --------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((Kind.INTEGER, b"\xff\xfe"), (Kind.INTEGER, b"\xff" * 7 + b"\xfe")),
        ((Kind.NUMERIC, numeric(0, 0, 2, 12, 5000)), (Kind.NUMERIC, numeric(0, 0, 4, 12, 5000, 0))),
        ((Kind.NUMERIC, numeric(1, 0x4000, 0, 0, 7)), (Kind.NUMERIC, numeric(0, 0x4000, 3, 7))),
        ((Kind.NUMERIC, numeric(0, 0x4000, 2)), (Kind.NUMERIC, numeric(5, 0, 0, 0, 0))),
        ((Kind.NUMERIC, numeric(0, 0xC000, 0)), (Kind.NUMERIC, numeric(9, 0xC000, 4, 1, 2))),
        ((Kind.INT_NUMERIC, b"\x7f\xff"), (Kind.NUMERIC, numeric(1, 0, 0, 3, 2767))),
        ((Kind.INT_NUMERIC, (-120_000).to_bytes(4, "big", signed=True)), (Kind.NUMERIC, numeric(1, 0x4000, 0, 12))),
        ((Kind.INT_NUMERIC, bytes(8)), (Kind.NUMERIC, numeric(0, 0, 2))),
        ((Kind.FLOAT, struct.pack(">f", 0.1)), (Kind.FLOAT, struct.pack(">d", FLOAT_TENTH))),
        ((Kind.TRIMMED, b"ab"), (Kind.TRIMMED, b"ab   ")),
        ((Kind.TRIMMED, b""), (Kind.TRIMMED, b"   ")),
        ((Kind.TRIMMED, b"a b"), (Kind.RAW, b"a b")),
    ],
)
def test_one_value_in_two_forms(make: Make, left: tuple[Kind, bytes], right: tuple[Kind, bytes]) -> None:
    assert sums(make, [left[0]], [tuple_of(left[1])]) == sums(make, [right[0]], [tuple_of(right[1])])


@BOTH
@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        (Kind.RAW, b"", None),
        (Kind.TRIMMED, b"", None),
        (Kind.RAW, b"a", b"a "),
        (Kind.RAW, b"a", b"b"),
        (Kind.RAW, b"a", b"a\0"),
        (Kind.RAW, b"", b"\0"),
        (Kind.TRIMMED, b" a", b"a"),
        (Kind.NUMERIC, numeric(0, 0, 2, 1), numeric(0, 0x4000, 2, 1)),
        (Kind.NUMERIC, numeric(0, 0, 2, 1), numeric(1, 0, 2, 1)),
        (Kind.NUMERIC, numeric(0, 0, 2, 1, 2), numeric(0, 0, 2, 1, 3)),
        (Kind.NUMERIC, numeric(0, 0xC000, 0), numeric(0, 0, 0)),
        (Kind.NUMERIC, numeric(0, 0xD000, 0), numeric(0, 0xF000, 0)),
        (Kind.INTEGER, b"\0\1", b"\xff\xff"),
        (Kind.FLOAT, struct.pack(">d", 0.0), struct.pack(">d", -0.0)),
    ],
)
def test_two_values_in_one_form(make: Make, kind: Kind, left: Field, right: Field) -> None:
    assert sums(make, [kind], [tuple_of(left)]) != sums(make, [kind], [tuple_of(right)])


@BOTH
def test_fields_do_not_run_into_each_other(make: Make) -> None:
    raw = [Kind.RAW, Kind.RAW]
    assert sums(make, raw, [tuple_of(b"ab", b"c")]) != sums(make, raw, [tuple_of(b"a", b"bc")])
    assert sums(make, raw, [tuple_of(None, b"")]) != sums(make, raw, [tuple_of(b"", None)])


@BOTH
@pytest.mark.parametrize("kind", [Kind.INTEGER, Kind.NUMERIC, Kind.INT_NUMERIC, Kind.FLOAT])
def test_numbers_of_impossible_width_are_refused(make: Make, kind: Kind) -> None:
    made = make(bytes([Kind.RAW, kind]), bytes([Role.DATA, Role.KEY]), KEY, 3)
    with pytest.raises(ValueError, match="3") as refused:
        made.update(tuple_of(b"x", b"abc"))
    assert refused.value.args == (Fault.WIDTH, 1, 3)


# --- buckets ----------------------------------------------------------------------------------------------------------


@BOTH
def test_the_key_alone_chooses_the_bucket(make: Make) -> None:
    roles = [Role.DATA, Role.KEY, Role.KEY]
    kinds = [Kind.RAW, Kind.INTEGER, Kind.TRIMMED]
    made = make(bytes(kinds), bytes(roles), KEY, 10)
    made.select(b"\xff" * 128)
    made.update(tuple_of(b"one", b"\0\7", b"k  ") + tuple_of(b"two", bytes(7) + b"\7", b"k"))
    first, second = made.take()
    key = struct.pack(">iq", 8, 7) + struct.pack(">i", 1) + b"k"
    assert first[:4] == second[:4] == (zlib.crc32(key) & 1023).to_bytes(4, "little")
    assert first[4:-16] == second[4:-16] == key
    assert first[-16:] != second[-16:]


@BOTH
def test_without_a_key_the_row_chooses_and_labels_are_cut(make: Make) -> None:
    made = make(bytes([Kind.RAW, Kind.NUMERIC, Kind.RAW]), bytes([Role.LABEL, Role.LABEL, Role.DATA]), KEY, 0)
    made.select(b"\1")
    long = b"z" * 100
    made.update(tuple_of(long, numeric(0, 0, 0, *[1] * 40), b"not listed"))
    (record,) = made.take()
    assert record[4:-16] == (struct.pack(">i", 100) + long[:48] + struct.pack(">ihH", 4 + 80, 0, 0) + b"\0\1" * 24)


@given(tables(), st.integers(0, 6), st.randoms())
@settings(deadline=None, max_examples=60)
def test_order_and_parts_do_not_matter(
    table: tuple[list[Kind], list[Role], list[bytes]], bits: int, chance: random.Random
) -> None:
    kinds, roles, rows = table
    whole = BucketTable(bits, sums(CompiledDigest, kinds, rows, bits=bits, roles=roles))
    shuffled = chance.sample(rows, len(rows))
    at = chance.randrange(len(rows) + 1)
    parts = BucketTable(bits)
    for part in (shuffled[:at], shuffled[at:]):
        parts.add(BucketTable(bits, sums(CompiledDigest, kinds, part, bits=bits, roles=roles)))
    assert whole.differing(parts) == []
    assert whole.rows == parts.rows == len(rows)


def test_sums_carry_over_128_bits() -> None:
    full = struct.pack("=3Q", 2**64 - 1, 2**64 - 1, 1)
    table = BucketTable(0, full)
    table.add(BucketTable(0, full))
    assert BucketTable(0, struct.pack("=3Q", 2**64 - 2, 2**64 - 1, 2)).differing(table) == []


def test_buckets_that_differ_are_named() -> None:
    rows = [tuple_of(struct.pack(">i", number), b"text %d" % number) for number in range(1000)]
    changed = [*rows[:500], tuple_of(struct.pack(">i", 500), b"Text 500"), *rows[501:]]
    kinds, roles = [Kind.RAW, Kind.RAW], [Role.KEY, Role.DATA]
    left, right = (BucketTable(6, sums(CompiledDigest, kinds, side, bits=6, roles=roles)) for side in (rows, changed))
    (bucket,) = left.differing(right)
    assert bucket == zlib.crc32(struct.pack(">ii", 4, 500)) & 63


def test_bucket_counts_follow_the_rows() -> None:
    assert bits_for(0) == 6
    assert bits_for(1_000_000) == 15
    assert bits_for(10**12) == 16
    assert bitmap(4, [0, 9, 15]) == b"\x01\x82"
    assert bitmap(0, [0]) == b"\x01"


# --- streams ----------------------------------------------------------------------------------------------------------


@BOTH
def test_a_copy_file_cut_anywhere(make: Make) -> None:
    rows = [tuple_of(b"abc", None), tuple_of(b"", b"d" * 50)]
    data = HEADER + b"".join(rows) + TRAILER
    whole = sums(make, [Kind.RAW, Kind.RAW], rows)
    boundaries = {0, *accumulate([len(HEADER), len(rows[0]), len(rows[1]), 2])}
    for cut in range(len(data) + 1):
        made = make(bytes(2), bytes(2), KEY, 0, True)
        used, ended = made.update(data[:cut])
        assert used in boundaries
        assert used <= cut
        assert ended == (cut == len(data))
        if not ended:
            assert made.update(data[used:]) == (len(data) - used, True)
        assert made.buckets() == whole
        assert made.rows == 2


@BOTH
@pytest.mark.parametrize(
    ("data", "header", "fault"),
    [
        (b"PGCOPX", True, Fault.HEADER),
        (HEADER[:11] + b"\0\1\0\0" + bytes(4), True, Fault.HEADER),
        (HEADER[:15] + b"\xff\xff\xff\xff", True, Fault.HEADER),
        (tuple_of(b"a"), False, Fault.FIELD_COUNT),
        (b"\xff\xfe" + bytes(20), False, Fault.FIELD_COUNT),
        (b"\0\2\xff\xff\xff\xfe", False, Fault.LENGTH),
        (b"\0\2\x80\0\0\0", False, Fault.LENGTH),
        (TRAILER + TRAILER, False, Fault.AFTER_END),
        (TRAILER + b"\0", False, Fault.AFTER_END),
        (TRAILER + tuple_of(b"a", b"b"), False, Fault.AFTER_END),
    ],
)
def test_what_is_not_copy_data_is_refused(make: Make, data: bytes, header: bool, fault: Fault) -> None:
    made = make(bytes(2), bytes(2), KEY, 0, header)
    with pytest.raises(ValueError, match=str(int(fault))) as refused:
        made.update(data)
    assert refused.value.args[0] == fault


@BOTH
def test_a_header_extension_is_passed_over(make: Make) -> None:
    made = make(bytes(1), bytes(1), KEY, 0, True)
    data = HEADER[:15] + struct.pack(">I", 5) + b"extra" + tuple_of(b"a") + TRAILER
    assert made.update(data) == (len(data), True)
    assert made.rows == 1


@BOTH
def test_arguments_are_checked(make: Make) -> None:
    for kinds, roles, key, bits in (
        (b"\0", b"", KEY, 0),
        (b"\0", b"\0", KEY[:-1], 0),
        (b"\0", b"\0", KEY, -1),
        (b"\0", b"\0", KEY, 21),
        (b"\x09", b"\0", KEY, 0),
        (b"\0", b"\x09", KEY, 0),
    ):
        with pytest.raises(ValueError, match=r".+"):
            make(kinds, roles, key, bits)
    with pytest.raises(ValueError, match="bit"):
        make(b"\0", b"\0", KEY, 4).select(b"\0")


def test_keys_are_drawn_anew() -> None:
    keys = {digests.new_key() for _ in range(20)}
    assert len(keys) == 20
    assert all(1 < int.from_bytes(key[:16], "little") < PRIME for key in keys)
    assert all(len(key) == digests.KEY_BYTES for key in keys)


def test_without_the_extension_python_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mssql_pg_migrate._kernel._digest", None)
    assert not digests.is_compiled()
    made = digests.open_digest([Kind.RAW], [Role.KEY], KEY, 4)
    assert isinstance(made, SlowDigest)
    monkeypatch.undo()
    assert digests.is_compiled()
    assert isinstance(digests.open_digest([Kind.RAW], [Role.KEY], KEY, 4), CompiledDigest)
