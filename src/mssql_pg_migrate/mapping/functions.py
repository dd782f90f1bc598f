"""The T-SQL functions that have a PostgreSQL form of the same meaning; all others are refused by name.

Each rule takes the place and the unparsed arguments. Names are matched in lower case.
"""

from __future__ import annotations

from typing import Any

from ..model import SqlType
from .datefunctions import DATE_RULES
from .jsonfunctions import JSON_RULES
from .mathfunctions import MATH_RULES
from .parse import Untranslatable
from .rules import Place, Rule, UnfitArguments, all_immutable, expect
from .textfunctions import TEXT_RULES
from .values import (
    DATETIME,
    DATETIME2,
    INT,
    NULL,
    NUMERIC_KINDS,
    OFFSET,
    TEMPORAL_KINDS,
    UUID,
    Predicate,
    Value,
    common_type,
    kind_of,
    varchar,
)

_WHY_NOT = {
    "host_name": "PostgreSQL does not know the client's host name",
    "checksum": "PostgreSQL has no function with the same result",
    "binary_checksum": "PostgreSQL has no function with the same result",
    "hashbytes": "it hashes other bytes in PostgreSQL, which stores text as UTF-8",
    "isnumeric": "PostgreSQL has no function with the same result",
    "isdate": "PostgreSQL has no function with the same result",
    "rand": "PostgreSQL's random numbers are others",
}


def call(place: Place, name: str, arguments: list[Any]) -> Value:
    """The translated call.

    Raises:
        Untranslatable: there is no rule for the function, or none for these arguments.
    """
    rule = RULES.get(name)
    if rule is None:
        reason = _WHY_NOT.get(name, "PostgreSQL has no function of the same meaning")
        raise Untranslatable(f"it calls {name}(): {reason}")
    try:
        return rule(place, arguments)
    except UnfitArguments as reason:
        raise reason.named(name) from reason


# --- clock, identity of the session ----------------------------------------------------------------------------------


def _constant(sql: str, sql_type: SqlType, *, clock: bool = False) -> Rule:
    def rule(_place: Place, arguments: list[Any]) -> Value:
        expect(arguments, 0)
        return Value(sql, sql_type, immutable=False, clock=clock)

    return rule


def _new_uuid(remark: str | None = None) -> Rule:
    def rule(place: Place, arguments: list[Any]) -> Value:
        expect(arguments, 0)
        if not place.abilities.gen_random_uuid:
            raise Untranslatable("gen_random_uuid() needs PostgreSQL 13")
        if remark:
            place.remark(remark)
        return Value("gen_random_uuid()", UUID, immutable=False)

    return rule


# --- NULL and choice -------------------------------------------------------------------------------------------------


def _isnull(place: Place, arguments: list[Any]) -> Value:
    """ISNULL has the type of its first argument, COALESCE the higher one."""
    expect(arguments, 2)
    first, second = place.value(arguments[0]), place.value(arguments[1])
    if first.kind == "null":
        return second
    other = place.convert(second, first.type, explicit=first.kind == "str")
    mine, other = place.padded(first), place.padded(other)
    collated = first.collated
    return Value(f"coalesce({mine.item}, {other.item})", first.type, all_immutable(first, other), collated=collated)


def _coalesce(place: Place, arguments: list[Any]) -> Value:
    values = [place.value(node) for node in arguments]
    target = common_type(values)
    members = [place.as_member(value, target) for value in values]
    sql = f"coalesce({', '.join(member.item for member in members)})"
    return Value(sql, target, all_immutable(*members), collated=any(member.collated for member in members))


def _nullif(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 2)
    first, second = place.value(arguments[0]), place.value(arguments[1])
    equal = place.compare("=", first, second)
    value = place.padded(first)
    sql = f"CASE WHEN {equal.sql} THEN NULL ELSE {value.sql} END"
    return Value(sql, first.type, equal.immutable, collated=first.collated)


def _iif(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 3)
    condition = place.predicate(arguments[0])
    return place.choose([condition], [place.value(node) for node in arguments[1:]])


def _choose(place: Place, arguments: list[Any]) -> Value:
    """The value at that place, counted from 1; NULL beyond them. The type is the highest of all values."""
    if len(arguments) < 2:
        expect(arguments)
    index = place.convert(place.value(arguments[0]), INT)
    conditions = [Predicate(f"{index.operand} = {position}", index.immutable) for position in range(1, len(arguments))]
    values = [place.value(node) for node in arguments[1:]]
    return place.choose(conditions, [*values, Value("NULL", NULL)])


def _extreme(function: str) -> Rule:
    """GREATEST and LEAST leave NULLs out, as in PostgreSQL; all arguments become the highest type first."""

    def rule(place: Place, arguments: list[Any]) -> Value:
        values = [place.value(node) for node in arguments]
        target = common_type(values)
        if kind_of(target) not in (*NUMERIC_KINDS, *TEMPORAL_KINDS):
            raise UnfitArguments(f"of {target} is not translated")
        members = [place.as_member(value, target) for value in values]
        return Value(f"{function}({', '.join(item.item for item in members)})", target, all_immutable(*members))

    return rule


_UTC = "(now() AT TIME ZONE 'UTC')"
_LOGIN = varchar(128, unicode=True)

RULES: dict[str, Rule] = {
    "getdate": _constant("LOCALTIMESTAMP", DATETIME, clock=True),
    "sysdatetime": _constant("LOCALTIMESTAMP", DATETIME2, clock=True),
    "getutcdate": _constant(_UTC, DATETIME, clock=True),
    "sysutcdatetime": _constant(_UTC, DATETIME2, clock=True),
    "sysdatetimeoffset": _constant("CURRENT_TIMESTAMP", OFFSET, clock=True),
    "newid": _new_uuid(),
    "newsequentialid": _new_uuid("newsequentialid() becomes gen_random_uuid(): new values are not in order"),
    "suser_sname": _constant("CURRENT_USER::text", _LOGIN),
    "suser_name": _constant("CURRENT_USER::text", _LOGIN),
    "user_name": _constant("CURRENT_USER::text", _LOGIN),
    "original_login": _constant("SESSION_USER::text", _LOGIN),
    "db_name": _constant("current_database()::text", _LOGIN),
    "app_name": _constant("current_setting('application_name')", _LOGIN),
    "isnull": _isnull,
    "coalesce": _coalesce,
    "nullif": _nullif,
    "iif": _iif,
    "choose": _choose,
    "greatest": _extreme("greatest"),
    "least": _extreme("least"),
    **TEXT_RULES,
    **MATH_RULES,
    **JSON_RULES,
    **DATE_RULES,
}
