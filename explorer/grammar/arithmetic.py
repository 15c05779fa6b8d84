"""Arithmetic in exact fractions, within bounds."""

from __future__ import annotations

from fractions import Fraction

from explorer.grammar.tokens import NumberError
from explorer.grammar.tree import Arithmetic, Number, Value

LARGEST = 10**30


def constant(value: Value, offset: int) -> Fraction:
    """The number that ``value`` is without rules or variables. Raises ExpressionError."""
    if isinstance(value, Number):
        return value.value
    if isinstance(value, Arithmetic) and value.operator != "round":
        try:
            return compute(value.operator, constant(value.left, offset), constant(value.right, offset))
        except ArithmeticError as error:
            raise NumberError(offset, str(error)) from None
    raise NumberError(offset, "the bounds of a range are constants")


def compute(operator: str, left: Fraction, right: Fraction) -> Fraction:
    """One step of arithmetic. Raises ArithmeticError: division by zero, or a number out of all bounds."""
    if operator == "+":
        value = left + right
    elif operator == "-":
        value = left - right
    elif operator == "*":
        value = left * right
    elif right == 0:
        raise ZeroDivisionError("division by zero")
    elif operator == "/":
        value = left / right
    else:
        value = max(right, (left / right + Fraction(1, 2)).__floor__() * right)
    if abs(value.numerator) > LARGEST or value.denominator > LARGEST:
        raise OverflowError("a number beyond all bounds")
    return value


def spell_number(value: Fraction) -> str:
    """A number as a person writes it: 3, 0.25, or 1/3 where no short decimal is exact."""
    if value.denominator == 1:
        return str(value.numerator)
    decimal = f"{float(value):.10g}"
    return decimal if Fraction(decimal) == value else str(value)
