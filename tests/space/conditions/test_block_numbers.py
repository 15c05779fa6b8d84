"""Conditions over numbers of blocks and over channels inside of them, against the networks that are derived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import pytest

from explorer.errors import SpaceError
from explorer.networks.architecture import Architecture
from explorer.networks.ops.conv import Conv
from explorer.space.choices import Derivation
from explorer.space.search_space import parse_space
from tests.space.spaces import agrees_with_trying, text

BLOCKS = """input: 3x16x16
classes: 10
stem: conv3x3(8) bn
stages: {blocks: [depth, 2], width: wide, stride: [1, 2]}
block: conv1x1(mid) bn tap(a) conv3x3(w) bn +
head: gap fc
grammar:
  wide: 8 | 16 | by_block(8, 16, ...)
  depth: 1 | 2 | 3
  mid: 8 * (1 | 2) * by_block(1, 2, ...)
vary: {wide: stage, depth: stage, mid: block}
"""


class Seen(NamedTuple):
    """What a derived block is: stage, number in the stage and in the network, input and output channels, inner ones."""

    stage: int
    j: int
    i: int
    arriving: int
    width: int
    inner: int


def seen(architecture: Architecture) -> Iterator[Seen]:
    for i, placed in enumerate(architecture.blocks(), 1):
        first, last = (op for op in placed.block.branch if isinstance(op, Conv))
        yield Seen(placed.stage, placed.number, i, placed.x.channels, last.out, first.out)


@cache
def every_network() -> list[tuple[Derivation, list[Seen]]]:
    space = parse_space(BLOCKS)
    return [(each, list(seen(space.architecture(each)))) for each in space]


CONDITIONS: dict[str, Callable[[Seen], bool]] = {
    "a.c >= 16": lambda b: b.inner >= 16,
    "mid <= 16": lambda b: b.inner <= 16,
    "in != 16": lambda b: b.arriving != 16,
    "in divides a.c": lambda b: b.inner % b.arriving == 0,
    "w >= in": lambda b: b.width >= b.arriving,
    "i <= 4 or w > 8": lambda b: b.i <= 4 or b.width > 8,
    "j * a.c <= 64": lambda b: b.j * b.inner <= 64,
    "a.c@stage2 == 16": lambda b: b.stage != 2 or b.inner == 16,
    "a.c@stage1.block3 == 32": lambda b: (b.stage, b.j) != (1, 3) or b.inner == 32,
    "not (in@stage2.block1 == 16)": lambda b: (b.stage, b.j) != (2, 1) or b.arriving != 16,
    "w@stage2.block2 == 16 and in@stage1 == 8": lambda b: (
        ((b.stage, b.j) != (2, 2) or b.width == 16) and (b.stage != 1 or b.arriving == 8)
    ),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_over_blocks_leaves_the_networks_whose_blocks_satisfy_it(condition):
    """Each block of a network satisfies the condition, and the count is that of all networks where each does."""
    expected = [each for each, blocks in every_network() if all(map(CONDITIONS[condition], blocks))]
    made = parse_space(f"{BLOCKS}where: [{condition}]\n")
    assert 0 < len(expected) < len(every_network())
    assert list(made) == expected and made.count() == len(expected)


@pytest.mark.parametrize(
    ("block", "channels"),
    [
        ("conv1x1(24) cat(conv3x3(c/2), part(1, 5), split(conv1x1(3), identity)) tap(a) conv1x1 +", 12 + 8 + 3 + 12),
        ("conv1x1(24) split(identity, part(2, 2), identity, identity, identity) tap(a) conv1x1 +", 8 + 2 + 4 * 3),
        ("conv1x1(6) space_to_depth tap(a) depth_to_space conv1x1(s=1) +", 24),
        ("conv1x1(6) product(identity, gap conv1x1(c) sigmoid, gap conv1x1(1)) tap(a) conv1x1 +", 6),
        ("tap(b) conv1x1(12) from(b) cat(identity, identity) tap(a) conv1x1 +", 16),
        ("(conv1x1(2*c)){3} tap(a) conv1x1 +", 16),
        ("dwconv3x3(2*c) subsample(s=1, out=40) sk3x3(8) tap(a) conv1x1 +", 8),
        ("conv3x3 + ; conv1x1(3*c) tap(a) conv1x1 +", 24),
    ],
)
def test_channels_at_a_tap(block, channels):
    """The channels at a tap are those of the tensor, after forks, shares, other taps and in a later unit."""
    lines = text(block=f'"{block}"', stages="{blocks: 1, width: 8}", stem="conv3x3(8)")
    assert parse_space(f"{lines}where: [a.c == {channels}]\n").count() == 1
    with pytest.raises(SpaceError, match="no network satisfies the condition"):
        parse_space(f"{lines}where: [a.c == {channels + 1}]\n")


def test_channels_of_concatenating_blocks_and_transitions():
    """`in` follows concatenations over a depth that is a choice, and a transition that halves the channels."""
    lines = text(
        {"depth": "1 | 2 | 4", "growth": "4 | 8", "keep": "1/2 | 1"},
        {"depth": "stage"},
        stem="conv3x3(16)",
        stages="{blocks: depth, width: growth, stride: [1, 2]}",
        block="bn conv3x3 cat",
        transition="conv1x1(round(in*keep, 4)) tap(a) avgpool",
    )
    every = parse_space(lines)

    def at(architecture: Architecture) -> tuple[int, int]:
        """Return the channels before the second stage's first block and its fourth; of the latter 99 if it lacks it."""
        found = [block.x.channels for block in architecture.blocks() if block.stage == 2]
        return found[0], found[3] if len(found) == 4 else 99

    expected = [
        each for each in every for first, fourth in [at(every.architecture(each))] if first <= 24 and fourth >= 20
    ]
    made = parse_space(f"{lines}where: [a.c@stage2.transition <= 24, in@stage2.block4 >= 20 or m@stage2 < 4]\n")
    assert list(made) == expected and 0 < len(expected) < every.count()


def test_taps_of_alternatives_and_repetitions():
    """A tap exists in networks whose choices lead to it; a comparison about another network's tap excludes nothing."""
    lines = text(
        {"kind": "thin | wide | none", "thin": "conv1x1(4) tap(a) bn", "wide": "(cat(identity, identity) tap(a)){1,3}"},
        {"kind": "block", "wide": "block"},
        block="kind conv3x3(8) +",
        stages="{blocks: [1, 2], width: 8}",
    )
    every = parse_space(lines)

    def inner(choices, unit: str) -> list[int]:
        if choices[f"kind@{unit}"] == "thin":
            return [4]
        return [16, 32, 64][: int(choices[f"wide@{unit}"])] if choices[f"kind@{unit}"] == "wide" else []

    units = ("stage1.block1", "stage2.block1", "stage2.block2")
    expected = [each for each in every if all(n in (4, 16) for unit in units for n in inner(each.choices, unit))]
    assert list(parse_space(f"{lines}where: [a.c <= 16]\n")) == expected
    assert agrees_with_trying(every) == every.count() > len(expected) > 0


@pytest.mark.parametrize(
    ("sections", "condition", "message"),
    [
        ({"block": "conv1x1(each) tap(a) conv3x3 +"}, "a.c > 8", "a.c > 8: it depends on 'each', which varies by use"),
        ({"block": "(conv3x3 | conv1x1(each) tap(a) conv3x3) +"}, "b.c > 8", "unknown name 'b.c' in a condition"),
        ({"block": "conv1x1(c/2) tap(a) conv3x3 +"}, "c > 8", "'c' differs within a block.*write tap"),
        ({"block": "conv3x3 +"}, "in@stem > 8", "unknown place 'stem' of 'in'"),
        ({"block": "conv3x3 cat", "stages": "{blocks: 2, width: 16, stride: 1 | 2}"}, "in > 8", "which shortcut"),
    ],
)
def test_channels_that_are_not_known(sections, condition, message):
    """Channels that the choices do not determine, and names that do not exist, are errors at the condition."""
    lines = text({"each": "4 | 8"}, {"each": "use"}, **sections)
    assert parse_space(lines).count() > 0
    with pytest.raises(SpaceError, match=message) as caught:
        parse_space(f"{lines}where:\n  - {condition}\n")
    assert caught.value.problems[0].line == len(lines.splitlines()) + 2
