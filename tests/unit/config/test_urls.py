"""Configurations from two addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from mssql_pg_migrate.config import Config
from mssql_pg_migrate.config.problems import InvalidConfig
from mssql_pg_migrate.config.urls import config_from_urls, without_password
from mssql_pg_migrate.source.settings import PackageSettings, SqlServerSettings

TARGET = "postgresql://loader:secret@host/shop"


@pytest.fixture(autouse=True)
def _packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.bacpac", "x.DacPac", "Shop.BACPAC", "no suffix"):
        (tmp_path / name).touch()


def made(source: str, target: str = TARGET, **environment: str) -> Config:
    """The configuration, in an environment of these variables only."""
    return config_from_urls(source, target, environment=environment)


def server(config: Config) -> SqlServerSettings:
    """Its source, a SQL Server."""
    settings = config.source.settings()
    assert isinstance(settings, SqlServerSettings)
    return settings


def test_a_package_and_a_target() -> None:
    """All schemas of the package; what libpq leaves to the server and the system is left so here."""
    config = made("Shop.BACPAC", "postgres:///shop", PGUSER="me", PGPASSWORD="${x}")
    assert config.source.type == "bacpac"
    assert config.source.settings() == PackageSettings("Shop.BACPAC")
    target = config.target
    assert (target.host, target.port, target.user, target.database) == ("localhost", 5432, "me", "shop")
    assert target.password.get_secret_value() == "${x}"
    assert target.ssl_mode == "prefer"
    assert made("x.DacPac").source.type == "dacpac"
    assert made("no suffix").source.type == "bacpac"


def test_passwords_of_the_environment_give_way_to_those_of_the_url() -> None:
    """POSTGRES_PASSWORD comes before PGPASSWORD."""
    both = {"POSTGRES_PASSWORD": "one", "PGPASSWORD": "two"}
    assert made("x.bacpac", "postgresql://u@h/d", **both).target.password.get_secret_value() == "one"
    assert made("x.bacpac", TARGET, **both).target.password.get_secret_value() == "secret"
    config = made("mssql://sa@h/d", MSSQL_PASSWORD="pw")
    assert server(config).password == "pw"


def test_a_server_with_everything_said() -> None:
    """Percent-encoded parts, a port, keys of the section; the case of the host is kept."""
    text = "mssql://a%40b:p%3Aw%2F%24%7BX%7D@Db.Example:1444/My%20Db?encrypt=strict&schema=sales"
    config = made(text)
    settings = server(config)
    assert (settings.host, settings.port, settings.database) == ("Db.Example", 1444, "My Db")
    assert (settings.user, settings.password) == ("a@b", "p:w/${X}")
    assert settings.encrypt == "strict"
    assert server(made(r"mssql://u:p@host%5Csql2019/db")).host == r"host\sql2019"


def test_libpq_names_in_the_target() -> None:
    """sslmode and sslrootcert; what the configuration has no key for is a problem with its name."""
    config = made("x.bacpac", "postgresql://u:p@h/d?sslmode=require")
    assert config.target.ssl_mode == "require"
    with pytest.raises(InvalidConfig, match="nonsense"):
        made("x.bacpac", "postgresql://u:p@h/d?nonsense=1")
    with pytest.raises(InvalidConfig, match="options cannot be set in a URL"):
        made("x.bacpac", "postgresql://u:p@h/d?options=-csearch_path%3Dx")
    with pytest.raises(InvalidConfig, match="type cannot be set in a URL"):
        made("mssql://u:p@h/d?type=bacpac")


@pytest.mark.parametrize("source", ["http://x/y.bacpac", "postgresql://u@h/d", "mssql://u:p@h:port/d", "mssql://["])
def test_addresses_that_are_none(source: str) -> None:
    """The flag is named, and what it should be; no password is shown."""
    with pytest.raises(InvalidConfig, match="--from") as caught:
        made(source)
    assert "mssql://user@host/database" in str(caught.value)


@pytest.mark.parametrize("target", ["x.bacpac", "shop", "mssql://u:p@h/d", "postgresql://u:secret@h:port/d"])
def test_targets_that_are_none(target: str) -> None:
    """As for sources."""
    with pytest.raises(InvalidConfig, match="--to") as caught:
        made("x.bacpac", target)
    assert "secret" not in str(caught.value)


def test_what_is_missing_is_said() -> None:
    """A target without a database, a server without a user."""
    with pytest.raises(InvalidConfig, match="database"):
        made("x.bacpac", "postgresql://u@h")
    with pytest.raises(InvalidConfig, match=r"database|user|password"):
        made("mssql://h/d")


def test_addresses_without_passwords() -> None:
    """For messages and resume commands."""
    assert without_password("postgresql://u:p@w@h:1/d?x=y") == "postgresql://u@h:1/d?x=y"
    assert without_password("mssql://u@h/d") == "mssql://u@h/d"
    assert without_password("mssql://h/d") == "mssql://h/d"
    assert without_password("a dir/shop.bacpac") == "a dir/shop.bacpac"
