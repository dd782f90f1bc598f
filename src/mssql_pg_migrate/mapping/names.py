"""Target names: every source name becomes a PostgreSQL identifier that is legal, free and always the same.

Rules (documented for users in docs/schema-mapping.md):

* ``preserve`` keeps a name as it is, ``lower`` folds it to lower case, ``snake`` turns ``OrderDetails`` into
  ``order_details``.
* PostgreSQL cuts identifiers at 63 **bytes** (NAMEDATALEN - 1). A longer name is cut at a character boundary and gets
  ``_`` and 8 hexadecimal digits, the start of the SHA-256 of the object's full source name.
* A name already taken in its namespace gets the same suffix; whoever comes first in the catalog's sorted order keeps
  the plain name. The suffix depends on the source name alone, so that two runs agree.
* Namespaces are PostgreSQL's: tables, views, sequences (also those behind identities) and indexes (also those of
  primary keys and unique constraints) share one per schema (``pg_class``); columns have one per table; check and
  foreign key constraints share one per table with the other constraints of that table, from PostgreSQL 18 on also
  with its NOT NULL constraints. Array types step aside by themselves, TOAST tables have a schema of their own.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, TypeAlias

IdentifierCase: TypeAlias = Literal["preserve", "lower", "snake"]

MAX_BYTES = 63
"""NAMEDATALEN - 1 of a stock PostgreSQL build."""

SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Names PostgreSQL refuses for a user's column."""


def fold(name: str, case: IdentifierCase) -> str:
    """Apply the ``identifier_case`` rule to one name."""
    if case == "lower":
        return name.lower()
    if case == "snake":
        return _snake(name)
    return name


def _snake(name: str) -> str:
    """``OrderDetails`` -> ``order_details``, ``HTTPStatus2`` -> ``http_status2``, ``Unit Price`` -> ``unit_price``."""
    out: list[str] = []
    for position, char in enumerate(name):
        if char in " -." or char.isspace():
            out.append("_")
            continue
        if char.isupper() and out and out[-1] != "_":
            previous = name[position - 1]
            following = name[position + 1] if position + 1 < len(name) else ""
            starts_word = previous.islower() or previous.isdigit()
            ends_acronym = previous.isupper() and following.islower()
            if starts_word or ends_acronym:
                out.append("_")
        out.append(char.lower())
    return re.sub(r"_{2,}", "_", "".join(out)) if "_" not in name else "".join(out)


def byte_length(name: str) -> int:
    """Length as PostgreSQL counts it (UTF-8)."""
    return len(name.encode("utf-8", "surrogatepass"))


def cut(name: str, limit: int) -> str:
    """The longest prefix of at most ``limit`` bytes that ends at a character."""
    return name.encode("utf-8", "surrogatepass")[:limit].decode("utf-8", "ignore")


def with_suffix(name: str, identity: str) -> str:
    """``name`` cut to fit and marked with the start of ``identity``'s SHA-256."""
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{cut(name, MAX_BYTES - 9)}_{digest}"


def default_object_name(table: str, column: str, label: str) -> str:
    """The name PostgreSQL itself gives an identity's sequence (``makeObjectName`` of its sources): cut to 63 bytes by
    shortening the longer of the two parts first."""
    room = MAX_BYTES - 2 - len(label)
    first, second = byte_length(table), byte_length(column)
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return f"{cut(table, first)}_{cut(column, second)}_{label}"


class Namespace:
    """The names taken in one PostgreSQL namespace."""

    def __init__(self, case: IdentifierCase = "preserve", reserved: frozenset[str] = frozenset()) -> None:
        self._case = case
        self._taken: set[str] = set(reserved)

    def reserve(self, name: str) -> None:
        """Mark a name as taken that PostgreSQL will use by itself."""
        self._taken.add(name)

    @property
    def names(self) -> frozenset[str]:
        """The names that are taken."""
        return frozenset(self._taken)

    def allocate(self, name: str, identity: str, *, folded: bool = False) -> tuple[str, str | None]:
        """A free name for the object whose full source name is ``identity``; ``folded``: ``name`` is a target name.

        Returns the name and, where it is not just the folded source name, the reason as the end of a sentence.
        """
        wanted = name if folded else fold(name, self._case) or "_"
        reason = None
        if byte_length(wanted) > MAX_BYTES:
            reason = f"its name is longer than {MAX_BYTES} bytes"
        elif wanted in self._taken:
            reason = f'the name "{wanted}" is already taken there'
        chosen = wanted if reason is None else with_suffix(wanted, identity)
        attempt = 0
        while chosen in self._taken:
            attempt += 1
            chosen = with_suffix(wanted, f"{identity}#{attempt}")
        self._taken.add(chosen)
        return chosen, reason
