"""Characters of text and their numbers: units of UTF-16, code pages, collations with supplementary characters."""

from __future__ import annotations

from mssql_pg_migrate.tds.collations import Collation, decode_char, encode_char

from ..errors import Unsupported
from ..values import sqltypes as st
from ..values import text
from ..values.convert import collation_of
from ..values.sqltypes import SqlType
from .casts import Ex, cast, constant, marked
from .context import Compiling


def by_character(ex: Ex) -> bool:
    """Whether a surrogate pair is one character for text functions: by the collation of national text."""
    return ex.type is not None and ex.type.name in st.UNICODE and st.is_supplementary(ex.type.collation)


def as_text(ex: Ex) -> Ex:
    """Any value as text: national stays national."""
    if ex.type is not None and ex.type.name in st.TEXTUAL:
        name = "nvarchar" if ex.type.name in st.UNICODE else "varchar"
        return cast(ex, st.make(name, -1, collation=ex.type.collation))
    return cast(ex, st.VARCHAR_MAX)


def like_type(ex: Ex, chars: int | None = None) -> SqlType:
    """The varying text type of an argument, with another length if given."""
    kind = ex.type or st.VARCHAR_MAX
    name = "nvarchar" if kind.name in st.UNICODE else "varchar"
    if kind.name not in st.TEXTUAL:
        return st.make("varchar", 8000)
    size = kind.chars if chars is None else chars
    limit = 4000 if name == "nvarchar" else 8000
    return st.make(name, -1 if size < 0 or size > limit else max(size, 1), collation=kind.collation)


def char(compiler: Compiling, a: list[Ex]) -> Ex:
    """CHAR."""
    kind = st.make("char", 1, collation=compiler.database.collation)
    code, collation = cast(a[0], st.BIGINT), collation_of(kind).hex()
    if code.is_const:
        return constant(None if code.const is None else char_of(code.const, collation), kind)
    return Ex(f"char_of({code.sql}, '{collation}')", kind)


def char_of(code: int | None, collation: str) -> str | None:
    """CHAR: the character of a byte in the code page of the database ("CHAR").

    Raises:
        Unsupported: the code page has characters of several bytes, and this is no ASCII.
    """
    if code is None or not 0 <= code <= 255:
        return None
    page = bytes.fromhex(collation)
    if code >= 0x80 and Collation.decode(page).code_page in (932, 936, 949, 950, 65001):
        raise marked(Unsupported("CHAR beyond ASCII in a code page with characters of several bytes"))
    return decode_char(bytes((code,)), page)


def nchar(compiler: Compiling, a: list[Ex]) -> Ex:
    """NCHAR."""
    supplementary = st.is_supplementary(compiler.database.collation)
    kind = st.make("nvarchar", 2) if supplementary else st.make("nchar", 1)
    code = cast(a[0], st.BIGINT)
    if code.is_const:
        stored = nchar_of(code.const, supplementary)
        return constant(None if stored is None else text.from_storage(stored), kind)
    return Ex(f"nchar_of({code.sql}, {'true' if supplementary else 'false'})", kind)


def nchar_of(code: int | None, supplementary: bool) -> str | None:
    """NCHAR in its storage form: units of UTF-16; all of Unicode where the database's collation has _SC ("NCHAR")."""
    limit = 0x10FFFF if supplementary else 0xFFFF
    if code is None or not 0 <= code <= limit:
        return None
    return text.to_storage(chr(code))


def ascii(_compiler: Compiling, a: list[Ex]) -> Ex:
    """ASCII."""
    kind = a[0].type or st.VARCHAR_MAX
    plain = st.make("varchar", -1, collation=kind.collation)
    return Ex(f"code_of({cast(a[0], plain).sql}, '{collation_of(plain).hex()}')", st.INT)


def code_of(value: str | None, collation: str) -> int | None:
    """ASCII: the first byte of a text in its code page."""
    data = encode_char(text.from_storage(value), bytes.fromhex(collation)) if value else b""
    return data[0] if data else None


def unicode(compiler: Compiling, a: list[Ex]) -> Ex:
    """UNICODE."""
    flag = "true" if st.is_supplementary(compiler.database.collation) else "false"
    return Ex(f"unicode_of({as_text(a[0]).sql}, {flag})", st.INT)


def unicode_of(value: str | None, supplementary: bool) -> int | None:
    """UNICODE: the first unit of UTF-16, or the first character where the database's collation has _SC ("UNICODE")."""
    if not value:
        return None
    first = ord(text.from_storage(value[:2])[0])
    return first if supplementary or first < 0x10000 else 0xD800 + (first - 0x10000 >> 10)


def char_index(needle: str, hay: str, start: int) -> int:
    """CHARINDEX by units of UTF-16."""
    whole = text.from_storage(hay).encode("utf-16-le", "surrogatepass")
    part = text.from_storage(needle).encode("utf-16-le", "surrogatepass")
    found = whole.find(part, (start - 1) * 2)
    while found > 0 and found % 2:  # inside a unit
        found = whole.find(part, found + 1)
    return found // 2 + 1


def reverse(_compiler: Compiling, a: list[Ex]) -> Ex:
    """REVERSE."""
    source = as_text(a[0]).sql
    if by_character(a[0]):
        return Ex(f"reverse_units({source})", like_type(a[0]), a[0].nullable)
    return Ex(f"reverse_units(in_units({source}))", like_type(a[0]), a[0].nullable)


def reverse_units(value: str) -> str:
    """REVERSE of a text in its storage form; pairs that were split come together again only in their order."""
    return text.to_storage(text.from_storage(value[::-1]))
