"""CREATE and ALTER TABLE, indexes and their parts."""

from __future__ import annotations

from . import lexer
from . import nodes as n
from . import statements as sm
from .parse_query import QueryParser

_TABLE_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "DEFAULT")
_GENERATED = {
    ("ROW", "START"): 1,
    ("ROW", "END"): 2,
    ("TRANSACTION_ID", "START"): 7,
    ("TRANSACTION_ID", "END"): 8,
    ("SEQUENCE_NUMBER", "START"): 9,
    ("SEQUENCE_NUMBER", "END"): 10,
}


class DdlParser(QueryParser):
    """Parses table and index definitions."""

    def create_table(self) -> sm.CreateTable:
        """CREATE TABLE, from behind the word TABLE."""
        table = sm.CreateTable(self.name(), [], [], [])
        if self.accept("AS", "FILETABLE"):
            self._table_options(table)
            return table
        self.table_body(table)
        if self.at("AS") and self.peek().upper in ("NODE", "EDGE"):
            self.take()
            table.graph = self.take().upper
        self._table_options(table)
        return table

    def table_body(self, table: sm.CreateTable) -> None:
        """The columns and constraints of a table in their parentheses."""
        self.expect("(")
        while not self.at(")"):
            if self.at("PERIOD", "FOR"):
                table.period = self.period()
            elif self.at("INDEX"):
                table.indexes.append(self._inline_index(None))
            elif self.at_any(*_TABLE_CONSTRAINTS):
                table.constraints.append(self.constraint())
            else:
                table.columns.append(self.column())
            if not self.accept(","):
                break
        self.expect(")")

    def period(self) -> tuple[str, str]:
        """PERIOD FOR SYSTEM_TIME (a, b)."""
        self.expect("PERIOD", "FOR", "SYSTEM_TIME")
        first, second = self.name_list()
        return first, second

    def _table_options(self, table: sm.CreateTable) -> None:
        while self.at_any("ON", "TEXTIMAGE_ON", "FILESTREAM_ON", "WITH"):
            word = self.take().upper
            if word == "WITH":
                text = self.skip_parentheses()
                flat = "".join(text.upper().split())
                table.memory_optimized = "MEMORY_OPTIMIZED=ON" in flat
                table.versioning = "SYSTEM_VERSIONING=ON" in flat
                table.history = history_table(text)
            else:
                self.take()
                if self.at("("):
                    self.skip_parentheses()

    # --- columns ---

    def column(self) -> sm.ColumnDef:
        """A column definition."""
        column = sm.ColumnDef(self._column_name())
        if self.accept("AS"):
            column.computed = self.expression()
            if self.accept("PERSISTED"):
                column.persisted = True
        elif not self.at_any(",", ")"):
            column.type = self.type_name()
        while self._column_option(column):
            pass
        return column

    def _column_name(self) -> str:
        token = self.token
        if token.kind not in (lexer.IDENTIFIER, lexer.QUOTED):
            self.fail()
        return self.take().value

    def _column_option(self, column: sm.ColumnDef) -> bool:
        if self.accept("NOT", "NULL"):
            column.nullable = False
        elif self.accept("NULL"):
            column.nullable = True
        elif self.accept("COLLATE"):
            column.collation = self.take().value
        elif self.accept("IDENTITY"):
            column.identity = self._identity()
            column.identity_not_for_replication = self.accept("NOT", "FOR", "REPLICATION")
        elif self.accept("ROWGUIDCOL"):
            column.rowguid = True
        elif self.accept("SPARSE"):
            column.sparse = True
        elif self.accept("COLUMN_SET", "FOR", "ALL_SPARSE_COLUMNS"):
            column.column_set = True
        elif self.accept("FILESTREAM"):
            column.filestream = True
        elif self.accept("PERSISTED"):
            column.persisted = True
        elif self.accept("HIDDEN"):
            column.hidden = True
        elif self.accept("GENERATED", "ALWAYS", "AS"):
            column.generated_always = _GENERATED.get((self.take().upper, self.take().upper), 0)
        elif self.accept("MASKED", "WITH"):
            column.masked = self.skip_parentheses()
        elif self.accept("ENCRYPTED", "WITH"):
            self.skip_parentheses()
            column.encrypted = True
        elif self.at("INDEX"):
            column.indexes.append(self._inline_index(column.name))
        elif self.at_any(*_TABLE_CONSTRAINTS, "REFERENCES"):
            constraint = self.constraint(column.name)
            if constraint.kind == "NOT NULL":
                column.nullable = False
            elif constraint.kind == "NULL":
                column.nullable = True
            else:
                column.constraints.append(constraint)
        else:
            return False
        return True

    def _identity(self) -> tuple[str, str]:
        if not self.accept("("):
            return "1", "1"
        seed = self.number()
        self.expect(",")
        increment = self.number()
        self.expect(")")
        return str(seed), str(increment)

    # --- constraints ---

    def constraint(self, column: str | None = None) -> sm.ConstraintDef:
        """A constraint; `column` is given for one behind a column."""
        name = self.identifier() if self.accept("CONSTRAINT") else None
        if self.accept("NOT", "NULL"):
            return sm.ConstraintDef("NOT NULL")
        if self.accept("NULL"):
            return sm.ConstraintDef("NULL")
        if self.accept("DEFAULT"):
            return self._default(name, column)
        if self.accept("CHECK"):
            replication = self.accept("NOT", "FOR", "REPLICATION")
            self.expect("(")
            check = sm.ConstraintDef("CHECK", name, _own(column), expr=self.expression())
            check.not_for_replication = replication
            self.expect(")")
            return check
        if self.at_any("FOREIGN", "REFERENCES"):
            return self._foreign_key(name, column)
        kind = "UNIQUE"
        if self.accept("PRIMARY", "KEY"):
            kind = "PRIMARY KEY"
        else:
            self.expect("UNIQUE")
        key = sm.ConstraintDef(kind, name, _own(column))
        clustered = self.accept_any("CLUSTERED", "NONCLUSTERED")
        key.clustered = None if not clustered else clustered == "CLUSTERED"
        self.accept("HASH")
        if self.at("("):
            key.columns = self.key_columns()
        options = self._index_options()
        key.ignore_dup_key = options.get("IGNORE_DUP_KEY") == "ON"
        return key

    def _default(self, name: str | None, column: str | None) -> sm.ConstraintDef:
        default = sm.ConstraintDef("DEFAULT", name, _own(column), expr=self._default_value())
        if self.accept("FOR"):
            default.columns = ((self._column_name(), False),)
        default.with_values = self.accept("WITH", "VALUES")
        return default

    def _default_value(self) -> n.Expr:
        # Not a full expression: NOT NULL may follow.
        return self._additive()

    def _foreign_key(self, name: str | None, column: str | None) -> sm.ConstraintDef:
        columns = _own(column)
        if self.accept("FOREIGN", "KEY") and self.at("("):
            columns = tuple((item, False) for item in self.name_list())
        self.expect("REFERENCES")
        key = sm.ConstraintDef("FOREIGN KEY", name, columns, reference=self.name())
        if self.at("("):
            key.referenced_columns = self.name_list()
        while True:
            if self.accept("ON", "DELETE"):
                key.on_delete = self._action()
            elif self.accept("ON", "UPDATE"):
                key.on_update = self._action()
            elif self.accept("NOT", "FOR", "REPLICATION"):
                key.not_for_replication = True
            else:
                return key

    def _action(self) -> str:
        for words in (("NO", "ACTION"), ("CASCADE",), ("SET", "NULL"), ("SET", "DEFAULT")):
            if self.accept(*words):
                return "_".join(words)
        self.fail()
        return None

    # --- indexes ---

    def key_columns(self) -> tuple[tuple[str, bool], ...]:
        """(a, b DESC): names with their direction."""
        self.expect("(")
        found: list[tuple[str, bool]] = []
        while True:
            name = self._column_name()
            found.append((name, self.accept_any("ASC", "DESC") == "DESC"))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(found)

    def _index_options(self) -> dict[str, str]:
        options: dict[str, str] = {}
        while True:
            if self.at("WITH", "("):
                self.take()
                text = self.skip_parentheses()[1:-1]
                for part in text.split(","):
                    key, _, value = part.partition("=")
                    options[key.strip().upper()] = value.strip().upper()
            elif self.accept("WITH"):
                while True:
                    word = self.take().upper
                    options[word] = "ON"
                    if self.accept("="):
                        options[word] = self.take().value.upper()
                    if not self.accept(","):
                        break
            elif self.at("ON") and self.peek().upper not in ("DELETE", "UPDATE"):
                self.take()
                self.take()
                if self.at("("):
                    self.skip_parentheses()
            else:
                return options

    def _inline_index(self, column: str | None) -> sm.IndexDef:
        self.expect("INDEX")
        name = self.identifier()
        unique = self.accept("UNIQUE")
        kind = self._index_kind()
        columns = self.key_columns() if self.at("(") else _own(column)
        return self._index_rest(sm.IndexDef(name, columns, (), unique, kind))

    def _index_kind(self) -> str:
        clustered = self.accept_any("CLUSTERED", "NONCLUSTERED") or "NONCLUSTERED"
        if self.accept("COLUMNSTORE"):
            return f"{clustered} COLUMNSTORE"
        if self.accept("HASH"):
            return "NONCLUSTERED HASH"
        return clustered

    def _index_rest(self, index: sm.IndexDef) -> sm.IndexDef:
        if self.accept("INCLUDE"):
            index.included = self.name_list()
        if self.accept("WHERE"):
            index.filter = self.expression()
        index.options = self._index_options()
        return index

    def create_index(self) -> sm.CreateIndex:
        """CREATE [UNIQUE] [CLUSTERED] INDEX, XML INDEX, SPATIAL INDEX and FULLTEXT INDEX, from behind CREATE."""
        unique = self.accept("UNIQUE")
        special = ""
        if self.accept("PRIMARY", "XML") or self.accept("XML"):
            special = "XML"
        elif self.accept("SPATIAL"):
            special = "SPATIAL"
        elif self.accept("FULLTEXT"):
            special = "FULLTEXT"
        kind = special or self._index_kind()
        self.expect("INDEX")
        if special == "FULLTEXT":
            return self._fulltext_index()
        name = self.identifier()
        self.expect("ON")
        table = self.name()
        columns = self.key_columns() if self.at("(") else ()
        index = sm.IndexDef(name, columns, (), unique, kind)
        while special and self.at_any("USING", "FOR"):
            self.take()
            while self.at_name() or self.at_any("FOR", "INDEX", "VALUE", "PATH", "PROPERTY"):
                self.take()
        return sm.CreateIndex(table, self._index_rest(index))

    def _fulltext_index(self) -> sm.CreateIndex:
        self.expect("ON")
        table = self.name()
        columns: list[tuple[str, bool]] = []
        self.expect("(")
        while not self.at(")"):
            columns.append((self._column_name(), False))
            while not self.at_any(",", ")"):
                self.take()
            self.accept(",")
        self.expect(")")
        self.expect("KEY", "INDEX")
        index = sm.IndexDef(self.identifier(), tuple(columns), kind="FULLTEXT")
        while self.at_any("ON", "WITH"):
            self.take()
            if self.at("("):
                self.skip_parentheses()
            else:
                self.take()
                while self.accept("=") or self.accept(","):
                    self.take()
        return sm.CreateIndex(table, index)

    # --- ALTER TABLE ---

    def alter_table(self) -> sm.AlterTable:
        """ALTER TABLE, from behind the word TABLE."""
        name = self.name()
        with_check = None
        if self.at("WITH") and self.peek().upper in ("CHECK", "NOCHECK"):
            self.take()
            with_check = self.take().upper == "CHECK"
        if self.accept("ADD"):
            return self._alter_add(name, with_check)
        if self.at_any("CHECK", "NOCHECK"):
            action = self.take().upper
            self.expect("CONSTRAINT")
            return sm.AlterTable(name, action, names=self._names_or_all(), with_check=with_check)
        if self.accept("DROP"):
            return self._alter_drop(name)
        if self.accept("ALTER", "COLUMN"):
            if self.peek().upper in ("ADD", "DROP"):
                column = self._column_name()
                action = f"{self.take().upper} {self.take().upper}"
                return sm.AlterTable(name, f"COLUMN {action}", names=[column])
            return sm.AlterTable(name, "ALTER COLUMN", columns=[self.column()])
        if self.at_any("ENABLE", "DISABLE"):
            action = self.take().upper
            if self.accept("CHANGE_TRACKING"):
                return self._alter_tracking(name, action)
            self.expect("TRIGGER")
            return sm.AlterTable(name, f"{action} TRIGGER", names=self._names_or_all())
        if self.accept("SET"):
            text = self.skip_parentheses()
            flat = "".join(text.upper().split())
            action = "VERSIONING ON" if "SYSTEM_VERSIONING=ON" in flat else "VERSIONING OFF"
            if "SYSTEM_VERSIONING" not in flat:
                action = "SET"
            return sm.AlterTable(name, action, history=history_table(text))
        if self.accept("REBUILD"):
            self._index_options()
            return sm.AlterTable(name, "REBUILD")
        self.fail()
        return None

    def _alter_tracking(self, name: n.Name, action: str) -> sm.AlterTable:
        names: list[str] = []
        if action == "ENABLE" and self.accept("WITH", "("):
            self.expect("TRACK_COLUMNS_UPDATED", "=")
            if self.take().upper == "ON":
                names = ["COLUMNS"]
            self.expect(")")
        return sm.AlterTable(name, "TRACKING ON" if action == "ENABLE" else "TRACKING OFF", names=names)

    def _names_or_all(self) -> list[str]:
        if self.accept("ALL"):
            return []
        names = [self.identifier()]
        while self.accept(","):
            names.append(self.identifier())
        return names

    def _alter_add(self, name: n.Name, with_check: bool | None) -> sm.AlterTable:
        action = sm.AlterTable(name, "ADD", with_check=with_check)
        while True:
            if self.at("PERIOD", "FOR"):
                action.period = self.period()
            elif self.at_any(*_TABLE_CONSTRAINTS):
                action.constraints.append(self.constraint())
            else:
                self.accept("COLUMN")
                action.columns.append(self.column())
            if not self.accept(","):
                return action

    def _alter_drop(self, name: n.Name) -> sm.AlterTable:
        if self.accept("PERIOD", "FOR", "SYSTEM_TIME"):
            return sm.AlterTable(name, "DROP PERIOD")
        action = sm.AlterTable(name, "DROP CONSTRAINT")
        if self.accept("COLUMN"):
            action.action = "DROP COLUMN"
        else:
            self.accept("CONSTRAINT")
        action.if_exists = self.accept("IF", "EXISTS")
        while True:
            action.names.append(self.identifier())
            if self.at("WITH", "("):
                self.take()
                self.skip_parentheses()
            if not self.accept(","):
                return action
            if self.accept("COLUMN"):
                action.action = "DROP COLUMN"
            else:
                self.accept("CONSTRAINT")


def _own(column: str | None) -> tuple[tuple[str, bool], ...]:
    return () if column is None else ((column, False),)


def history_table(options: str) -> n.Name:
    """The name behind HISTORY_TABLE in the options of a temporal table; empty without one."""
    tokens = lexer.tokenize(options)
    for index, token in enumerate(tokens):
        if token.upper == "HISTORY_TABLE":
            parts = [tokens[index + 2].value]
            at = index + 3
            while tokens[at].value == ".":
                parts.append(tokens[at + 1].value)
                at += 2
            return tuple(parts)
    return ()
