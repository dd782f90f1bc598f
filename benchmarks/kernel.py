"""CPU time of the transcoder alone: packets in memory to COPY tuples, for three shapes of rows.

Run ``python benchmarks/kernel.py``. Prints microseconds of CPU a row and megabytes of TDS a second; copying the
packets into the input buffer (what ``recv_into`` does on a socket) is part of it.
"""

from __future__ import annotations

import argparse
import random
import struct
import time

from mssql_pg_migrate._kernel import _native

Column = tuple[int, int, int, int, int, int, int]
PACKET = 32767
TEXT, NUMBER, STAMP = 7, 2, 12
INT4 = (0x38, 4, 0, 0, 0, NUMBER, -1)
KEY = (0x38, 4, 0, 0, 0, NUMBER, 0)
INTN = (0x26, 4, 0, 0, 0, NUMBER, -1)
DATETIME = (0x3D, 8, 0, 0, 0, STAMP, -1)
DATETIMN = (0x6F, 8, 0, 0, 0, STAMP, -1)


def nvarchar(size: int) -> Column:
    """An nvarchar column of that many bytes."""
    return (0xE7, size, 0, 0, 0, TEXT, -1)


def words(random_: random.Random, length: int) -> bytes:
    """ASCII text as UTF-16."""
    return "".join(random_.choices("abcdefghij klmnopqrstuvw xyz", k=length)).encode("utf-16-le")


def integer(random_: random.Random) -> bytes:
    """A nullable int."""
    return b"\x00" if random_.random() < 0.3 else b"\x04" + random_.randbytes(4)


def stamp(random_: random.Random) -> bytes:
    """A datetime."""
    return struct.pack("<iI", random_.randrange(39000, 41000), random_.randrange(25920000))


def short(data: bytes) -> bytes:
    """A value with a 2-byte length."""
    return struct.pack("<H", len(data)) + data


def narrow(random_: random.Random, count: int) -> tuple[list[Column], bytes]:
    """Votes: six columns."""
    rows = [
        b"\xd1"
        + struct.pack("<ii", i, i * 7)
        + integer(random_)
        + integer(random_)
        + struct.pack("<i", 2)
        + stamp(random_)
        for i in range(count)
    ]
    return [KEY, INT4, INTN, INTN, INT4, DATETIME], b"".join(rows)


def medium(random_: random.Random, count: int) -> tuple[list[Column], bytes]:
    """Comments: text of about 170 characters."""
    rows = [
        b"\xd1"
        + struct.pack("<i", i)
        + stamp(random_)
        + struct.pack("<i", 5)
        + integer(random_)
        + short(words(random_, random_.randrange(20, 320)))
        + integer(random_)
        for i in range(count)
    ]
    return [KEY, DATETIME, INT4, INTN, nvarchar(1400), INTN], b"".join(rows)


def wide(random_: random.Random, count: int) -> tuple[list[Column], bytes]:
    """Posts: twenty columns with one nvarchar(max) of about a thousand characters."""
    bodies = [words(random_, random_.randrange(100, 1900)) for _ in range(500)]
    rows = []
    for i in range(count):
        body = random_.choice(bodies)
        rows.append(
            b"\xd2\x00\x00\x00"
            + struct.pack("<i", i)
            + integer(random_) * 2
            + struct.pack("<QI", len(body), len(body))
            + body
            + struct.pack("<I", 0)
            + b"\x00"
            + integer(random_)
            + b"\x00"
            + stamp(random_)
            + integer(random_)
            + stamp(random_)
            + b"\x00"
            + short(words(random_, 8))
            + integer(random_) * 3
            + struct.pack("<ii", 1, 2)
            + short(words(random_, 20))
            + short(words(random_, 50))
            + struct.pack("<i", 9)
        )
    columns = [KEY, INTN, INTN, nvarchar(0xFFFF), DATETIMN, INTN, DATETIMN, DATETIME, INTN, DATETIME, DATETIMN]
    columns += [nvarchar(80), INTN, INTN, INTN, INT4, INT4, nvarchar(300), nvarchar(500), INT4]
    return columns, b"".join(rows)


def packets(stream: bytes) -> bytes:
    """The stream in packets of 32767 bytes."""
    room = PACKET - 8
    parts = []
    for at in range(0, len(stream), room):
        part = stream[at : at + room]
        parts.append(struct.pack(">BBHHBB", 4, at + room >= len(stream), len(part) + 8, 0, 1, 0) + part)
    return b"".join(parts)


def transcode(columns: list[Column], raw: memoryview, step: int, chunk: int) -> tuple[int, int]:
    """All rows of the packets; rows and bytes."""
    core = _native.Transcoder(columns, input_size=step + (1 << 16))
    at = rows = size = received = 0
    while True:
        status = core.run(received, 1 << 40, chunk)
        received = 0
        if status in (_native.CHUNK, _native.END):
            taken = core.take()
            if taken:
                rows += taken[1]
                size += len(taken[0])
            if status == _native.END:
                return rows, size
        elif status == _native.INPUT:
            view = memoryview(core)
            received = min(len(view), step, len(raw) - at)
            view[:received] = raw[at : at + received]
            at += received
        else:
            raise SystemExit(f"status {status}, fault {core.fault()}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--step", type=int, default=1 << 18, help="bytes a read")
    parser.add_argument("--chunk", type=int, default=1 << 24, help="bytes of COPY data a chunk")
    arguments = parser.parse_args()
    for name, make, count in (("narrow", narrow, 1_000_000), ("medium", medium, 200_000), ("wide", wide, 40_000)):
        columns, stream = make(random.Random(1), count)
        raw = memoryview(packets(stream))
        best = 1e9
        for _ in range(arguments.repeats):
            begin = time.process_time()
            rows, size = transcode(columns, raw, arguments.step, arguments.chunk)
            best = min(best, time.process_time() - begin)
        if rows != count:
            raise SystemExit(f"{name}: {rows} rows came out of {count}")
        print(
            f"{name:7} {best / rows * 1e6:.3f} us/row  {len(raw) / best / 1e6:6.0f} MB/s in  "
            f"{len(raw) / rows:5.0f} -> {size / rows:5.0f} bytes a row"
        )


if __name__ == "__main__":
    main()
