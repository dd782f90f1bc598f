"""Methods of geometry, geography and hierarchyid."""

from __future__ import annotations

from ..errors import Unsupported
from ..tsql import nodes as n
from ..values import clr
from ..values import sqltypes as st
from ..values.sqltypes import SqlType
from .casts import Ex, cast, constant
from .context import Compiling
from .scope import Scope

_METHODS: dict[tuple[str, str], tuple[str, SqlType]] = {
    ("", "stastext"): ("geo_text({x}, {g}, false)", st.NVARCHAR_MAX),
    ("", "astextzm"): ("geo_text({x}, {g}, true)", st.NVARCHAR_MAX),
    ("geometry", "tostring"): ("geo_text({x}, {g}, true)", st.NVARCHAR_MAX),
    ("geography", "tostring"): ("geo_text({x}, {g}, true)", st.NVARCHAR_MAX),
    ("", "stasbinary"): ("geo_binary({x}, {g})", st.VARBINARY_MAX),
    ("", "stsrid"): ("geo_srid({x})", st.INT),
    ("hierarchyid", "tostring"): ("hierarchy_text({x})", st.make("nvarchar", 4000)),
    ("hierarchyid", "getlevel"): ("hierarchy_level({x})", st.make("smallint")),
}


def method(compiler: Compiling, expr: n.Method, scope: Scope) -> Ex:
    """`x.Name(...)`.

    Raises:
        Unsupported: the sandbox does not have the method.
    """
    operand = compiler.value(expr.operand, scope)
    kind = operand.type.name if operand.type is not None else ""
    name = expr.name.lower()
    function = _METHODS.get((kind, name)) or _METHODS.get(("", name))
    if function is None or kind not in st.CLR:
        raise Unsupported(f"method {expr.name} of {kind or 'this type'}")
    sql, result = function
    geographic = "true" if kind == "geography" else "false"
    return Ex(sql.format(x=operand.sql, g=geographic), result)


def static_method(compiler: Compiling, expr: n.StaticMethod, scope: Scope) -> Ex:
    """`type::Name(...)`.

    Raises:
        Unsupported: the sandbox does not have the method.
    """
    name = expr.name.lower()
    kind = st.make(expr.type)
    arguments = [compiler.value(item, scope) for item in expr.arguments or ()]
    if expr.type == "hierarchyid":
        if name == "getroot":
            return constant(b"", kind)
        if name == "parse":
            return cast(arguments[0], kind)
    elif name in (
        "stgeomfromtext",
        "parse",
        "stpointfromtext",
        "stpolyfromtext",
        "stlinefromtext",
        "stmpolyfromtext",
    ):
        default = 4326 if expr.type == "geography" else 0
        source, srid = arguments[0], arguments[1] if len(arguments) > 1 else constant(default, st.INT)
        if source.is_const and srid.is_const:
            if source.const is None:
                return constant(None, kind)
            return constant(clr.from_wkt(source.const, srid.const, expr.type == "geography"), kind)
        return Ex(f"geo_from_text({source.sql}, {srid.sql}, {expr.type == 'geography'})", kind)
    elif name == "point" and all(item.is_const for item in arguments):
        first, second, srid_value = (item.const for item in arguments)
        x, y = (second, first) if expr.type == "geography" else (first, second)
        return constant(clr.from_wkt(f"POINT ({x} {y})", srid_value, expr.type == "geography"), kind)
    raise Unsupported(f"{expr.type}::{expr.name}")
