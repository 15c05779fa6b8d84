"""A SLURM cluster of one node, and a PostgreSQL server whose URL has a password."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.servers import Server
from tests.study.launchers.slurm_node import SlurmNode

EXPLORER = [sys.executable, "-m", "explorer"]
REPOSITORY = Path(__file__).parents[3]
PASSWORD = "canary-S3cr3t"
Command = Callable[..., subprocess.Popen]


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmNode]:
    """A SLURM cluster of this machine."""
    node = SlurmNode()
    yield node
    node.remove()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A PostgreSQL server, which accepts any password."""
    made = Server()
    yield made
    made.remove()


@pytest.fixture
def storage(server) -> Iterator[str]:
    """The URL of an empty database, with a password."""
    with server.database() as name:
        yield server.url(name, f"explorer:{PASSWORD}")


@pytest.fixture
def explorer(tmp_path) -> Iterator[Command]:
    """Start a command of the explorer in ``tmp_path``; it is killed at the end of the test."""
    started: list[subprocess.Popen] = []

    def start(*arguments: str, **variables: str) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **variables}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [*EXPLORER, *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
