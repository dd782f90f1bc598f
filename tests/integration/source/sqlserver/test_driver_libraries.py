"""Microsoft's driver loads and works where the system libraries it links to are missing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver import driver_libraries
from servers import MssqlDatabase

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(os, "memfd_create") or driver_libraries.platform.libc_ver()[0] != "glibc",
    reason="stand-ins are for glibc on Linux",
)

# Every library is taken for missing, also where the system has it: the first one loaded of a name serves the driver.
ALL_MISSING = """
import ctypes, sys
from mssql_pg_migrate.source.sqlserver import driver_libraries
driver_libraries._missing = lambda soname: True
"""

CALLS = (
    ALL_MISSING
    + """
assert driver_libraries.supply_missing() == ("libltdl.so.7", "libkrb5.so.3", "libgssapi_krb5.so.2")
for library in driver_libraries.LIBRARIES:
    loaded = ctypes.CDLL(library.soname)
    assert all(getattr(loaded, name)() != 0 for name in library.failing), library
    assert all(getattr(loaded, name)() == 0 for name in library.empty), library
    assert all(ctypes.c_void_p.in_dll(loaded, name).value is None for name in library.data), library
    assert f"/{library.soname}" not in open("/proc/self/maps").read()
"""
)

# dlvsym: the symbols of the version the driver asks for, as it finds them.
VERSIONS = (
    ALL_MISSING
    + """
driver_libraries.supply_missing()
dlvsym = ctypes.CDLL(None).dlvsym
dlvsym.restype, dlvsym.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
for library in driver_libraries.LIBRARIES:
    if library.version is not None:
        handle = ctypes.CDLL(library.soname)._handle
        for name in library.failing + library.data:
            assert dlvsym(handle, name.encode(), library.version.encode()), name
            assert not dlvsym(handle, name.encode(), b"another_version"), name
"""
)

READS = (
    ALL_MISSING
    + """
import os
from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver.connect import connect_source
host, port, database, user = sys.argv[1:5]
settings = SqlServerSettings(host=host, port=int(port), database=database, user=user, password=os.environ["PASSWORD"],
                          encrypt=sys.argv[5] == "tls", trust_server_cert=True)
connection = connect_source(settings)
cursor = connection.cursor()
cursor.execute("SELECT CAST(N'\\u00e4' AS nvarchar(10)) AS t, CAST(12.5 AS decimal(9, 2)) AS d")
print(*cursor.fetchone())
cursor.close()
connection.close()
import psycopg
mapped = open("/proc/self/maps").read()
assert mapped.count("libmsodbcsql") and "/libkrb5.so" not in mapped and "/libltdl" not in mapped, mapped
"""
)

KERBEROS = (
    ALL_MISSING
    + """
from mssql_pg_migrate.errors import ConnectionFailed
from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver.connect import connect_source
settings = SqlServerSettings(host=sys.argv[1], port=int(sys.argv[2]), database="db",
                          options=(("Trusted_Connection", "yes"),))
try:
    connect_source(settings)
except ConnectionFailed as error:
    print(error)
"""
)


def run(code: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def address(source_db: MssqlDatabase) -> SqlServerSettings:
    return SqlServerSettings(
        host=source_db.server.host,
        port=source_db.server.port,
        database=source_db.name,
        user=source_db.server.user,
        password=source_db.server.password,
    )


def test_stand_ins_are_libraries_whose_functions_fail() -> None:
    assert run(CALLS) == ""


def test_symbols_have_the_version_the_driver_binds() -> None:
    assert run(VERSIONS) == ""


@pytest.mark.parametrize("transport", ["plain", "tls"])
def test_the_driver_reads_without_any_of_the_libraries(source_db: MssqlDatabase, transport: str) -> None:
    at = address(source_db)
    out = run(
        READS, at.host, str(at.port), at.database, str(at.user), transport,
        PASSWORD=str(at.password), PYTHONIOENCODING="utf-8",
    )  # fmt: skip
    assert out == "ä 12.50"


def test_integrated_authentication_says_which_library_it_lacks(source_db: MssqlDatabase) -> None:
    at = address(source_db)
    out = run(KERBEROS, at.host, str(at.port))
    assert "no libkrb5.so.3 and no libgssapi_krb5.so.2" in out
    assert "apt-get install" in out


def test_nothing_is_made_where_the_system_has_the_libraries() -> None:
    code = "from mssql_pg_migrate.source.sqlserver import driver_libraries as d; d._missing = lambda name: False\n"
    assert run(code + "print(d.supply_missing())") == "()"


@pytest.mark.parametrize("machine", [62, 183])
@pytest.mark.parametrize("library", driver_libraries.LIBRARIES, ids=lambda library: library.soname)
def test_the_object_names_itself_and_asks_for_no_executable_stack(
    library: driver_libraries.Library, machine: int
) -> None:
    data = driver_libraries.shared_object(library, machine)
    assert data[:4] == b"\x7fELF"
    assert int.from_bytes(data[18:20], "little") == machine
    kinds = [data[64 + 56 * i : 64 + 56 * i + 8] for i in range(4)]
    assert (0x6474E551).to_bytes(4, "little") + (6).to_bytes(4, "little") in kinds
    assert library.soname.encode() + b"\0" in data
