"""Choices that are drawn within their conditions before a random walk, such as the widths of the stages.

A random walk that regards no conditions seldom satisfies one such as ``width@stage1 <= width@stage2 <= width@stage3``:
one of 6 does, with six stages one of 720. If every network makes some choices, and as many walks follow each of their
options, then as many walks have each combination of these options. So a combination that satisfies the conditions is
drawn first, each with the same probability, and a random walk with these options is as likely as any other such walk.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import accumulate
from math import prod

from explorer.space.conditions.numbers import NOTHING, Names
from explorer.space.conditions.truths import Open, Truths

MAX_COMBINED = 50_000  # options that are put into conditions after those before them, some 0.2 s

Opened = frozenset[Open]


class _Ways:
    """The options of a choice that the options before it leave.

    Attributes:
        starts: For each option the number of combinations with the options before it, and that of all.
        following: The options of the next choice after each option; None if no combination has it.
    """

    __slots__ = ("following", "starts")

    def __init__(self, starts: tuple[int, ...], following: tuple[_Ways | None, ...]):
        self.starts, self.following = starts, following

    @classmethod
    def of(cls, following: Sequence[_Ways | None]) -> _Ways:
        """Return the options with what follows each."""
        numbers = (0 if each is None else each.starts[-1] for each in following)
        return cls(tuple(accumulate(numbers, initial=0)), tuple(following))


_END = _Ways((1,), ())  # one way to choose nothing


class _TooMany(Exception):
    """A group has too many combinations of options."""


class _Group:
    """Choices that share conditions.

    Args:
        names: The choices.
        opened: Their conditions.
        truths: Those of the space.

    Attributes:
        conditions: The number of the conditions.
    """

    def __init__(self, names: Sequence[str], opened: Opened, truths: Truths):
        self._names, self._truths, self.conditions = names, truths, len(opened)
        self._first = self._ways(opened)

    @property
    def share(self) -> Fraction:
        """The share of all combinations that satisfies the conditions."""
        found = 0 if self._first is None else self._first.starts[-1]
        return Fraction(found, prod(self._truths.counts[name] for name in self._names))

    def draw(self, source: random.Random) -> Iterable[tuple[str, int]]:
        """Yield each choice with its option in one combination; each combination has the same probability."""
        ways = self._first
        assert ways is not None
        left = source.randrange(ways.starts[-1])
        for name in self._names:
            assert ways is not None
            option = bisect_right(ways.starts, left) - 1
            left -= ways.starts[option]
            yield name, option
            ways = ways.following[option]

    def _ways(self, opened: Opened) -> _Ways | None:
        """Return the options of the first choice, None if no combination satisfies the conditions. Raises _TooMany."""
        levels: list[dict[Opened, list[Opened | None]]] = []  # before each choice: open conditions -> after each option
        level: dict[Opened, list[Opened | None]] = {opened: []}
        combined = 0
        for name in self._names:
            options = range(self._truths.counts[name])
            combined += len(level) * len(options) * sum(name in truth.names for truth in opened)
            if combined > MAX_COMBINED:
                raise _TooMany
            for before, after in level.items():
                about = [truth for truth in before if name in truth.names]
                rest = before.difference(about)
                after += [self._put(about, rest, name, option) for option in options]
            levels.append(level)
            level = {each: [] for after in level.values() for each in after if each is not None}
        found: dict[Opened | None, _Ways] = dict.fromkeys(level, _END)
        for level in reversed(levels):
            ways = {before: _Ways.of([found.get(each) for each in after]) for before, after in level.items()}
            found = {before: each for before, each in ways.items() if each.starts[-1]}
        return found.get(opened)

    def _put(self, about: Iterable[Open], rest: Opened, name: str, option: int) -> Opened | None:
        """Return the open conditions after an option, None if it violates one.

        Args:
            about: Those that the choice is in.
            rest: The others.
            name: The choice.
            option: The option.
        """
        put = [self._truths.put(truth, name, option) for truth in about]
        return None if False in put else rest.union(each for each in put if isinstance(each, Open))


class TiedChoices:
    """Groups of choices that are drawn within their conditions.

    Args:
        opened: The conditions of the space before the first choice.
        truths: Those of the space.
        is_free: Whether every network makes a choice, and as many walks follow each of its options.

    Attributes:
        share: The share of all combinations of options that satisfies the conditions of the groups.
        are_all: Whether these are all conditions.
    """

    def __init__(self, opened: Collection[Open], truths: Truths, is_free: Callable[[str], bool]):
        groups = _connected(truth for truth in opened if all(map(is_free, truth.names)))
        self._groups: list[_Group] = []
        for names, conditions in sorted(((_ordered(each), each) for each in groups), key=lambda pair: pair[0]):
            with suppress(_TooMany):  # walks then find such combinations by trial and error
                self._groups.append(_Group(names, conditions, truths))
        self.are_all = sum(group.conditions for group in self._groups) == len(opened)
        self.share = Fraction(prod(group.share for group in self._groups))

    def draw(self, source: random.Random) -> dict[str, int]:
        """Return an option for each choice; each combination that satisfies the conditions is equally likely."""
        return dict(each for group in self._groups for each in group.draw(source))


def _connected(truths: Iterable[Open]) -> list[Opened]:
    """Return the conditions in groups that share no choice."""
    groups: list[Opened] = []
    for truth in truths:
        shared = [group for group in groups if not _names(group).isdisjoint(truth.names)]
        groups = [group for group in groups if group not in shared]
        groups.append(frozenset([truth]).union(*shared))
    return groups


def _names(conditions: Opened) -> Names:
    return NOTHING.union(*(truth.names for truth in conditions))


def _ordered(conditions: Opened) -> list[str]:
    """Return the choices of conditions stage by stage, in each those in most conditions first: few combinations of
    those before a choice then differ in what they leave of the conditions."""
    uses = Counter(name for truth in conditions for name in truth.names)

    def place(name: str) -> int:
        """Return the stage of a choice; 0 if it has none."""
        return int("0" + re.sub("[^0-9]", "", name.partition("@")[2]))

    return sorted(uses, key=lambda name: (place(name), -uses[name], name))
