"""The sandbox as a process of its own, with a line of control to it.

The child is `python -m tsql_sandbox --control`: it prints one line of JSON when it listens, then answers
each line of JSON on its standard input with one on its standard output, and ends when its standard input does. So it
never outlives its parent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from urllib.parse import quote

START_SECONDS = 60.0


class SandboxError(RuntimeError):
    """The sandbox process did not start, ended, or refused a command."""


class RemoteFaults:
    """`faults.Faults` of a sandbox in another process: the same methods."""

    def __init__(self, server: SandboxServer) -> None:
        self._server = server

    def drop(self, table: str = "*", after_rows: int = 0, times: int = 1, **others: Any) -> None:
        """Close the connection after so many rows of a result."""
        self._add("drop", table=table, after_rows=after_rows, times=times, **others)

    def error(self, number: int = 1205, table: str = "*", after_rows: int = 0, times: int = 1, **others: Any) -> None:
        """Send an error after so many rows of a result."""
        self._add("error", number=number, table=table, after_rows=after_rows, times=times, **others)

    def stall(self, seconds: float, table: str = "*", after_rows: int = 0, times: int = 1, **others: Any) -> None:
        """Send nothing for a while after so many rows."""
        self._add("stall", seconds=seconds, table=table, after_rows=after_rows, times=times, **others)

    def slow(self, bytes_per_second: int, table: str = "*", times: int = 0, **others: Any) -> None:
        """Send results no faster than this."""
        self._add("slow", bytes_per_second=bytes_per_second, table=table, times=times, **others)

    def refuse_login(self, number: int = 18456, times: int = 1, **others: Any) -> None:
        """Refuse logins."""
        self._add("refuse_login", number=number, times=times, **others)

    def clear(self) -> None:
        """Ask for no more faults and forget those that struck."""
        self._server.command("clear_faults")

    @property
    def hits(self) -> list[dict[str, Any]]:
        """Faults that have struck, in order, as mappings of `Fault`'s fields."""
        return cast("list[dict[str, Any]]", self._server.command("hits"))

    def _add(self, kind: str, **fields: Any) -> None:
        self._server.command("fault", kind=kind, **fields)


class SandboxServer:
    """A sandbox server in a process of its own.

    `generate` makes a StackOverflow2010-shaped database of about that many rows, named `generate_database`.
    Use it as a context manager, or call `start` and `stop`.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        port: int = 0,
        user: str = "sa",
        password: str = "Sandbox!1",
        tls: bool = True,
        force_encryption: bool = False,
        generate: int = 0,
        generate_database: str = "StackOverflow2010",
        seed: int = 2010,
        script: str | Path | None = None,
    ) -> None:
        self.user = user
        self.password = password
        self.port = port
        self._options: list[str] = ["--port", str(port), "--user", user]
        self._options += [] if tls else ["--no-tls"]
        self._options += ["--force-encryption"] if force_encryption else []
        if generate:
            self._options += ["--rows", str(generate), "--database", generate_database, "--seed", str(seed)]
        if script is not None:
            self._options += ["--script", str(script)]
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.faults = RemoteFaults(self)

    def start(self, timeout: float = START_SECONDS) -> SandboxServer:
        """Start the process and wait until it listens.

        Raises:
            SandboxError: it did not start.
        """
        command = [sys.executable, "-m", "tsql_sandbox", "--control", *self._options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self._process = process
        killer = threading.Timer(timeout, process.kill)
        killer.start()
        try:
            # The password goes through the pipe: a command line can be read by others.
            self._write({"password": self.password})
            answer = self._read()
        except (SandboxError, OSError):
            self.kill()
            raise
        finally:
            killer.cancel()
        self.port = int(answer["port"])
        self._options[1] = str(self.port)
        return self

    def stop(self) -> None:
        """End the process."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
        self._process = None

    def kill(self) -> None:
        """End the process at once, as `kill -9` does. All data is gone."""
        if self._process is not None:
            self._process.kill()
            self.stop()

    def disconnect_all(self) -> None:
        """Cut every connection; the data stays."""
        self.command("disconnect")

    def pause(self, seconds: float) -> None:
        """Refuse to be reached for a while: connections are cut and new ones are not accepted. Returns at once."""
        self.command("pause", seconds=seconds)

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            SandboxError: it does not run.
        """
        if self._process is None:
            raise SandboxError("the sandbox is not running")
        return self._process.pid

    def __enter__(self) -> SandboxServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- where it is ---

    def url(self, database: str = "master", *, encrypt: bool = False) -> str:
        """`mssql://user:password@host:port/database?...`."""
        options = f"encrypt={'true' if encrypt else 'false'}&trust_server_cert=true"
        return f"mssql://{quote(self.user)}:{quote(self.password)}@{self.host}:{self.port}/{quote(database)}?{options}"

    def connection_string(self, database: str = "master", *, encrypt: bool = False) -> str:
        """A connection string for mssql-python."""
        password = self.password.replace("}", "}}")
        return (
            f"Server=tcp:{self.host},{self.port};Database={{{database}}};UID={self.user};PWD={{{password}}};"
            f"Encrypt={'yes' if encrypt else 'no'};TrustServerCertificate=yes"
        )

    def certificate(self) -> str:
        """The server's self-signed certificate as PEM, for clients that check it (host name localhost or 127.0.0.1)."""
        return str(self.command("certificate"))

    # --- control ---

    def connections(self) -> int:
        """Connections there are now."""
        return int(self.command("counters")["connections"])

    def counters(self) -> dict[str, Any]:
        """`connections`, `most_connections`, and `logins`: a list of {login, app_name, connections,
        most_connections, logins}."""
        return cast("dict[str, Any]", self.command("counters"))

    def reset_counters(self, *, keep_statements: bool = False) -> None:
        """Count anew; `keep_statements` makes `statements` work from now on."""
        self.command("reset_counters", keep_statements=keep_statements)

    def statements(self) -> list[str]:
        """Batches and calls since `reset_counters(keep_statements=True)`."""
        return cast("list[str]", self.command("statements"))

    def run_script(self, script: str, database: str = "master") -> None:
        """Run a T-SQL script with GO lines inside the server, without TDS.

        Raises:
            SandboxError: a batch failed.
        """
        self.command("script", script=script, database=database)

    def generate(self, rows: int, database: str = "StackOverflow2010", seed: int = 2010) -> dict[str, int]:
        """Make a StackOverflow2010-shaped database; table name -> rows."""
        return cast("dict[str, int]", self.command("generate", rows=rows, database=database, seed=seed))

    def command(self, name: str, **arguments: Any) -> Any:
        """Send a command and wait for its answer.

        Raises:
            SandboxError: it failed, or the process has ended.
        """
        with self._lock:
            self._write({"command": name, **arguments})
            return self._read()["result"]

    def _write(self, message: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise SandboxError("the sandbox is not running")
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        except OSError as error:
            raise SandboxError(f"the sandbox has ended: {error}") from None

    def _read(self) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdout is None:
            raise SandboxError("the sandbox is not running")
        line = process.stdout.readline()
        if not line:
            code = process.wait(10)
            raise SandboxError(f"the sandbox has ended with status {code}")
        answer = cast("dict[str, Any]", json.loads(line))
        if "error" in answer:
            raise SandboxError(answer["error"])
        return answer


def wait_for(condition: Any, seconds: float = 10.0, step: float = 0.02) -> bool:
    """Wait until a condition holds; False when it did not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(step)
    return bool(condition())
