"""A hostile space file costs little time and memory and ends in clear errors; for any input the
answer is a space or a SpaceError with line and column."""

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

SECONDS = 10  # on a busy machine; idle, each is refused in less than one
MEGABYTES = 300
LOCATED = re.compile(r"h\.yaml:\d+:\d+: \S")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict]:
    """All hostile files, read by one child process: it may be ended by what it reads, this one may not."""
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
def test_hostile_files_are_refused(name, outcomes):
    """Bombs, nesting, tags, huge numbers, cycles and networks beyond all bounds end in located lines,
    quickly and in little memory."""
    found = outcomes[name]
    assert all(LOCATED.match(line) for line in found["outcome"].splitlines()[:-1] or [found["outcome"]]), found
    assert found["seconds"] < SECONDS
    assert found["peak_mb"] < MEGABYTES


@pytest.mark.parametrize("name", [name for name in REFUSED if name.startswith("a fault in most networks")])
def test_faults_count_as_work(name, monkeypatch):
    """A file of 1 to 3 kB with a fault in most of its networks is refused after some thousands of units are derived,
    though it has 100,000 states."""
    derived = []
    made = UnitShapes._derived
    monkeypatch.setattr(UnitShapes, "_derived", lambda self, state: derived.append(state) or made(self, state))
    with pytest.raises(SpaceError, match="groups do not divide"):
        parse_space(REFUSED[name])
    assert len(derived) < 5_000


@pytest.mark.parametrize("name", READ)
def test_what_is_large_but_allowed_is_read(name, outcomes):
    """Spaces that are large in every permitted way load in bounded time and memory."""
    found = outcomes[name]
    assert found["outcome"] == "read: True"
    assert found["seconds"] < SECONDS
    assert found["peak_mb"] < MEGABYTES


# A longer search: EXPLORER_FUZZ_SCALE=20 tries twenty times as many, and other ones each time.
SCALE = int(os.environ.get("EXPLORER_FUZZ_SCALE", "1"))
INPUTS = 5_000


@pytest.mark.slow
@pytest.mark.timeout(1_800 * SCALE)
def test_whatever_is_fed_in_the_answer_is_a_space_or_a_located_error():
    """Of 5,000 inputs (mutated files, word soups, bytes, texts, random spaces), read by one child process, each
    gives a space that keeps its word or a SpaceError with places, and nothing else; none takes long or much memory."""
    read = [sys.executable, "-m", "tests.space.fuzz"]
    run = partial(subprocess.run, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    # Once per checkout hypothesis makes a table of Unicode, which takes 240 MB. A short run does so first, so that the
    # memory measured afterwards is that of reading.
    run([*read, "200", "--derandomize"])
    child = run([*read, str(INPUTS * SCALE), *["--derandomize"] * (SCALE == 1)])
    assert child.returncode == 0, child.stderr[-5_000:]
    found = json.loads(child.stdout)
    assert found["inputs"] >= INPUTS * SCALE
    assert found["spaces"] > INPUTS * SCALE // 50  # the promise about spaces was put to the test as well
    assert found["slowest"] < SECONDS, found["slowest_input"]
    assert found["peak_mb"] < MEGABYTES


@given(st.integers(0, 10**9))
@settings(max_examples=25 * SCALE, deadline=None, derandomize=SCALE == 1, suppress_health_check=[HealthCheck.too_slow])
def test_random_valid_spaces_build(seed):
    """What a random space file that loads derives can be built, and puts out its classes."""
    try:
        made = parse_space(RandomSpaces(seed).text())
    except SpaceError:
        return
    arch = made.architecture(made.sample(1, seed=seed)[0])
    with torch.no_grad():
        assert build_network(arch)(torch.zeros(2, *arch.input)).shape == (2, 10)
