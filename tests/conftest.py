"""Settings and fixtures for all tests."""

from __future__ import annotations

import os
import random
import secrets
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy
import pytest

from explorer.store import database
from explorer.store.sqlite_file import make_durable
from explorer.study.workers.pool import PRELOADED
from explorer.system.cores import usable_cores

if TYPE_CHECKING:
    from tests.store.remote.s3 import S3Server

FOLDER = Path(__file__).parent
SEED = int(os.environ.get("EXPLORER_TEST_SEED", "0"))
# The files that take minutes beside others on two cores, the longest first.
LONGEST = (
    "documentation/test_tutorial.py",
    "documentation/test_blocks.py",
    "dashboards/test_interactions.py",
    "published/test_published.py",
    "cli/process/test_signals.py",
    "cli/process/test_streams.py",
    "test_typing.py",
    "study/launchers/test_slurm.py",
    "store/test_damage.py",
    "study/test_interruption.py",
    "test_every_study.py",
    "dashboards/test_browser.py",
    "benchmarks/test_dashboard_timing.py",
    "benchmarks/test_on_gpu.py",
    "space/test_hostile.py",
    "study/confirm/test_run.py",
    "test_docs.py",
    "cli/commands/test_measuring.py",
    "study/test_callers.py",
    "measure/test_latency.py",
    "study/reliability/test_kills.py",
    "benchmarks/test_many_machines.py",
    "extensions/test_page.py",
)

# The same examples in every run; a time limit per example would fail on a loaded machine.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("fixed")

# Tests start hundreds of processes; without cached bytecode each would compile the explorer.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests that run side by side have at most a core each: two threads of torch on one core wait for one another most
    # of the time. A training with several threads in spite of this waits without using the core (libgomp would use it).
    # Set before torch is imported, and for the processes that tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # A process has one fork server, which knows what whoever starts it asks for. Started here for all that tests ask
    # of it, no trial imports torch for itself, and no writer the store, whichever test comes first.
    forkserver.set_forkserver_preload([*PRELOADED, "explorer.study.search", "tests.store.conftest"])
    forkserver.ensure_running()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Return the number of workers of ``-n auto``: two for each core.

    A third of the time of the tests is spent waiting for processes, locks and clocks, without a core.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # pytest-xdist reads it
    return 2 * usable_cores()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the order of ``pytest_collection_modifyitems``, which pytest-xdist would sort by the number of tests."""
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, then those with the most slow tests: a long one that begins last leaves the other
    workers idle."""
    rank = {FOLDER / file: place for place, file in enumerate(LONGEST)}
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (rank.get(item.path, len(rank)), -slow[item.path]))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state, in any order of the tests."""
    random.seed(SEED)
    numpy.random.seed(SEED % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)


@pytest.fixture(autouse=True)
def own_main_module() -> Iterator[None]:
    """After a test, ``__main__`` is that of the test process. A page that Streamlit runs takes its place, and the new
    processes of later tests would run the page as their own main module."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session", autouse=True)
def sqlite_without_sync() -> Iterator[None]:
    """SQLite does not wait for the disk in the test process: no database of a test has to survive a power cut."""

    def open_without_sync(connection: sqlite3.Connection, record: object) -> None:
        make_durable(connection, record)
        connection.execute("PRAGMA synchronous=OFF").close()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "make_durable", open_without_sync)
        yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A local S3 server, the only one of the process: s3fs keeps the address of the first in its cache."""
    from tests.store.remote.s3 import S3Server  # imports moto, which few tests need

    server = S3Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket; the environment has the credentials."""
    import boto3

    from tests.store.remote.s3 import SECRET

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-access-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"bucket-{secrets.token_hex(4)}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/some/prefix"


@pytest.fixture
def draw() -> random.Random:
    """A random generator for a test's inputs."""
    return random.Random(SEED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seed of a run with failures."""
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(f"EXPLORER_TEST_SEED={SEED} repeats the random numbers of this run.")
