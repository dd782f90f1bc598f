"""Batches of T-SQL into statements."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from ..errors import SqlError, Unsupported
from . import lexer
from . import nodes as n
from . import statements as sm
from .parse_control import ControlParser

_MODULES = ("VIEW", "PROCEDURE", "PROC", "FUNCTION", "TRIGGER")
_DROPPABLE = """
    TABLE VIEW PROCEDURE PROC FUNCTION TRIGGER INDEX SCHEMA DATABASE TYPE SEQUENCE SYNONYM LOGIN USER ROLE
    CONSTRAINT RULE DEFAULT STATISTICS ASSEMBLY
    """.split()  # noqa: SIM905

_SECURABLES = ("OBJECT", "SCHEMA", "DATABASE", "TYPE")


class BatchParser(ControlParser):
    """Parses whole batches."""

    def __init__(self, text: str, quoted_identifiers: bool = True) -> None:
        super().__init__(text, quoted_identifiers)
        self._by_word = self._statements_by_word()
        self.words = frozenset(self._by_word) - {""}

    def batch(self) -> list[sm.Statement]:
        """All statements of the batch."""
        found: list[sm.Statement] = []
        while self.accept(";"):
            pass
        # The name of a procedure alone may open a batch, without EXEC.
        if self.at_name() and self.token.upper not in self.words and not self._at_keyword_statement():
            found.append(self._execute_named())
        while not self.at_end:
            if not self.accept(";"):
                found.append(self.statement())
        return found

    def _at_keyword_statement(self) -> bool:
        return self.at_any("SAVE", "ENABLE", "DISABLE", "BULK", "CHECKPOINT", "DBCC", "THROW", "KILL")

    def _statements_by_word(self) -> dict[str, Callable[[], sm.Statement]]:
        return {
            "SELECT": self._query_statement,
            "WITH": self._with_statement,
            "(": self._query_statement,
            "INSERT": self._insert,
            "UPDATE": self._update,
            "DELETE": self._delete,
            "TRUNCATE": self._truncate,
            "CREATE": self._create,
            "ALTER": self._alter,
            "DROP": self._drop,
            "DECLARE": self._declare,
            "SET": self._set,
            "IF": self._if,
            "WHILE": self._while,
            "BEGIN": self._begin,
            "COMMIT": self._transaction,
            "ROLLBACK": self._transaction,
            "SAVE": self._transaction,
            "EXEC": self._execute,
            "EXECUTE": self._execute,
            "USE": self._use,
            "PRINT": self._print,
            "RAISERROR": self._raiserror,
            "THROW": self._throw,
            "RETURN": self._return,
            "BREAK": self._bare_word,
            "CONTINUE": self._bare_word,
            "WAITFOR": self._waitfor,
            "GRANT": self._permission,
            "DENY": self._permission,
            "REVOKE": self._permission,
            "CHECKPOINT": self._bare_word,
            "ENABLE": self._enable_trigger,
            "DISABLE": self._enable_trigger,
        }

    def statement(self) -> sm.Statement:
        """One statement.

        Raises:
            SqlError: it is not T-SQL.
            Unsupported: it is, but of a kind the sandbox does not know.
        """
        line = self.line()
        parse = self._by_word.get(self.token.upper)
        if parse is None:
            if self.token.upper in ("MERGE", "BULK", "DBCC", "BACKUP", "RESTORE", "KILL", "GOTO", "OPEN", "FETCH"):
                raise Unsupported(self.token.upper)
            self.fail()
        statement = parse()
        statement.line = line
        self.accept(";")
        return statement

    # --- data ---

    def _query_statement(self) -> sm.Statement:
        return sm.SelectStatement(self.query())

    def _with_statement(self) -> sm.Statement:
        if self.at("WITH", "CHANGE_TRACKING_CONTEXT"):
            return self._with_context()
        start = self.position
        self._common_tables()
        if not self.at("SELECT"):
            raise Unsupported(f"{self.token.upper} behind WITH")
        self.position = start
        return sm.SelectStatement(self.query())

    def _with_context(self) -> sm.Statement:
        self.expect("WITH", "CHANGE_TRACKING_CONTEXT")
        self.expect("(")
        context = self.expression()
        self.expect(")")
        statement = self.statement()
        if not isinstance(statement, sm.Insert | sm.Update | sm.Delete):
            raise SqlError(22108, "The CHANGE_TRACKING_CONTEXT WITH clause cannot be used with a SELECT statement.")
        statement.context = context
        return statement

    def _insert(self) -> sm.Statement:
        self.expect("INSERT")
        self.top()
        self.accept("INTO")
        table = self._target()
        columns: tuple[str, ...] = ()
        if self.at("(") and not self._nested_select():
            columns = self._insert_columns()
        output: tuple[n.SelectItem, ...] = ()
        if self.accept("OUTPUT"):
            output = self.select_items()
        if self.accept("DEFAULT", "VALUES"):
            return sm.Insert(table, columns, None, output)
        if self.at_any("EXEC", "EXECUTE"):
            return sm.Insert(table, columns, None, output, self._execute())
        return sm.Insert(table, columns, self.query(), output)

    def _insert_columns(self) -> tuple[str, ...]:
        self.expect("(")
        names: list[str] = []
        while True:
            names.append(self.name()[-1] if self.at_name() else self._column_name())
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(names)

    def _target(self) -> n.Name:
        if self.token.kind == lexer.VARIABLE:
            return (self.take().value,)
        name = self.name()
        self._hints()
        return name

    def _update(self) -> sm.Statement:
        self.expect("UPDATE")
        if self.accept("STATISTICS"):
            self.name()
            return sm.Simple("NOTHING")
        top, _, _ = self.top()
        table = self._target()
        self.expect("SET")
        assignments: list[tuple[str, n.Expr]] = []
        while True:
            target = self.take().value.lower() if self.token.kind == lexer.VARIABLE else self.name()[-1]
            operator = self.accept_any("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=")
            if not operator:
                self.fail()
            value = self.expression()
            if operator != "=":
                value = n.Binary(operator[0], n.Column((target,)), value)
            assignments.append((target, value))
            if not self.accept(","):
                break
        if self.at("OUTPUT"):
            raise Unsupported("OUTPUT in UPDATE")
        source = self.sources() if self.accept("FROM") else None
        where = self.expression() if self.accept("WHERE") else None
        self._options()
        return sm.Update(table, tuple(assignments), source, where, top)

    def _delete(self) -> sm.Statement:
        self.expect("DELETE")
        top, _, _ = self.top()
        self.accept("FROM")
        table = self._target()
        if self.at("OUTPUT"):
            raise Unsupported("OUTPUT in DELETE")
        source = self.sources() if self.accept("FROM") else None
        where = self.expression() if self.accept("WHERE") else None
        self._options()
        return sm.Delete(table, source, where, top)

    def _truncate(self) -> sm.Statement:
        self.expect("TRUNCATE", "TABLE")
        return sm.Truncate(self.name())

    # --- CREATE, ALTER, DROP ---

    def _create(self) -> sm.Statement:
        start = self.token.start
        self.expect("CREATE")
        alter = self.accept("OR", "ALTER")
        if self.at_any(*_MODULES):
            return self._module(start, alter, create=True)
        if self.accept("TABLE"):
            return self.create_table()
        if self.accept("DEFAULT"):
            name = self.name()
            self.expect("AS")
            expr = self.expression()
            text = self.text[start : self.tokens[self.position].start].rstrip()
            return sm.CreateObject("DEFAULT", name, {"expr": expr, "text": text})
        special = self.at_any("XML", "SPATIAL", "FULLTEXT") and self.peek().upper == "INDEX"
        if special or self.at_any("UNIQUE", "CLUSTERED", "NONCLUSTERED", "INDEX", "PRIMARY", "COLUMNSTORE"):
            return self.create_index()
        return self._create_object()

    def _create_object(self) -> sm.Statement:
        kind = self.take().upper
        if kind == "SCHEMA":
            return self._create_schema()
        if kind == "DATABASE":
            return self._create_database()
        if kind == "TYPE":
            return self._create_type()
        if kind == "SEQUENCE":
            return sm.CreateObject("SEQUENCE", self.name(), self._sequence_options())
        if kind == "SYNONYM":
            name = self.name()
            self.expect("FOR")
            return sm.CreateObject("SYNONYM", name, {"base": self.name()})
        if kind == "LOGIN":
            name = (self.identifier(),)
            self.expect("WITH", "PASSWORD", "=")
            password = self.string()
            self.skip_statement()
            return sm.CreateObject("LOGIN", name, {"password": password})
        if kind == "USER":
            name = (self.identifier(),)
            login = self.identifier() if self.accept("FOR", "LOGIN") or self.accept("FROM", "LOGIN") else name[0]
            login = "" if self.accept("WITHOUT", "LOGIN") else login
            self.skip_statement()
            return sm.CreateObject("USER", name, {"login": login})
        if kind == "ROLE":
            return sm.CreateObject("ROLE", (self.identifier(),))
        if kind == "XML" and self.accept("SCHEMA", "COLLECTION"):
            name = self.name()
            self.expect("AS")
            return sm.CreateObject("XML SCHEMA COLLECTION", name, {"text": self.expression()})
        if kind == "FULLTEXT" and self.accept("CATALOG"):
            self.identifier()
            self.skip_statement()
            return sm.Simple("NOTHING")
        if kind in ("STATISTICS", "ASSEMBLY", "PARTITION"):
            raise Unsupported(f"CREATE {kind}")
        self.position -= 1
        self.fail()
        return None

    def _create_schema(self) -> sm.Statement:
        if self.accept("AUTHORIZATION"):
            return sm.CreateObject("SCHEMA", (self.identifier(),))
        name = (self.identifier(),)
        if self.accept("AUTHORIZATION"):
            self.identifier()
        return sm.CreateObject("SCHEMA", name)

    def _create_database(self) -> sm.Statement:
        name = (self.identifier(),)
        options: dict[str, str] = {}
        while not self.at_end and not self.at(";"):
            if self.accept("COLLATE"):
                options["collation"] = self.take().value
            elif self.token.upper in self.words and not self.at_any("(", "WITH"):
                break
            else:
                self.take()
        return sm.CreateObject("DATABASE", name, options)

    def _create_type(self) -> sm.Statement:
        name = self.name()
        if self.accept("AS", "TABLE"):
            table = sm.CreateTable(name, [], [], [])
            self.table_body(table)
            return sm.CreateObject("TABLE TYPE", name, {"table": table})
        self.expect("FROM")
        base = self.type_name()
        nullable = not self.accept("NOT", "NULL")
        self.accept("NULL")
        return sm.CreateObject("TYPE", name, {"base": base, "nullable": nullable})

    def _sequence_options(self) -> dict[str, object]:
        options: dict[str, object] = {}
        while True:
            if self.accept("AS"):
                options["type"] = self.type_name()
            elif self.accept("START", "WITH"):
                options["start"] = self.number()
            elif self.accept("RESTART"):
                options["restart"] = self.number() if self.accept("WITH") else None
            elif self.accept("INCREMENT", "BY"):
                options["increment"] = self.number()
            elif self.accept("MINVALUE"):
                options["minimum"] = self.number()
            elif self.accept("MAXVALUE"):
                options["maximum"] = self.number()
            elif self.accept("NO", "MINVALUE") or self.accept("NO", "MAXVALUE"):
                pass
            elif self.accept("NO", "CYCLE"):
                options["cycle"] = False
            elif self.accept("CYCLE"):
                options["cycle"] = True
            elif self.accept("NO", "CACHE"):
                options["cache"] = 0
            elif self.accept("CACHE"):
                options["cache"] = self.number() if self.token.kind == lexer.NUMBER else None
            else:
                return options

    def _module(self, start: int, alter: bool, create: bool) -> sm.Statement:
        kind = self.take().upper
        kind = "PROCEDURE" if kind == "PROC" else kind
        module = sm.CreateModule(kind, self.name(), "", alter, create)
        if kind == "VIEW":
            self._view(module)
        elif kind == "PROCEDURE":
            self._procedure(module)
        elif kind == "TRIGGER":
            self.expect("ON")
            if self.accept("ALL", "SERVER"):
                raise Unsupported("triggers on the server")
            module.parent = ("",) if self.accept("DATABASE") else self.name()
        if kind in ("FUNCTION", "TRIGGER"):
            module.returns = self._function_kind() if kind == "FUNCTION" else ""
            self.position = len(self.tokens) - 1
        module.text = self.text[start : self.tokens[self.position].start].rstrip()
        return module

    def _function_kind(self) -> str:
        for index, token in enumerate(self.tokens):
            if token.upper == "RETURNS":
                following = self.tokens[index + 1]
                if following.upper == "TABLE":
                    return "INLINE TABLE"
                return "TABLE" if following.kind == lexer.VARIABLE else "SCALAR"
        return "SCALAR"

    def _view(self, module: sm.CreateModule) -> None:
        if self.at("("):
            module.columns = self.name_list()
        if self.accept("WITH"):
            while True:
                option = self.take().upper
                module.schema_bound |= option == "SCHEMABINDING"
                module.encrypted |= option == "ENCRYPTION"
                if not self.accept(","):
                    break
        self.expect("AS")
        try:
            module.query = self.query()
        except Unsupported as error:
            module.body_error = error.text
            self.position = len(self.tokens) - 1
        if self.accept("WITH", "CHECK", "OPTION"):
            pass

    def _procedure(self, module: sm.CreateModule) -> None:
        parenthesised = self.accept("(")
        while self.token.kind == lexer.VARIABLE:
            name = self.take().value.lower()
            self.accept("AS")
            kind = self.type_name()
            default = self._additive() if self.accept("=") else None
            output = bool(self.accept_any("OUTPUT", "OUT"))
            self.accept("READONLY")
            module.parameters.append((name, kind, default, output))
            if not self.accept(","):
                break
        if parenthesised:
            self.expect(")")
        if self.accept("WITH"):
            while not self.at("AS"):
                module.encrypted |= self.take().upper == "ENCRYPTION"
        self.expect("AS")
        try:
            while not self.at_end:
                if not self.accept(";"):
                    module.body.append(self.statement())
        except SqlError as error:
            # A body the sandbox cannot run is kept as text; calling it says why.
            module.body_error = error.text
            self.position = len(self.tokens) - 1

    def _alter(self) -> sm.Statement:
        start = self.token.start
        self.expect("ALTER")
        if self.at_any(*_MODULES):
            return self._module(start, True, create=False)
        if self.accept("TABLE"):
            return self.alter_table()
        if self.accept("INDEX"):
            name = None if self.accept("ALL") else self.identifier()
            self.expect("ON")
            table = self.name()
            action = self.take().upper
            self.skip_statement()
            return sm.AlterIndex(table, name, action)
        if self.accept("SEQUENCE"):
            return sm.CreateObject("ALTER SEQUENCE", self.name(), self._sequence_options())
        if self.accept("ROLE") or self.accept("SERVER", "ROLE"):
            role = self.identifier()
            verb = self.take().upper
            self.expect("MEMBER")
            return sm.CreateObject("ROLE MEMBER", (role,), {"verb": verb, "member": self.identifier()})
        if self.accept("SCHEMA"):
            schema = self.identifier()
            self.expect("TRANSFER")
            return sm.CreateObject("SCHEMA TRANSFER", (schema,), {"object": self.name()})
        if self.accept("DATABASE"):
            return self.alter_database()
        if self.at_any("AUTHORIZATION", "LOGIN", "USER"):
            self.skip_statement()
            return sm.Simple("NOTHING")
        raise Unsupported(f"ALTER {self.token.value.upper()}")

    def _drop(self) -> sm.Statement:
        self.expect("DROP")
        kind = self.take().upper
        if kind == "FULLTEXT":
            self.skip_statement()
            return sm.Simple("NOTHING")
        if kind == "XML":
            self.expect("SCHEMA", "COLLECTION")
            kind = "XML SCHEMA COLLECTION"
        elif kind not in _DROPPABLE:
            self.position -= 1
            self.fail()
        drop = sm.Drop("PROCEDURE" if kind == "PROC" else kind, [], self.accept("IF", "EXISTS"))
        while True:
            name = self.name()
            if kind == "INDEX":
                if self.accept("ON"):
                    drop.parents.append(self.name())
                else:
                    drop.parents.append(name[:-1])
                    name = name[-1:]
                self._index_options()
            drop.names.append(name)
            if not self.accept(","):
                break
        if kind == "TRIGGER" and self.accept("ON"):
            if self.accept("ALL"):
                raise Unsupported("triggers on the server")
            self.expect("DATABASE")
            drop.on_database = True
        return drop

    def _enable_trigger(self) -> sm.Statement:
        action = self.take().upper
        self.expect("TRIGGER")
        names = self._names_or_all()
        self.expect("ON")
        return sm.AlterTable(self.name(), f"{action} TRIGGER", names=names)


def parse_batch(text: str, quoted_identifiers: bool = True) -> list[sm.Statement]:
    """The statements of a batch.

    Raises:
        SqlError: the text is not T-SQL; the error has the line.
        Unsupported: it holds a statement the sandbox does not know.
    """
    if len(text) < 4000:
        return list(_parse_small(text, quoted_identifiers))
    return BatchParser(text, quoted_identifiers).batch()


@lru_cache(maxsize=512)
def _parse_small(text: str, quoted_identifiers: bool) -> tuple[sm.Statement, ...]:
    return tuple(BatchParser(text, quoted_identifiers).batch())
