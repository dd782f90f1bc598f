"""Writes codepages.h: the upper halves of the single-byte code pages that SQL Server's collations use.

Run ``python generate_codepages.py > codepages.h``. The tables are those of Python's codecs. Bytes 0x80-0x9F that a
Windows code page leaves free stand for the C1 control of the same number, as Windows and SQL Server convert them;
other free bytes are 0xFFFF: the transcoder refuses them rather than guess.
"""

from __future__ import annotations

CODE_PAGES = (437, 850, 874, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258)
UNMAPPED = 0xFFFF


def upper_half(page: int) -> list[int]:
    """The code units of bytes 0x80-0xFF of a code page."""
    units = []
    for byte in range(0x80, 0x100):
        try:
            units.append(ord(bytes((byte,)).decode(f"cp{page}")))
        except UnicodeDecodeError:
            units.append(byte if byte < 0xA0 else UNMAPPED)
    return units


def render() -> str:
    """The text of codepages.h."""
    lines = [
        "/* Written by generate_codepages.py from Python's codecs; 0xFFFF: no character. */",
        "#include <stdint.h>",
        "",
    ]
    for page in CODE_PAGES:
        lines.append(f"static const uint16_t cp{page}[128] = {{")
        units = upper_half(page)
        lines.extend(
            "    " + " ".join(f"0x{unit:04X}," for unit in units[start : start + 16]) for start in range(0, 128, 16)
        )
        lines += ["};", ""]
    lines += [
        "static const struct {",
        "    unsigned number;",
        "    const uint16_t *units;",
        "} code_pages[] = {",
        *(f"    {{{page}, cp{page}}}," for page in CODE_PAGES),
        "};",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")
