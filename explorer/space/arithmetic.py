"""Exact arithmetic of the expression language."""

from __future__ import annotations

import math
from decimal import Context, Decimal
from fractions import Fraction

MAX_NUMBER = 10**30  # numerators and denominators above it are errors
MAX_BITS = 100  # so many bits has ``MAX_NUMBER``: a power with more is not computed
DECIMALS = 12  # of roots and logarithms that are not rational
SAFE_INTEGER = 10**12  # whole numbers below it need no check against ``MAX_NUMBER``
_PRECISE = Context(prec=60)  # its logarithm is correctly rounded, so that it is the same on every machine


def compute(operator: str, left: Fraction, right: Fraction) -> Fraction:
    """Return the result of one operation: exact, but for ``sqrt`` and ``log2``, which have ``DECIMALS`` decimals if
    they are not rational.

    Args:
        operator: See ``Arithmetic``.
        left: The first value.
        right: The second value; functions of one value do not read it.

    Raises:
        ArithmeticError: If the result is not defined, or beyond ``MAX_NUMBER``.
    """
    if operator == "+":
        value = left + right
    elif operator == "-":
        value = left - right
    elif operator == "*":
        value = left * right
    elif operator == "max":
        value = max(left, right)
    elif operator == "min":
        value = min(left, right)
    elif operator == "ceil":
        value = Fraction(math.ceil(left))
    elif operator == "sqrt":
        value = _root(left)
    elif operator == "log2":
        value = _logarithm(left)
    elif operator == "**":
        value = _power(left, right)
    elif right == 0:
        raise ZeroDivisionError("division by zero")
    elif operator == "/":
        value = left / right
    elif operator == "//":
        value = Fraction(left // right)
    else:
        value = max(right, (left / right + Fraction(1, 2)).__floor__() * right)
    if abs(value.numerator) > MAX_NUMBER or value.denominator > MAX_NUMBER:
        raise OverflowError("the number is too large or too precise")
    return value


def computed(operator: str, left: Fraction | int, right: Fraction | int) -> Fraction | int:
    """Return the result of one operation as ``compute`` does, with whole numbers as ints.

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


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise ArithmeticError(f"the exponent {exponent} is not a whole number; sqrt(x) is the square root")
    if base == 0 and exponent < 0:
        raise ZeroDivisionError("division by zero")
    bits = max(abs(base.numerator), base.denominator).bit_length() - 1
    if bits * abs(exponent) > MAX_BITS:
        raise OverflowError("the number is too large or too precise")
    return Fraction(base ** int(exponent))


def _root(value: Fraction) -> Fraction:
    if value < 0:
        raise ArithmeticError(f"the square root of {value}, which is below 0")
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if root * root == value:
        return root
    return _rounded(_PRECISE.divide(Decimal(value.numerator), Decimal(value.denominator)).sqrt(_PRECISE))


def _logarithm(value: Fraction) -> Fraction:
    if value <= 0:
        raise ArithmeticError(f"the logarithm of {value}, which is not above 0")
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if value == Fraction(2) ** exponent:
        return Fraction(exponent)
    ratio = _PRECISE.divide(Decimal(value.numerator), Decimal(value.denominator))
    return _rounded(_PRECISE.divide(ratio.ln(_PRECISE), Decimal(2).ln(_PRECISE)))


def _rounded(value: Decimal) -> Fraction:
    return Fraction(round(Fraction(value) * 10**DECIMALS), 10**DECIMALS)
