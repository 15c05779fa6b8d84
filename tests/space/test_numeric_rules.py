"""Numbers in rules: ranges, arithmetic and rounding."""

from __future__ import annotations

import pytest

from tests.space.spaces import only, space


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("range(1, 3, 1)", ["1", "2", "3"]),
        ("range(1, 4, 2)", ["1", "3"]),
        ("range(0.5, 1, 0.25)", ["0.5", "0.75", "1"]),
        ("range(2, 2, 1)", None),
    ],
)
def test_a_range_includes_its_end_if_reached(rule, values):
    """range(lo, hi, step) is a numeric choice that includes `hi` if reached, and a range of one value is no choice."""
    made = space({"some": rule}, block="conv3x3 conv3x3(16*some) conv3x3 +")
    assert [d.choices.get("some") for d in made] == (values or [None])


def test_numeric_rules_are_evaluated():
    """Numeric rules are allowed wherever a number is, with + - * / brackets, unary minus and round."""
    made = only(
        grammar={"base": "6", "twice": "2*base", "odd": "-(1 - twice)/1", "near": "round(odd + 0.5, 8)"},
        block="conv3x3(near) conv3x3(base + twice) conv3x3(odd) conv3x3 +",
        stages="{blocks: 1, width: twice/2}",
        stem="conv3x3(w)",
    )
    assert [op.out for op in made.stages[0].blocks[0].branch] == [8, 18, 11, 6]


def test_round_gives_the_nearest_multiple_and_at_least_one():
    """round(x, m) gives the nearest multiple of m, rounds halves up, and gives at least m."""
    made = only(
        block="conv3x3(round(1, 8)) conv3x3(round(12, 8)) conv3x3(round(11.9, 8)) conv3x3(round(2.5, 1)) conv3x3 +"
    )
    assert [op.out for op in made.stages[0].blocks[0].branch] == [8, 16, 8, 3, 8]


def test_alternatives_in_brackets_are_allowed_in_arithmetic():
    """(1 | 2)*w is a choice of its rule."""
    made = space(block="conv3x3((1 | 2)*w) conv3x3 +")
    assert [d.choices for d in made] == [{"block.1": "1"}, {"block.1": "2"}]
