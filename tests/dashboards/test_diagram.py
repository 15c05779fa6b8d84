"""Diagrams, tested by their nodes and edges."""

from __future__ import annotations

import re

import pytest

from explorer.dashboard.figures.diagram import block_dot, block_groups, network_dot, op_label
from explorer.networks.ops.conv import Conv
from explorer.space.search_space import load_space
from tests.space.spaces import only

ORDERS = {  # He et al. 2016, Fig. 4: the branch, and what follows the addition
    "original": (["3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16", "BN"], ["ReLU"]),
    "bn_after_add": (["3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16"], ["BN", "ReLU"]),
    "relu_before_add": (["3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16", "BN", "ReLU"], []),
    "relu_only_preact": (["ReLU", "3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16", "BN"], []),
    "full_preact": (["BN", "ReLU", "3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16"], []),
}


def network(**choices: str):
    space = load_space("preact_variants.yaml")
    return space.architecture(space.named({"depth": "3", **choices}))


class Drawing:
    """The labels and edges of a DOT text."""

    def __init__(self, dot: str):
        self.labels = dict(re.findall(r'^  (n\w+) \[.*?label="(.*?)"', dot, re.M))
        edges = re.findall(r"^  (n\w+) -> (n\w+)", dot, re.M)
        self.after = {node: [end for start, end in edges if start == node] for node in self.labels}
        ends = {end for _, end in edges}
        self.start = next(node for node in self.labels if node not in ends and self.after[node])

    def path(self, node: str, until: str | None = None) -> list[str]:
        """Return the labels from a node down to ``until``, the end or the next fork."""
        out = [self.labels[node]]
        while len(self.after[node]) == 1 and self.labels[self.after[node][0]] != until:
            node = self.after[node][0]
            out.append(self.labels[node])
        return out

    def fork(self) -> str:
        return next(node for node, ends in self.after.items() if len(ends) == 2)

    def merge(self) -> str:
        return next(node for node, label in self.labels.items() if label in ("+", "cat", "gate"))


@pytest.mark.parametrize("order", ORDERS)
def test_the_five_orders(order):
    """A later block of each order of He et al. 2016 shows its branch in order and the ops after the merge."""
    group = block_groups(network(order=order))[0 if order != "full_preact" else 1]
    drawing = Drawing(block_dot(group))
    branch, after = ORDERS[order]
    ends = drawing.after[drawing.fork()]
    assert drawing.merge() in ends
    first = next(end for end in ends if end != drawing.merge())
    assert drawing.path(first, until="+") == branch
    assert drawing.path(drawing.merge()) == ["+", *after, "16×32×32"]
    assert drawing.path(drawing.start)[:-1] == ["16×32×32"]


def test_the_orders_have_different_diagrams():
    """The diagrams of any two orders differ."""
    assert len({block_dot(block_groups(network(order=order))[-1]) for order in ORDERS}) == 5


def test_projection_shortcuts_are_marked():
    """A shortcut with a conv is drawn op by op and labelled projection; an identity is a plain line."""
    groups = {group.title: group for group in block_groups(network(order="original"))}
    assert list(groups) == [
        "stage 1, blocks 1–3 (identity shortcut)",
        "stage 2, block 1 (projection shortcut)",
        "stage 2, blocks 2–3 (identity shortcut)",
        "stage 3, block 1 (projection shortcut)",
        "stage 3, blocks 2–3 (identity shortcut)",
    ]
    drawing = Drawing(block_dot(groups["stage 2, block 1 (projection shortcut)"]))
    paths = [drawing.path(end, until="+") for end in drawing.after[drawing.fork()]]
    assert [r"projection\n1×1 conv, 32, /2", "BN"] in paths


def test_a_shared_preactivation_is_above_the_fork():
    """Ops that shortcut and branch share are drawn once, above the fork, with a label."""
    group = next(g for g in block_groups(network(order="full_preact")) if g.block.shared and g.block.shortcut)
    drawing = Drawing(block_dot(group))
    assert drawing.path(drawing.start)[:-1] == ["16×32×32", "BN", "ReLU"]
    assert "shared pre-activation" in drawing.labels.values()
    assert [drawing.labels[end].split("\\n")[0] for end in drawing.after[drawing.fork()]] == [
        "projection",
        "3×3 conv, 32, /2",
    ]


def test_a_plain_block_has_no_merge():
    """A block without a shortcut is drawn as one column with a label."""
    group = block_groups(network(order="original"))[0]
    plain = type(group.block)(group.block.branch, shortcut=None)
    labels = Drawing(block_dot(type(group)(1, 1, 1, plain, group.x, group.y))).labels.values()
    assert "no shortcut" in labels
    assert "+" not in labels


def test_network_shows_stages_shapes_and_projections():
    """The network's diagram names input, stem, each stage with blocks and shape, head and classes."""
    labels = list(Drawing(network_dot(network(order="original"))).labels.values())
    assert labels[0] == "input 3×32×32"
    assert labels[1].startswith("stem: 3×3 conv, 16")
    assert labels[2] == r"stage 1: 3 blocks\n16×32×32"
    assert labels[4] == r"stage 3: 3 blocks\n64×8×8\nprojection in block 1"
    assert labels[-1] == "10 classes"


def test_two_diagrams_share_no_node_name():
    """Successive diagrams share no node name, so the browser does not reuse an old shape."""
    first, second = (set(Drawing(block_dot(group)).labels) for group in block_groups(network(order="original"))[:2])
    assert not first & second


def test_a_conv_names_unusual_settings():
    """Stride, dilation and groups appear in the label if they are not 1, padding if it is not the default."""
    assert op_label(Conv(3, 64)) == "3×3 conv, 64"
    assert op_label(Conv(3, 64, stride=2, dilation=2, groups=4)) == "3×3 conv, 64, /2, dilation 2, 4 groups"
    assert op_label(Conv((1, 7), 64, stride=(2, 1), padding="same")) == "1×7 conv, 64, /2x1, padding same"


def test_a_read_of_a_tap_is_an_edge():
    """The tensor of a tap has a dashed line to each place that reads it, and none arrives there otherwise."""
    block = '"tap(a) conv3x3 tap(b) bn sum(relu, from(a), from(b)) silu +"'
    made = only(block=block, stages="{blocks: 1, width: 8}", shortcut="{same: none}")
    dot = block_dot(block_groups(made)[0])
    drawing = Drawing(dot)
    dashed = re.findall(r"^  (n\w+) -> (n\w+) \[.*style=dashed", dot, re.M)
    assert [drawing.labels[start] for start, _ in dashed] == ["8×16×16", "3×3 conv, 8"]
    arriving = [end for ends in drawing.after.values() for end in ends]
    for _, end in dashed:
        assert arriving.count(end) == 1
        assert [drawing.labels[node] for node in drawing.after[end]] == ["sum"]
