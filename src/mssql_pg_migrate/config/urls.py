"""A configuration from two addresses, without a file: ``--from shop.bacpac --to postgresql://user@host/db``.

A source is the path of a package, or ``mssql://user:password@host:port/database``; the target is a URL as libpq takes
it. Passwords that are not in a URL are those of MSSQL_PASSWORD, and of POSTGRES_PASSWORD or PGPASSWORD. What stands
behind a ``?`` are keys of the section, or libpq's own names of them. What the target's URL leaves out is as libpq has
it: the host ``localhost``, the user PGUSER or that of the system, TLS where the server offers it.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from .models import Config
from .problems import InvalidConfig, Problem

_SERVERS = ("mssql", "sqlserver")
_TARGETS = ("postgresql", "postgres")
_LIBPQ = {"sslmode": "ssl_mode", "sslrootcert": "ssl_root_cert", "options": None}
"""Names of libpq, as the configuration has them."""


def config_from_urls(source: str, target: str, *, environment: Mapping[str, str]) -> Config:
    """The configuration of these two, with all that is not said as its default; a package's schemas are all migrated.

    Raises:
        InvalidConfig: an address that is none, or lacks what a configuration needs.
    """
    data = {"source": _source(source, environment), "target": _target(target, environment)}
    return Config.from_dict(_literal(data), environment=environment)


def without_password(text: str) -> str:
    """An address as it may be shown."""
    scheme, separator, rest = text.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{place}" if separator else text


def _source(text: str, environment: Mapping[str, str]) -> dict[str, Any]:
    if "://" not in text:
        kind = "dacpac" if Path(text).suffix.lower() == ".dacpac" else "bacpac"
        return {"type": kind, "path": text, "schema": "*"}
    url = _split("--from", text, _SERVERS, "the path of a package, or mssql://user@host/database")
    section = _section("--from", url, {})
    section["type"] = "mssql"
    _password(section, environment, "MSSQL_PASSWORD")
    return section


def _target(text: str, environment: Mapping[str, str]) -> dict[str, Any]:
    url = _split("--to", text, _TARGETS, "postgresql://user@host/database")
    section = _section("--to", url, _LIBPQ)
    section["type"] = "postgres"
    _password(section, environment, "POSTGRES_PASSWORD", "PGPASSWORD")
    for key, default in (("password", ""), ("host", "localhost"), ("ssl_mode", "prefer")):
        section.setdefault(key, default)
    if "user" not in section:
        section["user"] = environment.get("PGUSER") or getpass.getuser()
    return section


def _split(flag: str, text: str, schemes: tuple[str, ...], wanted: str) -> SplitResult:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        url = None
    if url is None or url.scheme.lower() not in schemes:
        raise InvalidConfig("command line", [Problem(flag, f"must be {wanted}")])
    return url


def _section(flag: str, url: SplitResult, names: Mapping[str, str | None]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # The host as it is written: urlsplit folds its case.
    address = url.netloc.rpartition("@")[2]
    host = address.rpartition(":")[0] if url.port is not None else address.rstrip(":")
    values = {"host": host, "user": url.username, "password": url.password, "database": url.path.lstrip("/")}
    found.update({key: unquote(value) for key, value in values.items() if value})
    if url.port is not None:
        found["port"] = url.port
    for key, value in parse_qsl(url.query, keep_blank_values=True):
        name = names.get(key, key)
        if name is None or name in ("type", "path"):
            raise InvalidConfig("command line", [Problem(flag, f"{key} cannot be set in a URL")])
        found[name] = value
    return found


def _password(section: dict[str, Any], environment: Mapping[str, str], *variables: str) -> None:
    for variable in variables:
        if "password" not in section and variable in environment:
            section["password"] = environment[variable]


def _literal(value: Any) -> Any:
    """Texts that stay as they are: nothing of an address is a variable."""
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    return value.replace("${", "$${") if isinstance(value, str) else value
