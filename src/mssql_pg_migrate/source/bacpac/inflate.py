"""Members of the archive, inflated piece by piece: bounded memory, every claim of the directory checked.

ISA-L inflates about twice as fast as zlib (1.0 against 0.4 GB/s of one core on rows of text, 1.1 against 0.5 on
numbers, CRC-32 included); zlib takes its place where there is no wheel of it. Both release the GIL.
"""

from __future__ import annotations

import queue
import struct
import threading
import zlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import IoError, TransferError

_zlib: Any
try:
    from isal import isal_zlib as _zlib
except ImportError:  # no wheel for this platform
    _zlib = zlib

_ERRORS: tuple[type[BaseException], ...] = (zlib.error, _zlib.error)
_PIECE = 1 << 18
_READ = 1 << 17
_AHEAD = 8
_LOCAL_SIGNATURE = 0x04034B50


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the archive's directory describes it."""

    name: str
    offset: int
    """Of its local header in the file."""
    compressed: int
    size: int
    crc: int
    stored: bool


def damaged(member: Member, reason: str) -> TransferError:
    """The member is not what the archive says of it."""
    return TransferError(
        f"The package's member {member.name} is damaged: {reason}.", hint="Copy or export the package again."
    )


def inflate(path: str, member: Member) -> Generator[bytes, None, None]:
    """The member's bytes, in pieces of up to 256 KiB.

    Raises:
        TransferError: it is cut short, longer than declared, or its checksum differs (after the last piece).
        IoError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            _to_data(file, member)
            pieces = _stored(file, member) if member.stored else _deflated(file, member)
            crc = size = 0
            for piece in pieces:
                size += len(piece)
                if size > member.size:
                    raise damaged(member, f"it holds more than the {member.size} bytes it declares")
                crc = _zlib.crc32(piece, crc)
                yield piece
    except OSError as error:
        raise IoError(f"The package {path} cannot be read: {error.strerror or error}.") from None
    if size != member.size:
        raise damaged(member, f"it ends after {size} of {member.size} bytes")
    if crc != member.crc:
        raise damaged(member, "its checksum (CRC-32) differs")


def _to_data(file: BinaryIO, member: Member) -> None:
    file.seek(member.offset)
    header = file.read(30)
    if len(header) < 30 or struct.unpack_from("<I", header)[0] != _LOCAL_SIGNATURE:
        raise damaged(member, "it does not begin where the archive's directory says")
    name, extra = struct.unpack_from("<HH", header, 26)
    file.seek(name + extra, 1)


def _stored(file: BinaryIO, member: Member) -> Iterator[bytes]:
    left = member.compressed
    while left:
        piece = file.read(min(left, _PIECE))
        if not piece:
            return
        left -= len(piece)
        yield piece


def _deflated(file: BinaryIO, member: Member) -> Iterator[bytes]:
    inflater = _zlib.decompressobj(-15)
    left, rest, more = member.compressed, b"", False
    while not inflater.eof:
        # A full piece: there may be more of what was read before, inside the inflater.
        if not rest and not more:
            rest = file.read(min(left, _READ))
            if not rest:
                raise damaged(member, "its compressed data is cut short")
            left -= len(rest)
        try:
            piece = inflater.decompress(rest, _PIECE)
        except _ERRORS as error:
            raise damaged(member, f"its compressed data is not valid ({error})") from None
        rest, more = inflater.unconsumed_tail, len(piece) == _PIECE
        if piece:
            yield piece
    if left or inflater.unused_data:
        raise damaged(member, "bytes follow its compressed data")


class Inflater:
    """Members inflated ahead by a thread of its own, a few pieces at a time.

    Iterating gives ``(number of the member, piece)`` in order, and ``(number, None)`` once a member is complete and its
    checksum right. What the thread raises is raised by the iteration, after all pieces before it.
    """

    def __init__(self, path: str, members: Iterable[tuple[int, Member]]) -> None:
        self._queue: queue.Queue[tuple[int, bytes | BaseException | None]] = queue.Queue(_AHEAD)
        self._path = path
        self._members = list(members)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inflate", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = -1
        try:
            for number, member in self._members:
                for piece in inflate(self._path, member):
                    if not self._put((number, piece)):
                        return
                if not self._put((number, None)):
                    return
            self._put((-1, None))
        except BaseException as error:
            self._put((number, error))

    def _put(self, item: tuple[int, bytes | BaseException | None]) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        while True:
            try:
                number, piece = self._queue.get(timeout=0.2)
            except queue.Empty:
                if self._closed.is_set():
                    return
                continue
            if isinstance(piece, BaseException):
                raise piece
            if number < 0:
                return
            yield number, piece

    def close(self) -> None:
        """End the thread; from any thread, idempotent."""
        self._closed.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
