"""Functions, powers and lists in conditions, against an enumeration that is filtered in plain Python."""

import math

import pytest

from explorer.errors import SpaceError
from explorer.space.conditions import numbers
from explorer.space.search_space import parse_space

SPACE = """input: 3x8x8
classes: 10
stem: conv3x3(8)
stages: {blocks: [depth, depth], width: [wide, wide]}
block: conv3x3 bn act conv3x3 bn attn +
head: gap fc
vary: {wide: stage, depth: stage, act: stage, attn: network}
grammar:
  wide: 8 | 16 | 24 | 32
  depth: 1 | 2
  act: relu | silu | gelu
  attn: none | se(r=4) | se(r=8) | eca
where:
"""
CASES = {
    "wide@stage2 // 3 == wide@stage1 // 4": lambda a, b, **_: b // 3 == a // 4,
    "wide@stage2 == wide@stage1 ** 2 / 8": lambda a, b, **_: b == a**2 / 8,
    "depth@stage1 * wide@stage1 ** 2 + depth@stage2 * wide@stage2 ** 2 <= 1000": (
        lambda a, b, m, n, **_: m * a**2 + n * b**2 <= 1000
    ),
    "depth@stage1 / (wide@stage1 - 8) + wide@stage2 // 16 == 17 / 16": (
        lambda a, b, m, **_: a > 8 and m / (a - 8) + b // 16 == 17 / 16
    ),
    "-wide@stage1 ** 2 < 0 - 2 ** 2 ** 3": lambda a, **_: -(a**2) < -256,
    "max(wide@stage1, wide@stage2, 16) == 24": lambda a, b, **_: max(a, b, 16) == 24,
    "min(wide@stage1, 2*wide@stage2) > 8": lambda a, b, **_: min(a, 2 * b) > 8,
    "log2(wide@stage1) + depth@stage1 == 5": lambda a, m, **_: math.log2(a) + m == 5,
    "round(wide@stage1 / 2, 8) <= 8": lambda a, **_: max(8, math.floor(a / 16 + 0.5) * 8) <= 8,
    "ceil(wide@stage1 / 16) * ceil(wide@stage2 / 16) >= 2": lambda a, b, **_: -(-a // 16) * -(-b // 16) >= 2,
    "floor(wide@stage1 / 16) == 1": lambda a, **_: a // 16 == 1,
    "sqrt(wide@stage1 / 2) == 4": lambda a, **_: a == 32,
    "wide@stage1 in (8, 4 * 6)": lambda a, **_: a in (8, 24),
    "wide@stage2 not in (8, wide@stage1)": lambda a, b, **_: b not in (8, a),
    "attn in (se, none)": lambda attn, **_: attn != "eca",
    "attn not in (se(r=4), eca)": lambda attn, **_: attn in ("none", "se(r=8)"),
    "act@stage1 in (relu, gelu) or not (depth@stage2 in (1))": lambda act, n, **_: act in ("relu", "gelu") or n != 1,
}


@pytest.mark.parametrize(("condition", "holds"), CASES.items(), ids=CASES)
def test_a_condition_counts_what_python_counts(condition, holds):
    """The networks of the space are those of the space without the condition that satisfy it."""
    every = list(parse_space(SPACE.replace("where:\n", "")))
    space = parse_space(f"{SPACE}  - {condition}\n")

    def satisfied(choices):
        return holds(
            a=int(choices["wide@stage1"]),
            b=int(choices["wide@stage2"]),
            m=int(choices["depth@stage1"]),
            n=int(choices["depth@stage2"]),
            act=choices["act@stage1"],
            attn=choices["attn"],
        )

    expected = [each for each in every if satisfied(each.choices)]
    assert 0 < len(expected) < len(every)
    assert list(space) == expected and space.count() == len(expected)


@pytest.mark.parametrize(
    ("condition", "message"),
    {
        "wide@stage1 in 8": "found '8', expected '(' and a list",
        "wide@stage1 in [8, 16]": "found '[', expected '(' and a list, as in 'in (1, 2)'",
        "log2(wide@stage1, 2) > 1": "log2 takes 1 value, found 2",
        "max(wide@stage1) > 1": "max takes two values or more, found 1",
        "attn in (se, relu)": "attn has no alternative 'relu)'",
        "wide@stage1 in (8, attn)": "attn is a choice of layers",
        "c == 8": "which a condition does not know; write tap(a) before the layers",
    }.items(),
)
def test_mistakes_in_functions_and_lists(condition, message):
    """Each mistake is one error that says what is expected."""
    with pytest.raises(SpaceError) as found:
        parse_space(f"{SPACE}  - '{condition}'\n")
    assert message in str(found.value)


def test_an_operation_on_one_choice_is_computed_once_for_each_option(monkeypatch):
    """A sum of products is counted with a power for each option of a width, not for each combination of options."""
    powers = []
    compute = numbers.compute

    def recorded(operator, left, right):
        powers.extend([(left, right)] * (operator == "**"))
        return compute(operator, left, right)

    monkeypatch.setattr(numbers, "compute", recorded)
    condition = "depth@stage1 * wide@stage1 ** 2 + depth@stage2 * wide@stage2 ** 2 <= 1000"
    assert parse_space(f"{SPACE}  - {condition}\n").count() > 0
    assert sorted(powers) == sorted([(width, 2) for width in (8, 16, 24, 32)] * 2)
