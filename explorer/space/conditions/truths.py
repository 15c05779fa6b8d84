"""Conditions that depend on choices: comparisons, ``and`` and ``or``, with known choices put in.

A truth is True or False as soon as the known choices decide it. Equal truths are one object. A truth that depends on
one choice only is the set of its alternatives that satisfy it, so that different bounds with one effect are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from fractions import Fraction

from explorer.space.conditions.numbers import NOTHING, Exact, Names, Numbers, Sum


class Open:
    """A truth that the known choices do not decide.

    Attributes:
        names: The choices that it depends on.
    """

    __slots__ = ("names",)

    def __init__(self, names: Names):
        self.names = names


class Among(Open):
    """Whether a choice takes one of the alternatives ``options``, by their numbers from 0."""

    __slots__ = ("name", "options")

    def __init__(self, name: str, options: frozenset[int]):
        super().__init__(frozenset([name]))
        self.name, self.options = name, options


class Alike(Open):
    """Whether two choices take alternatives with the same text, or (``negated``) with different texts."""

    __slots__ = ("left", "negated", "right", "texts")

    def __init__(self, left: str, right: str, texts: tuple[tuple[str, ...], tuple[str, ...]], negated: bool):
        super().__init__(frozenset([left, right]))
        self.left, self.right, self.texts, self.negated = left, right, texts, negated


class Compared(Open):
    """A relation of two numbers, as in ``condition.Compared``. Other than ``divides``, it compares ``left`` with 0."""

    __slots__ = ("left", "relation", "right")

    def __init__(self, relation: str, left: Sum, right: Sum):
        super().__init__(left.names | right.names)
        self.relation, self.left, self.right = relation, left, right


class Joined(Open):
    """Parts of which every one holds, or one at least."""

    __slots__ = ("every", "parts")

    def __init__(self, every: bool, parts: frozenset[Open]):
        super().__init__(NOTHING.union(*(part.names for part in parts)))
        self.every, self.parts = every, parts


class Truths:
    """Makes the truths of one space, each once.

    Attributes:
        numbers: Makes its numbers.
        counts: Choice -> the number of its alternatives, of all choices in truths.
        sure: The choices that every network has.
        work: The number of choices put into truths so far.
    """

    def __init__(self) -> None:
        self.numbers = Numbers()
        self.counts: dict[str, int] = {}
        self.sure: set[str] = set()
        self.work = 0
        self._made: dict[Hashable, Open] = {}
        self._reduced: dict[Open, bool | Open] = {}
        self._put: dict[tuple[Open, str, int], bool | Open] = {}
        self._closed: dict[tuple[Open, Names], bool | Open] = {}

    def forget(self) -> None:
        """Drop truths and numbers with known choices, which are made again for further walks."""
        self._made, self._reduced, self._put, self._closed = {}, {}, {}, {}
        self.numbers.forget()

    def compared(self, relation: str, left: Sum, right: Sum) -> bool | Open:
        """Return whether a relation holds. It does not if one of the numbers cannot be computed."""
        if left.constant is None or right.constant is None:
            return False
        if "divides" not in relation:
            left, right = self.numbers.added(left, right, -1), self.numbers.constant(0)
            if left.bounds is not None and _holds_within(relation, *left.bounds):
                return True
            if left.bounds is not None and left.names <= self.sure and _fails_within(relation, *left.bounds):
                return False
        assert left.constant is not None and right.constant is not None
        if left.terms or right.terms:
            return self._once(("compared", relation, left, right), lambda: Compared(relation, left, right))
        return _holds(relation, Fraction(left.constant), Fraction(right.constant))

    def among(self, name: str, options: Iterable[int]) -> bool | Open:
        """Return whether a choice takes one of some alternatives."""
        chosen = frozenset(options)
        if len(chosen) == self.counts[name]:
            return True
        return self._once(("among", name, chosen), lambda: Among(name, chosen))

    def alike(
        self, left: str, right: str, texts: tuple[tuple[str, ...], tuple[str, ...]], negated: bool
    ) -> bool | Open:
        """Return whether two choices take the same alternative."""
        if left == right:
            return not negated
        return self._once(("alike", left, right, texts, negated), lambda: Alike(left, right, texts, negated))

    def joined(self, every: bool, parts: Iterable[bool | Open]) -> bool | Open:
        """Return whether every part holds, or one at least."""
        kept: set[Open] = set()
        for part in parts:
            if isinstance(part, bool):
                if part != every:
                    return part
            elif isinstance(part, Joined) and part.every == every:
                kept |= part.parts
            else:
                kept.add(part)
        if len(kept) < 2:
            return next(iter(kept), every)
        several = frozenset(kept)
        return self._once(("joined", every, several), lambda: Joined(every, several))

    def put(self, truth: bool | Open, name: str, option: int) -> bool | Open:
        """Return a truth in which one choice is known."""
        if isinstance(truth, bool) or name not in truth.names:
            return truth
        key = truth, name, option
        made = self._put.get(key)
        if made is None:
            made = self._put[key] = self._substituted(truth, name, option)
        return made

    def _substituted(self, truth: Open, name: str, option: int) -> bool | Open:
        self.work += 1
        if isinstance(truth, Among):
            return option in truth.options
        if isinstance(truth, Alike):
            other, own = (truth.right, 0) if name == truth.left else (truth.left, 1)
            text = truth.texts[own][option]
            same = [number for number, each in enumerate(truth.texts[1 - own]) if (each == text) != truth.negated]
            return self.among(other, same)
        if isinstance(truth, Compared):
            put = self.numbers.put
            return self.compared(truth.relation, put(truth.left, name, option), put(truth.right, name, option))
        assert isinstance(truth, Joined)
        return self.joined(truth.every, [self.put(part, name, option) for part in truth.parts])

    def close(self, truth: bool | Open, names: Names) -> bool | Open:
        """Return a truth in which the choices ``names``, which a network does not have, satisfy their comparisons."""
        if isinstance(truth, bool) or names.isdisjoint(truth.names):
            return truth
        if not isinstance(truth, Joined):
            return True
        key = truth, names
        made = self._closed.get(key)
        if made is None:
            made = self._closed[key] = self.joined(truth.every, [self.close(part, names) for part in truth.parts])
        return made

    def _once(self, key: Hashable, make: Callable[[], Open]) -> bool | Open:
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = make()
        reduced = self._reduced.get(made)
        if reduced is None:
            reduced = self._reduced[made] = self._reduce(made)
        return reduced

    def _reduce(self, truth: Open) -> bool | Open:
        """Return a truth that depends on one choice as the set of its alternatives."""
        if isinstance(truth, Among) or len(truth.names) > 1:
            return truth
        (name,) = truth.names
        options = range(self.counts[name])
        if isinstance(truth, Compared):
            self.work += len(options)
            left, right = (self.numbers.values(side, name, options) for side in (truth.left, truth.right))
            return self.among(name, [n for n in options if _holds_of(truth.relation, left[n], right[n])])
        return self.among(name, [n for n in options if self._substituted(truth, name, n) is True])


def _holds_of(relation: str, left: Exact | None, right: Exact | None) -> bool:
    """Whether a relation holds. It does not if one of the numbers cannot be computed."""
    if left is None or right is None:
        return False
    if "divides" in relation:
        return _holds(relation, Fraction(left), Fraction(right))
    return _holds_within(relation, left - right, left - right)


def _holds(relation: str, left: Fraction, right: Fraction) -> bool:
    if relation == "divides":
        return left != 0 and (right / left).denominator == 1
    if relation == "not divides":
        return left == 0 or (right / left).denominator != 1
    return _holds_within(relation, left - right, left - right)


def _holds_within(relation: str, low: Fraction | int, high: Fraction | int) -> bool:
    """Whether each number from ``low`` to ``high`` has the relation to 0."""
    if relation == "==":
        return low == high == 0
    if relation == "!=":
        return low > 0 or high < 0
    return high < 0 if relation == "<" else high <= 0


def _fails_within(relation: str, low: Fraction | int, high: Fraction | int) -> bool:
    """Whether no number from ``low`` to ``high`` has the relation to 0."""
    if relation == "==":
        return low > 0 or high < 0
    if relation == "!=":
        return low == high == 0
    return low >= 0 if relation == "<" else low > 0
