"""The command line as a user meets it: exit codes, messages, where options go. Each case is a process of its own."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol

import jsonschema
import pytest

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "output.schema.json").read_text())
SECRETS = ("source-secret", "target-secret")
COMMANDS = ["run", "resume", "validate", "health-check", "plan", "schema", "init", "tui", "demo"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a configuration for two servers that are not there."""
    config(tmp_path)
    return tmp_path


def config(folder: Path, name: str = "config.yaml", **sections: dict[str, Any]) -> Path:
    """Write a configuration; both sides refuse connections unless changed."""
    data: dict[str, dict[str, Any]] = {
        "source": {
            "type": "mssql",
            "host": "127.0.0.1",
            "port": closed_port(),
            "database": "d",
            "user": "u",
            "password": SECRETS[0],
            "login_timeout": 2,
        },
        "target": {
            "type": "postgres",
            "host": "127.0.0.1",
            "port": closed_port(),
            "database": "d",
            "user": "u",
            "password": SECRETS[1],
            "connect_timeout": 2,
        },
        "migration": {},
    }
    for section, changes in sections.items():
        data[section].update(changes)
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def closed_port() -> int:
    """A port nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MuteServer:
    """A server that accepts connections and never says a word."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._held: list[socket.socket] = []
        self._called = threading.Event()

    def __enter__(self) -> MuteServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._held:
            connection.close()

    def wait(self) -> None:
        """Until somebody has connected: then the command is on its way, and listens to signals."""
        assert self._called.wait(30)
        time.sleep(0.2)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._held.append(self._listener.accept()[0])
                self._called.set()


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mssql_pg_migrate", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )


def finish(process: subprocess.Popen[str], within: float = 30, *, debug: bool = False) -> tuple[int, str, str]:
    """Exit code, stdout, stderr; whatever happened, neither shows a traceback or a password."""
    try:
        out, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert debug or "Traceback" not in out + err
    assert not any(secret in out + err for secret in SECRETS)
    return process.returncode, out, err


def tool(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    return finish(start(folder, *arguments, **environment))


class Inside(Protocol):
    """As ``tool``, within this process: for what needs no process of its own."""

    def __call__(self, folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]: ...


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    from mssql_pg_migrate.cli.app import run

    def call(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = run(list(arguments))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert not any(secret in captured.out + captured.err for secret in SECRETS)
        return code, captured.out, captured.err

    return call


def document(out: str) -> dict[str, Any]:
    assert len(out.splitlines()) == 1
    data: dict[str, Any] = json.loads(out)
    jsonschema.validate(data, SCHEMA)
    return data


class TestHelp:
    """--help and --version need nothing and are quick."""

    def test_every_command_is_listed(self, folder: Path) -> None:
        code, out, err = tool(folder, "--help")
        assert (code, err) == (0, "")
        listed = [line.split()[0] for line in out.split("Commands:")[1].splitlines() if line.strip()]
        assert listed[:6] == ["run", "resume", "validate", "health-check", "plan", "schema"]
        assert listed[6:] == ["sync", "cutover", "init", "tui", "demo"]

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_of_a_command(self, folder: Path, inside: Inside, command: str) -> None:
        code, out, _ = inside(folder, command, "--help")
        assert code == 0
        assert f"mssql-pg-migrate {command}" in out
        assert "--config" in out.split("Global options")[1]

    def test_version(self, folder: Path) -> None:
        from mssql_pg_migrate import __version__

        assert tool(folder, "--version")[:2] == (0, f"mssql-pg-migrate, version {__version__}\n")

    def test_nothing_heavy_is_imported(self, folder: Path) -> None:
        script = (
            "import sys; from mssql_pg_migrate.cli.app import run; run(['run', '--help']);"
            "print(*sorted({name.split('.')[0] for name in sys.modules}), sep='\\n')"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
        heavy = {
            "mssql_python",
            "pyarrow",
            "pgpq",
            "psycopg",
            "rich",
            "textual",
            "sqlglot",
            "duckdb",
            "pydantic",
            "yaml",
            "numpy",
            "psutil",
            "questionary",
        }
        assert not heavy & set(done.stdout.split())

    def test_no_command(self, folder: Path) -> None:
        code, out, err = tool(folder)
        assert (code, out) == (1, "")
        assert "Commands:" in err


class TestUsage:
    """A command line that makes no sense: one message, exit 1."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["rum"], "No such command 'rum'"),
            (["run", "--dryrun"], "No such option '--dryrun'"),
            (["run", "--workers", "0"], "'--workers': 0 is not in the range"),
            (["run", "--workers", "many"], "'--workers': 'many' is not a valid integer"),
            (["--log-format", "xml", "run"], "'--log-format': 'xml' is not one of"),
            (["--verbosity", "loud", "run"], "'--verbosity': 'loud' is not one of"),
            (["--shutdown-timeout", "-1", "run"], "'--shutdown-timeout': -1"),
            (["run", "extra"], "unexpected extra argument"),
            (["run", "--schema-only", "--data-only"], "exclude each other"),
            (["schema", "--pre-data", "--post-data"], "exclude each other"),
            (["run", "--auto-resume"], "--auto-resume needs --state-file"),
            (["--state-file", "", "run"], "'--state-file': must not be empty"),
            (["-c"], "requires an argument"),
            (["tui", "--output-json"], "tui is for people"),
        ],
    )
    def test_message_and_code(self, folder: Path, inside: Inside, arguments: list[str], said: str) -> None:
        code, out, err = inside(folder, *arguments)
        assert (code, out) == (1, "" if "--output-json" not in arguments else out)
        assert err.startswith("Error: ")
        assert said in err
        assert "--help" in err

    def test_as_json(self, folder: Path, inside: Inside) -> None:
        code, out, _ = inside(folder, "--output-json", "run", "--nope")
        data = document(out)
        assert (code, data["exit_code"], data["error_type"], data["command"]) == (1, 1, "config", "run")

    def test_with_progress_stderr_is_json_too(self, folder: Path, inside: Inside) -> None:
        _, out, err = inside(folder, "--progress", "run", "--nope")
        assert document(out)["exit_code"] == 1
        assert {"table", "rows_transferred"} <= set(json.loads(err)) & set(document(out))

    @pytest.mark.parametrize("command", ["run", "resume", "validate", "plan"])
    def test_with_progress_the_document_of_a_failure_has_what_every_line_has(
        self, folder: Path, inside: Inside, command: str
    ) -> None:
        code, out, _ = inside(folder, "--progress", "-c", "absent.yaml", command)
        assert code == 1
        assert (document(out)["table"], document(out)["rows_transferred"]) == ("*", 0)


class TestConfiguration:
    """What is wrong with the configuration: exit 1."""

    def test_no_file(self, folder: Path, inside: Inside) -> None:
        code, _, err = inside(folder, "-c", "absent.yaml", "run")
        assert code == 1
        assert err.startswith("Error: absent.yaml: there is no such file\n")

    def test_the_default_is_config_yaml(self, tmp_path: Path, inside: Inside) -> None:
        code, _, err = inside(tmp_path, "plan")
        assert code == 1
        assert "config.yaml: there is no such file" in err

    def test_a_misspelt_key(self, folder: Path, inside: Inside) -> None:
        config(folder, migration={"chunksize": 5})
        code, _, err = inside(folder, "run")
        assert code == 1
        assert "migration.chunksize: unknown key; did you mean chunk_size?" in err

    def test_an_unset_variable(self, folder: Path, inside: Inside) -> None:
        config(folder, source={"password": "${NOT_SET_ANYWHERE}"})
        code, _, err = inside(folder, "run")
        assert code == 1
        assert "source.password: environment variable NOT_SET_ANYWHERE is not set" in err

    def test_a_secret_in_the_wrong_place(self, folder: Path, inside: Inside) -> None:
        config(folder, source={"port": "${PW}"})
        code, _, err = inside(folder, "run", PW=SECRETS[0])
        assert code == 1
        assert "source.port: must be a whole number" in err

    @pytest.mark.parametrize("command", ["run", "resume", "validate", "health-check", "plan", "schema"])
    def test_every_command_reads_it(self, folder: Path, inside: Inside, command: str) -> None:
        config(folder, migration={"workers": 0})
        code, out, _ = inside(folder, "--state-file", "s.state", "--output-json", command)
        data = document(out)
        assert (code, data["command"], data["error_type"]) == (1, command, "config")
        assert "migration.workers: must be at least 1" in data["error"]


class TestConnections:
    """Servers that cannot be reached: exit 2."""

    @pytest.mark.parametrize("command", ["run", "plan", "schema", "validate", "health-check"])
    def test_both_sides_refuse(self, folder: Path, command: str) -> None:
        code, out, err = tool(folder, "--output-json", command)
        data = document(out)
        assert (code, data["status"], data["error_type"], data["retryable"]) == (2, "failed", "connection", True)
        if command == "health-check":  # its result says which side failed, and why
            assert [side["ok"] for side in data["sides"]] == [False, False]
        else:
            assert "Error: " in err

    def test_an_unknown_host(self, folder: Path) -> None:
        config(folder, source={"host": "no-such-host.invalid"})
        code, _, err = tool(folder, "plan")
        assert code == 2
        assert "no-such-host.invalid" in err

    def test_dry_run_connects_too(self, folder: Path) -> None:
        assert tool(folder, "run", "--dry-run")[0] == 2


class TestState:
    """resume and its file: exit 6, or 1 when no file was named."""

    def test_no_file_named(self, folder: Path, inside: Inside) -> None:
        code, _, err = inside(folder, "resume")
        assert code == 1
        assert "--state-file" in err

    def test_no_such_file(self, folder: Path, inside: Inside) -> None:
        code, out, _ = inside(folder, "--state-file", "absent.state", "--output-json", "resume")
        assert (code, document(out)["error_type"]) == (6, "state")

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\x00"])
    def test_no_state_file_at_all(self, folder: Path, inside: Inside, text: str) -> None:
        (folder / "s.state").write_text(text)
        assert inside(folder, "--state-file", "s.state", "resume")[0] == 6

    @pytest.mark.parametrize("command", [["run"], ["run", "--auto-resume"]])
    def test_a_file_of_another_kind_is_kept(self, folder: Path, inside: Inside, command: list[str]) -> None:
        before = (folder / "config.yaml").read_text()
        code, _, err = inside(folder, "--state-file", "config.yaml", *command)
        assert code == 6
        assert "config.yaml is there and is not the state file of a run: it is not overwritten" in err
        assert (folder / "config.yaml").read_text() == before

    def test_another_configuration(self, folder: Path, inside: Inside) -> None:
        state = {
            "run_id": "550e8400-e29b-41d4-a716-446655440000",
            "config_hash": "sha256:0",
            "status": "running",
            "started_at": "2025-01-15T10:30:00Z",
            "updated_at": "2025-01-15T10:30:00Z",
            "tables": {},
        }
        (folder / "s.state").write_text(json.dumps(state))
        code, _, err = inside(folder, "--state-file", "s.state", "resume")
        assert code == 6
        assert "Config hash mismatch" in err


class TestFiles:
    """Places that cannot be written: exit 7."""

    def test_report(self, folder: Path, inside: Inside) -> None:
        code, _, err = inside(folder, "run", "--report", "absent/report.html")
        assert code == 7
        assert "report absent/report.html cannot be written" in err.replace(os.sep, "/")


def test_the_demo_without_its_extra(folder: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    code, _, err = inside(folder, "demo")
    assert code == 1
    assert "pip install 'mssql-pg-migrate[sandbox]'" in err


class TestOptionPlaces:
    """Global options before the command, as in the guide, and after it."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["-c", "other.json", "--output-json", "plan"],
            ["plan", "-c", "other.json", "--output-json"],
            ["--output-json", "plan", "--config=other.json"],
            ["-c", "absent.yaml", "plan", "-c", "other.json", "--output-json"],
        ],
    )
    def test_config_and_output(self, folder: Path, inside: Inside, arguments: list[str]) -> None:
        config(folder, "other.json", migration={"retries": 0})
        code, out, _ = inside(folder, *arguments)
        assert code == 1
        assert document(out)["error"].startswith("other.json: migration.retries")

    def test_a_default_after_does_not_undo_one_before(self, folder: Path, inside: Inside) -> None:
        code, _, err = inside(folder, "--verbosity", "error", "--log-format", "json", "plan")
        assert code == 2
        assert [json.loads(line)["level"] for line in err.splitlines()] == ["error"]


class TestStreams:
    """Results on stdout only, logs on stderr only."""

    def test_text(self, folder: Path) -> None:
        code, out, err = tool(folder, "run")
        assert (code, out) == (2, "")
        assert "Error: " in err
        assert "INFO" in err

    @pytest.mark.parametrize("option", ["--progress", "--log-format=json"])
    def test_machine_formats_leave_nothing_that_is_not_json(self, folder: Path, option: str) -> None:
        _, out, err = finish(start(folder, option, "--verbosity", "debug", "run"), debug=True)
        document(out)
        assert all(isinstance(json.loads(line), dict) for line in err.splitlines())
        if option == "--progress":
            assert all({"table", "rows_transferred"} <= set(json.loads(line)) for line in err.splitlines())

    @pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
    def test_json_is_utf8_in_any_locale(self, folder: Path, encoding: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "mssql_pg_migrate", "-c", "Größe 漢字.yaml", "--output-json", "--progress", "plan"],
            cwd=folder,
            capture_output=True,
            env={**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": encoding},
            check=False,
        )
        assert document(done.stdout.decode())["error"] == "Größe 漢字.yaml: there is no such file"
        assert json.loads(done.stderr.decode())["message"].startswith("Größe 漢字.yaml: ")

    @pytest.mark.skipif(os.name != "posix", reason="a POSIX shell closes them")
    @pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
    @pytest.mark.parametrize("options", [[], ["--output-json"]])
    def test_streams_that_are_closed(self, folder: Path, closed: str, options: list[str]) -> None:
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "mssql_pg_migrate", *options, "run"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert (done.stdout == "") == (not options or ">&- 2" in closed or closed == ">&-")

    def test_a_broken_pipe_inside_a_command_is_no_success(self, capsys: pytest.CaptureFixture[str]) -> None:
        from mssql_pg_migrate.cli.execution import Execution, Outcome
        from mssql_pg_migrate.cli.options import GlobalOptions

        def work(_: Execution) -> Outcome:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

        assert Execution("run", GlobalOptions()).run(work) == 3
        assert "Broken pipe" in capsys.readouterr().err

    def test_a_reader_that_leaves_early(self, folder: Path) -> None:
        process = start(folder, "--output-json", "plan")
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        process.wait(timeout=30)
        assert process.stderr is not None
        assert "BrokenPipe" not in process.stderr.read()
        process.stderr.close()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    @pytest.mark.parametrize("arguments", [["--output-json", "health-check"], ["--help"], ["run", "--help"], ["-V"]])
    def test_a_full_disk(self, folder: Path, arguments: list[str], unbuffered: str) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "mssql_pg_migrate", *arguments],
                cwd=folder,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
                check=False,
            )
        assert done.returncode == (2 if "health-check" in arguments else 7)
        assert "the result cannot be printed: No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    @pytest.mark.parametrize(("arguments", "expected"), [(["--help"], 0), (["--output-json", "health-check"], 2)])
    def test_a_log_that_cannot_be_written_is_no_failure(
        self, folder: Path, arguments: list[str], expected: int, unbuffered: str
    ) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "mssql_pg_migrate", *arguments],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=full,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
                check=False,
            )
        assert done.returncode == expected
        assert done.stdout


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
class TestSignals:
    """SIGINT and SIGTERM: exit 5, with a document, even while a server does not answer."""

    @pytest.mark.parametrize("module", ["click", "mssql_pg_migrate.cli.commands"])
    def test_while_the_program_is_being_imported(self, folder: Path, module: str) -> None:
        script = (
            "import os, signal, sys\n"
            "class Interrupting:\n"
            "    def find_spec(self, name, *_):\n"
            f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
            "sys.meta_path.insert(0, Interrupting())\n"
            "from mssql_pg_migrate.cli import main\n"
            "main(['run'])\n"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (5, "", "Error: interrupted\n")

    @pytest.mark.parametrize(
        ("command", "number"),
        [("plan", signal.SIGINT), ("validate", signal.SIGTERM), ("health-check", signal.SIGTERM)],
    )
    def test_a_reading_command_ends_at_once(self, folder: Path, command: str, number: signal.Signals) -> None:
        with MuteServer() as server:
            config(
                folder,
                source={"port": server.port, "login_timeout": 60},
                target={"port": server.port, "connect_timeout": 60},
            )
            process = start(folder, "--output-json", command)
            server.wait()
            process.send_signal(number)
            began = time.monotonic()
            code, out, _ = finish(process, within=10)
        assert time.monotonic() - began < 5
        data = document(out)
        assert (code, data["status"], data["error_type"]) == (5, "cancelled", "cancelled")
        assert number.name in data["error"]

    def test_a_run_that_waits_for_a_server(self, folder: Path) -> None:
        with MuteServer() as server:
            config(folder, target={"port": server.port, "connect_timeout": 3})
            process = start(folder, "--output-json", "run")
            server.wait()
            process.send_signal(signal.SIGTERM)
            code, out, err = finish(process, within=15)
        assert (code, document(out)["status"]) == (5, "cancelled")
        assert "SIGTERM: stopping" in err

    def test_three_signals_end_anything(self, folder: Path) -> None:
        with MuteServer() as server:
            config(folder, target={"port": server.port, "connect_timeout": 60})
            process = start(folder, "--progress", "run")
            server.wait()
            for _ in range(3):
                process.send_signal(signal.SIGTERM)
                time.sleep(0.3)
            code, out, err = finish(process, within=10)
        assert (code, document(out)["status"]) == (5, "cancelled")
        assert all({"table", "rows_transferred"} <= set(json.loads(line)) for line in err.splitlines())
