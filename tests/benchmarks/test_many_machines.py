"""``benchmarks/scale.py`` and ``benchmarks/many_machines/``: each runs as its docstring says, with few trials."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.store.servers import Server

FOLDER = Path(__file__).parents[2] / "benchmarks"
MACRO = "arch,mean_acc,std,acc_seed0,acc_seed1,acc_seed2,params,macs,conv_activations\n" + "".join(
    f"{number:08d},{40 + number % 50}.5,0.1,1,1,1,{1000 + number},{100_000 * (1 + number % 7)},5\n"
    for number in range(40)
)


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """Run a benchmark with a small table; return the rows that it prints."""
    (tmp_path / "nas-bench-macro").mkdir()
    (tmp_path / "nas-bench-macro" / "nas_bench_macro_extract.csv").write_text(MACRO)
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path))

    def run(script: str, *options: str) -> list[dict]:
        command = [sys.executable, str(FOLDER / script), *options, "--record", str(tmp_path / "record.md")]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=540)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    return run


@pytest.fixture
def server(postgresql: Server):
    """The URL of a database."""
    with postgresql.database() as name:
        yield postgresql.url(name)


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server started for these tests."""
    server = Server()
    yield server
    server.remove()


def test_a_simulation_and_its_plot(measure, tmp_path):
    """Simulated workers run their trials, and the record and the plot have the numbers of workers."""
    plot = tmp_path / "plot.svg"
    options = ("--workers", "1,3", "--each", "2", "--storage", "sqlite", "--repeats", "2", "--plot", str(plot))
    found = measure("scale.py", "simulate", *options)
    assert [(row["workers"], row["trials"]) for row in found] == 2 * [(1, 2), (3, 6)]
    assert all(0 < row["of_ideal"] <= 1 and {"begin", "finish", "read", "renew"} <= set(row["ms"]) for row in found)
    assert "throughput" in plot.read_text()
    record = (tmp_path / "record.md").read_text()
    assert "`python benchmarks/scale.py simulate --workers 1,3" in record and "| 3 | 2 | 6 |" in record


@pytest.mark.slow
def test_a_simulation_on_a_server(measure, server):
    """The simulation runs on PostgreSQL too, and several processes live there."""
    (row,) = measure("scale.py", "simulate", "--workers", "4", "--each", "2", "--storage", server)
    assert row["trials"] == 8
    (row,) = measure("scale.py", "lives", "--workers", "2", "--seconds", "1", "--storage", server)
    assert row["lives"] > 0


@pytest.mark.slow
def test_a_study_of_many_trials_is_measured(measure):
    """A built study opens, shows its frontier, and its search resumes and proposes."""
    (row,) = measure("scale.py", "studies", "--trials", "40", "--storage", "sqlite")
    assert row["trials"] == 40 and row["frontier"] > 0
    assert {"open and show CPU s", "resume CPU s", "first ask CPU s", "ask CPU s", "memory MiB"} <= set(row)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "postgresql"])
def test_the_throughput_of_an_engine(measure, engine):
    """Eight trials on two workers have a rate, which is not above the ideal."""
    if find_spec("ray" if engine == "ray" else "psycopg") is None:
        pytest.skip(f"{engine} is not installed")
    (row,) = measure(
        "many_machines/engine_throughput.py", "--engines", engine, "--workers", "2", "--trials", "8", "--seconds", "1",
        "--sampler", "random",
    )  # fmt: skip
    assert row["trials"] == 8 and 0 < row["of ideal"] < 1.2


@pytest.mark.slow
@pytest.mark.parametrize("what", ["restarts", "workers", "ray"])
def test_faults_lose_nothing(measure, what):
    """After a restart or a kill all trials end, and no finished one is trained again."""
    if find_spec("ray" if what == "ray" else "psycopg") is None:
        pytest.skip(f"{what} needs a package that is not installed")
    options = ("--times", "1", "--workers", "2", "--trials", "6", "--seconds", "1")
    (row,) = measure("many_machines/faults.py", what, *options)
    assert (row["complete"], row["unended"], row["thrown away"]) == (6, 0, 0)
    assert row["most starts"] <= 2
