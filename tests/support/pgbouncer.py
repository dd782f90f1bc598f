"""A real PgBouncer before a test server, where one is installed (Debian: ``apt-get install pgbouncer``)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from servers import PgDatabase, PgServer

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def pgbouncer(target: PgDatabase, mode: str, *, pool_size: int = 20) -> Iterator[PgDatabase]:
    """The target database as clients of a PgBouncer in that pool mode see it; stopped at the end."""
    # Not in pytest's folders: it may run as another user, and pytest closes them to others whenever it starts.
    with tempfile.TemporaryDirectory(prefix="mpm-pgbouncer-") as folder:
        yield from _pgbouncer(Path(folder), target, mode, pool_size)


def _pgbouncer(folder: Path, target: PgDatabase, mode: str, pool_size: int) -> Iterator[PgDatabase]:
    assert PGBOUNCER is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={target.host} port={target.port} user={target.user} password={target.password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\ndefault_pool_size = {pool_size}\nmax_client_conn = 100\n"
    )
    command = [PGBOUNCER, "-q", str(settings)]
    if os.getuid() == 0:  # it does not run as root
        settings.chmod(0o644)
        folder.chmod(0o755)
        command[1:1] = ["-u", "nobody"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        seen = PgDatabase(
            PgServer("127.0.0.1", port, target.user, target.password),
            target.name,
        )
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None, process.stderr and process.stderr.read()
            try:
                psycopg.connect(seen.conninfo, connect_timeout=5).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield seen
    finally:
        process.terminate()
        process.communicate(timeout=20)
