"""A package as a source, behind the same interface as a server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from ... import _kernel
from ...errors import ConfigError, MigrationError, TransferError, TransientError
from ...mapping.objects import MappedTable
from ...model import Catalog, KeyRange, Table
from ..changes import ChangeFacts, ChangeSession
from ..reader import Chunk, CopyFormat, OnNul, Reader, ReadLimits, ReadRequest
from ..settings import PackageSettings
from ..source import ChosenReader, Collision, Obstacle, SourceHealth, SourceLook, SourceTable, UseReader
from .catalog import Contents, catalog_of, read_contents
from .collisions import key_collision
from .columns import stored_columns
from .counting import count_rows
from .positions import plan_ranges
from .rows import NAME, BcpReader, members_of

_PROBLEMS = 20
_SAMPLED_FILES = 5
_SAMPLE_BYTES = 2 << 20


class PackageSource:
    """See `source.Source`. Sessions and readers share one reading of the package's directory and model."""

    def __init__(self, settings: PackageSettings) -> None:
        self._settings = settings

    @property
    def label(self) -> str:
        """The file."""
        return self._settings.label

    @property
    def readers(self) -> str:
        """Which reader will carry the rows, in words."""
        return f"{NAME}: the package's data files"

    @property
    def fastest_reader(self) -> str:
        """The one there is."""
        return NAME

    @property
    def likely_reader(self) -> str | None:
        """A file is soon opened."""
        return None

    @property
    def holds_rows(self) -> bool:
        """Not where only the schema is wanted."""
        return not self._settings.schema_only

    def discrepancy(self, rows: Mapping[str, int]) -> str | None:
        """Whether as many rows were read as Origin.xml tells of, where those of all tables were."""
        contents = read_contents(self._settings.path)
        told = contents.package.origin.rows
        if told is None or any(table.full_name not in rows for table in contents.catalog.tables):
            return None
        read = sum(rows.values())
        if read == told:
            return None
        return f"{contents.package.name} held {read:,} rows, and its Origin.xml tells of {told:,}: it is not complete"

    def connect(self) -> PackageSession:
        """Read the package's directory and model. Raises IoError, SchemaError, ConfigError."""
        _require_kernel()
        return PackageSession(self._settings)

    def open_reader(self, name: str) -> Reader:
        """A new reader; the name is always the same. Raises ConfigError."""
        del name
        _require_kernel()
        return BcpReader(lambda: read_contents(self._settings.path))

    def choose_reader(
        self,
        table: MappedTable,
        name: str,
        use: UseReader,
        *,
        copy_format: CopyFormat,
        on_nul: OnNul,
        purpose: Literal["transfer", "comparison"],
    ) -> ChosenReader:
        """The one there is. Raises ConfigError: text COPY is asked for."""
        del table, name, use, on_nul, purpose
        if copy_format == "text":
            raise ConfigError("use_binary_copy is off: a package is read as binary COPY only", hint="leave it on")
        return ChosenReader(NAME)

    def open_changes(self, name: str, *, one_moment: bool, limits: ReadLimits) -> ChangeSession:
        """There are none: raises ConfigError."""
        del name, one_moment, limits
        raise _unchanging()

    def other_reader(self, name: str, reason: str) -> ChosenReader:
        """There is no other: raises ConfigError."""
        raise ConfigError(f"table {name}: {reason}")


def _unchanging() -> ConfigError:
    return ConfigError("a package does not change: there is nothing for sync to follow", hint="sync from the server")


def _require_kernel() -> None:
    reason = _kernel.unavailable()
    if reason is not None:
        raise ConfigError(f"a package cannot be read: {reason}", hint="install a wheel, or with a C compiler at hand")


class PackageSession:
    """See `source.SourceSession`: questions to a package."""

    def __init__(self, settings: PackageSettings) -> None:
        self.usable = True
        self._settings = settings
        self._contents = read_contents(settings.path)

    @property
    def round_trip(self) -> float | None:
        """There is no line."""
        return None

    def catalog(self, schemas: Sequence[str] | None) -> Catalog:
        """See `catalog.catalog_of`."""
        return catalog_of(self._contents, schemas)

    def look(self) -> SourceLook:
        """The tables of all schemas."""
        catalog = self._contents.catalog
        tables = (SourceTable(table.schema, table.name, table.row_estimate) for table in catalog.tables)
        return SourceLook(
            catalog.server_version, tuple(sorted(tables, key=lambda one: (one.schema, one.name.casefold())))
        )

    def health(self) -> SourceHealth:
        """Whether the package is whole: every data file is followed to its end, and the rows are counted.

        That model.xml is the one the export wrote has been seen when it was read.
        """
        contents = self._contents
        origin = contents.package.origin
        size = Path(contents.package.path).stat().st_size
        problems: list[str] = [
            f"the data file {part} belongs to no table of the model" for part in contents.data.unknown
        ]
        rows = 0
        for table in contents.catalog.tables:
            try:
                rows += self._count(contents, table)
            except MigrationError as error:
                problems.append(error.message)
        if not problems and origin.rows is not None and origin.rows != rows:
            problems.append(f"its data files hold {rows:,} rows, and Origin.xml tells of {origin.rows:,}")
        facts = {
            "file": f"{size:,} bytes, {len(contents.package.files):,} data files",
            "rows": f"{rows:,}" + ("" if origin.rows is None else f", {origin.rows:,} by Origin.xml"),
            "checksum of model.xml": "not in Origin.xml" if origin.model_checksum is None else "right",
        }
        if origin.server_version:
            facts["written by"] = origin.server_version
        version = contents.catalog.server_version
        return SourceHealth(version, None, None, facts, tuple(problems[:_PROBLEMS]))

    def obstacles(self, tables: Iterable[Table]) -> tuple[Obstacle, ...]:
        """Nothing is known beforehand: a table whose files cannot be read fails when its turn comes."""
        del tables
        return ()

    def key_collision(self, table: MappedTable, on_nul: OnNul) -> Collision | None:
        """See `collisions.key_collision`."""
        return key_collision(BcpReader(lambda: self._contents), table, on_nul, lambda: self.usable)

    def count(self, table: MappedTable) -> int:
        """The rows of the table's data files, by following all of them."""
        return self._count(self._contents, table.source)

    def _count(self, contents: Contents, table: Table) -> int:
        members = members_of(contents, table)
        columns = stored_columns(table)
        path, name = contents.package.path, table.full_name
        try:
            return sum(count_rows(path, name, member, columns, lambda: not self.usable) for member in members)
        except InterruptedError:
            raise TransientError(f"Reading {name} was cancelled.", side="source", table=name) from None

    def read_only(self) -> bool:
        """A file is never written to."""
        return True

    def prepare(self, statement: str) -> None:
        """There is nothing to be asked: raises ConfigError."""
        del statement
        raise _unchanging()

    def change_facts(self, tables: Iterable[Table]) -> ChangeFacts:
        """A file does not change: raises ConfigError."""
        del tables
        raise _unchanging()

    def resumable(self, table: MappedTable) -> bool:
        """Reading goes on after any row of a file, whatever keys the table has."""
        del table
        return True

    def plan_ranges(self, table: MappedTable, *, max_ranges: int, min_rows: int) -> list[KeyRange]:
        """See `positions.plan_ranges`. A table whose files are not all there is one range, which will say so."""
        try:
            members = members_of(self._contents, table.source)
        except TransferError:
            return [KeyRange(0, row_estimate=table.source.row_estimate)]
        return plan_ranges(members, table.source.row_estimate, max_ranges=max_ranges, min_rows=min_rows)

    def sample(self, table: MappedTable, rows: int, *, on_nul: OnNul, seconds: float) -> bytes:
        """The first rows of several of its data files."""
        if self._settings.schema_only:
            return b""
        end = time.monotonic() + seconds
        parts = self.plan_ranges(table, max_ranges=_SAMPLED_FILES, min_rows=1)
        found = bytearray()
        for part in parts:
            request = ReadRequest(
                table=table,
                range=part,
                on_nul=on_nul,
                limit=-(-rows // len(parts)),
                chunk_bytes=_SAMPLE_BYTES // len(parts),
            )
            with closing(BcpReader(lambda: self._contents).chunks(request)) as chunks:
                found += next(chunks, Chunk(b"", 0, None)).data
            if time.monotonic() >= end:
                break
        return bytes(found)

    def cancel(self) -> None:
        """End a count under way soon."""
        self.usable = False

    def close(self) -> None:
        """Nothing is held open."""
        self.usable = False
