"""Small search spaces and helpers that start searches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from explorer.space.search_space import parse_space
from explorer.study import loop
from explorer.study.latency import objective
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
