"""Numbers: their values, and which rules are numeric."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.space.arithmetic import compute
from explorer.space.language.names import Names
from explorer.space.language.tokens import ExpressionError
from explorer.space.language.values import ValueParser, numeric_rules
from tests.space.spaces import space

HALF = Decimal("0.51e-12")  # of the last decimal, and a little for the rounding of this test


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
        ("7//2", 3),
        ("-7//2", -4),
        ("2*7//3", 4),
        ("2**10", 1024),
        ("2**3**2", 512),
        ("-2**2", -4),
        ("2**-2", Fraction(1, 4)),
        ("(1/2)**3*4", Fraction(1, 2)),
        ("max(1, 3, 2)", 3),
        ("min(1/3, 0.3)", Fraction(3, 10)),
        ("max(2, min(8, 5)) + 1", 6),
        ("floor(7/2) + ceil(7/2)", 7),
        ("floor(-1/2)", -1),
        ("log2(1/8)", -3),
        ("sqrt(9/16)", Fraction(3, 4)),
        ("sqrt(2)", Fraction(1414213562373, 10**12)),
        ("log2(10)", Fraction(3321928094887, 10**12)),
    ],
)
def test_arithmetic_is_exact(text, value):
    """Numbers are fractions, and operators bind as in Python. Roots and logarithms that are not rational have twelve
    decimals."""
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2**10**9", "too large"),
        ("(1/3)**99", "too large"),
        ("10**31", "too large"),
        ("2**(1/2)", "the exponent 1/2 is not a whole number"),
        ("0**-1", "division by zero"),
        ("1//0", "division by zero"),
        ("log2(0)", "not above 0"),
        ("sqrt(-1)", "below 0"),
    ],
)
def test_undefined_and_huge_numbers_are_errors(text, message):
    """A number that is undefined or beyond the bound is an error, before a huge number is computed."""
    with pytest.raises(ArithmeticError, match=re.escape(message)):
        number(text)


@given(st.integers(1, 10**30), st.integers(1, 10**30))
def test_roots_and_logarithms_are_the_nearest_decimals(above, below):
    """sqrt(x) and log2(x) are within half of the last of their twelve decimals, or exact."""
    value = Fraction(above, below)
    root, exponent = compute("sqrt", value, Fraction(1)), compute("log2", value, Fraction(1))
    half = Fraction(1, 2 * 10**12)
    assert max(0, root - half) ** 2 <= value <= (root + half) ** 2
    with localcontext(prec=60):
        low, high = (Decimal(2) ** (Decimal(exponent.numerator) / exponent.denominator + d) for d in (-HALF, HALF))
        assert low <= Decimal(above) / Decimal(below) <= high


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max(1)", "max has 1 argument; write max(a, b)"),
        ("floor(1, 2)", "floor has 2 arguments; write floor(x)"),
        ("round(1, 2, 3)", "round has 3 arguments; write round(x, m)"),
        ("max(1; 2)", "found ';', expected ',' or ')'"),
    ],
)
def test_a_wrong_number_of_arguments_is_an_error(text, message):
    """A function with too few or too many arguments is an error that says how it is written."""
    with pytest.raises(ExpressionError, match=re.escape(message)):
        number(text)


def test_a_rule_may_have_the_name_of_a_new_function():
    """Files that have a rule ``max`` or ``floor`` from before these were functions mean their rule."""
    made = space({"max": "8 | 16", "floor": "relu"}, block="conv3x3(max) floor (bn) conv3x3 +")
    assert [derivation.choices for derivation in made] == [{"max": "8"}, {"max": "16"}]


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
        ({"a": "max(8, b//2)", "b": "2**i"}, {"a", "b"}),
    ],
)
def test_which_rules_are_numeric(rules, numeric):
    """A rule is numeric if all its alternatives are numbers, variables, arithmetic or other numeric rules."""
    assert {name for name, is_numeric in numeric_rules(rules).items() if is_numeric} == numeric
