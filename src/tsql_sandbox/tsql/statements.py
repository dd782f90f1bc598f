"""The syntax tree of T-SQL as the parser builds it: statements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .nodes import Expr, Name, Query, SelectItem, Source, TypeName


@dataclass
class Statement:
    """Any statement; `line` counts from 1 in its batch."""

    line: int = field(default=1, kw_only=True)


@dataclass
class SelectStatement(Statement):
    """A query as a statement."""

    query: Query


@dataclass
class Change(Statement):
    """INSERT, UPDATE or DELETE; `context` is that of WITH CHANGE_TRACKING_CONTEXT."""

    context: Expr | None = field(default=None, kw_only=True)


@dataclass
class Insert(Change):
    """INSERT; no source means DEFAULT VALUES. `procedure` is the EXEC of INSERT ... EXEC."""

    table: Name
    columns: tuple[str, ...]
    source: Query | None
    output: tuple[SelectItem, ...] = ()
    procedure: Statement | None = None


@dataclass
class Update(Change):
    """UPDATE; assignments are (column or variable, expression)."""

    table: Name
    assignments: tuple[tuple[str, Expr], ...]
    source: Source | None
    where: Expr | None
    top: Expr | None = None


@dataclass
class Delete(Change):
    """DELETE."""

    table: Name
    source: Source | None
    where: Expr | None
    top: Expr | None = None


@dataclass
class Truncate(Statement):
    """TRUNCATE TABLE."""

    table: Name


@dataclass
class ConstraintDef:
    """A constraint of CREATE or ALTER TABLE. `kind`: PRIMARY KEY, UNIQUE, FOREIGN KEY, CHECK or DEFAULT."""

    kind: str
    name: str | None = None
    columns: tuple[tuple[str, bool], ...] = ()
    clustered: bool | None = None
    expr: Expr | None = None
    reference: Name = ()
    referenced_columns: tuple[str, ...] = ()
    on_delete: str = "NO_ACTION"
    on_update: str = "NO_ACTION"
    not_for_replication: bool = False
    with_values: bool = False
    ignore_dup_key: bool = False
    text: str = ""


@dataclass
class ColumnDef:
    """A column of CREATE or ALTER TABLE."""

    name: str
    type: TypeName | None = None
    nullable: bool | None = None
    collation: str | None = None
    identity: tuple[str, str] | None = None
    identity_not_for_replication: bool = False
    computed: Expr | None = None
    persisted: bool = False
    sparse: bool = False
    column_set: bool = False
    rowguid: bool = False
    filestream: bool = False
    generated_always: int = 0
    hidden: bool = False
    encrypted: bool = False
    masked: str | None = None
    constraints: list[ConstraintDef] = field(default_factory=list)
    indexes: list[IndexDef] = field(default_factory=list)


@dataclass
class IndexDef:
    """CREATE INDEX or an inline INDEX; `kind` is the type_desc of sys.indexes."""

    name: str
    columns: tuple[tuple[str, bool], ...]
    included: tuple[str, ...] = ()
    unique: bool = False
    kind: str = "NONCLUSTERED"
    filter: Expr | None = None
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class CreateTable(Statement):
    """CREATE TABLE; `graph` is NODE, EDGE or empty; `period` the columns of FOR SYSTEM_TIME."""

    name: Name
    columns: list[ColumnDef]
    constraints: list[ConstraintDef]
    indexes: list[IndexDef]
    period: tuple[str, str] | None = None
    versioning: bool = False
    history: Name = ()
    graph: str = ""
    memory_optimized: bool = False


@dataclass
class AlterTable(Statement):
    """One action of ALTER TABLE; what the fields mean depends on `action`."""

    name: Name
    action: str
    columns: list[ColumnDef] = field(default_factory=list)
    constraints: list[ConstraintDef] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    with_check: bool | None = None
    period: tuple[str, str] | None = None
    history: Name = ()
    if_exists: bool = False


@dataclass
class CreateIndex(Statement):
    """CREATE INDEX."""

    table: Name
    index: IndexDef


@dataclass
class AlterIndex(Statement):
    """ALTER INDEX ... DISABLE or REBUILD; name None for ALL."""

    table: Name
    name: str | None
    action: str


@dataclass
class CreateModule(Statement):
    """CREATE [OR ALTER] VIEW, PROCEDURE, FUNCTION or TRIGGER with its whole text."""

    kind: str
    name: Name
    text: str
    alter: bool = False
    create: bool = True
    query: Query | None = None
    columns: tuple[str, ...] = ()
    schema_bound: bool = False
    encrypted: bool = False
    parent: Name = ()
    parameters: list[tuple[str, TypeName, Expr | None, bool]] = field(default_factory=list)
    body: list[Statement] = field(default_factory=list)
    returns: str = ""
    body_error: str = ""


@dataclass
class CreateObject(Statement):
    """CREATE of a simple object; `kind` is SCHEMA, DATABASE, SYNONYM, TYPE, SEQUENCE, LOGIN, USER, ROLE ..."""

    kind: str
    name: Name
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Drop(Statement):
    """DROP; `parents` are the tables of a DROP INDEX, `on_database` is of a trigger ON DATABASE."""

    kind: str
    names: list[Name]
    if_exists: bool = False
    parents: list[Name] = field(default_factory=list)
    on_database: bool = False


@dataclass
class Permission(Statement):
    """GRANT, DENY or REVOKE; `securable` is a class (OBJECT, SCHEMA, DATABASE) and a name."""

    verb: str
    permissions: tuple[str, ...]
    securable: tuple[str, Name]
    principals: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...] = ()
    """The columns each permission is about, none for the whole securable."""


@dataclass
class If(Statement):
    """IF."""

    condition: Expr
    then: Statement
    otherwise: Statement | None


@dataclass
class While(Statement):
    """WHILE."""

    condition: Expr
    body: Statement


@dataclass
class Block(Statement):
    """BEGIN ... END."""

    body: list[Statement]


@dataclass
class TryCatch(Statement):
    """BEGIN TRY ... END CATCH."""

    body: list[Statement]
    handler: list[Statement]


@dataclass
class Declare(Statement):
    """DECLARE: variables with their initial values, or one table variable."""

    variables: list[tuple[str, TypeName, Expr | None]]
    table: CreateTable | None = None


@dataclass
class SetVariable(Statement):
    """SET @x = expr."""

    name: str
    expr: Expr


@dataclass
class SetOption(Statement):
    """SET option: the words behind SET."""

    words: tuple[str, ...]
    value: str = ""
    table: Name = ()


@dataclass
class Execute(Statement):
    """EXEC of a procedure: arguments are (name or None, expression, output)."""

    procedure: Name
    arguments: list[tuple[str | None, Expr, bool]]
    result: str | None = None


@dataclass
class ExecuteText(Statement):
    """EXEC (text)."""

    text: Expr


@dataclass
class Transaction(Statement):
    """BEGIN, COMMIT, ROLLBACK or SAVE of a transaction."""

    verb: str
    name: str = ""


@dataclass
class Simple(Statement):
    """Statements of one word with expressions: USE, PRINT, RAISERROR, THROW, RETURN, BREAK, CONTINUE, WAITFOR ..."""

    verb: str
    arguments: tuple[Expr, ...] = ()
    text: str = ""
