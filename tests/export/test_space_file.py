"""architecture.yaml is a space whose only derivation is the exported network."""

from __future__ import annotations

import random

import pytest

from explorer.errors import ExportError
from explorer.export.space_file import space_text
from explorer.export.spelling import exact
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.linear import Linear
from explorer.networks.ops.merge import Gate
from explorer.networks.ops.pool import GlobalAveragePool
from explorer.space.search_space import load_space, parse_space
from explorer.space.shipped import shipped_spaces
from tests.export.spaces import HEADER, SPACES, hand_written, loaded
from tests.space.spaces import only


def only_network(text: str) -> Architecture:
    """Return the network of a space that has one derivation."""
    space = parse_space(text)
    assert space.count() == 1
    return space.architecture(0)


def test_networks_of_the_default_space_are_read_back():
    """Sixty random networks of the shipped space, and the first and last, give a file with the same digest."""
    space = load_space("preact_variants.yaml")
    for index in [0, space.count() - 1, *(space.rank(derivation) for derivation in space.sample(60, seed=1))]:
        architecture = space.architecture(index)
        assert only_network(space_text(architecture)).digest == architecture.digest, index


LONG = "published/hrnet.yaml"  # its modules are one block: the text of the larger networks, without rules, is too long


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_networks_of_every_shipped_space_are_read_back(name):
    """The first and two random networks of each shipped space give a file with the same digest, if it fits."""
    space = loaded(name)
    if name == LONG:
        with pytest.raises(ExportError, match="characters; at most 4,096 are"):
            space_text(space.architecture(3))
    for derivation in [space.unrank(0), *(() if name == LONG else space.sample(2, seed=2))]:
        architecture = space.architecture(derivation)
        assert only_network(space_text(architecture)).digest == architecture.digest, str(derivation)


def test_forks_in_a_block_of_several_strides_state_theirs():
    """If several layers of a block have strides, layers in its forks state theirs, so that none takes the block's."""
    block = (
        "sum(conv3x3(c, s=1) bn, identity) conv3x3(12, s=2) sum(conv3x3(c, s=1), conv1x1(c, s=1)) conv3x3(16, s=2) +"
    )
    sections = {"stages": "{blocks: 1, width: 16, stride: 4}", "shortcut": "{same: none, changed: none}"}
    architecture = only(stem="conv3x3(8)", block=block, **sections)
    assert only_network(space_text(architecture)).digest == architecture.digest


def test_networks_of_hand_written_spaces_are_read_back():
    """Each kind of network gives a file with the same digest, whose network gives the same file again."""
    for label, architecture in hand_written():
        text = space_text(architecture)
        again = only_network(text)
        assert again.digest == architecture.digest, label
        assert space_text(again) == text, label


@pytest.mark.parametrize(
    "label, lines",
    [
        (
            "inverted bottleneck, linear stochastic depth, no shortcut where the shape changes",
            [
                "stages: {blocks: [1, 2, 3], width: [8, 12, 20], stride: [1, 2, 1]}",
                "block: conv1x1(6*in) bn silu dwconv3x3 bn silu se(r=24, act=silu) conv1x1 bn droppath(0.2*i/n) +",
            ],
        ),
        ("option A shortcuts", ["  changed: subsample", "block: conv3x3 bn relu conv3x3 bn + relu"]),
        ("dense layers with transitions", ["transition: bn relu conv1x1(in/2) avgpool"]),
        ("dense layers with transitions", ["block: bn relu conv1x1(4*w) bn relu conv3x3 cat"]),
        ("group norm and grouped convolutions", ["stages: {blocks: 2, width: [16, 32], stride: [1, 2]}"]),
        ("awkward decimals", ["  same: scale(-0.7)"]),
    ],
)
def test_the_file_is_concise(label, lines):
    """The file uses the language's repetition, widths and strides, and repeats nothing."""
    written = space_text(parse_space(HEADER + SPACES[label]).architecture(0)).splitlines()
    for line in lines:
        assert line in written


def test_se_is_written_by_its_ratio():
    """An SE of a quarter of each stage's width is written as se(r=4) in all stages."""
    space = load_space("preact_variants.yaml")
    text = space_text(space.architecture(space.named({"order": "original", "attn": "se(r=4)"})))
    assert "block: conv3x3 bn relu conv3x3 bn se(r=4) + relu" in text.splitlines()


def test_a_network_outside_the_language_is_rejected():
    """A gate on a block that changes the shape cannot be written, and the same block with a sum can."""

    def network(merge):
        block = Block((Conv(3, 4),), shortcut=(Conv(1, 4),), **merge)
        return Architecture((3, 8, 8), 2, (), (Stage((block,)),), (GlobalAveragePool(), Linear(2)))

    assert "changed: conv1x1" in space_text(network({}))
    with pytest.raises(ExportError, match=r"space language cannot express this network.*format 'yaml'"):
        space_text(network({"merge": Gate(-2.0)}))


def test_numbers_are_read_back_exactly():
    """A thousand floats of all magnitudes, and special ones, are read back exactly by the language."""
    draw = random.Random(0)
    values = [draw.uniform(0, 1) * 10 ** draw.randint(-9, 4) for _ in range(1000)] + [
        1 / 3,
        0.1,
        1e-6,
        2.0,
        0.2 * 3 / 7,
    ]
    for value in values[::25] + values[-5:]:
        text = (
            f"stem: conv3x3(3)\nstages: {{blocks: 1, width: 3}}\nblock: scale({exact(value)}) conv3x3 +\nhead: gap fc\n"
        )
        branch = parse_space(HEADER + text).architecture(0).stages[0].blocks[0].branch
        assert branch[0].factor == value
