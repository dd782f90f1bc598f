"""What the transcoder found wrong, in words: ends of sentences that begin with a column's name."""

from __future__ import annotations

from .. import _kernel


def stream_reason(code: int, detail: int) -> str:
    """Why bytes are not what their columns tell."""
    native = _kernel.native()
    return {
        native.F_PACKET_TYPE: f"is in a packet that is no answer (type 0x{detail:02X})",
        native.F_PACKET_LENGTH: f"is in a packet whose length cannot be ({detail} bytes)",
        native.F_TRUNCATED: "is cut short",
        native.F_LENGTH: f"has a length that its type does not have ({detail})",
        native.F_VALUE: "has a value outside its type's range",
        native.F_PLP_TOTAL: "arrives with another length than was announced for it",
        native.F_ODD_TEXT: f"holds half a character ({detail} bytes)",
        native.F_TOKEN_SIZE: f"is followed by something of an impossible size ({detail} bytes)",
        native.F_NULL: "is NULL, which it may not be",
    }.get(code, f"cannot be followed (fault {code}, detail {detail})")


def data_reason(code: int, detail: int, *, correct: str = "Correct the value in the source.") -> tuple[str, str]:
    """What a value holds that PostgreSQL cannot, and what to do about it."""
    native = _kernel.native()
    if code == native.F_NUL:
        return (
            "holds the character U+0000, which PostgreSQL text cannot hold",
            "Set on_nul: strip to remove it, or correct the value in the source.",
        )
    if code == native.F_SURROGATE:
        return f"holds a lone surrogate (U+{detail:04X}), which is not text in UTF-8", correct
    if code == native.F_UTF8:
        return f"holds bytes that are not UTF-8 (0x{detail:02X})", correct
    return "is too long: PostgreSQL holds less than 1 GB in a value", correct
