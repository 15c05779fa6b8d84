"""Settings and fixtures for all tests."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from multiprocessing import forkserver

import hypothesis
import numpy
import pytest

from explorer.study.workers.pool import PRELOADED

SEED = int(os.environ.get("EXPLORER_TEST_SEED", "0"))

# The same examples in every run; a time limit per example would fail on a loaded machine.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("fixed")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests that run side by side have a core each: two threads of torch on one core wait for one another most of the
    # time. Set before torch is imported, and for the processes that tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A process has one fork server, which knows what whoever starts it asks for. Started here for all that tests ask
    # of it, no trial imports torch for itself, and no writer the store, whichever test comes first.
    forkserver.set_forkserver_preload([*PRELOADED, "explorer.study.search", "tests.store.conftest"])
    forkserver.ensure_running()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the order of ``pytest_collection_modifyitems``, which pytest-xdist would sort by the number of tests."""
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the most slow tests come first: begun last, one of them leaves the other workers idle."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state, in any order of the tests."""
    random.seed(SEED)
    numpy.random.seed(SEED % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)


@pytest.fixture
def draw() -> random.Random:
    """A random generator for a test's inputs."""
    return random.Random(SEED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seed of a run with failures."""
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(f"EXPLORER_TEST_SEED={SEED} repeats the random numbers of this run.")
