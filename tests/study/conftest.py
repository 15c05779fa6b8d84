"""Small search spaces and helpers that start searches."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import NamedTuple

import pytest

from explorer.space.search_space import parse_space
from explorer.study import loop
from explorer.study.latency import objective
from tests.polling import PATIENCE
from tests.study.evaluations import SPACE_TEXT
from tests.study.fake_clock import Clock
from tests.study.faults import starter

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def space():
    """27 derivations, all different networks: 3 depths, 3 activations, and no squeeze-excitation or one of 2 ratios."""
    return parse_space(SPACE_TEXT, "tiny.yaml")


@pytest.fixture
def url(tmp_path):
    """The URL of a storage that does not exist yet."""
    return f"sqlite:///{tmp_path}/explorer.db"


@pytest.fixture
def environment():
    """Environment variables with which a search in another process imports this checkout."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture
def start(tmp_path, url, environment):
    """Start a search in its own process; it and all its descendants carry a marker in their environment."""
    started = []
    yield starter(tmp_path, url, environment, started)
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def no_signal_follows(monkeypatch):
    """A search does not wait for a signal of its own after a trial's process died of one."""
    monkeypatch.setattr(loop, "SIGNAL_SECONDS", 0.01)


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """The fake clock, which replaces the measuring process and the environment of this machine."""
    made = Clock()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(objective, "measure_in_child", made)
    monkeypatch.setattr("explorer.measure.latency.present_environment", lambda *named: made.environment)
    return made


class RayNodes(NamedTuple):
    """A Ray cluster of two node processes.

    Attributes:
        address: Its address.
        pids: The process id of each node.
        environment: Environment variables of a process that connects to it.
    """

    address: str
    pids: tuple[int, ...]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def ray_nodes():
    """Start a Ray cluster on loopback and stop it afterwards."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install '.[ray]'")
    # Without the third variable Ray replaces 127.0.0.1 by the address of this machine, where the nodes do not listen.
    given = {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "OMP_NUM_THREADS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        command = [sys.executable, str(REPOSITORY / "benchmarks" / "many_machines" / "cluster.py"), "2", "2"]
        with subprocess.Popen(command, cwd=REPOSITORY, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True) as cluster:
            try:
                started = next((line for line in cluster.stdout if line.startswith("cluster ")), "")
                assert started, "the Ray cluster did not start"
                _, address, *pids = started.split()
                yield RayNodes(address, tuple(map(int, pids)), dict(os.environ))
            finally:
                cluster.stdin.close()
                cluster.wait(timeout=PATIENCE)
