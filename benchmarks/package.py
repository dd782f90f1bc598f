"""CPU time of a package's rows: transcoding beside that of TDS, inflating by either library, and the reader as a whole.

Run ``python -m benchmarks.package``. Prints microseconds of CPU a row for three shapes of rows, the same as in
``benchmarks/kernel.py``, and for one number of rows what inflating costs by either library.
"""

from __future__ import annotations

import argparse
import random
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isal import isal_zlib

from benchmarks import kernel
from mssql_pg_migrate._kernel import _native
from mssql_pg_migrate.source.bacpac import inflate as inflating
from mssql_pg_migrate.source.bacpac.package import open_package

Column = tuple[int, int, int, int, int, int, int]
TEXT, NUMBER, STAMP = 7, 2, 12
INT4: Column = (0x38, 4, 0, 0, 0, NUMBER, -1)
INTN: Column = (0x38, 4, 0, 0, 1, NUMBER, -1)
DATETIME: Column = (0x3D, 8, 0, 0, 0, STAMP, -1)
DATETIMN: Column = (0x3D, 8, 0, 0, 1, STAMP, -1)
NULL = b"\xff"


def nvarchar(size: int, nullable: bool = True) -> Column:
    """An nvarchar column of that many bytes."""
    return (0xE7, size, 0, 0, int(nullable), TEXT, -1)


def integer(random_: random.Random) -> bytes:
    """A nullable int."""
    return NULL if random_.random() < 0.3 else b"\x04" + random_.randbytes(4)


def narrow(random_: random.Random, count: int) -> tuple[list[Column], bytes]:
    """Votes: six columns."""
    rows = [
        struct.pack("<ii", i, i * 7)
        + integer(random_)
        + integer(random_)
        + struct.pack("<i", 2)
        + kernel.stamp(random_)
        for i in range(count)
    ]
    return [INT4, INT4, INTN, INTN, INT4, DATETIME], b"".join(rows)


def medium(random_: random.Random, count: int) -> tuple[list[Column], bytes]:
    """Comments: text of about 170 characters."""
    rows = [
        struct.pack("<i", i)
        + kernel.stamp(random_)
        + struct.pack("<i", 5)
        + integer(random_)
        + kernel.short(kernel.words(random_, random_.randrange(20, 320)))
        + integer(random_)
        for i in range(count)
    ]
    return [INT4, DATETIME, INT4, INTN, nvarchar(1400), INTN], b"".join(rows)


def wide(random_: random.Random, count: int) -> tuple[list[Column], bytes]:
    """Posts: twenty columns with one nvarchar(max) of about a thousand characters."""
    bodies = [kernel.words(random_, random_.randrange(100, 1900)) for _ in range(500)]
    rows = []
    for i in range(count):
        body = random_.choice(bodies)
        rows.append(
            struct.pack("<i", i)
            + integer(random_) * 2
            + struct.pack("<Q", len(body))
            + body
            + NULL
            + integer(random_)
            + NULL
            + kernel.stamp(random_)
            + integer(random_)
            + kernel.stamp(random_)
            + NULL
            + kernel.short(kernel.words(random_, 8))
            + integer(random_) * 3
            + struct.pack("<ii", 1, 2)
            + kernel.short(kernel.words(random_, 20))
            + kernel.short(kernel.words(random_, 50))
            + struct.pack("<i", 9)
        )
    columns = [INT4, INTN, INTN, nvarchar(0xFFFF), DATETIMN, INTN, DATETIMN, DATETIME, INTN, DATETIME, DATETIMN]
    columns += [nvarchar(80), INTN, INTN, INTN, INT4, INT4, nvarchar(300), nvarchar(500), INT4]
    return columns, b"".join(rows)


def feed(core: _native.Transcoder, piece: bytes | memoryview, chunk: int) -> int:
    """One piece of a data file; the rows that came out."""
    at = rows = 0
    while at < len(piece):
        with memoryview(core) as view:
            size = min(len(view), len(piece) - at)
            view[:size] = piece[at : at + size]
        at += size
        status = core.run(size, 1 << 40, chunk)
        while status == _native.CHUNK:
            taken = core.take()
            rows += taken[1] if taken else 0
            status = core.run(0, 1 << 40, chunk)
        if status != _native.INPUT:
            raise SystemExit(f"status {status}, fault {core.fault()}")
    return rows


def transcode(columns: list[Column], data: memoryview, chunk: int) -> int:
    """All rows of a data file in memory, in the pieces that inflating gives."""
    core = _native.Transcoder(columns, input_size=1 << 19, bcp=True)
    step = 1 << 18
    rows = sum(feed(core, data[at : at + step], chunk) for at in range(0, len(data), step))
    core.finish()
    core.run(0, 1 << 40, chunk)
    return rows + core.rows


def inflated(path: str, library: Any) -> None:
    """Inflate a package's data files by a library, their checksums included."""
    before, inflating._zlib = inflating._zlib, library
    try:
        for file in open_package(path).files:
            if file.member is not None:
                for _ in inflating.inflate(path, file.member):
                    pass
    finally:
        inflating._zlib = before


def read(path: str, columns: list[Column], chunk: int) -> int:
    """A package's data files through the inflating thread and the transcoder; the rows."""
    package = open_package(path)
    members = [(number, file.member) for number, file in enumerate(package.files) if file.member is not None]
    core = _native.Transcoder(columns, input_size=1 << 19, bcp=True)
    rows = 0
    for _, piece in inflating.Inflater(path, members):
        if piece is not None:
            rows += feed(core, piece, chunk)
    return rows + core.rows


def best(repeats: int, work: Callable[[], object]) -> float:
    """Least seconds of CPU, of all threads."""
    seconds = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--chunk", type=int, default=1 << 24, help="bytes of COPY data a chunk")
    arguments = parser.parse_args()
    repeats, chunk = arguments.repeats, arguments.chunk
    for name, count in (("narrow", 1_000_000), ("medium", 200_000), ("wide", 40_000)):
        columns, data = globals()[name](random.Random(1), count)
        tds_columns, stream = getattr(kernel, name)(random.Random(1), count)
        raw = memoryview(kernel.packets(stream))
        if transcode(columns, memoryview(data), chunk) != count:
            raise SystemExit(f"{name}: not {count} rows")
        tds = best(repeats, lambda: kernel.transcode(tds_columns, raw, 1 << 18, chunk))  # noqa: B023
        bcp = best(repeats, lambda: transcode(columns, memoryview(data), chunk))  # noqa: B023
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "x.bacpac")
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("model.xml", "<a/>")
                archive.writestr("Data/dbo.T/TableData-000-00000.BCP", data)
            packed = path.stat().st_size
            slow = best(repeats, lambda: inflated(str(path), zlib))  # noqa: B023
            fast = best(repeats, lambda: inflated(str(path), isal_zlib))  # noqa: B023
            whole = best(repeats, lambda: read(str(path), columns, chunk))  # noqa: B023
        each = 1e6 / count
        print(
            f"{name:7} us/row: TDS {tds * each:.3f}  BCP {bcp * each:.3f} ({bcp / tds:.0%})  "
            f"inflating zlib {slow * each:.3f}, ISA-L {fast * each:.3f}  reader {whole * each:.3f}  "
            f"({len(data) / count:.0f} bytes a row, {packed / len(data):.0%} packed)"
        )


if __name__ == "__main__":
    main()
