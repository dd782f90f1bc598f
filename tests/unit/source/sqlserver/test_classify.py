"""Which SQL Server errors a retry can cure, and what is read out of the driver's exceptions."""

from __future__ import annotations

import pickle

import pytest
from mssql_python.exceptions import sqlstate_to_exception

from mssql_pg_migrate.errors import TransferError, TransientError
from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver import classify
from mssql_pg_migrate.source.sqlserver.connect import connection_failed, keywords


def driver_error(sqlstate: str, text: str) -> Exception:
    error = sqlstate_to_exception(sqlstate, f"[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text}")
    assert error is not None
    return error


TRANSIENT = [
    ("40001", "Transaction (Process ID 52) was deadlocked on lock resources with another process and has been chosen"
              " as the deadlock victim. Rerun the transaction.", 1205),
    ("42000", "Lock request time out period exceeded.", 1222),
    ("42000", "The service is currently busy. Retry the request after 10 seconds. Code: 1.", 40501),
    ("42000", "Database 'x' on server 'y' is not currently available.  Please retry the connection later.", 40613),
    ("HY000", "Cannot process request. Not enough resources to process request.", 49918),
    ("42000", "Snapshot isolation transaction aborted due to update conflict.", 3960),
    ("HY000", "A timeout occurred while waiting for memory resources to execute the query", 8645),
    ("42000", "Could not continue scan with NOLOCK due to data movement.", 601),
    ("42000", "The transaction was terminated because of the availability replica config/state change or because ghost"
              " records are being deleted on the primary and the secondary availability replica that might be needed by"
              " queries running under snapshot isolation. Retry the transaction.", 3948),
    ("42000", "The transaction was aborted because the secondary compute failed to catch up redo. Retry the"
              " transaction.", 3947),
    ("42000", "Resource ID : 1. The request limit for the elastic pool is 200 and has been reached.", 10936),
]  # fmt: skip


@pytest.mark.parametrize(("sqlstate", "text", "number"), TRANSIENT, ids=[str(n) for _, _, n in TRANSIENT])
def test_transient_errors_are_known_by_their_text(sqlstate: str, text: str, number: int) -> None:
    found = classify.describe(driver_error(sqlstate, text))
    assert (found.number, found.transient) == (number, True)
    error = classify.to_migration_error(driver_error(sqlstate, text), table="dbo.t")
    assert isinstance(error, TransientError)
    assert (error.code, error.table, error.side) == (str(number), "dbo.t", "source")


@pytest.mark.parametrize("number", [1205, 1222, 40501, 40613, 40197, 49918, 49919, 49920, 10928, 10929, 10053, 10054,
                                    10060, 64, 233, 4221, 3960, 601, 617, 8645, 8651, 701])  # fmt: skip
def test_numbers_that_a_later_attempt_can_cure(number: int) -> None:
    assert classify.ServerError("x", number).transient


@pytest.mark.parametrize("number", [102, 207, 208, 229, 2627, 8115, 8134, 18456, 4060, 9002])
def test_numbers_that_it_cannot(number: int) -> None:
    assert not classify.ServerError("x", number).transient


@pytest.mark.parametrize(
    ("sqlstate", "text"),
    [
        ("08S01", "TCP Provider: Error code 0x2746"),
        ("08S01", "Communication link failure"),
        ("HYT00", "Query timeout expired"),
        ("HY000", "Protocol error in TDS stream"),
    ],
)
def test_a_broken_connection_is_transient_without_a_number(sqlstate: str, text: str) -> None:
    assert classify.describe(driver_error(sqlstate, text)).transient


def test_diagnostic_records_bring_the_number_that_exceptions_leave_out() -> None:
    records = [("[01000] (5701)", "Changed database context"), ("[42000] (40197)", "[Microsoft][SQL Server]Oh no")]
    found = classify.describe(driver_error("42000", "Oh no"), records)
    assert (found.number, found.sqlstate, found.message) == (40197, "42000", "Oh no")
    assert found.transient


def test_a_lasting_error_says_what_to_do() -> None:
    text = "The SELECT permission was denied on the object 'Orders', database 'x', schema 'dbo'."
    error = classify.to_migration_error(driver_error("42000", text), table="dbo.Orders")
    assert type(error) is TransferError
    assert not error.retryable
    assert "dbo.Orders" in str(error)
    assert "GRANT SELECT" in str(error).upper()


def test_a_memory_optimized_table_under_snapshot_isolation_says_what_to_do() -> None:
    text = (
        "Memory optimized tables and natively compiled modules cannot be accessed or created when the session "
        "TRANSACTION ISOLATION LEVEL is set to SNAPSHOT."
    )
    error = classify.to_migration_error(driver_error("42000", text), table="dbo.Fast")
    assert not error.retryable
    assert "isolation: read_committed" in str(error)


SETTINGS = SqlServerSettings(host="db.example.com", database="Shop", user="loader", password="S3cret;{pw}")


@pytest.mark.parametrize(
    ("sqlstate", "text", "words", "retryable"),
    [
        ("28000", "Login failed for user 'loader'.", "source.password", False),
        ("28000", "Login failed for user 'loader'. Reason: Server is in script upgrade mode. Only administrator can "
         "connect at this time.", "upgrade mode", True),
        ("42000", 'Cannot open database "Shop" requested by the login. The login failed.', "source.database", False),
        ("08001", "SSL Provider: [error:0A000086:SSL routines::certificate verify failed:self-signed certificate]",
         "trust_server_cert", False),
        ("08001", "SSL Provider: [error:0A000102:SSL routines::unsupported protocol]", "TLS 1.0", False),
        ("08001", "SSL Provider: [error:0A00018A:SSL routines::dh key too small]", "No value of source.encrypt", False),
        ("08001", "SSL Provider: [error:0A00018F:SSL routines::ee key too small]", "No value of source.encrypt", False),
        ("08001", "SSL Provider: something nobody foresaw", "source.encrypt", False),
        ("HYT00", "Login timeout expired", "login_timeout", True),
        ("08001", "SQL Server Network Interfaces: Error Locating Server/Instance Specified [xFFFFFFFF].", "1434", True),
        ("08001", "TCP Provider: Error code 0x2746 with S3cret;{pw}", "failed", True),
    ],
)  # fmt: skip
def test_failed_connections_in_words(sqlstate: str, text: str, words: str, retryable: bool) -> None:
    failure = connection_failed(SETTINGS, driver_error(sqlstate, text))
    assert words in str(failure)
    assert failure.retryable is retryable
    assert failure.side == "source"
    assert "S3cret" not in str(failure)


def test_settings_show_no_secret_and_travel_between_processes() -> None:
    settings = SqlServerSettings(
        host="h", database="d", user="u", password="pa55", access_token="t0ken", options=(("ServerSPN", "s"),)
    )
    assert "pa55" not in repr(settings)
    assert "t0ken" not in repr(settings)
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [
        ("db", 1433, "tcp:db,1433"),
        ("::1", 1444, "tcp:::1,1444"),
        ("[fe80::1]", 1433, "tcp:fe80::1,1433"),
        ("db\\INST", 1433, "tcp:db\\INST"),
        ("db\\INST", 5000, "tcp:db,5000"),
    ],
)
def test_the_server_keyword(host: str, port: int, server: str) -> None:
    assert keywords(SqlServerSettings(host=host, port=port, database="d"))["Server"] == server


def test_an_unknown_option_is_named() -> None:
    from mssql_pg_migrate.errors import ConfigError

    settings = SqlServerSettings(host="h", database="d", options=(("AplicationIntent", "ReadOnly"),))
    with pytest.raises(ConfigError, match="AplicationIntent"):
        keywords(settings)
