"""Procedure calls of clients: sp_executesql, sp_prepare and their kind, and everything else by name."""

from __future__ import annotations

from mssql_pg_migrate.tds.rpc import Parameter, RpcCall

from ..compiler.casts import Ex, cast, constant
from ..compiler.functions_catalog import parse_name
from ..compiler.outputs import OutputColumn
from ..engine import procedures
from ..engine.state import SessionState
from ..errors import SqlError, Unsupported
from ..locks import Relocked
from ..tsql import lexer
from ..tsql import nodes as n
from ..tsql import statements as sm
from ..values import sqltypes as st
from ..values.sqltypes import SqlType
from ..values.variants import from_wire, type_of
from .sink import TdsSink

_DIRECT = frozenset(("sp_executesql", "sp_prepare", "sp_execute", "sp_prepexec", "sp_unprepare"))


def describe(call: RpcCall) -> str:
    """A call as text for the log of statements."""
    texts = [parameter.value for parameter in call.parameters if isinstance(parameter.value, str)]
    return f"{call.name}: {max(texts, key=len, default='')}"


def run(session: SessionState, call: RpcCall, sink: TdsSink) -> None:
    """Run a call and send its return status and output parameters.

    Raises:
        SqlError: it failed.
    """
    name = call.name.lower().removeprefix("sys.")
    if name in _DIRECT:
        _run_direct(session, name, call.parameters, sink)
        return
    if name.startswith("sp_cursor") or name == "sp_prepexecrpc":
        raise Unsupported(f"{call.name} (server cursors)")
    if name == "sp_describe_undeclared_parameters":
        _describe_parameters(session, call.parameters, sink)
        return
    arguments: list[tuple[str | None, n.Expr, bool]] = []
    outputs: list[Parameter] = []
    for parameter in call.parameters:
        value = value_of(session, parameter)
        arguments.append((parameter.name.lower() or None, n.Literal(value.const, value.type), parameter.is_output))
        if parameter.is_output:
            outputs.append(parameter)
    session.variables = {}
    _call(session, sm.Execute(parse_name(call.name) or (call.name,), arguments))
    sink.procedure_done(0)
    sink.call_done()


def _call(session: SessionState, statement: sm.Execute) -> None:
    session.command = "EXECUTE"
    while True:
        try:
            procedures.execute(session, statement)
            return
        except Relocked:
            continue
        finally:
            session.end_statement()


def value_of(session: SessionState, parameter: Parameter) -> Ex:
    """A parameter's value as a constant."""
    kind = st.with_collation(type_of(parameter.type), session.database.collation)
    return constant(from_wire(parameter.value, kind), kind)


def _text(parameter: Parameter) -> str:
    return "" if parameter.value is None else str(parameter.value)


def _run_direct(session: SessionState, name: str, parameters: tuple[Parameter, ...], sink: TdsSink) -> None:
    handle: int | None = None
    if name == "sp_unprepare":
        session.prepared.pop(int(parameters[0].value), None)
        sink.procedure_done(0)
        sink.call_done()
        return
    if name == "sp_execute":
        number = int(parameters[0].value)
        if number not in session.prepared:
            raise SqlError(8179, f"Could not find prepared statement with handle {number}.")
        sql, declared = session.prepared[number]
        _execute(session, sql, declared, parameters[1:])
    elif name == "sp_executesql":
        sql = _text(parameters[0])
        declared = procedures.declarations(session, _text(parameters[1])) if len(parameters) > 1 else []
        _execute(session, sql, declared, parameters[2:])
    else:
        declared = procedures.declarations(session, _text(parameters[1]))
        sql = _text(parameters[2])
        handle = max(session.prepared, default=0) + 1
        session.prepared[handle] = (sql, declared)
        if name == "sp_prepexec":
            _execute(session, sql, declared, parameters[3:])
    sink.procedure_done(0)
    if handle is not None:
        sink.output(parameters[0].name, handle, st.INT)
    for parameter, (label, kind) in zip(parameters[2:], declared, strict=False) if name == "sp_executesql" else ():
        if parameter.is_output:
            sink.output(label, session.variables[label].const, kind)
    sink.call_done()


def _execute(
    session: SessionState, sql: str, declared: list[tuple[str, SqlType]], parameters: tuple[Parameter, ...]
) -> None:
    given = {parameter.name.lower(): parameter for parameter in parameters if parameter.name}
    variables: dict[str, Ex] = {}
    for position, (name, kind) in enumerate(declared):
        parameter = given.get(name)
        if parameter is None and position < len(parameters) and not parameters[position].name:
            parameter = parameters[position]
        if parameter is None:
            raise SqlError(8178, f"The parameterized query expects the parameter '{name}', which was not supplied.")
        variables[name] = cast(value_of(session, parameter), kind)
    session.variables = variables
    session.run_batch(sql)


def _describe_parameters(session: SessionState, parameters: tuple[Parameter, ...], sink: TdsSink) -> None:
    """Every parameter without a declaration might be an nvarchar(4000)."""
    del session
    columns = [
        OutputColumn("parameter_ordinal", "o1", st.INT, False),
        OutputColumn("name", "o2", st.SYSNAME, False),
        OutputColumn("suggested_system_type_id", "o3", st.INT, False),
        OutputColumn("suggested_system_type_name", "o4", st.make("nvarchar", 256)),
        OutputColumn("suggested_max_length", "o5", st.make("smallint"), False),
        OutputColumn("suggested_precision", "o6", st.make("tinyint"), False),
        OutputColumn("suggested_scale", "o7", st.make("tinyint"), False),
        OutputColumn("suggested_user_type_id", "o8", st.INT),
        OutputColumn("suggested_user_type_database", "o9", st.SYSNAME),
        OutputColumn("suggested_user_type_schema", "o10", st.SYSNAME),
        OutputColumn("suggested_user_type_name", "o11", st.SYSNAME),
        OutputColumn("suggested_assembly_qualified_type_name", "o12", st.make("nvarchar", 4000)),
        OutputColumn("suggested_xml_collection_id", "o13", st.INT),
        OutputColumn("suggested_xml_collection_database", "o14", st.SYSNAME),
        OutputColumn("suggested_xml_collection_schema", "o15", st.SYSNAME),
        OutputColumn("suggested_xml_collection_name", "o16", st.SYSNAME),
        OutputColumn("suggested_is_xml_document", "o17", st.BIT, False),
        OutputColumn("suggested_is_case_sensitive", "o18", st.BIT, False),
        OutputColumn("suggested_is_fixed_length_clr_type", "o19", st.BIT, False),
        OutputColumn("suggested_is_input", "o20", st.BIT, False),
        OutputColumn("suggested_is_output", "o21", st.BIT, False),
        OutputColumn("formal_parameter_name", "o22", st.SYSNAME),
        OutputColumn("suggested_tds_type_id", "o23", st.INT, False),
        OutputColumn("suggested_tds_length", "o24", st.INT, False),
    ]
    names: list[str] = []
    for token in lexer.tokenize(_text(parameters[0])):
        if token.kind == lexer.VARIABLE and token.value not in names and not token.value.startswith("@@"):
            names.append(token.value)
    nothing = (None,) * 8
    rows = [
        (i, name, 231, "nvarchar(4000)", 8000, 0, 0, *nothing[:8], None, 0, 0, 0, 1, 0, None, 231, 8000)
        for i, name in enumerate(names, 1)
    ]
    sink.columns(columns)
    if rows:
        sink.rows(rows)
    sink.done(len(rows), "SELECT")
    sink.procedure_done(0)
    sink.call_done()
