"""Types of the compiled transcoder."""

from collections.abc import Sequence
from typing import final

from typing_extensions import Buffer

INPUT: int
CHUNK: int
TOKEN: int
END: int
DATA: int
MALFORMED: int
F_PACKET_TYPE: int
F_PACKET_LENGTH: int
F_TRUNCATED: int
F_LENGTH: int
F_VALUE: int
F_PLP_TOTAL: int
F_ODD_TEXT: int
F_TOKEN_SIZE: int
F_NUL: int
F_SURROGATE: int
F_UTF8: int
F_UNMAPPED: int
F_TOO_LARGE: int
F_NULL: int

@final
class Transcoder(Buffer):
    rows: int
    size: int
    def __new__(
        cls,
        columns: Sequence[tuple[int, int, int, int, int, int, int]],
        *,
        strip_nul: bool = ...,
        input_size: int = ...,
        bcp: bool = ...,
    ) -> Transcoder: ...
    def start(self, payload: bytes | bytearray | memoryview, last: bool, /) -> None: ...
    def run(self, received: int, max_rows: int, max_bytes: int, /) -> int: ...
    def take(self) -> tuple[memoryview, int] | None: ...
    def token(self) -> bytes: ...
    def skip(self, size: int, /) -> None: ...
    def extend(self, received: int, /) -> int: ...
    def discard(self, received: int, keep: int, /) -> int: ...
    def again(self) -> None: ...
    def finish(self) -> None: ...
    def marks(self) -> list[tuple[int, int]]: ...
    def keys(self) -> tuple[bytes | None, ...]: ...
    def fault(self) -> tuple[int, int, int]: ...
