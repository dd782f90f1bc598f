"""T-SQL text into tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import SqlError

IDENTIFIER = "id"
QUOTED = "quoted"
STRING = "str"
NATIONAL = "nstr"
NUMBER = "num"
HEX = "hex"
MONEY = "money"
VARIABLE = "var"
OPERATOR = "op"
END = "end"


class Token(NamedTuple):
    """A token: its kind, its value (identifiers without quotes, keywords as written) and its place in the text."""

    kind: str
    value: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """The value in upper case for unquoted words and operators, empty for everything else."""
        return self.value.upper() if self.kind in (IDENTIFIER, OPERATOR) else ""


_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*)
    | (?P<comment>/\*)
    | (?P<str>N?'(?:[^']|'')*')
    | (?P<quoted>\[(?:[^\]]|\]\])*\]|"(?:[^"]|"")*")
    | (?P<hex>0[xX][0-9a-fA-F]*)
    | (?P<num>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<pseudo>\$(?:node_id|edge_id|from_id|to_id)\b)
    | (?P<money>[$£€](?:\d+(?:\.\d*)?|\.\d+)?)
    | (?P<var>@@?[\w$\#]+)
    | (?P<id>[^\W\d][\w@$\#]*|\#\#?[\w@$\#]+)
    | (?P<op><>|<=|>=|!=|!<|!>|::|\+=|-=|\*=|/=|%=|&=|\|=|\^=|\|\||[-+*/%=<>(),.;:~&|^])
    """,
    re.VERBOSE | re.IGNORECASE,
)
_COMMENT = re.compile(r"/\*|\*/")


def tokenize(text: str, quoted_identifiers: bool = True) -> list[Token]:
    """All tokens of a batch, closed by one of kind END.

    Raises:
        SqlError: a comment, string or identifier is not closed, or a character fits nowhere.
    """
    tokens: list[Token] = []
    position = 0
    size = len(text)
    match = _TOKEN.match
    while position < size:
        found = match(text, position)
        if found is None:
            raise _bad_character(text, position)
        kind = found.lastgroup
        start, position = position, found.end()
        if kind == "space":
            continue
        if kind == "comment":
            position = _skip_comment(text, position)
            continue
        value = found.group()
        if kind == "str":
            national = value[0] in "Nn"
            value = value[2 if national else 1 : -1].replace("''", "'")
            kind = NATIONAL if national else STRING
        elif kind == "quoted":
            if value[0] == "[":
                value = value[1:-1].replace("]]", "]")
            else:
                value = value[1:-1].replace('""', '"')
                kind = QUOTED if quoted_identifiers else STRING
        elif kind == "pseudo":
            kind = QUOTED
        tokens.append(Token(kind or "", value, start, position))
    tokens.append(Token(END, "", size, size))
    return tokens


def _skip_comment(text: str, position: int) -> int:
    depth = 1
    while depth:
        found = _COMMENT.search(text, position)
        if found is None:
            raise SqlError(113, "Missing end comment mark '*/'.", 15)
        depth += 1 if found.group() == "/*" else -1
        position = found.end()
    return position


def _bad_character(text: str, position: int) -> SqlError:
    line = text.count("\n", 0, position) + 1
    rest = text[position : position + 40]
    if rest[:1] in "'\"[" or rest[:2] in ("N'", "n'"):
        return SqlError(105, f"Unclosed quotation mark after the character string '{rest[1:]}'.", 15, line=line)
    return SqlError(102, f"Incorrect syntax near '{rest[:1]}'.", 15, line=line)


def split_batches(script: str) -> list[str]:
    """A script's batches: the text between lines that hold GO alone. Lines inside strings and comments do not count.

    `GO 5` repeats its batch, as in sqlcmd.
    """
    batches: list[str] = []
    start = position = 0
    line_start = True
    while position < len(script):
        if line_start:
            found = _GO.match(script, position)
            if found:
                batches += [script[start:position]] * int(found.group(1) or 1)
                start = position = found.end()
                continue
        found = _PIECE.match(script, position)
        if found is None:
            position += 1
            line_start = False
        elif found.group() == "/*":
            position = _skip_comment(script, found.end())
            line_start = False
        else:
            position = found.end()
            line_start = found.group().endswith("\n")
    batches.append(script[start:])
    return [batch for batch in batches if batch.strip()]


_GO = re.compile(r"[ \t]*GO(?:[ \t]+(\d+))?[ \t]*;?[ \t]*(?:--[^\n]*)?(?:\r?\n|\Z)", re.IGNORECASE)
_PIECE = re.compile(r"""/\*|--[^\n]*|'[^']*'|\[[^\]\n]*\]|"[^"]*"|\r?\n|[^'\["/\-\n]+?(?=['\["/\-\n]|\Z)""")
