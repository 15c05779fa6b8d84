"""Numbers that depend on choices: sums of choices, products and other operations, with known choices put in.

Equal numbers are one object, so that conditions that are equal after some choices are equal states of a walk.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from fractions import Fraction
from typing import TypeVar

from explorer.space.arithmetic import compute

Names = frozenset[str]
Exact = Fraction | int
Bounds = tuple[Exact, Exact] | None
NOTHING: Names = frozenset()
Made = TypeVar("Made")


class Pick:
    """The number of a choice.

    Attributes:
        name: The name of the choice.
        options: The number of each alternative.
        names: The choices that it depends on.
        bounds: The smallest and the largest number; None if they are not known.
    """

    __slots__ = ("bounds", "name", "names", "options")

    def __init__(self, name: str, options: tuple[Sum, ...]):
        self.name, self.options = name, options
        self.names: Names = frozenset([name]).union(*(option.names for option in options))
        self.bounds = joined([option.bounds for option in options])


class Applied:
    """An operation on two numbers that depend on choices: a product, a quotient, or any other of ``compute``."""

    __slots__ = ("bounds", "left", "names", "operator", "right")

    def __init__(self, operator: str, left: Sum, right: Sum):
        self.operator, self.left, self.right = operator, left, right
        self.names: Names = left.names | right.names
        self.bounds: Bounds = None
        if operator == "*" and left.bounds is not None and right.bounds is not None:
            corners = [a * b for a in left.bounds for b in right.bounds]
            self.bounds = min(corners), max(corners)


class Sum:
    """A constant and multiples of terms.

    Attributes:
        constant: The constant; None if the number cannot be computed, as in a division by zero.
        terms: The terms with their factors. One with a factor of 0, as in a - a, counts as a choice that is read.
        names: The choices that it depends on.
        bounds: The smallest and the largest number; None if they are not known.
    """

    __slots__ = ("bounds", "constant", "names", "terms")

    def __init__(self, constant: Exact | None, terms: tuple[tuple[Pick | Applied, Exact], ...]):
        self.constant, self.terms = constant, terms
        self.names: Names = NOTHING.union(*(term.names for term, _ in terms))
        self.bounds = None if constant is None else self._bounds(constant)

    def _bounds(self, constant: Exact) -> Bounds:
        low = high = constant
        for term, factor in self.terms:
            if term.bounds is None:
                return None
            ends = [end * factor for end in term.bounds]
            low, high = low + min(ends), high + max(ends)
        return low, high


class Numbers:
    """Makes the numbers of one space, each once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Pick | Applied | Sum] = {}
        self._order: dict[Pick | Applied, int] = {}  # of terms in sums
        self._put: dict[tuple[Sum, str, int], Sum] = {}
        self.uncomputable = Sum(None, ())

    def forget(self) -> None:
        """Drop numbers with known choices, which are made again."""
        self._made, self._order, self._put = {}, {}, {}

    def constant(self, value: Exact) -> Sum:
        """Return a constant."""
        exact = _exact(value)
        return self._once((exact,), lambda: Sum(exact, ()))

    def pick(self, name: str, options: tuple[Sum, ...]) -> Sum:
        """Return the number of a choice, given that of each alternative."""
        return self.sum(0, {self._once((name, *options), lambda: Pick(name, options)): 1})

    def sum(self, constant: Exact, terms: Mapping[Pick | Applied, Exact]) -> Sum:
        """Return a constant and multiples of terms."""
        ordered = tuple([(term, _exact(factor)) for term, factor in terms.items()])
        if len(ordered) > 1:
            ordered = tuple(sorted(ordered, key=lambda each: self._order.setdefault(each[0], len(self._order))))
        constant = _exact(constant)
        return self._once((constant, *ordered), lambda: Sum(constant, ordered))

    def apply(self, operator: str, left: Sum, right: Sum) -> Sum:
        """Return the result of an operation, one of ``compute``."""
        if left.constant is None or right.constant is None:
            return self.uncomputable
        if not left.terms and not right.terms:
            try:
                return self.constant(compute(operator, Fraction(left.constant), Fraction(right.constant)))
            except ArithmeticError:
                return self.uncomputable
        if operator in "+-":
            return self.added(left, right, 1 if operator == "+" else -1)
        if operator == "*" and not left.terms:
            return self.added(self.constant(0), right, left.constant)
        if operator in "*/" and not right.terms and (right.constant or operator == "*"):
            factor = right.constant if operator == "*" else 1 / Fraction(right.constant)
            return self.added(self.constant(0), left, factor)
        if len(names := left.names | right.names) == 1:
            return self._applied_to_options(operator, left, right, *names)
        key = operator, left, right
        return self.sum(0, {self._once(key, lambda: Applied(operator, left, right)): 1})

    def _applied_to_options(self, operator: str, left: Sum, right: Sum, name: str) -> Sum:
        """Return the result of an operation on numbers of one choice: computed once for each alternative."""
        picks = (term for term, _ in (*left.terms, *right.terms) if isinstance(term, Pick))
        options = range(len(next(picks).options))  # an operation on one choice is a pick too
        return self.pick(
            name,
            tuple(self.apply(operator, self.put(left, name, n), self.put(right, name, n)) for n in options),
        )

    def added(self, left: Sum, right: Sum, factor: Exact) -> Sum:
        """Return ``left`` + ``factor`` * ``right``."""
        if left.constant is None or right.constant is None:
            return self.uncomputable
        if not left.terms and not right.terms:
            return self.constant(left.constant + factor * right.constant)
        terms = dict(left.terms)
        for term, own in right.terms:
            terms[term] = terms.get(term, 0) + factor * own
        return self.sum(left.constant + factor * right.constant, terms)

    def put(self, number: Sum, name: str, option: int) -> Sum:
        """Return a number in which one choice is known."""
        if name not in number.names:
            return number
        key = number, name, option
        made = self._put.get(key)
        if made is None:
            made = self._put[key] = self._substituted(number, name, option)
        return made

    def _substituted(self, number: Sum, name: str, option: int) -> Sum:
        assert number.constant is not None
        constant, terms = number.constant, dict[Pick | Applied, Exact]()
        for term, factor in number.terms:
            if name not in term.names:
                terms[term] = terms.get(term, 0) + factor
                continue
            inner = self._put_in(term, name, option)
            if inner.constant is None:
                return self.uncomputable
            constant += factor * inner.constant
            for each, own in inner.terms:
                terms[each] = terms.get(each, 0) + factor * own
        return self.sum(constant, terms)

    def values(self, number: Sum, name: str, options: Iterable[int]) -> list[Exact | None]:
        """Return a number that depends on one choice for some of its alternatives; None where it cannot be computed."""
        if all(isinstance(term, Pick) and not any(each.terms for each in term.options) for term, _ in number.terms):
            return [self._value(number, option) for option in options]
        return [self.put(number, name, option).constant for option in options]

    def _value(self, number: Sum, option: int) -> Exact | None:
        value = number.constant
        for term, factor in number.terms:
            assert isinstance(term, Pick)
            own = term.options[option].constant
            if value is None or own is None:
                return None
            value += factor * own
        return value

    def _put_in(self, term: Pick | Applied, name: str, option: int) -> Sum:
        """Return a term that has a choice, in which that is known."""
        if isinstance(term, Applied):
            return self.apply(term.operator, self.put(term.left, name, option), self.put(term.right, name, option))
        if term.name == name:
            return self.put(term.options[option], name, option)
        return self.pick(term.name, tuple(self.put(each, name, option) for each in term.options))

    def _once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = make()  # type: ignore[assignment]  # a key belongs to one class
        return made  # type: ignore[return-value]


def joined(several: list[Bounds]) -> Bounds:
    """Return the bounds of one of several numbers."""
    known = [bounds for bounds in several if bounds is not None]
    if len(known) < len(several):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _exact(value: Exact) -> Exact:
    return value.numerator if value.denominator == 1 else value
