"""The values keys take, and the checks that belong to one key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from .keys import Auto, Kind, OneOrMany

TargetMode: TypeAlias = Literal["drop_recreate", "truncate", "upsert"]
SslMode: TypeAlias = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
Encrypt: TypeAlias = Literal["true", "false", "strict"]
Authentication: TypeAlias = Literal[
    "sql",
    "ActiveDirectoryPassword",
    "ActiveDirectoryDefault",
    "ActiveDirectoryMSI",
    "ActiveDirectoryServicePrincipal",
    "ActiveDirectoryIntegrated",
    "ActiveDirectoryInteractive",
    "ActiveDirectoryDeviceCode",
]
"""``sql`` is a SQL Server login; the others are Microsoft's values of the driver's ``Authentication`` keyword."""

_AUTHENTICATIONS = {
    name.lower(): name
    for name in (
        "sql",
        "ActiveDirectoryPassword",
        "ActiveDirectoryDefault",
        "ActiveDirectoryMSI",
        "ActiveDirectoryServicePrincipal",
        "ActiveDirectoryIntegrated",
        "ActiveDirectoryInteractive",
        "ActiveDirectoryDeviceCode",
    )
}
_NEEDS_PASSWORD = frozenset({"sql", "ActiveDirectoryPassword", "ActiveDirectoryServicePrincipal"})
_TRUE = frozenset({"true", "yes", "on", "1", "mandatory"})
_FALSE = frozenset({"false", "no", "off", "0", "optional"})


def encrypt_choice(value: Any) -> Any:
    """true, false or strict; SQL Server's own words Mandatory and Optional are understood."""
    text = str(value).strip().lower() if isinstance(value, (str, bool)) else value
    if text in _TRUE:
        return "true"
    if text in _FALSE:
        return "false"
    return text


def authentication_name(value: Any) -> Any:
    """The method as Microsoft spells it, from any case."""
    return _AUTHENTICATIONS.get(value.strip().lower(), value) if isinstance(value, str) else value


def schema_list(value: tuple[str, ...]) -> tuple[str, ...]:
    """Names, each once, or ``*`` alone."""
    if not value:
        raise ValueError("must name at least one schema, or be '*'")
    if "*" in value and len(value) > 1:
        raise ValueError("must be either '*' alone or a list of names")
    return tuple(dict.fromkeys(value))


def pattern_list(value: tuple[str, ...]) -> tuple[str, ...]:
    """Globs without blanks around them."""
    for pattern in value:
        if not pattern.strip():
            raise ValueError("holds an empty pattern")
    return tuple(pattern.strip() for pattern in value)


Patterns: TypeAlias = Annotated[tuple[str, ...], OneOrMany, AfterValidator(pattern_list), Kind("glob or a list")]
Threads: TypeAlias = Annotated[Annotated[int, Field(ge=1, le=256)] | None, Auto]


def login_problems(authentication: Any, *, user: Any, password: Any, access_token: Any) -> list[tuple[str, str]]:
    """(key, reason) for what the kind of login lacks; the values only count as given or not."""
    if access_token is not None:
        if user is not None or password is not None:
            return [("access_token", "give either the token or user and password, not both")]
        return []
    if authentication_name(authentication) not in _NEEDS_PASSWORD:
        return []
    return [(name, "is required") for name, value in (("user", user), ("password", password)) if value is None]


PACKAGES = ("bacpac", "dacpac")
"""Kinds of sources that are files."""
_OF_PACKAGES = frozenset({"type", "path", "schema"})


def source_problems(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, reason) for what the section ``source`` lacks or has too much of; ``given`` are its keys with values."""
    kind = str(given.get("type", "")).strip().lower()
    if kind in PACKAGES:
        reason = f"is not for a {kind}, which takes path and schema"
        problems = [(key, reason) for key in given if key not in _OF_PACKAGES]
        return problems + ([("path", "is required")] if given.get("path") is None else [])
    needed = [key for key in ("host", "database") if given.get(key) is None]
    problems = [(key, "has no value" if key in given else "is required") for key in needed]
    if given.get("path") is not None:
        problems.append(("path", "is for packages: type: bacpac or dacpac"))
    return problems + login_problems(
        given.get("authentication", "sql"),
        user=given.get("user"),
        password=given.get("password"),
        access_token=given.get("access_token"),
    )
