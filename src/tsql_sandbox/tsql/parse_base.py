"""What all parsers of T-SQL share: looking at tokens, taking them, names and types."""

from __future__ import annotations

from typing import NoReturn

from ..errors import SqlError
from . import lexer
from .lexer import Token
from .nodes import Name, TypeName

_TWO_WORD_TYPES = {
    "DOUBLE": ("PRECISION",),
    "CHARACTER": ("VARYING",),
    "CHAR": ("VARYING",),
    "BINARY": ("VARYING",),
    "NATIONAL": ("CHARACTER", "CHAR", "TEXT"),
}
_RESERVED = frozenset(
    """
    ADD ALL ALTER AND ANY AS ASC BEGIN BETWEEN BREAK BY CASE CHECK COLLATE COMMIT CONSTRAINT CONTINUE CREATE
    CROSS DECLARE DEFAULT DELETE DENY DESC DISTINCT DROP ELSE END ESCAPE EXCEPT EXEC EXECUTE EXISTS FETCH FOR
    FOREIGN FROM FULL FUNCTION GOTO GRANT GROUP HAVING IDENTITY_INSERT IF IN INDEX INNER INSERT INTERSECT INTO
    IS JOIN KEY LEFT LIKE MERGE NOCHECK NOT NULL OF ON OPTION OR ORDER OUTER OVER PERCENT PRIMARY PRINT PROC
    PROCEDURE RAISERROR REFERENCES RETURN REVOKE RIGHT ROLLBACK SELECT SET TABLE THEN TO TOP TRAN TRANSACTION
    TRIGGER TRUNCATE UNION UNIQUE UPDATE USE VALUES VIEW WAITFOR WHEN WHERE WHILE WITH
    """.split()  # noqa: SIM905
)


class TokenParser:
    """A cursor over the tokens of one batch."""

    def __init__(self, text: str, quoted_identifiers: bool = True) -> None:
        self.text = text
        self.tokens = lexer.tokenize(text, quoted_identifiers)
        self._uppers = [token.upper for token in self.tokens]
        self.position = 0

    # --- looking ---

    @property
    def token(self) -> Token:
        """The token at the cursor."""
        return self.tokens[self.position]

    def peek(self, distance: int = 1) -> Token:
        """A token further on; the last one past the end."""
        return self.tokens[min(self.position + distance, len(self.tokens) - 1)]

    @property
    def at_end(self) -> bool:
        """Whether all tokens are taken."""
        return self.token.kind == lexer.END

    def at(self, *words: str) -> bool:
        """Whether the words or operators stand at the cursor, in this order."""
        start = self.position
        return self._uppers[start] == words[0] and (
            len(words) == 1 or self._uppers[start : start + len(words)] == list(words)
        )

    def at_any(self, *words: str) -> bool:
        """Whether one of the words stands at the cursor."""
        return self._uppers[self.position] in words

    def line(self) -> int:
        """The line of the cursor, from 1."""
        return self.text.count("\n", 0, self.token.start) + 1

    # --- taking ---

    def take(self) -> Token:
        """The token at the cursor, which moves on."""
        token = self.tokens[self.position]
        if token.kind != lexer.END:
            self.position += 1
        return token

    def accept(self, *words: str) -> bool:
        """Pass over the words if they stand here."""
        if self.at(*words):
            self.position += len(words)
            return True
        return False

    def accept_any(self, *words: str) -> str:
        """Pass over one of the words; which one, or an empty string."""
        return self.take().upper if self.token.upper in words and self.token.upper else ""

    def expect(self, *words: str) -> None:
        """Pass over the words.

        Raises:
            SqlError: something else stands here.
        """
        for word in words:
            if not self.accept(word):
                self.fail()

    def fail(self) -> NoReturn:
        """Raise the syntax error for the token at the cursor."""
        token = self.token
        near = self.text[token.start : token.end] if token.kind != lexer.END else ""
        if not near and self.position:
            last = self.tokens[self.position - 1]
            near = self.text[last.start : last.end]
        if token.kind == lexer.IDENTIFIER and token.upper in _RESERVED:
            raise SqlError(156, f"Incorrect syntax near the keyword '{near}'.", 15, line=self.line())
        raise SqlError(102, f"Incorrect syntax near '{near}'.", 15, line=self.line())

    # --- names and types ---

    def at_name(self) -> bool:
        """Whether an identifier that is not a reserved word stands here."""
        token = self.token
        return token.kind == lexer.QUOTED or (token.kind == lexer.IDENTIFIER and token.upper not in _RESERVED)

    def identifier(self) -> str:
        """An identifier.

        Raises:
            SqlError: there is none.
        """
        if not self.at_name():
            self.fail()
        return self.take().value

    def name(self) -> Name:
        """A name of up to four parts; `db..table` has an empty part."""
        parts = [self.identifier()]
        while self.at("."):
            self.take()
            if self.at("."):
                parts.append("")
                continue
            parts.append(self._part())
        return tuple(parts)

    def _part(self) -> str:
        # After a dot even reserved words are accepted, as columns of catalog views need (t.key, s.order).
        token = self.token
        if token.kind not in (lexer.IDENTIFIER, lexer.QUOTED):
            self.fail()
        return self.take().value

    def name_list(self) -> tuple[str, ...]:
        """Identifiers in parentheses."""
        self.expect("(")
        names = [self.identifier()]
        while self.accept(","):
            names.append(self.identifier())
        self.expect(")")
        return tuple(names)

    def number(self) -> int:
        """A whole number with an optional sign."""
        sign = -1 if self.accept("-") else 1
        self.accept("+")
        if self.token.kind != lexer.NUMBER or not self.token.value.isdigit():
            self.fail()
        return sign * int(self.take().value)

    def string(self) -> str:
        """A string literal."""
        if self.token.kind not in (lexer.STRING, lexer.NATIONAL):
            self.fail()
        return self.take().value

    def type_name(self) -> TypeName:
        """A data type."""
        first = self.token.upper
        if self.token.kind == lexer.IDENTIFIER and first in _TWO_WORD_TYPES:
            words = [self.take().value]
            while self.at_any(*_TWO_WORD_TYPES.get(first, ()), "VARYING"):
                words.append(self.take().value)
            name: Name = (" ".join(words).lower(),)
        else:
            name = self.name()
        if not self.accept("("):
            return TypeName(name)
        if name[-1].lower() == "xml":
            self.accept_any("CONTENT", "DOCUMENT")
            schema = self.name()
            self.expect(")")
            return TypeName(name, (), schema)
        arguments = [-1 if self.accept("MAX") else self.number()]
        base = ""
        while self.accept(","):
            if self.token.kind == lexer.IDENTIFIER:
                base = self.take().value
            else:
                arguments.append(self.number())
        self.expect(")")
        return TypeName(name, tuple(arguments), (), base)

    def skip_parentheses(self) -> str:
        """Pass over a parenthesis and all it holds; its text."""
        start = self.token.start
        self.expect("(")
        depth = 1
        while depth:
            if self.at_end:
                self.fail()
            token = self.take()
            depth += {"(": 1, ")": -1}.get(token.upper, 0)
        return self.text[start : self.tokens[self.position - 1].end]
