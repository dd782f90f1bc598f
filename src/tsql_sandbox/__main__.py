"""`python -m tsql_sandbox`: run the sandbox until it is interrupted."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from .engine.session import Session
from .errors import SqlError
from .faults import Fault
from .generate import generate
from .tsql.lexer import split_batches
from .wire.certificate import certificate
from .wire.server import TdsServer

PASSWORD_VARIABLE = "SANDBOX_PASSWORD"


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser("python -m tsql_sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--user", default="sa")
    parser.add_argument("--no-tls", action="store_true", help="offer no encryption")
    parser.add_argument("--force-encryption", action="store_true")
    parser.add_argument(
        "--rows", type=int, default=0, help="generate a StackOverflow2010-shaped database of so many rows"
    )
    parser.add_argument("--database", default="StackOverflow2010", help="its name")
    parser.add_argument("--seed", type=int, default=2010)
    parser.add_argument("--script", type=Path, help="a T-SQL script to run first")
    parser.add_argument("--control", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    password = os.environ.get(PASSWORD_VARIABLE, "Sandbox!1")
    if options.control:
        password = json.loads(sys.stdin.readline())["password"]
    server = TdsServer(
        port=options.port,
        user=options.user,
        password=password,
        tls=not options.no_tls,
        force_encryption=options.force_encryption,
    )
    try:
        if options.script is not None:
            run_script(server, options.script.read_text(encoding="utf-8-sig"), "master")
        if options.rows:
            _generate(server, options.rows, options.database, options.seed)
    except SqlError as error:
        print(f"error {error.number}: {error.text}", file=sys.stderr)
        return 1
    server.start()
    if options.control:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _serve_control(server)
    else:
        print(f"listening on {server.host}:{server.port}, user {options.user}", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        stopping = threading.Event()
        stopping.wait()
    server.stop()
    return 0


def run_script(server: TdsServer, script: str, database: str) -> None:
    """Run a script's batches in a session of its own.

    Raises:
        SqlError: a batch failed.
    """
    engine = server.engine
    home = engine.find_database(database)
    if home is None:
        raise SqlError(911, f"Database '{database}' does not exist.")
    session = Session(engine, next(login for login in engine.logins() if login.sysadmin), home)
    try:
        for batch in split_batches(script):
            session.run_batch(batch)
    finally:
        session.close()


def _generate(server: TdsServer, rows: int, database: str, seed: int) -> dict[str, int]:
    return generate(server.engine, rows, database, seed)


def _serve_control(server: TdsServer) -> None:
    print(json.dumps({"port": server.port}), flush=True)
    for line in sys.stdin:
        message: dict[str, Any] = json.loads(line)
        try:
            answer = {"result": _command(server, message.pop("command"), message)}
        except SqlError as error:
            answer = {"error": f"error {error.number}: {error.text}"}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def _command(server: TdsServer, name: str, arguments: dict[str, Any]) -> Any:
    counters = server.counters
    if name == "fault":
        server.faults.add(Fault(**arguments))
    elif name == "clear_faults":
        server.faults.clear()
    elif name == "hits":
        return [dataclasses.asdict(fault) for fault in server.faults.hits]
    elif name == "counters":
        names = ("login", "app_name", "connections", "most_connections", "logins")
        rows = [dict(zip(names, row, strict=True)) for row in counters.rows()]
        return {"connections": counters.connections, "most_connections": counters.most_connections, "logins": rows}
    elif name == "reset_counters":
        counters.reset()
        counters.keep_statements = bool(arguments.get("keep_statements"))
    elif name == "statements":
        return list(counters.statements)
    elif name == "script":
        run_script(server, arguments["script"], arguments["database"])
    elif name == "generate":
        return _generate(server, **arguments)
    elif name == "certificate":
        return certificate()[0].decode("ascii")
    elif name == "disconnect":
        server.disconnect_all()
    elif name == "pause":
        server.pause(float(arguments["seconds"]))
    else:
        raise ValueError(f"unknown command {name}")
    return None


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing is left to be saved, and DuckDB's bindings fill the terminal with warnings when they are taken apart.
    os._exit(status)
