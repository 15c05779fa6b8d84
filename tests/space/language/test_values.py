"""Numbers: their values, and which rules are numeric."""

from __future__ import annotations

from fractions import Fraction

import pytest

from explorer.space.language.names import Names
from explorer.space.language.values import ValueParser, numeric_rules


def number(text: str) -> Fraction:
    return ValueParser(text, Names(), "rule", "network").value_rule().constant()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("1/4", Fraction(1, 4)),
        ("0.25", Fraction(1, 4)),
        ("1e-3", Fraction(1, 1000)),
        ("2.5e2", 250),
        ("1 + 2*3", 7),
        ("(1 + 2)*3", 9),
        ("8/2/2", 2),
        ("8 - 2 - 2", 4),
        ("-3 + 5", 2),
        ("2*-3", -6),
        ("--2", 2),
        ("-(1 + 1)", -2),
        ("1/3*3", 1),
        ("0.1 + 0.2", Fraction(3, 10)),
    ],
)
def test_arithmetic_is_exact(text, value):
    """Numbers are fractions: * and / come before + and -, from the left, and unary minus comes first."""
    assert number(text) == value


@pytest.mark.parametrize(
    ("rules", "numeric"),
    [
        ({"a": "1 | 2"}, {"a"}),
        ({"a": "relu"}, set()),
        ({"a": "b", "b": "1/2"}, {"a", "b"}),
        ({"a": "b", "b": "relu"}, set()),
        ({"a": "2*b | w", "b": "c + 1", "c": "range(1, 3, 1)"}, {"a", "b", "c"}),
        ({"a": "b c", "b": "1", "c": "2"}, {"b", "c"}),
        ({"a": "b | relu", "b": "1"}, {"b"}),
        ({"a": "conv3x3 +", "b": "i/n"}, {"b"}),
        ({"a": "unknown"}, set()),
        ({"a": "(b)", "b": "round(w/2, 8)"}, {"a", "b"}),
        ({"a": "none"}, set()),
    ],
)
def test_which_rules_are_numeric(rules, numeric):
    """A rule is numeric if all its alternatives are numbers, variables, arithmetic or other numeric rules."""
    assert {name for name, is_numeric in numeric_rules(rules).items() if is_numeric} == numeric
