"""The built-in functions of T-SQL as DuckDB SQL: text, numbers, NULL, hashes. Other families have their own modules."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable

from ..errors import SqlError, Unsupported
from ..tsql import nodes as n
from ..values import sqltypes as st
from ..values import text
from ..values.convert import collation_of, convert
from ..values.guids import guid_to_storage
from ..values.sqltypes import SqlType
from . import aggregates, characters, functions_time, tracked
from . import functions_catalog as metadata
from .casts import NULL, Ex, cast, common_type, constant, marked
from .characters import as_text, by_character, like_type
from .context import Compiling
from .scope import Scope

Handler = Callable[["Compiling", list[Ex]], Ex]


def call(compiler: Compiling, expr: n.Call, scope: Scope) -> Ex:
    """A function call.

    Raises:
        Unsupported: the sandbox does not have the function.
        SqlError: its arguments do not fit.
    """
    name = expr.name
    if name in aggregates.NAMES or expr.window is not None:
        return aggregates.call(compiler, expr, scope)
    if name in functions_time.NAMES:
        return functions_time.call(compiler, expr, scope)
    if name in ("IIF", "CHOOSE", "NULLIF"):
        return _conditional(compiler, expr, scope)
    arguments = [compiler.value(item, scope) for item in expr.arguments]
    if name in metadata.NAMES:
        return metadata.call(compiler, name, arguments)
    if len(expr.parts) > 1:
        raise Unsupported(f"the user-defined function {'.'.join(expr.parts)}")
    handler = _HANDLERS.get(name)
    if handler is None:
        raise Unsupported(f"the function {name}")
    minimum = _MINIMUM_ARGUMENTS.get(name, 1)
    if len(arguments) < minimum:
        raise SqlError(174, f"The {name.lower()} function requires {minimum} argument(s).")
    return handler(compiler, arguments)


def _conditional(compiler: Compiling, expr: n.Call, scope: Scope) -> Ex:
    arguments = expr.arguments
    if expr.name == "IIF":
        return compiler.value(n.Case(None, ((arguments[0], arguments[1]),), arguments[2]), scope)
    if expr.name == "NULLIF":
        left, right = (compiler.value(item, scope) for item in arguments)
        if left.type is None:
            return NULL
        return Ex(f"(CASE WHEN {compiler.compare('=', left, right)} THEN NULL ELSE {left.sql} END)", left.type)
    branches = tuple((n.Literal(i, st.INT), item) for i, item in enumerate(arguments[1:], 1))
    return compiler.value(n.Case(arguments[0], branches, None), scope)


# --- NULL ------------------------------------------------------------------------------------------------------


def _isnull(_compiler: Compiling, a: list[Ex]) -> Ex:
    kind = a[0].type or a[1].type
    if kind is None:
        return NULL
    if a[0].is_const:
        return cast(a[1], kind) if a[0].const is None else a[0]
    second = cast(a[1], kind)
    return Ex(f"coalesce({cast(a[0], kind).sql}, {second.sql})", kind, second.nullable)


def _coalesce(_compiler: Compiling, a: list[Ex]) -> Ex:
    kind = common_type([item.type for item in a])
    if kind is None:
        raise SqlError(4127, "At least one of the arguments to COALESCE must be an expression that is not NULL.")
    parts = ", ".join(cast(item, kind).sql for item in a)
    return Ex(f"coalesce({parts})", kind, all(item.nullable for item in a))


# --- text ------------------------------------------------------------------------------------------------------


def _int(ex: Ex) -> str:
    return cast(ex, st.BIGINT).sql


def _cased(template: str, turkic: str) -> Handler:
    def handler(compiler: Compiling, a: list[Ex]) -> Ex:
        source = as_text(a[0])
        collation = (a[0].type.collation if a[0].type else None) or compiler.database.collation
        form = turkic if st.is_turkic(collation) else template
        return Ex(form.format(source.sql), like_type(a[0]), a[0].nullable)

    return handler


def _len(_compiler: Compiling, a: list[Ex]) -> Ex:
    kind = a[0].type
    if kind is not None and kind.name in st.BINARY:
        return Ex(f"CAST(octet_length({a[0].sql}) AS INTEGER)", st.INT)
    result = st.BIGINT if kind is not None and kind.is_max else st.INT
    count = "length" if by_character(a[0]) else "units"
    return Ex(f"CAST({count}(rtrim({as_text(a[0]).sql}, ' ')) AS {result.storage})", result, a[0].nullable)


def _whole_pairs(ex: Ex, function: str) -> None:
    if by_character(ex):
        raise Unsupported(f"{function} under a collation with supplementary characters")


def _datalength(_compiler: Compiling, a: list[Ex]) -> Ex:
    kind = a[0].type
    if kind is None:
        return constant(None, st.INT)
    result = st.BIGINT if kind.is_max else st.INT
    if kind.name in st.UNICODE:
        sql = f"2 * units({a[0].sql})"
    elif kind.name in st.TEXTUAL:
        collation = collation_of(kind).hex()
        sql = f"char_bytes({a[0].sql}, '{collation}')"
    elif kind.storage == "BLOB" and kind.name not in ("uniqueidentifier", "sql_variant"):
        sql = f"octet_length({a[0].sql})"
    elif kind.name == "sql_variant":
        sql = f"variant_length({a[0].sql})"
    else:
        sql = f"CASE WHEN {a[0].sql} IS NULL THEN NULL ELSE {kind.length or kind.system.max_length} END"
    return Ex(f"CAST({sql} AS {result.storage})", result, a[0].nullable)


def _substring(_compiler: Compiling, a: list[Ex]) -> Ex:
    kind = a[0].type
    start, length = _int(a[1]), _int(a[2])
    if kind is not None and kind.name in st.BINARY:
        source = cast(a[0], st.VARBINARY_MAX).sql
        return Ex(f"blob_cut({source}, {start}, {length})", st.make("varbinary", kind.length or -1))
    if by_character(a[0]):
        source = as_text(a[0]).sql
        cut = f"substr({source}, greatest({start}, 1), greatest({start} + {length} - greatest({start}, 1), 0))"
        return Ex(cut, like_type(a[0]), a[0].nullable)
    size = a[2].const if a[2].is_const and isinstance(a[2].const, int) and a[2].const > 0 else None
    if size is not None and kind is not None and kind.name in st.TEXTUAL and 0 < kind.chars < size:
        size = kind.chars
    return Ex(f"text_cut({as_text(a[0]).sql}, {start}, {length})", like_type(a[0], size))


def _left(_compiler: Compiling, a: list[Ex]) -> Ex:
    if by_character(a[0]):
        return Ex(f"substr({as_text(a[0]).sql}, 1, {_int(a[1])})", like_type(a[0]))
    return Ex(f"text_cut({as_text(a[0]).sql}, 1, {_int(a[1])})", like_type(a[0]))


def _right(_compiler: Compiling, a: list[Ex]) -> Ex:
    source, count = as_text(a[0]).sql, _int(a[1])
    if by_character(a[0]):
        return Ex(f"substr({source}, greatest(length({source}) - {count} + 1, 1))", like_type(a[0]))
    return Ex(f"text_cut({source}, greatest(units({source}) - {count} + 1, 1), {count})", like_type(a[0]))


def _trim(function: str) -> Handler:
    def handler(_compiler: Compiling, a: list[Ex]) -> Ex:
        characters = as_text(a[1]).sql if len(a) > 1 else "' '"
        return Ex(f"{function}({as_text(a[0]).sql}, {characters})", like_type(a[0]), a[0].nullable)

    return handler


def _replace(compiler: Compiling, a: list[Ex]) -> Ex:
    source, old, new = (as_text(item).sql for item in a)
    collation = a[0].type.collation if a[0].type else None
    ignore = compiler.text_key("", collation).startswith("ci")
    if ignore and st.is_turkic(collation):
        raise Unsupported("REPLACE under a Turkish collation that ignores case")
    function = "replace_ci" if ignore else "replace"
    return Ex(f"{function}({source}, {old}, {new})", like_type(a[0], -1 if a[0].type and a[0].type.is_max else 8000))


def _replicate(_compiler: Compiling, a: list[Ex]) -> Ex:
    count = a[1].const if a[1].is_const else None
    kind = like_type(a[0])
    if kind.chars > 0:
        limit = 4000 if kind.name == "nvarchar" else 8000
        size = min(kind.chars * count, limit) if isinstance(count, int) and count > 0 else limit
        kind = like_type(a[0], max(size, 1))
    if a[0].is_const and a[1].is_const:
        if a[0].const is None or a[1].const is None or a[1].const < 0:
            return constant(None, kind)
        whole = str(convert(a[0].const, a[0].type or kind, st.NVARCHAR_MAX)) * int(a[1].const)
        return constant(convert(whole, st.NVARCHAR_MAX, kind), kind)
    times = _int(a[1])
    repeated = f"CASE WHEN {times} >= 0 THEN repeat({as_text(a[0]).sql}, {times}) END"  # negative: NULL ("REPLICATE")
    return cast(Ex(repeated, st.NVARCHAR_MAX), kind)


def _space(_compiler: Compiling, a: list[Ex]) -> Ex:
    return Ex(f"repeat(' ', {_int(a[0])})", st.make("varchar", 8000))


def _charindex(compiler: Compiling, a: list[Ex]) -> Ex:
    collation = a[1].type.collation if a[1].type else None
    lower = "lower" if compiler.text_key("", collation).startswith("ci") else ""
    if lower and st.is_turkic(collation):
        raise Unsupported("CHARINDEX under a Turkish collation that ignores case")
    needle, hay = f"{lower}({as_text(a[0]).sql})", f"{lower}({as_text(a[1]).sql})"
    start = f"greatest({_int(a[2])}, 1)" if len(a) > 2 else "1"
    found = f"strpos(substr({hay}, {start}), {needle})"
    sql = f"CASE WHEN {found} = 0 THEN 0 ELSE {found} + {start} - 1 END"
    if not by_character(a[1]):
        sql = f"CASE WHEN units({hay}) = length({hay}) THEN {sql} ELSE char_index({needle}, {hay}, {start}) END"
    return Ex(f"CAST({sql} AS INTEGER)", st.INT)


def _patindex(_compiler: Compiling, a: list[Ex]) -> Ex:
    _whole_pairs(a[1], "PATINDEX")
    return Ex(f"CAST(patindex({as_text(a[0]).sql}, {as_text(a[1]).sql}) AS INTEGER)", st.INT)


def _stuff(_compiler: Compiling, a: list[Ex]) -> Ex:
    _whole_pairs(a[0], "STUFF")
    source, start, length, new = as_text(a[0]).sql, _int(a[1]), _int(a[2]), as_text(a[3]).sql
    head, tail = f"text_cut({source}, 1, {start} - 1)", f"text_cut({source}, {start} + {length}, 1 << 30)"
    # "STUFF": NULL where it would begin outside of the text, or a negative number of characters goes.
    within = f"{start} BETWEEN 1 AND units({source}) AND {length} >= 0"
    return Ex(f"CASE WHEN {within} THEN {head} || coalesce({new}, '') || {tail} END", like_type(a[0], -1))


def _concat(_compiler: Compiling, a: list[Ex]) -> Ex:
    national = any(item.type is not None and item.type.name in st.UNICODE for item in a)
    parts = " || ".join(f"coalesce({as_text(item).sql}, '')" for item in a if item.type is not None) or "''"
    unlimited = any(item.type is not None and item.type.is_max for item in a)
    size = -1 if unlimited else (4000 if national else 8000)
    return Ex(f"({parts})", st.make("nvarchar" if national else "varchar", size), False)


def _concat_ws(_compiler: Compiling, a: list[Ex]) -> Ex:
    parts = ", ".join(as_text(item).sql for item in a)
    return Ex(f"concat_ws({parts})", st.make("nvarchar", 4000), False)


def _quotename(_compiler: Compiling, a: list[Ex]) -> Ex:
    mark = a[1].const if len(a) > 1 and a[1].is_const else "["
    pair = {"[": "[]", "]": "[]", '"': '""', "'": "''", "(": "()"}.get(mark, "[]")
    first, last = pair[0], pair[1]
    source = as_text(a[0]).sql
    first_sql, last_sql = text.literal(first), text.literal(last)
    doubled = text.literal(last * 2)
    return Ex(f"({first_sql} || replace({source}, {last_sql}, {doubled}) || {last_sql})", st.make("nvarchar", 258))


def _str(_compiler: Compiling, a: list[Ex]) -> Ex:
    length = a[1].const if len(a) > 1 else 10
    decimals = a[2].const if len(a) > 2 else 0
    sql = f"lpad(printf('%.{decimals}f', {cast(a[0], st.FLOAT).sql}), {length}, ' ')"
    return Ex(sql, st.make("varchar", length or 10))


# --- numbers ---------------------------------------------------------------------------------------------------


def _keep(function: str) -> Handler:
    def handler(_compiler: Compiling, a: list[Ex]) -> Ex:
        kind = a[0].type or st.INT
        if kind.name not in st.NUMBERS:
            kind = st.FLOAT
        source = cast(a[0], kind)
        if function in ("ceil", "floor") and kind.name in st.DECIMALS:
            result = st.make(kind.name, kind.precision, 0)
            return Ex(f"CAST({function}({source.sql}) AS {result.storage})", result, a[0].nullable)
        return Ex(f"CAST({function}({source.sql}) AS {kind.storage})", kind, a[0].nullable)

    return handler


def _real(function: str) -> Handler:
    def handler(_compiler: Compiling, a: list[Ex]) -> Ex:
        arguments = ", ".join(cast(item, st.FLOAT).sql for item in a)
        return Ex(f"{function}({arguments})", st.FLOAT)

    return handler


def _round(_compiler: Compiling, a: list[Ex]) -> Ex:
    kind = a[0].type or st.INT
    truncate = len(a) > 2 and a[2].const not in (0, None)
    if not a[1].is_const:
        raise Unsupported("ROUND to a number of decimals that is not a constant")
    function = "trunc" if truncate else "round"
    if kind.name in st.FLOATS or kind.name not in st.NUMBERS:
        source = cast(a[0], st.FLOAT).sql
        scale = f"1e{a[1].const}::DOUBLE"
        return Ex(f"(trunc({source} * {scale}) / {scale})" if truncate else f"round({source}, {a[1].const})", st.FLOAT)
    source = cast(a[0], kind).sql
    if truncate:
        power = f"CAST(1e{abs(a[1].const)} AS DOUBLE)"
        sql = f"trunc({source} * {power}) / {power}" if a[1].const >= 0 else f"trunc({source} / {power}) * {power}"
    else:
        sql = f"{function}({source}, {a[1].const})"
    return Ex(f"CAST({sql} AS {kind.storage})", kind, a[0].nullable)


def _power(_compiler: Compiling, a: list[Ex]) -> Ex:
    kind = a[0].type or st.INT
    sql = f"pow({cast(a[0], st.FLOAT).sql}, {cast(a[1], st.FLOAT).sql})"
    return Ex(f"CAST({sql} AS {kind.storage})" if kind.name in st.NUMBERS else sql, kind)


def _isnumeric(_compiler: Compiling, a: list[Ex]) -> Ex:
    converted = cast(a[0], st.make("money"), trying=True)
    return Ex(f"CAST(({converted.sql}) IS NOT NULL AS INTEGER)", st.INT, False)


# --- hashes and identifiers ------------------------------------------------------------------------------------


def _hashbytes(_compiler: Compiling, a: list[Ex]) -> Ex:
    algorithm = str(a[0].const).upper() if a[0].is_const else ""
    kind = a[1].type
    if kind is not None and kind.name not in st.CHARACTER and kind.name not in st.BINARY:
        raise SqlError(8116, f"Argument data type {kind.name} is invalid for argument 2 of hashbytes function.")
    data = cast(a[1], st.VARBINARY_MAX).sql
    functions = {"MD5": "md5", "SHA": "sha1", "SHA1": "sha1", "SHA2_256": "sha256"}
    if algorithm in functions:
        return Ex(f"unhex({functions[algorithm]}({data}))", st.make("varbinary", 8000))
    if algorithm == "SHA2_512":
        return Ex(f"sha512({data})", st.make("varbinary", 8000))
    return constant(None, st.make("varbinary", 8000))


def _checksum(compiler: Compiling, a: list[Ex]) -> Ex:
    """CHECKSUM(NEWID()), a number at random. Microsoft does not say how values are hashed, so others are refused."""
    if any("uuid()" not in item.sql for item in a):
        raise Unsupported("CHECKSUM of anything but NEWID(): how SQL Server computes it is not documented")
    parts = ", ".join(compiler.key(item) for item in a)
    return Ex(f"CAST(CAST(hash({parts}) % 4294967296 AS BIGINT) - 2147483648 AS INTEGER)", st.INT, False)


def _newid(_compiler: Compiling, _a: list[Ex]) -> Ex:
    kind = st.make("uniqueidentifier")
    return Ex("guid_of(replace(CAST(uuid() AS VARCHAR), '-', ''))", kind, False)


def _rand(_compiler: Compiling, _a: list[Ex]) -> Ex:
    return Ex("random()", st.FLOAT, False)


def _json(function: str, kind: SqlType) -> Handler:
    def handler(_compiler: Compiling, a: list[Ex]) -> Ex:
        result = st.with_collation(kind, a[0].type.collation if a[0].type else None)
        path = as_text(a[1]).sql if len(a) > 1 else "'$'"
        return Ex(f"{function}({as_text(a[0]).sql}, {path})", result)

    return handler


def json_function(function: Callable[[str, str], str | None]) -> Callable[[str | None, str | None], str | None]:
    """JSON_VALUE or JSON_QUERY of texts in their storage form."""

    def stored(document: str | None, path: str | None) -> str | None:
        if document is None or path is None:
            return None
        try:
            found = function(text.from_storage(document), text.from_storage(path))
        except SqlError as error:
            raise marked(error) from None
        return None if found is None else text.to_storage(found)

    return stored


def _is_json(_compiler: Compiling, a: list[Ex]) -> Ex:
    return Ex(f"CAST(text_is_json({as_text(a[0]).sql}) AS INTEGER)", st.INT, a[0].nullable)


def _current_version(compiler: Compiling, _a: list[Ex]) -> Ex:
    sql = tracked.current_version(compiler.database)
    return constant(None, st.BIGINT) if sql is None else Ex(sql, st.BIGINT)


def new_guid() -> bytes:
    """A fresh uniqueidentifier in its storage form."""
    return guid_to_storage(uuid.uuid4().bytes_le)


_HANDLERS: dict[str, Handler] = {
    "ISNULL": _isnull,
    "COALESCE": _coalesce,
    "LEN": _len,
    "DATALENGTH": _datalength,
    "SUBSTRING": _substring,
    "LEFT": _left,
    "RIGHT": _right,
    "UPPER": _cased("upper({0})", st.TURKIC_UPPER),
    "LOWER": _cased("lower({0})", st.TURKIC_LOWER),
    "REVERSE": characters.reverse,
    "LTRIM": _trim("ltrim"),
    "RTRIM": _trim("rtrim"),
    "TRIM": _trim("trim"),
    "REPLACE": _replace,
    "REPLICATE": _replicate,
    "SPACE": _space,
    "CHARINDEX": _charindex,
    "PATINDEX": _patindex,
    "STUFF": _stuff,
    "CHAR": characters.char,
    "NCHAR": characters.nchar,
    "ASCII": characters.ascii,
    "UNICODE": characters.unicode,
    "CONCAT": _concat,
    "CONCAT_WS": _concat_ws,
    "QUOTENAME": _quotename,
    "STR": _str,
    "ABS": _keep("abs"),
    "SIGN": _keep("sign"),
    "CEILING": _keep("ceil"),
    "FLOOR": _keep("floor"),
    "ROUND": _round,
    "POWER": _power,
    "SQRT": _real("sqrt"),
    "EXP": _real("exp"),
    "LOG": _real("ln"),
    "LOG10": _real("log10"),
    "SIN": _real("sin"),
    "COS": _real("cos"),
    "TAN": _real("tan"),
    "ATAN": _real("atan"),
    "RADIANS": _real("radians"),
    "DEGREES": _real("degrees"),
    "PI": lambda _c, _a: Ex("pi()", st.FLOAT, False),
    "RAND": _rand,
    "ISNUMERIC": _isnumeric,
    "HASHBYTES": _hashbytes,
    "CHECKSUM": _checksum,
    "BINARY_CHECKSUM": _checksum,
    "NEWID": _newid,
    "NEWSEQUENTIALID": _newid,
    "JSON_VALUE": _json("text_json_value", st.make("nvarchar", 4000)),
    "JSON_QUERY": _json("text_json_query", st.NVARCHAR_MAX),
    "ISJSON": _is_json,
    "CHANGE_TRACKING_CURRENT_VERSION": _current_version,
}
_MINIMUM_ARGUMENTS = {
    "PI": 0,
    "RAND": 0,
    "NEWID": 0,
    "NEWSEQUENTIALID": 0,
    "CHANGE_TRACKING_CURRENT_VERSION": 0,
    "ISNULL": 2,
    "SUBSTRING": 3,
    "LEFT": 2,
    "RIGHT": 2,
    "REPLACE": 3,
    "REPLICATE": 2,
    "CHARINDEX": 2,
    "PATINDEX": 2,
    "STUFF": 4,
    "ROUND": 2,
    "POWER": 2,
    "HASHBYTES": 2,
    "JSON_VALUE": 2,
}


def sha512(data: bytes) -> bytes:
    """SHA-512, which DuckDB does not have."""
    return hashlib.sha512(data).digest()
