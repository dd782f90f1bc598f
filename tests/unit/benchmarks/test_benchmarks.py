"""The benchmark's arithmetic, and that it runs from its servers to its result."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from benchmarks.ends import source_section, target_section  # noqa: E402
from benchmarks.figures import Figure, figures, median_or_none, schedule_share, summarize  # noqa: E402
from benchmarks.meters import ProcessMeter, run_command  # noqa: E402
from benchmarks.parts import PacketWalk, Part  # noqa: E402
from benchmarks.text import table  # noqa: E402
from benchmarks.whole import Case, Run  # noqa: E402

WIRE = Case("wire", "narrow", "drop_recreate", False)


def run(seconds: float, tool: float = 1.0, rows: int = 1_000_000, peak: int = 10) -> Run:
    return Run(seconds, rows, rows * 50, tool, 0.5, 2.0, peak)


def test_medians_and_spread() -> None:
    summary = summarize(WIRE, [run(2.0, 3.0, peak=5), run(4.0, 1.0, peak=9), run(2.5, 2.0)])
    assert (summary.seconds, summary.tool_cpu, summary.peak_bytes) == (2.5, 2.0, 10)
    assert summary.spread == pytest.approx(0.8)
    assert summary.per_million(summary.target_cpu) == pytest.approx(2.0)
    assert summary.rows_per_second == pytest.approx(400_000)


def test_unknown_cpu_stays_unknown() -> None:
    assert median_or_none([1.0, None, 2.0]) is None
    assert schedule_share(summarize(WIRE, [run(1.0)]), Part(1, 1, 1, None, 0), Part(1, 1, 1, 1.0, 0), 2) is None


def test_share_of_the_ideal_schedule() -> None:
    whole = summarize(WIRE, [run(5.0, tool=1.0)])
    assert schedule_share(whole, Part(1, 1, 1, 2.0, 9.0), Part(1, 1, 1, 5.0, 9.0), 2) == pytest.approx(0.8)


def test_figures_subtract_the_start_and_allow_tls_twice() -> None:
    encrypted = Case("wire", "narrow", "drop_recreate", True)
    summaries = [summarize(WIRE, [run(2.0, 1.3)]), summarize(encrypted, [run(2.0, 1.3)])]
    empty = {("wire", 1): summarize(Case("wire", "empty", "drop_recreate", None), [run(1.0, 0.9, rows=0)])}
    found = {figure.name: figure for figure in figures(summaries, empty, {}, {}, 2)}
    plain = found["tool CPU per million rows, narrow, wire, start apart"]
    tls = found["tool CPU per million rows, narrow, wire, TLS, start apart"]
    assert plain.measured == pytest.approx(0.4)
    assert not plain.reached
    assert tls.limit == pytest.approx(0.5)
    assert tls.reached


def test_upserts_are_compared_with_truncate() -> None:
    modes = {"drop_recreate": 2.0, "truncate": 2.0, "upsert_empty": 4.0, "upsert_unchanged": 3.0}
    summaries = [summarize(Case("wire", "full", mode, False), [run(seconds)]) for mode, seconds in modes.items()]
    found = {figure.name: figure.reached for figure in figures(summaries, {}, {}, {}, 2)}
    assert not found["rows/s of upsert_empty to truncate"]
    assert found["rows/s of upsert_unchanged to truncate"]


def test_few_rows_tell_nothing_of_a_row() -> None:
    assert not figures([summarize(WIRE, [run(1.0, rows=1000)])], {}, {}, {}, 2)


def test_figure_directions() -> None:
    assert Figure("", 1.0, 2.0, True, "s").reached
    assert not Figure("", 1.0, 2.0, False, "").reached


@given(st.lists(st.integers(8, 40), min_size=1, max_size=6), st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_packets_are_followed_whatever_the_cuts(lengths: list[int], cuts: list[int]) -> None:
    stream = b"".join(
        struct.pack(">BBHHBB", 4, place == len(lengths) - 1, length, 0, 1, 0) + bytes(length - 8)
        for place, length in enumerate(lengths)
    )
    walk = PacketWalk(False)
    at = 0
    for step in [*cuts, len(stream)]:
        assert walk.ended == (at >= len(stream))
        walk.feed(memoryview(stream)[at : at + step])
        at += step
    assert walk.ended


def test_urls_become_sections_without_passwords() -> None:
    section, password = source_section("mssql://sa:p%40ss@db.example:1500/Sales?encrypt=true&trust_server_cert=true")
    assert password == "p@ss"
    assert section["password"] == "${BENCH_MSSQL_PASSWORD}"
    assert (section["host"], section["port"], section["database"]) == ("db.example", 1500, "Sales")
    assert section["encrypt"] is True
    section, password = target_section("postgresql://loader:secret@db.example/sales?sslmode=require")
    assert (section["port"], section["ssl_mode"], password) == (5432, "require", "secret")


@pytest.mark.parametrize("url", ["mysql://a/b", "mssql://host", "mssql:///db"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected mssql"):
        source_section(url)


def test_commands_are_measured(tmp_path: Path) -> None:
    code = "x = bytearray(60_000_000)\nfor i in range(2_000_000): pass\nprint('done')"
    done = run_command([sys.executable, "-c", code], os.environ, tmp_path)
    assert (done.code, done.output) == (0, "done\n")
    assert done.seconds > 0
    assert done.cpu > 0
    assert done.peak_bytes > 60_000_000


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    done = run_command([sys.executable, "-c", "import time; time.sleep(60)"], os.environ, tmp_path, timeout=0.3)
    assert done.code < 0
    assert done.seconds < 10


def test_a_process_is_metered() -> None:
    meter = ProcessMeter(os.getpid())
    before = meter.cpu()
    sum(range(5_000_000))
    after = meter.cpu()
    assert before is not None
    assert after is not None
    assert after > before
    assert ProcessMeter(None).cpu() is None


def test_tables_are_aligned() -> None:
    assert list(table(("", "n"), [("a", "10"), ("long", "5")])) == ["       n", "a     10", "long   5"]


@pytest.mark.sandbox_only
def test_a_whole_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rows", "3000", "--readers", "wire", "--tls", "no"]
    done = subprocess.run(
        [*command, "--scopes", "full", "--modes", "drop_recreate,upsert_unchanged", "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    runs = {item["mode"]: item for item in result["runs"]}
    assert set(runs) == {"drop_recreate", "upsert_unchanged"}
    # Counts follow from the size asked for: seven generated tables and three fixed ones.
    assert result["rows"] == runs["drop_recreate"]["rows"] == result["copy"]["full"]["rows"] > 2900
    assert result["drain"]["full"]["bytes"] > 100_000
    assert all(item["cpu_per_million_rows"]["tool"] > 0 for item in runs.values())
    assert {(item["reader"], item["tables"]) for item in result["empty"]} == {("wire", 1), ("wire", 10)}
    assert "Sandbox!1" not in file.read_text() + done.stdout + done.stderr
    assert "ten empty tables" in done.stdout


def test_what_distance_costs_is_measured_from_servers_to_table(tmp_path: Path) -> None:
    """A small run over lines: both databases, both delays; the far run took the same turns and more time."""
    out = tmp_path / "far.json"
    command = [sys.executable, "-m", "benchmarks.far", "--rows", "2000", "--tables", "4", "--delays", "0,20"]
    command += ["--places", "both", "--modes", "drop_recreate", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {(item["scope"], item["delay"]): item["runs"][0] for item in json.loads(out.read_text())}
    assert set(found) == {("full", 0.0), ("full", 20.0), ("tiny", 0.0), ("tiny", 20.0)}
    assert found["tiny", 0.0]["run"]["rows"] == 6
    for near, far in ((found["full", 0.0], found["full", 20.0]), (found["tiny", 0.0], found["tiny", 20.0])):
        assert far["run"]["seconds"] > near["run"]["seconds"]
        assert far["target"]["turns"] > 10
        assert min(far["source"]["down"], far["source"]["up"]) > 1000
    assert "speed" in done.stdout
