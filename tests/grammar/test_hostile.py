"""A hostile space file costs little time and memory and ends in clear lines; whatever is fed in, the
answer is a space or a SpaceError with line and column."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.errors import SpaceError
from explorer.grammar.parse import parse_space, shipped_spaces
from explorer.network.build import build_network
from explorer.ops import registry
from tests.grammar.hostile import READ, REFUSED
from tests.grammar.spaces import RandomSpaces, text

SECONDS = 10  # on a busy machine; idle, each is refused in less than one
MEGABYTES = 300
LOCATED = re.compile(r"h\.yaml:\d+:\d+: \S")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict]:
    """All hostile files, read by one child process: it may be ended by what it reads, this one may not."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.grammar.hostile"],
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


@pytest.mark.parametrize("name", READ)
def test_what_is_large_but_allowed_is_read(name, outcomes):
    """Spaces that are large in every permitted way load in bounded time and memory."""
    found = outcomes[name]
    assert found["outcome"] == "read: True"
    assert found["seconds"] < SECONDS
    assert found["peak_mb"] < MEGABYTES


def reads_or_says_where(data: str | bytes) -> None:
    """The promise: a space, or a SpaceError whose every line has a place; and a space keeps its word."""
    try:
        space = parse_space(data, "h.yaml")
    except SpaceError as error:
        assert error.problems
        assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in error.problems)
        return
    derivation = space.unrank(space.count() - 1)
    assert space.rank(derivation) == space.count() - 1
    try:
        space.architecture(derivation)
    except SpaceError:
        assert space.validated == "sampled"  # then, and only then, a derivation may still fail


VALID = [path.read_text() for name, path in sorted(shipped_spaces().items()) if "published" not in name] + [
    text(),
    text(
        {"attn": "none | se(r=q)", "q": "2 | 4", "depth": "range(1, 3, 1)", "wide": "1/2 | 1"},
        {"attn": "stage", "depth": "stage"},
        block="(bn relu)? conv1x1(w*wide) conv3x3{1,2} attn gate(b=-6)",
        stages="[{blocks: depth, width: 8}, {blocks: 1, width: 16, stride: 2, first: conv5x5 +}]",
        shortcut="{same: none | scale(0.5), changed: avgpool conv1x1 bn, from: preact}",
        transition="conv1x1(in) bn",
        stem="conv3x3(8) post",
        head="pre gap fc",
        limits="{params: <= 2M}",
    ),
    text(block="bn relu conv3x3 cat", shortcut="{changed: avgpool}"),
]
SEEDS = st.integers(0, 10**9)
WORDS = """
conv3x3 dwconv5x5 conv1x1 maxpool3x3 avgpool avgpool2x2 none identity post pre cat gate round range
w in s d i n act attn block r0 0 1 2 1/2 0.5 16 1e-3 99999 -1
( ) { } | ? + - * / = , : [ ] ' " # & * ! % @ ` ~ << --- ... \\ é
conv3x3(16) conv3x3(w*2,s=s) se(r=4) se(act=silu) {1,2} {0} {3,1} droppath(0.2*i/n) range(1,3,1)
input: classes: stem: stages: block: shortcut: head: grammar: vary: limits: transition: same: changed: from:
blocks: width: stride: dilation: first: network stage use true no 0x1f 010 null 3x32x32
"""
PIECES = [*sorted(registry.by_spelling), *WORDS.split(), "\n", "\n  ", "\t", "\x85", "\u2028"]
# A longer search: EXPLORER_FUZZ_SCALE=20 tries twenty times as many, and other ones each time.
SCALE = int(os.environ.get("EXPLORER_FUZZ_SCALE", "1"))
QUIET = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], derandomize=SCALE == 1
)


@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(SEEDS, SEEDS, st.sampled_from(PIECES), st.integers(0, 4)), min_size=1, max_size=5),
)
@settings(QUIET, max_examples=300 * SCALE)
def test_mutated_spaces(valid, mutations):
    """A valid space with pieces cut, doubled, swapped or put in: a space or a located SpaceError."""
    for where, length, piece, kind in mutations:
        at = where % (len(valid) + 1)
        end = min(len(valid), at + length % 12)
        words = re.findall(r"\s+|\w+|.", valid)
        if kind == 0:
            valid = valid[:at] + piece + valid[at:]
        elif kind == 1:
            valid = valid[:at] + valid[end:]
        elif kind == 2:
            valid = valid[:at] + valid[at:end] * 2 + valid[end:]
        elif kind == 3 and words:
            words[where % len(words)] = piece
            valid = "".join(words)
        elif words:
            a, b = where % len(words), length % len(words)
            words[a], words[b] = words[b], words[a]
            valid = "".join(words)
    reads_or_says_where(valid)


@given(
    st.lists(st.sampled_from(PIECES), max_size=40),
    st.sampled_from(["block", "stem", "head", "transition", "stages", "shortcut", "input"]),
)
@settings(QUIET, max_examples=300 * SCALE)
def test_token_soup(pieces, section):
    """Any row of the language's own words in any section: a space or a located SpaceError."""
    reads_or_says_where(text({"act": "relu | silu", "r0": "1 | 2"}, **{section: " ".join(pieces)}))
    reads_or_says_where(
        text({"act": " ".join(pieces), "r0": "act"}, block="conv3x3 r0 +") + "vary: " + " ".join(pieces)
    )


@given(st.lists(st.sampled_from(PIECES), max_size=60))
@settings(QUIET, max_examples=150 * SCALE)
def test_soup_as_a_whole_file(pieces):
    """Any row of words as the whole file: a located SpaceError, or a space."""
    reads_or_says_where(" ".join(pieces))


@given(st.binary(max_size=400))
@settings(QUIET, max_examples=150 * SCALE)
def test_bytes(data):
    """Any bytes: a located SpaceError, or a space."""
    reads_or_says_where(data)


@given(st.text(max_size=60), st.sampled_from(["name", "about", "block", "classes"]))
@settings(QUIET, max_examples=150 * SCALE)
def test_any_text_in_a_section(value, section):
    """Any text, quoted or not, where a name, a number or an expression stands."""
    reads_or_says_where(text(**{section: value}))
    reads_or_says_where(text(**{section: json.dumps(value)}))


@given(SEEDS)
@settings(QUIET, max_examples=25 * SCALE)
def test_random_valid_spaces_build(seed):
    """What a random space file that loads derives can be built, and puts out its classes."""
    try:
        made = parse_space(RandomSpaces(seed).text())
    except SpaceError:
        return
    arch = made.architecture(made.sample(1, seed=seed)[0])
    with torch.no_grad():
        assert build_network(arch)(torch.zeros(2, *arch.input)).shape == (2, 10)
