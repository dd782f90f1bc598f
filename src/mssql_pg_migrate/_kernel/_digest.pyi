"""Types of the compiled digest."""

from typing import final

from typing_extensions import Buffer

MORE: int
END: int
STOPPED: int
FAILED: int

@final
class Digest:
    rows: int
    def __new__(cls, kinds: bytes, roles: bytes, key: bytes, bits: int, header: bool = ...) -> Digest: ...
    def update(self, data: Buffer, /) -> tuple[int, bool]: ...
    def pump(self, connection: int, get_copy_data: int, free_memory: int, max_bytes: int, /) -> int: ...
    def select(self, bitmap: Buffer, /) -> None: ...
    def take(self) -> list[bytes]: ...
    def buckets(self) -> bytes: ...
