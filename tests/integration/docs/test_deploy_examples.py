"""The deployment files mean what they say: parsed, and their command lines run with --dry-run against servers."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import yaml

from mssql_pg_migrate.config import Config

ROOT = Path(__file__).parents[3]
COMMAND = Path(sys.executable).parent / "mssql-pg-migrate"
SECRETS = {"MSSQL_PASSWORD", "POSTGRES_PASSWORD"}


# -- servers and commands ----------------------------------------------------------------------------------------------


@pytest.fixture
def place(source_db, target_db, tmp_path):
    """A configuration for the servers under test, a folder for states, and an environment with the passwords."""
    source_db.execute_script("CREATE TABLE dbo.Items (Id int NOT NULL PRIMARY KEY)")
    source_db.execute_script("INSERT INTO dbo.Items VALUES (1), (2)")
    server = source_db.server
    config = {
        "source": {
            "type": "mssql", "host": server.host, "port": server.port, "database": source_db.name, "user": server.user,
            "password": "${MSSQL_PASSWORD}", "encrypt": str(server.encrypt).lower(), "trust_server_cert": True,
        },
        "target": {
            "type": "postgres", "host": target_db.host, "port": target_db.port, "database": target_db.name,
            "user": target_db.user, "password": "${POSTGRES_PASSWORD}", "ssl_mode": "prefer",
        },
    }  # fmt: skip
    path = tmp_path / "migration.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    state = tmp_path / "state"
    state.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}",
        "MSSQL_PASSWORD": server.password,
        "POSTGRES_PASSWORD": target_db.password,
    }
    return types.SimpleNamespace(config=path, state=state, environment=environment, target=target_db)


def run(place, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), *arguments], env=place.environment, capture_output=True, text=True, timeout=300
    )


def bash(place, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-e", "-c", command], env=place.environment, capture_output=True, text=True, timeout=300
    )


def here(place, arguments: list[str]) -> list[str]:
    """Arguments of a container, with its paths replaced by those of the test."""
    moved = []
    for argument in arguments:
        if argument.startswith("/config/"):
            argument = str(place.config)
        elif argument.startswith("/state/"):
            argument = str(place.state / Path(argument).name)
        moved.append(argument)
    return moved


def seconds(text: str) -> int:
    amount, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(amount) * (60 if unit == "m" else 1)


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


# -- image -------------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of the Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", text)
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def test_the_image_runs_the_command_itself_as_an_ordinary_user():
    found = instructions()
    names = [name for name, _ in found]
    assert names.count("FROM") == 2, "the compiler stays in a stage of its own"
    final = found[len(names) - 1 - names[::-1].index("FROM") :]
    last = dict(final)
    assert json.loads(last["ENTRYPOINT"]) == ["mssql-pg-migrate"], "process 1 must be the command, not a shell"
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    copied = [rest for name, rest in final if name in ("COPY", "ADD")]
    assert copied == ["--from=build /opt/mssql-pg-migrate /opt/mssql-pg-migrate"], "no configuration in the image"
    order = [name for name, _ in final]
    assert max(index for index, name in enumerate(order) if name == "RUN") < order.index("USER")
    for _, rest in found:
        assert "PASSWORD" not in rest


def test_everything_the_image_is_built_from_exists_and_is_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    wanted = {line[1:] for line in ignored if line.startswith("!")}
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in wanted


@pytest.mark.parametrize(("extras", "wanted"), [("ui", ".[ui]"), ("", ".")])
def test_the_image_can_leave_out_the_extras(extras, wanted):
    (requirement,) = re.findall(r'pip install \S+ \S+ (".+?")', " ".join(rest for _, rest in instructions()))
    shown = subprocess.run(["sh", "-c", f"echo {requirement}"], env={"EXTRAS": extras}, capture_output=True, text=True)
    assert shown.stdout.strip() == wanted


# -- compose -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))["services"]["migrate"]


def test_compose_leaves_time_to_stop_and_mounts_what_it_names(compose):
    command = compose["command"]
    assert seconds(compose["stop_grace_period"]) > float(option(command, "--shutdown-timeout"))
    targets = {volume.split(":")[1] for volume in compose["volumes"]}
    assert option(command, "-c") in targets
    assert str(Path(option(command, "--state-file")).parent) in targets
    assert set(compose["environment"]) == SECRETS
    assert compose["read_only"] is True
    assert compose["user"] == "10001:10001"


def test_the_compose_command_runs(compose, place):
    done = run(place, [*here(place, compose["command"]), "--dry-run"])
    assert done.returncode == 0, done.stderr
    assert "Items" in done.stdout
    assert place.target.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


# -- Kubernetes --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifests():
    text = (ROOT / "deploy" / "kubernetes-job.yaml").read_text(encoding="utf-8")
    return {item["kind"]: item for item in yaml.safe_load_all(text)}


def test_the_job_fits_its_parts(manifests):
    pod = manifests["Job"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    arguments = container["args"]
    assert pod["terminationGracePeriodSeconds"] > float(option(arguments, "--shutdown-timeout"))
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounts.values()) == set(volumes)
    config, state = Path(option(arguments, "-c")), Path(option(arguments, "--state-file"))
    assert volumes[mounts[str(config.parent)]]["configMap"]["name"] == manifests["ConfigMap"]["metadata"]["name"]
    assert config.name in manifests["ConfigMap"]["data"]
    claim = volumes[mounts[str(state.parent)]]["persistentVolumeClaim"]["claimName"]
    assert claim == manifests["PersistentVolumeClaim"]["metadata"]["name"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True


def test_a_job_that_another_attempt_cannot_help_is_not_tried_again(manifests):
    spec = manifests["Job"]["spec"]
    codes = [rule["onExitCodes"]["values"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert codes == [[1, 4, 6]]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "podFailurePolicy is only allowed with Never"


def test_the_configuration_of_the_job_loads(manifests, tmp_path):
    ((name, text),) = manifests["ConfigMap"]["data"].items()
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    config = Config.load(path, environment=dict.fromkeys(SECRETS, "x"))
    assert config.source.host == "mssql.example.com"
    for variable in SECRETS:
        assert f"${{{variable}}}" in text


def test_the_command_of_the_job_runs(manifests, place):
    (container,) = manifests["Job"]["spec"]["template"]["spec"]["containers"]
    done = run(place, [*here(place, container["args"]), "--dry-run"])
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        json.loads(line)


# -- Airflow -----------------------------------------------------------------------------------------------------------


class Operator:
    """Stands in for Airflow's operators: keeps its arguments."""

    def __init__(self, **arguments) -> None:
        self.__dict__.update(arguments)
        self.after: list[Operator] = []

    def __rshift__(self, other: Operator) -> Operator:
        self.after.append(other)
        return other


class Dag:
    """Stands in for Airflow's DAG."""

    def __init__(self, dag_id: str, **arguments) -> None:
        self.dag_id, self.arguments = dag_id, arguments

    def __enter__(self) -> Dag:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class AirflowError(Exception):
    """Stands in for airflow.exceptions.AirflowException."""


class AirflowFail(AirflowError):
    """Stands in for airflow.exceptions.AirflowFailException: no further try."""


@pytest.fixture
def airflow(monkeypatch):
    """A module tree that has just what the DAG files import."""
    tree = {
        "airflow": {"DAG": Dag},
        "airflow.exceptions": {"AirflowException": AirflowError, "AirflowFailException": AirflowFail},
        "airflow.operators": {},
        "airflow.operators.bash": {"BashOperator": Operator},
        "airflow.operators.python": {"PythonOperator": Operator},
    }
    for name, members in tree.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)


def load_dag(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"deploy_{name}", ROOT / "deploy" / "airflow" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rendered(template: str, place, *, try_number: int = 1) -> str:
    """What Airflow would run: the expressions of these files replaced, its folders moved to the test's."""
    text = template.replace("{{ run_id }}", "scheduled__2025-01-01T00:00:00+00:00")
    command = "resume" if try_number > 1 else "run"
    text = text.replace("{{ 'resume' if task_instance.try_number > 1 else 'run' }}", command)
    assert "{{" not in text
    text = text.replace("/opt/airflow/config/migration.yaml", shlex.quote(str(place.config)))
    return text.replace("/opt/airflow/state", str(place.state)).replace("/tmp/scheduled", f"{place.state}/scheduled")


@pytest.mark.usefixtures("airflow")
def test_the_bash_dag_runs_and_its_xcom_is_the_result(place):
    dag = load_dag("dag_bash")
    assert dag.migrate.after == [dag.validate]
    assert dag.dag.arguments["schedule"] == "@hourly"
    command = rendered(dag.migrate.bash_command, place)
    done = bash(place, command)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])  # what BashOperator pushes: the last line
    assert (result["status"], result["rows_transferred"]) == ("completed", 2)
    checked = bash(place, rendered(dag.validate.bash_command, place))
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout.strip().splitlines()[-1])["equal"] is True


GUIDE_COMMAND = r"""
            mssql-pg-migrate \
                -c /opt/airflow/config/migration.yaml \
                --state-file /tmp/{{ run_id }}.state \
                --output-json \
                --progress \
                {{ 'resume' if task_instance.try_number > 1 else 'run' }}
"""


def test_the_bash_command_with_resume_on_later_tries(place):
    """The form that says ``resume`` from the second try on."""
    first = bash(place, rendered(GUIDE_COMMAND, place))
    assert first.returncode == 0, first.stderr
    again = bash(place, rendered(GUIDE_COMMAND, place, try_number=2))
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.strip().splitlines()[-1])["status"] == "completed"
    for line in first.stderr.splitlines():
        progress = json.loads(line)
        assert {"table", "rows_transferred"} <= set(progress)


@pytest.mark.usefixtures("airflow")
def test_the_python_dag_runs(place, monkeypatch):
    dag = load_dag("dag_python")
    assert dag.migrate.after == [dag.validate]
    for name in SECRETS:
        monkeypatch.setenv(name, place.environment[name])
    monkeypatch.setattr(dag, "CONFIG", place.config)
    monkeypatch.setattr(dag, "STATE", place.state)
    result = dag.migrate.python_callable(run_id="manual__1", ts="ignored")
    assert (result["rows"], result["unchanged"]) == (2, 0)
    json.dumps(result)
    assert dag.validate.python_callable(run_id="manual__1") == {"tables": 1}
    place.target.execute('DELETE FROM public."Items" WHERE "Id" = 2')
    with pytest.raises(AirflowFail, match="Items"):
        dag.validate.python_callable()


@pytest.mark.usefixtures("airflow")
def test_the_python_dag_does_not_retry_a_wrong_password(place, monkeypatch):
    dag = load_dag("dag_python")
    monkeypatch.setenv("MSSQL_PASSWORD", "wrong")
    monkeypatch.setenv("POSTGRES_PASSWORD", place.environment["POSTGRES_PASSWORD"])
    monkeypatch.setattr(dag, "CONFIG", place.config)
    monkeypatch.setattr(dag, "STATE", place.state)
    with pytest.raises(AirflowFail, match="Login failed"):
        dag.migrate.python_callable(run_id="manual__2")


# -- process 1 ---------------------------------------------------------------------------------------------------------


def _may_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--fork", "--pid", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _may_unshare(), reason="needs the right to make a PID namespace")
def test_sigterm_reaches_process_1_and_the_next_attempt_goes_on(place, source_db):
    """What a container does on SIGTERM: the kernel gives process 1 only the signals it handles itself."""
    source_db.execute_script(
        "CREATE TABLE dbo.N (n int NOT NULL PRIMARY KEY)\nINSERT INTO dbo.N VALUES "
        + ", ".join(f"({number})" for number in range(30))
        + "\nCREATE TABLE dbo.Big (Id int NOT NULL PRIMARY KEY)\nINSERT INTO dbo.Big"
        " SELECT a.n + 30 * b.n + 900 * c.n FROM dbo.N AS a CROSS JOIN dbo.N AS b CROSS JOIN dbo.N AS c"
    )
    config = yaml.safe_load(place.config.read_text(encoding="utf-8"))
    config["migration"] = {"chunk_size": 100, "include_tables": ["Big"]}
    place.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    arguments = ["-c", str(place.config), "--state-file", str(place.state / "x.state"), "run", "--auto-resume"]
    process = subprocess.Popen(
        ["unshare", "--fork", "--pid", "--kill-child", str(COMMAND), *arguments],
        env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not _rows(place) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        inner = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        os.kill(inner, signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 5, errors
    assert json.loads((place.state / "x.state").read_text())["status"] == "cancelled"
    assert 0 < _rows(place) < 27_000
    config["migration"]["chunk_size"] = 5000  # tuning may change between attempts
    place.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    done = run(place, arguments)
    assert done.returncode == 0, done.stderr
    assert _rows(place) == 27_000


def _rows(place) -> int:
    if place.target.execute("SELECT to_regclass('public.\"Big\"')") == [(None,)]:
        return 0
    return place.target.execute('SELECT count(*) FROM public."Big"')[0][0]
