"""Exact arithmetic of the language, with whole numbers as ints."""

from __future__ import annotations

from fractions import Fraction

from explorer.space.grammar import compute

SAFE_INTEGER = 10**12  # whole numbers below it need no check against the bound on numbers


def computed(operator: str, left: Fraction | int, right: Fraction | int) -> Fraction | int:
    """Return the result of one operation, an int if it is whole.

    Raises:
        ArithmeticError: If it cannot be computed.
    """
    if operator in "*/":
        above, below = right.numerator, right.denominator
        if operator == "/":
            above, below = below, above
        above, below = left.numerator * above, left.denominator * below
        if below and -SAFE_INTEGER < above < SAFE_INTEGER and -SAFE_INTEGER < below < SAFE_INTEGER:
            return above // below if above % below == 0 else Fraction(above, below)
    elif (
        isinstance(left, int)
        and isinstance(right, int)
        and -SAFE_INTEGER < left < SAFE_INTEGER
        and -SAFE_INTEGER < right < SAFE_INTEGER
    ):
        if operator == "+":
            return left + right
        if operator == "-":
            return left - right
    value = compute(operator, Fraction(left), Fraction(right))
    return value.numerator if value.denominator == 1 else value
