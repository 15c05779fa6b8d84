"""Choices that are drawn within their conditions before a random walk, against all combinations of their options."""

import random
from collections import Counter
from fractions import Fraction
from itertools import product

import pytest

from explorer.space.conditions import tied_choices
from explorer.space.conditions.memory import Conditions
from explorer.space.search_space import parse_space

SPACE = """input: 3x8x8
classes: 10
stem: conv3x3(8)
stages: {blocks: depth, width: [w1, w1 + more, wide, wide]}
block: conv3x3 bn relu conv3x3 bn +
head: gap fc
vary: {wide: stage, depth: stage}
grammar:
  w1: 8 | 16 | 24
  more: 0 | 8 | 16
  wide: 8 | 16 | 24 | 32
  depth: 1 | 2 | 3
where:
"""
DEPTHS = [f"depth@stage{k}" for k in (1, 2, 3, 4)]
CASES = {
    "two groups": (
        ["wide@stage3 <= wide@stage4", "depth@stage1 < depth@stage2"],
        lambda c, d: c["wide3"] <= c["wide4"] and d[0] < d[1],
    ),
    "one group of three conditions": (
        ["w1 + more >= wide@stage3", "wide@stage3 != wide@stage4", "more < wide@stage4"],
        lambda c, d: c["w1"] + c["more"] >= c["wide3"] != c["wide4"] > c["more"],
    ),
    "a sum of all stages": (["n <= 6", "depth@stage4 == 1"], lambda c, d: sum(d) <= 6 and d[3] == 1),
}


def brute_force(holds) -> Counter:
    found: Counter = Counter()
    for w1, more, wide3, wide4, *depths in product((8, 16, 24), (0, 8, 16), *[(8, 16, 24, 32)] * 2, *[(1, 2, 3)] * 4):
        found[holds({"w1": w1, "more": more, "wide3": wide3, "wide4": wide4}, depths)] += 1
    return found


@pytest.mark.parametrize(("where", "holds"), CASES.values(), ids=CASES)
def test_the_share_of_combinations_is_exact(where, holds):
    """The share of the combinations that satisfy the conditions is that of an enumeration, and each draw satisfies
    them."""
    space = parse_space(SPACE + "".join(f"  - {each}\n" for each in where))
    tied = Conditions(space).tied_choices(lambda point, stage: True)
    expected = brute_force(holds)
    assert tied.share == Fraction(expected[True], expected.total())
    draw = random.Random(0)
    for _ in range(50):
        drawn = tied.draw(draw)
        space.named(
            {name: option_of(space, name, number) for name, number in drawn.items()}
        )  # raises if it is excluded


def option_of(space, name: str, number: int) -> str:
    return next(point for point in space.points if point.name == name.split("@")[0]).options[number]


def test_a_choice_with_unequal_options_is_drawn_by_the_walk(monkeypatch):
    """Only choices of which each option is followed by as many walks are drawn before; a group with too many
    combinations is left to the walks."""
    where = "  - wide@stage3 < wide@stage4\n  - depth@stage1 <= depth@stage2\n"
    by_block = SPACE.replace("vary: {", "vary: {act: block, ").replace(" relu conv3x3", " act conv3x3")
    space = parse_space(by_block.replace("grammar:\n", "grammar:\n  act: relu | silu\n") + where)
    is_free = space.decisions.bounds.is_free
    drawn = Conditions(space).tied_choices(is_free).draw(random.Random(0))
    assert drawn.keys() == {"wide@stage3", "wide@stage4"}  # a deeper stage has more choices
    monkeypatch.setattr(tied_choices, "MAX_COMBINED", 4)
    assert Conditions(space).tied_choices(is_free).draw(random.Random(0)) == {}


STRICT = """input: 3x32x32
classes: 10
stem: conv3x3(32) bn relu
stages: {blocks: depth, width: width, stride: [1, 2, 2, 2]}
block: conv3x3 bn relu conv3x3 bn + relu
shortcut: {changed: conv1x1 bn | (avgpool conv1x1 bn)}
head: gap fc
vary: {width: stage, depth: stage}
grammar:
  width: range(8, 512, 8)
  depth: range(1, 16, 1)
where:
  - width@stage1 < width@stage2 < width@stage3 < width@stage4
  - depth@stage1 <= depth@stage2 <= depth@stage3 <= depth@stage4
"""


def test_conditions_that_exclude_nearly_all_combinations_do_not_slow_draws():
    """Of 700 combinations of widths and depths one satisfies the conditions; nevertheless every walk is a network."""
    space = parse_space(STRICT)
    space.sample(20)
    walks = space.decisions.random_walks
    assert not space.is_counted and len(walks.found) >= 10
    assert walks.tried == len(walks.found)
    widths = [[int(each.choices[f"width@stage{k}"]) for k in (1, 2, 3, 4)] for each in space.sample(20)]
    assert all(a < b < c < d for a, b, c, d in widths) and len({a for a, *_ in widths}) > 5
