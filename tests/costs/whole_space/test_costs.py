"""Costs of many derivations at once equal the costs of their architectures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts
from explorer.costs.whole_space.grouping import DENSE, Part, group_rows
from explorer.errors import SpaceError
from explorer.space.search_space import load_space
from explorer.space.shipped import shipped_spaces
from tests.costs.whole_space.agreement import agrees
from tests.space.spaces import random_space, space


@pytest.mark.parametrize("name", shipped_spaces())
def test_shipped_spaces(name):
    """Costs are equal in every shipped space."""
    agrees(load_space(name), 20)


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_random_spaces(first):
    """Costs are equal in random spaces with every scope, optional and repeated layers, transitions and shortcuts."""
    tried = [made for seed in range(first, first + 10) if (made := random_space(seed, 100_000))]
    assert tried
    for made in tried:
        agrees(made, 30)


DEPTHS = "{blocks: depth, width: [8, 16], stride: [1, 2]}"
EACH = {"depth": "stage"}
SPACES = {
    "copied layers follow the first and the last block": {
        "stem": "conv3x3(8) post",
        "head": "pre gap fc",
        "block": "order",
        "grammar": {
            "order": "a | b | c",
            "a": "conv3x3 bn act + act",
            "b": "bn act conv3x3 +",
            "c": "act conv3x3 prelu +",
            "act": "relu | prelu | silu",
        },
        "vary": {"order": "block", "act": "stage"},
    },
    "sizes of height and width": {
        "block": "size bn relu conv1x3 +",
        "stages": "{blocks: depth, width: [8, 16], stride: [1, 2 | 2x1 | 1x2]}",
        "shortcut": "{changed: avgpool conv1x1}",
        "grammar": {"depth": "1 | 3", "size": "conv3x3 | conv7x1 | conv2x2(pad=same)"},
        "vary": {"size": "stage"},
    },
    "activations with and without parameters": {
        "block": "conv3x3 norm act +",
        "grammar": {"act": "relu | silu | prelu | none", "norm": "bn | ln | gn(4) | none"},
        "vary": {"act": "use", "norm": "block"},
    },
    "dense blocks grow": {
        "block": "bn relu conv1x1(2*w) bn relu conv3x3 cat",
        "stages": "{blocks: depth, width: growth, stride: [1, 2]}",
        "transition": "bn conv1x1(in/2) avgpool",
        "grammar": {"depth": "1 | 3 | 4", "growth": "4 | 6"},
        "vary": EACH,
    },
    "drop path by the block's place": {
        "block": "conv3x3 bn droppath(0.2*(i - 1)/n) +",
        "stages": DEPTHS,
        "grammar": {"depth": "1 | 2 | 3"},
        "vary": EACH,
    },
    "widths by the block's place": {
        "block": "conv1x1(4*i) bn relu conv3x3 +",
        "stages": DEPTHS,
        "grammar": {"depth": "1 | 2 | 3"},
        "vary": EACH,
    },
    "widths by the number of blocks": {
        "block": "conv1x1(2*n) bn relu conv3x3 +",
        "stages": DEPTHS,
        "stem": "conv3x3(2*n)",
        "head": "conv1x1(4*n) gap fc",
        "grammar": {"depth": "1 | 2 | 3"},
        "vary": EACH,
    },
    "stage numbers of all kinds": {
        "stages": "{blocks: depth, width: [wide, 2*wide], stride: [1, step], dilation: [1, far]}",
        "block": "conv3x3(d=d) bn + relu",
        "grammar": {"depth": "1 | 2", "wide": "4 | 8", "step": "1 | 2", "far": "1 | 2"},
        "vary": {"depth": "stage", "wide": "stage"},
    },
    "shortcuts with choices, attention": {
        "block": "(conv3x3 | mhsa(heads=2) avgpool conv1x1 | dwconv3x3 conv1x1) se(r=ratio, act=act)? +",
        "shortcut": "{same: none | shortcut_gate(b=-1), changed: conv1x1 bn | subsample | avgpool conv1x1}",
        "grammar": {"ratio": "2 | 4", "act": "relu | prelu"},
        "vary": {"block": "block", "ratio": "stage"},
    },
    "pre-activation shared with the shortcut": {
        "block": "order",
        "stem": "conv3x3(8)",
        "head": "pre gap fc",
        "shortcut": "{changed: conv1x1 bn, pre_order: {changed: conv1x1, from: preact}}",
        "grammar": {
            "order": "pre_order | post_order",
            "pre_order": "bn relu conv3x3 attn +",
            "post_order": "conv3x3 bn attn + relu",
            "attn": "none | eca | cbam(4)",
        },
        "vary": {"order": "stage", "attn": "block"},
    },
}


@pytest.mark.parametrize("sections", SPACES.values(), ids=list(SPACES))
def test_costs_with_every_dependency(sections):
    """Costs are equal with copied layers, growing shapes, positions, numbers of blocks and shortcuts."""
    made = space(**sections)
    assert made.count() > 1
    agrees(made, 150)
    agrees(made, 40, at_once=7)  # rows in another batch, with units seen before


def test_more_derivations_than_64_bits_count():
    """Indices beyond 2^63 can be sampled and costed."""
    made = space(
        grammar={"act": "relu | prelu | none"},
        vary={"act": "use"},
        block="conv3x3 act conv3x3 act +",
        stages="{blocks: [40, 40], width: [4, 8]}",
    )
    assert made.count() == 3**160
    agrees(made, 20)


def test_an_invalid_network_is_reported_with_its_position():
    """A faulty derivation that sampling missed on loading raises the same error as ``count_cost``."""
    made = load_space("preact_variants.yaml")
    columns = ChoiceColumns(made)
    tiny = replace(made, head=made.stem)  # a head that returns no class scores
    with pytest.raises(SpaceError, match="preact_variants"):
        NetworkCosts(tiny, columns)(np.arange(3), columns.codes(np.arange(3)))


def test_equal_rows_are_one_group():
    """Rows share a group exactly if all parts are equal, both by table and by sorting."""
    draw = np.random.default_rng(0)
    for sizes in ((3, 4), (1, 5), (DENSE, 7), (2**40, 2**40, 3)):
        parts = [Part(draw.integers(0, min(size, 6), 500) * (max(size // 6, 1)), size) for size in sizes]
        groups, first = group_rows(parts, 500)
        keys = list(zip(*(part.numbers.tolist() for part in parts)))
        assert len(set(keys)) == len(first) == len(set(zip(groups.tolist(), keys)))
        assert [keys[row] for row in first[groups]] == keys
