"""The digest in Python, where the compiled one is not installed: the same results, about a hundred times slower."""

from __future__ import annotations

import struct
import zlib
from operator import mul
from typing import TYPE_CHECKING, TypeAlias

from .kinds import LABEL_BYTES, PRIME, Fault, Kind, Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

_WORD = 2**64 - 1
_SUM = 2**128 - 1
_RUN = 1024
"""Words of a row that are multiplied with prepared powers at once."""
_HEADER = b"PGCOPY\n\xff\r\n\0"
_HEADER_SIZE = 19
_NULL = b"\xff\xff\xff\xff"
_LENGTH = struct.Struct(">i").unpack_from
_MOST_COLUMNS = 32767
_MOST_BITS = 20


def _mix(value: int) -> int:
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & _WORD
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & _WORD
    return value ^ value >> 33


class RowHash:
    """The 128-bit hash of ``_kernel/rowhash.h`` under one key of 40 bytes."""

    def __init__(self, key: bytes) -> None:
        point = (int.from_bytes(key[:16], "little") & PRIME) % PRIME
        powers = [1]
        while len(powers) <= _RUN:
            powers.append(powers[-1] * point % PRIME)
        self._powers = powers[::-1]
        self._rounds = struct.unpack("<3Q", key[16:40])

    def __call__(self, row: bytes) -> int:
        """The hash as an integer below 2**128."""
        size = len(row)
        words = [*struct.unpack(f"<{(size + 7) // 8}Q", row + bytes(-size % 8)), size]
        powers = self._powers
        value = 0
        for start in range(0, len(words), _RUN):
            run = words[start : start + _RUN]
            value = (value * powers[_RUN - len(run)] + sum(map(mul, run, powers[_RUN - len(run) + 1 :]))) % PRIME
        first, second, third = self._rounds
        low, high = value & _WORD, value >> 64
        low ^= _mix((high + first) & _WORD)
        high ^= _mix((low + second) & _WORD)
        low ^= _mix((high + third) & _WORD)
        return high << 64 | low


class SlowDigest:
    """See `digest.Digest`."""

    def __init__(self, kinds: bytes, roles: bytes, key: bytes, bits: int, header: bool = False) -> None:
        if len(kinds) != len(roles) or len(kinds) > _MOST_COLUMNS or len(key) != 40 or not 0 <= bits <= _MOST_BITS:
            raise ValueError("kinds and roles must be of one length, the key of 40 bytes, bits 0 to 20")
        self.rows = 0
        self._columns = [(_FORMS[Kind(kind)], Role(role)) for kind, role in zip(kinds, roles, strict=True)]
        self._plain = not any(kinds)
        self._keys = [position for position, role in enumerate(roles) if role == Role.KEY]
        self._hash = RowHash(key)
        self._mask = (1 << bits) - 1
        self._sums = [0] * (1 << bits)
        self._counts = [0] * (1 << bits)
        self._header = header
        self._ended = False
        self._selected: bytes | None = None
        self._listed: list[bytes] = []
        self._keeping = False

    def update(self, data: Buffer, /) -> tuple[int, bool]:
        """See `digest.Digest.update`."""
        octets = bytes(data)
        at = 0
        if self._header:
            at = self._pass_header(octets)
            if self._header:
                return 0, False
        size = len(octets)
        while size - at >= 2:
            count = int.from_bytes(octets[at : at + 2], "big", signed=True)
            if self._ended:
                raise ValueError(Fault.AFTER_END, -1, count)
            if count == -1:
                self._ended = True
                at += 2
                continue
            if count != len(self._columns):
                raise ValueError(Fault.FIELD_COUNT, -1, count)
            end = self._take(octets, at, size)
            if end is None:
                return at, False
            at = end
        if self._ended and at < size:
            raise ValueError(Fault.AFTER_END, -1, 0)
        return at, self._ended

    def select(self, bitmap: Buffer, /) -> None:
        """See `digest.Digest.select`."""
        self._choose(bitmap, keeping=False)

    def keep(self, bitmap: Buffer, /) -> None:
        """See `digest.Digest.keep`."""
        self._choose(bitmap, keeping=True)

    def kept(self) -> tuple[bytes, int]:
        """See `digest.Digest.kept`."""
        kept = self.take()
        return b"".join(kept), len(kept)

    def _choose(self, bitmap: Buffer, *, keeping: bool) -> None:
        chosen = bytes(bitmap)
        if len(chosen) != (len(self._sums) + 7) // 8:
            raise ValueError("the bitmap must have a bit per bucket")
        self._selected = chosen
        self._keeping = keeping

    def take(self) -> list[bytes]:
        """See `digest.Digest.take`."""
        listed, self._listed = self._listed, []
        return listed

    def buckets(self) -> bytes:
        """See `digest.Digest.buckets`."""
        numbers = [
            number
            for total, count in zip(self._sums, self._counts, strict=True)
            for number in (total & _WORD, total >> 64, count)
        ]
        return struct.pack(f"={len(numbers)}Q", *numbers)

    def _pass_header(self, octets: bytes) -> int:
        if octets[: len(_HEADER)] != _HEADER[: len(octets)]:
            raise ValueError(Fault.HEADER, -1, 0)
        if len(octets) < _HEADER_SIZE:
            return 0
        flags, extension = struct.unpack_from(">II", octets, len(_HEADER))
        if flags >> 16 or extension > 2**31 - 1:
            raise ValueError(Fault.HEADER, -1, flags)
        if len(octets) - _HEADER_SIZE < extension:
            return 0
        self._header = False
        return _HEADER_SIZE + int(extension)

    def _take(self, octets: bytes, start: int, size: int) -> int | None:
        """Digest the tuple at ``start``; where it ends, None when it is not whole."""
        at = start + 2
        starts = []
        for position in range(len(self._columns)):
            if size - at < 4:
                return None
            (length,) = _LENGTH(octets, at)
            starts.append(at)
            at += 4
            if length > 0:
                if size - at < length:
                    return None
                at += length
            elif length < -1:
                raise ValueError(Fault.LENGTH, position, length)
        starts.append(at)
        self._add(octets, starts)
        return at

    def _add(self, octets: bytes, starts: list[int]) -> None:
        if self._plain:
            value = self._hash(octets[starts[0] : starts[-1]])
        else:
            value = self._hash(b"".join([self._form(octets, starts, i) for i in range(len(self._columns))]))
        if self._keys:
            bucket = zlib.crc32(b"".join([self._form(octets, starts, i) for i in self._keys])) & self._mask
        else:
            bucket = value & self._mask
        self.rows += 1
        if self._selected is None:
            self._sums[bucket] = (self._sums[bucket] + value) & _SUM
            self._counts[bucket] += 1
        elif self._selected[bucket >> 3] >> (bucket & 7) & 1:
            whole = octets[starts[0] - 2 : starts[-1]]
            self._listed.append(whole if self._keeping else self._record(octets, starts, bucket, value))

    def _form(self, octets: bytes, starts: list[int], position: int) -> bytes:
        """A field in canonical form, its length included."""
        form = self._columns[position][0]
        field = octets[starts[position] : starts[position + 1]]
        if form is None or field[:4] == _NULL:
            return field
        canonical = form(field[4:])
        if canonical is None:
            raise ValueError(Fault.WIDTH, position, len(field) - 4)
        return canonical

    def _record(self, octets: bytes, starts: list[int], bucket: int, value: int) -> bytes:
        parts = [bucket.to_bytes(4, "little")]
        for position, (form, role) in enumerate(self._columns):
            if role is Role.DATA:
                continue
            canonical = self._form(octets, starts, position)
            head = _LABEL_HEADS.get(form)
            if role is Role.LABEL and head is not None:
                canonical = canonical[: head + LABEL_BYTES]
            parts.append(canonical)
        parts.append(value.to_bytes(16, "little"))
        return b"".join(parts)


# --- canonical forms (length and value; None: the field's width is not one its kind has) ------------------------------


def _with_length(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _integer_value(field: bytes) -> int | None:
    return int.from_bytes(field, "big", signed=True) if len(field) in (2, 4, 8) else None


def _integer(field: bytes) -> bytes | None:
    value = _integer_value(field)
    return None if value is None else _with_length(value.to_bytes(8, "big", signed=True))


def _float(field: bytes) -> bytes | None:
    if len(field) == 8:
        return _with_length(field)
    if len(field) == 4:
        return _with_length(struct.pack(">d", *struct.unpack(">f", field)))
    return None


def _numeric(field: bytes) -> bytes | None:
    if len(field) < 8:
        return None
    count, weight, sign, _ = struct.unpack_from(">HhHH", field)
    if len(field) != 8 + 2 * count:
        return None
    groups = field[8:]
    if sign & 0xC000 == 0xC000:
        return _with_length(struct.pack(">hH", 0, sign))
    while groups[:2] == b"\0\0":
        groups = groups[2:]
        weight -= 1
    while groups[-2:] == b"\0\0":
        groups = groups[:-2]
    if not groups:
        weight = sign = 0
    return _with_length(struct.pack(">HH", weight & 0xFFFF, sign) + groups)


def _int_numeric(field: bytes) -> bytes | None:
    value = _integer_value(field)
    if value is None:
        return None
    groups = []
    rest = abs(value)
    while rest:
        rest, group = divmod(rest, 10_000)
        groups.append(group)
    packed = struct.pack(f">{len(groups)}H", *reversed(groups))
    return _numeric(struct.pack(">HhHH", len(groups), max(len(groups) - 1, 0), 0x4000 if value < 0 else 0, 0) + packed)


def _trimmed(field: bytes) -> bytes:
    return _with_length(field.rstrip(b" "))


Form: TypeAlias = "Callable[[bytes], bytes | None]"

_FORMS: dict[Kind, Form | None] = {
    Kind.RAW: None,
    Kind.INTEGER: _integer,
    Kind.NUMERIC: _numeric,
    Kind.INT_NUMERIC: _int_numeric,
    Kind.FLOAT: _float,
    Kind.TRIMMED: _trimmed,
}

_LABEL_HEADS: dict[Form | None, int] = {None: 4, _numeric: 8, _trimmed: 4}
"""Bytes of a canonical form in front of the part that a label cuts; the other forms are never cut."""
