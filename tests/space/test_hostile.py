"""A hostile space file costs little time and memory; any input gives a space or a SpaceError with line and column."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.errors import SpaceError
from explorer.networks.build import build_network
from explorer.space.count.unit_shapes import UnitShapes
from explorer.space.search_space import parse_space
from tests.space.hostile import READ, REFUSED
from tests.space.spaces import RandomSpaces

SECONDS = 10  # on a loaded machine; on an idle one each file is rejected within one second
MEGABYTES = 300
LOCATED = re.compile(r"h\.yaml:\d+:\d+: \S")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict]:
    """Read all hostile files in one child process, which may be killed by what it reads."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.space.hostile"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=SECONDS * (len(REFUSED) + len(READ)),
    )
    assert child.returncode == 0, child.stderr[-2_000:]
    return {row["name"]: row for row in map(json.loads, child.stdout.splitlines())}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_files_are_rejected(name, outcomes):
    """Entity bombs, nesting, tags, huge numbers, cycles and oversized networks give errors with positions, fast and in
    little memory."""
    found = outcomes[name]
    assert all(LOCATED.match(line) for line in found["outcome"].splitlines()[:-1] or [found["outcome"]]), found
    assert found["seconds"] < SECONDS
    assert found["peak_mb"] < MEGABYTES


@pytest.mark.parametrize("name", [name for name in REFUSED if name.startswith("a fault in most networks")])
def test_faults_count_as_work(name, monkeypatch):
    """A small file with a fault in most of its 100,000 states is rejected after some thousand derived units."""
    derived = []
    made = UnitShapes._derived
    monkeypatch.setattr(UnitShapes, "_derived", lambda self, state: derived.append(state) or made(self, state))
    with pytest.raises(SpaceError, match="groups do not divide"):
        parse_space(REFUSED[name])
    assert len(derived) < 5_000


@pytest.mark.parametrize("name", READ)
def test_large_but_allowed_files_are_read(name, outcomes):
    """Spaces that are large in every permitted way load in bounded time and memory."""
    found = outcomes[name]
    assert found["outcome"] == "read: True"
    assert found["seconds"] < SECONDS
    assert found["peak_mb"] < MEGABYTES


# For a longer search, EXPLORER_FUZZ_SCALE=20 tries twenty times as many inputs, different ones each time.
SCALE = int(os.environ.get("EXPLORER_FUZZ_SCALE", "1"))
INPUTS = 1_500


@pytest.mark.slow
@pytest.mark.timeout(1_800 * SCALE)
def test_any_input_gives_a_space_or_an_error_with_a_position():
    """Each of 1,500 generated inputs gives a consistent space or a SpaceError with positions, in bounded time and
    memory."""
    read = [sys.executable, "-m", "tests.space.fuzz"]
    run = partial(subprocess.run, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    # Once per checkout hypothesis creates a table of Unicode, which takes 240 MB. A short run creates it first, so that
    # the memory measured afterwards is that of reading.
    run([*read, "20", "--derandomize"])
    child = run([*read, str(INPUTS * SCALE), *["--derandomize"] * (SCALE == 1)])
    assert child.returncode == 0, child.stderr[-5_000:]
    found = json.loads(child.stdout)
    assert found["inputs"] >= INPUTS * SCALE
    assert found["spaces"] > INPUTS * SCALE // 50  # spaces were checked for consistency as well
    assert found["slowest"] < SECONDS, found["slowest_input"]
    assert found["peak_mb"] < MEGABYTES


@given(st.integers(0, 10**9))
@settings(max_examples=25 * SCALE, deadline=None, derandomize=SCALE == 1, suppress_health_check=[HealthCheck.too_slow])
def test_random_valid_spaces_build(seed):
    """Every network of a random space that loads can be built and returns one output per class."""
    try:
        made = parse_space(RandomSpaces(seed).text())
    except SpaceError:
        return
    arch = made.architecture(made.sample(1, seed=seed)[0])
    with torch.no_grad():
        assert build_network(arch)(torch.zeros(2, *arch.input)).shape == (2, 10)
