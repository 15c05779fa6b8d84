"""Counting with choices in shortcuts: shapes are followed only where they decide which shortcut a block has."""

import pytest

from explorer.space.count.automaton import Automaton
from explorer.space.count.decisions import Decisions
from explorer.space.search_space import parse_space
from tests.space.spaces import agrees_with_trying, space

PROJECTION = "{changed: proj, same: skip}"
RULES = {"proj": "conv1x1 bn | avgpool conv1x1 bn | conv3x3", "skip": "identity | scale(0.5)", "act": "relu | silu",
         "wa": "8 | 16", "wb": "16 | 24", "n1": "1 | 2"}  # fmt: skip
VARY = {"proj": "stage", "skip": "block"}
BLOCK = "conv3x3 bn act conv3x3 bn +"


def made(rules=None, **sections):
    stages = sections.pop("stages", "{blocks: [n1, 2], width: [wa, wb], stride: [2, 2]}")
    sections = {"input": "3x32x32", "block": BLOCK, "shortcut": PROJECTION, **sections}
    return space({**RULES, **(rules or {})}, VARY, stages=stages, **sections)


DECIDED = {
    "strides of two": made(),
    "a stem that shrinks": made(stem="conv7x7(8, s=2) bn relu maxpool3x3(s=2)", input="3x64x64"),
    "a stem of choices": made({"down": "1 | 2"}, stem="conv3x3(8, s=down) bn"),
    "strides of two and three": made(
        {"down": "2 | 3"}, stages="{blocks: 2, width: [8, 16], stride: [2, down]}", block="conv3x3 bn act conv1x1(w) +"
    ),
    "the shortcuts ask the same": made(
        {"one": "conv1x1 | conv1x1 bn"}, shortcut="{changed: one, same: one}", stages="{blocks: 2, width: [wa, 16]}"
    ),
}
OPEN = {
    "a stride of one": made(stages="{blocks: [1, 2], width: [wa, wb], stride: [1, 2]}"),
    "a stride that is a choice": made({"down": "1 | 2"}, stages="{blocks: 2, width: [8, wa], stride: [2, down]}"),
    "padding": made(block="conv3x3(pad=1) bn act conv3x3 bn +"),
    "widths by block": made(stages='{blocks: 2, width: [8, "by_block(8, 16)"], stride: 2}'),
    "an even kernel": made(block="conv3x3 bn act conv2x2(w, s=1, pad=same) +"),
    "a transition": made(transition="conv3x3(w, s=s) | none"),
    "layers that shrink after the merge": made(block=f"{BLOCK} maxpool3x3(s=2)"),
    "two units": made(block=f"{BLOCK} ; {BLOCK}"),
}


@pytest.mark.parametrize("each", DECIDED.values(), ids=DECIDED)
def test_counting_needs_no_shapes_where_strides_decide(each):
    """States contain no shapes, and the count is that of deriving all networks and that with shapes."""
    assert not each.decisions.automaton.carries_shapes
    with_shapes = Decisions(each)
    with_shapes.automaton = Automaton(each, carries_shapes=True)
    assert agrees_with_trying(each) == each.count() == with_shapes.count()


@pytest.mark.parametrize("each", OPEN.values(), ids=OPEN)
def test_shapes_are_followed_where_they_decide(each):
    """States contain shapes where a shape can decide, and counts agree with deriving all networks."""
    assert each.decisions.automaton.carries_shapes
    assert agrees_with_trying(each) == each.count()


def test_a_map_of_one_pixel_keeps_its_shape():
    """On a map of one pixel a stride has no effect, so the shape decides."""
    small = made(
        input="3x2x2", stages="{blocks: 1, width: [8, wa], stride: [2, 2]}", shortcut="{changed: proj, same: avgpool}"
    )
    assert small.decisions.automaton.carries_shapes
    assert agrees_with_trying(small) == small.count() == 2 * 3 * (1 + 3)


WIDE = """input: 3x224x224
classes: 10
stem: conv3x3(32, s=2) bn relu
stages: {blocks: depth, width: gw*g, stride: STRIDES}
block: conv1x1(w*b) bn relu conv3x3(w*b, g=g) bn relu conv1x1 bn + relu
shortcut: {changed: conv1x1 bn | (avgpool conv1x1 bn)}
head: gap fc
grammar: {gw: "range(8, 64, 8)", g: "range(1, 16, 1)", depth: "range(1, 16, 1)", b: 1 | 1/2 | 1/4}
vary: {gw: stage, g: stage, depth: stage, b: stage}
"""


def test_a_wide_space_with_a_choice_in_its_shortcut_is_counted():
    """AnyNetX-A with two projections has twice its derivations, counted with few states."""
    wide = parse_space(WIDE.replace("STRIDES", "[2, 2, 2, 2]"))
    assert wide.is_counted and wide.count() == 2 * (16 * 3 * 8 * 16) ** 4
    assert wide.decisions.automaton.work < 1_000


def test_counting_is_not_tried_where_the_check_on_loading_is_long():
    """If shapes decide, and the check on loading has too many units, no state is counted."""
    wide = parse_space(WIDE.replace("STRIDES", "[1, 2, 1, 2]"))
    assert wide.decisions.has_many_units and not wide.is_counted
    assert not wide.size.is_exact and len(wide.decisions._counts) == 1
    again = Decisions(wide)  # as after pickling, without a check
    assert again.has_many_units and again.indices == wide.indices


def test_estimates_look_at_the_same_networks():
    """The size, the costs and the number of networks of a space that is not counted come from one set of walks."""
    from explorer.costs.whole_space.statistics import QUICK, cost_ranges, count_networks

    wide = parse_space(WIDE.replace("STRIDES", "[1, 2, 1, 2]"))
    walks = wide.decisions.random_walks
    _ = wide.size
    tried, found = walks.tried, len(walks.found)
    ranges, networks = cost_ranges(wide, QUICK), count_networks(wide, QUICK)
    _ = wide.warnings
    assert (walks.tried, len(walks.found)) == (tried, found) and 10 <= found <= 200
    assert ranges.rows <= found and not networks.exact
