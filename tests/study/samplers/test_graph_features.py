"""What a network computes, as numeric features."""

from __future__ import annotations

import pytest

from explorer.space.search_space import load_space, parse_space
from explorer.study.samplers.graph_features import graph_numbers

CELL = """
name: cell
input: 3x8x8
classes: 10
stem: conv3x3(8) bn
stages: {blocks: 2, width: 8}
block: tap(n0) e01 tap(n1) sum(from(n0) e02, from(n1) e12) +
head: gap fc
grammar:
  e01: zero | identity | conv3x3 bn | avgpool3x3
  e12: zero | identity | conv3x3 bn | avgpool3x3
  e02: zero | identity | conv1x1 bn
"""


NONE = {"cut_blocks": 0, "shortest_path": 0, "path_layers": 0, "pooled_paths": 0}


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ("e01=conv3x3 bn, e12=zero, e02=identity", {"paths": 4, "identity_paths": 4}),
        (
            "e01=zero, e12=conv3x3 bn, e02=conv1x1 bn",
            {"paths": 4, "identity_paths": 2, "path_layers": 2, "live conv1x1": 2},
        ),
        (
            "e01=conv3x3 bn, e12=avgpool3x3, e02=conv1x1 bn",
            {
                "paths": 6,
                "identity_paths": 2,
                "path_layers": 4,
                "pooled_paths": 2,
                "live conv1x1": 2,
                "live conv3x3": 2,
                "live avgpool3x3": 2,
            },
        ),
        ("e01=identity, e12=identity, e02=identity", {"paths": 6, "identity_paths": 6}),
    ],
)
def test_layers_that_lead_nowhere_are_not_counted(choices, expected):
    """Of a cell in two blocks with identity shortcuts, the paths that are not zero and the layers on them count."""
    space = parse_space(CELL, "cell.yaml")
    assert graph_numbers(space.architecture(space.derivation(choices))) == NONE | expected


def test_the_layers_of_each_path_count_behind_a_fork():
    """A conv behind two paths is on both, and a path with a conv is no identity."""
    text = "name: n\ninput: 3x8x8\nclasses: 10\nstem: conv3x3(8)\nstages: {blocks: 1, width: 8}\nhead: gap fc\n"
    text += "block: sum(conv3x3 conv3x3, avgpool3x3) conv1x1 +\nshortcut: {same: none, changed: none}\n"
    found = graph_numbers(parse_space(text, "forked.yaml").architecture(0))
    assert (found["paths"], found["path_layers"], found["shortest_path"]) == (2, 4, 1)
    assert (found["identity_paths"], found["pooled_paths"]) == (0, 1)


def test_the_shortest_path_of_plain_blocks_has_all_their_weight_layers():
    """Without shortcuts the shortest path through two blocks of two convs has four, with them none."""
    text = "name: n\ninput: 3x8x8\nclasses: 10\nstem: conv3x3(8)\nstages: {blocks: 2, width: 8}\nhead: gap fc\n"
    text += "block: conv3x3 conv3x3 +\n"
    plain = parse_space(text + "shortcut: {same: none, changed: none}\n", "plain.yaml").architecture(0)
    found = {"paths": 2, "shortest_path": 4, "path_layers": 4, "identity_paths": 0, "live conv3x3": 4}
    assert graph_numbers(plain) == NONE | found
    assert graph_numbers(parse_space(text, "residual.yaml").architecture(0))["shortest_path"] == 0


def test_every_network_has_a_path_through_each_block():
    """In a space of residual networks each block has at least the path of its shortcut."""
    space = load_space("preact_variants")
    for index in range(0, space.count(), max(1, space.count() // 20)):
        architecture = space.architecture(index)
        assert graph_numbers(architecture)["paths"] >= sum(1 for _ in architecture.blocks())


def test_a_block_without_a_path_is_cut():
    """Without a shortcut, a cell whose two paths are zero does not pass its input on, whatever its dead layers add."""
    space = parse_space(CELL + "shortcut: {same: scale(0), changed: scale(0)}\n", "plain.yaml")
    for choices, cut in (
        ("e01=zero, e12=conv3x3 bn, e02=zero", 2),
        ("e01=conv3x3 bn, e12=zero, e02=zero", 2),
        ("e01=identity, e12=identity, e02=zero", 0),
    ):
        assert graph_numbers(space.architecture(space.derivation(choices)))["cut_blocks"] == cut
