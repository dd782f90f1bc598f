"""Control flow, variables, transactions, EXEC and rights."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import Unsupported
from ..values.sqltypes import SYSNAME
from . import lexer
from . import nodes as n
from . import statements as sm
from .parse_ddl import DdlParser

_SECURABLES = ("OBJECT", "SCHEMA", "DATABASE", "TYPE")


class ControlParser(DdlParser):
    """Parses statements that hold others or steer them; `words` are those a statement begins with."""

    words: Collection[str] = ()

    def statement(self) -> sm.Statement:
        """One statement; the batch parser's."""
        raise NotImplementedError

    # --- control flow ---

    def _declare(self) -> sm.Statement:
        self.expect("DECLARE")
        declare = sm.Declare([])
        while True:
            if self.token.kind != lexer.VARIABLE:
                raise Unsupported("cursors")
            name = self.take().value.lower()
            self.accept("AS")
            if self.accept("TABLE"):
                declare.table = sm.CreateTable((name,), [], [], [])
                self.table_body(declare.table)
                return declare
            if self.at("CURSOR"):
                raise Unsupported("cursors")
            kind = self.type_name()
            declare.variables.append((name, kind, self.expression() if self.accept("=") else None))
            if not self.accept(","):
                return declare

    def _set(self) -> sm.Statement:
        self.expect("SET")
        if self.token.kind == lexer.VARIABLE:
            name = self.take().value.lower()
            operator = self.accept_any("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=")
            if not operator:
                self.fail()
            value = self.expression()
            if operator != "=":
                value = n.Binary(operator[0], n.Variable(name), value)
            return sm.SetVariable(name, value)
        if self.accept("TRANSACTION", "ISOLATION", "LEVEL"):
            words = [self.take().upper]
            if self.at_any("COMMITTED", "UNCOMMITTED", "READ"):
                words.append(self.take().upper)
            return sm.SetOption(("ISOLATION",), " ".join(words))
        if self.accept("IDENTITY_INSERT"):
            table = self.name()
            return sm.SetOption(("IDENTITY_INSERT",), self.take().upper, table)
        words = [self.take().upper]
        while self.accept(",") or words == ["STATISTICS"]:
            words.append(self.take().upper)
        negative = "-" if self.accept("-") else ""
        return sm.SetOption(tuple(words), negative + self.take().value.upper())

    def _if(self) -> sm.Statement:
        self.expect("IF")
        condition = self.expression()
        then = self.statement()
        otherwise = self.statement() if self.accept("ELSE") else None
        return sm.If(condition, then, otherwise)

    def _while(self) -> sm.Statement:
        self.expect("WHILE")
        return sm.While(self.expression(), self.statement())

    def _begin(self) -> sm.Statement:
        if self.peek().upper in ("TRAN", "TRANSACTION", "DISTRIBUTED"):
            return self._transaction()
        self.expect("BEGIN")
        if self.accept("TRY"):
            body = self._until("TRY")
            self.accept(";")
            self.expect("BEGIN", "CATCH")
            return sm.TryCatch(body, self._until("CATCH"))
        return sm.Block(self._until(""))

    def _until(self, word: str) -> list[sm.Statement]:
        body: list[sm.Statement] = []
        while not self.at("END"):
            if self.at_end:
                self.fail()
            if not self.accept(";"):
                body.append(self.statement())
        self.expect("END")
        if word:
            self.expect(word)
        return body

    def _transaction(self) -> sm.Statement:
        verb = self.take().upper
        self.accept("DISTRIBUTED")
        self.accept_any("TRAN", "TRANSACTION", "WORK")
        name = ""
        if self.token.kind in (lexer.VARIABLE, lexer.QUOTED) or (self.at_name() and self.token.upper not in self.words):
            name = self.take().value
        if self.at("WITH", "("):
            self.take()
            self.skip_parentheses()
        return sm.Transaction(verb, name)

    def _execute(self) -> sm.Statement:
        self.accept_any("EXEC", "EXECUTE")
        if self.accept("("):
            text = self.expression()
            self.expect(")")
            return sm.ExecuteText(text)
        result = None
        if self.token.kind == lexer.VARIABLE and self.peek().upper == "=":
            result = self.take().value.lower()
            self.take()
        statement = self._execute_named()
        statement.result = result
        return statement

    def _execute_named(self) -> sm.Execute:
        name: n.Name = (self.take().value,) if self.token.kind == lexer.VARIABLE else self.name()
        arguments: list[tuple[str | None, n.Expr, bool]] = []
        while not self.at_end and not self.at(";"):
            if not arguments and self._at_statement():
                break
            label = None
            if self.token.kind == lexer.VARIABLE and self.peek().upper == "=":
                label = self.take().value.lower()
                self.take()
            arguments.append((label, self._argument(), bool(self.accept_any("OUTPUT", "OUT"))))
            if not self.accept(","):
                break
        if self.accept("WITH", "RECOMPILE"):
            pass
        return sm.Execute(name, arguments)

    def _at_statement(self) -> bool:
        return (self.token.upper in self.words or self.at_any("ELSE", "END", "GO")) and not self.at("(")

    def _argument(self) -> n.Expr:
        # A bare word is a string here: EXEC sp_help orders.
        token = self.token
        if token.kind in (lexer.IDENTIFIER, lexer.QUOTED) and token.upper not in ("NULL", "DEFAULT"):
            return n.Literal(".".join(self.name()), SYSNAME)
        return self._unary()

    def _use(self) -> sm.Statement:
        self.expect("USE")
        return sm.Simple("USE", text=self.identifier())

    def _print(self) -> sm.Statement:
        self.expect("PRINT")
        return sm.Simple("PRINT", (self.expression(),))

    def _raiserror(self) -> sm.Statement:
        self.expect("RAISERROR")
        if self.accept("("):
            arguments = self.expressions()
            self.expect(")")
        else:
            arguments = self.expressions()
        if self.accept("WITH"):
            self.take()
            while self.accept(","):
                self.take()
        return sm.Simple("RAISERROR", arguments)

    def _throw(self) -> sm.Statement:
        self.expect("THROW")
        if self.at_end or self.at_any(";", "END"):
            return sm.Simple("THROW")
        return sm.Simple("THROW", self.expressions())

    def _return(self) -> sm.Statement:
        self.expect("RETURN")
        if self.at_end or self.at(";") or self._at_statement():
            return sm.Simple("RETURN")
        return sm.Simple("RETURN", (self.expression(),))

    def _bare_word(self) -> sm.Statement:
        return sm.Simple(self.take().upper)

    def _waitfor(self) -> sm.Statement:
        self.expect("WAITFOR")
        if not self.accept("DELAY"):
            raise Unsupported("WAITFOR TIME")
        return sm.Simple("WAITFOR", (self._unary(),))

    # --- databases ---

    def alter_database(self) -> sm.Statement:
        """ALTER DATABASE, from behind the word DATABASE; options that mean nothing here are skipped."""
        name = self.identifier()
        if self.accept("SET"):
            for option in ("ALLOW_SNAPSHOT_ISOLATION", "READ_COMMITTED_SNAPSHOT", "READ_ONLY", "READ_WRITE"):
                if self.accept(option):
                    on = option == "READ_ONLY" or (option != "READ_WRITE" and self.take().upper == "ON")
                    self._termination()
                    return sm.CreateObject("DATABASE OPTION", (name,), {"option": option, "on": on})
            if self.accept("CHANGE_TRACKING"):
                return self._database_tracking(name)
        self.skip_statement()
        return sm.Simple("NOTHING")

    def _termination(self) -> None:
        """WITH NO_WAIT, WITH ROLLBACK ...: what becomes of open transactions."""
        if self.accept("WITH") and not self.accept("NO_WAIT"):
            self.expect("ROLLBACK")
            if not self.accept("IMMEDIATE"):
                self.expect("AFTER")
                self.take()
                self.accept_any("SECONDS", "SECOND")

    def _database_tracking(self, name: str) -> sm.Statement:
        on = None if not self.accept("=") else self.take().upper == "ON"
        settings: dict[str, str] = {}
        if self.accept("("):
            while not self.accept(")"):
                option = self.take().upper
                self.expect("=")
                settings[option] = self.take().value.upper()
                if option == "CHANGE_RETENTION":
                    settings[option] += f" {self.take().upper}"
                self.accept(",")
        return sm.CreateObject(
            "DATABASE OPTION", (name,), {"option": "CHANGE_TRACKING", "on": on, "settings": settings}
        )

    def skip_statement(self) -> None:
        """Go to where the next statement begins."""
        while not self.at_end and not self.at(";"):
            if self.token.upper in self.words and not self.at_any("(", "SET", "WITH"):
                return
            self.take()

    # --- rights ---

    def _permission(self) -> sm.Statement:
        verb = self.take().upper
        self.accept("GRANT", "OPTION", "FOR")
        permissions: list[str] = []
        columns: list[tuple[str, ...]] = []
        while not self.at_any("ON", "TO", "FROM"):
            if self.at_end:
                self.fail()
            words = [self.take().value.upper()]
            while self.token.kind == lexer.IDENTIFIER and not self.at_any("ON", "TO", "FROM"):
                words.append(self.take().value.upper())
            columns.append(self.name_list() if self.at("(") else ())
            permissions.append(" ".join(words))
            self.accept(",")
        securable: tuple[str, n.Name] = ("DATABASE", ())
        if self.accept("ON"):
            kind = "OBJECT"
            if self.at_any(*_SECURABLES) and self.peek().upper == "::":
                kind = self.take().upper
                self.take()
            securable = (kind, self.name())
            if self.at("("):
                listed = self.name_list()
                columns = [listed for _ in permissions]
        self.take()
        principals = [self.identifier()]
        while self.accept(","):
            principals.append(self.identifier())
        self.accept("WITH", "GRANT", "OPTION")
        self.accept("CASCADE")
        return sm.Permission(verb, tuple(permissions), securable, tuple(principals), tuple(columns))
