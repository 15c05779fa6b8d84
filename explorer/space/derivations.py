"""The derivations of a space as a sequence: their number, indices and random draws."""

from __future__ import annotations

import operator
import random
import sys
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, overload

from explorer.space.choices import Choice, Derivation
from explorer.space.count.decisions import Decisions, Progress
from explorer.space.count.size import Size, size_of
from explorer.space.grammar import Grammar

FORMAT = 1
SAMPLES_FOR_CHOICES = 100
# Of a quick sample from a space that is not counted: decisions of its walks, some 0.5 s, and derivations at least.
QUICK_STEPS, MIN_QUICK = 6_000, 10


class Derivations(Grammar):
    """A grammar with its derivations. ``len``, indices, slices and iteration work, in rank order."""

    if TYPE_CHECKING:  # a subclass has it as a cached property

        @property
        @abstractmethod
        def decisions(self) -> Decisions:
            """Counts, ranks and walks the derivations."""

    @cached_property
    def size(self) -> Size:
        """The number of derivations. A choice counts only if it occurs, given the other choices.

        It is exact if the derivations are counted, else an estimate from random draws.
        """
        return size_of(self.decisions)

    @property
    def is_counted(self) -> bool:
        """Whether the derivations are counted, so that each index in [0, count) belongs to a derivation."""
        return self.decisions.is_counted

    @property
    def indices(self) -> int:
        """The number of indices: ``count()`` if the derivations are counted, else an upper bound of it."""
        return self.decisions.indices

    def count(self, progress: Progress = lambda states: None) -> int:
        """Return the exact number of derivations, however long it takes. ``size`` takes little time.

        Args:
            progress: Called often with the number of finished states.

        Raises:
            SpaceError: If too many choices depend on each other.
        """
        decisions = self.decisions
        if not decisions.is_counted and decisions.walks_are_derivations:
            return decisions.walks
        return decisions.count(progress=progress)

    def unrank(self, index: int) -> Derivation:
        """Return derivation number ``index``; 0 takes every first alternative.

        Raises:
            SpaceError: If the index is outside [0, indices), or belongs to no derivation.
            TypeError: If the index is not a whole number.
        """
        index, total = operator.index(index), self.indices
        if not 0 <= index < total:
            raise self.error(f"index {index} is outside the space: {self._range()}")
        found = self.decisions.find(index)
        if found is None:
            raise self.error(
                f"no network has the index {index}: in a space that is not counted some indices have none;"
                " 'explorer sample' draws networks with their indices"
            )
        return found

    def _range(self) -> str:
        of = f"it has {self.indices:,} derivations, " if self.is_counted else "its indices are "
        return f"{of}0..{self.indices - 1}"

    def draw(self, source: random.Random) -> Derivation:
        """Return a random derivation, each with the same probability.

        Raises:
            SpaceError: If none is found, because the conditions of the space exclude nearly all.
        """
        return self.decisions.draw(source)

    def choices(self) -> list[Choice]:
        """Return the choices of all networks, in the order of the derivation; if the derivations are not counted, those
        of random networks."""
        found: dict[str, Choice] = {}

        def add(choice: Choice) -> None:
            found.setdefault(choice.name, Choice(*choice))

        if self.is_counted:
            for decision in self.decisions.decisions():
                if decision.choice is not None:
                    add(decision.choice)
        else:
            for derivation in self.quick_sample(SAMPLES_FOR_CHOICES):
                self.decisions.replay(derivation, add)
        return list(found.values())

    def sample(self, n: int, seed: int = 0) -> list[Derivation]:
        """Return ``n`` independent draws with replacement, uniform over derivations.

        Args:
            n: Number of derivations, from 0.
            seed: The same seed gives the same draws.

        Raises:
            SpaceError: If ``n`` is below 0.
        """
        if operator.index(n) < 0:
            raise self.error(f"a sample has at least 0 networks, found n = {n}")
        return list(islice(self.draws(seed), n))

    def quick_sample(self, n: int) -> list[Derivation]:
        """Return ``sample(n)``; of a space that is not counted only its first ones, at least 10, if more take long."""
        if self.is_counted:
            return self.sample(n)
        first = self.decisions.steps
        found: list[Derivation] = []
        for derivation in islice(self.draws(), n):
            found.append(derivation)
            if self.decisions.steps - first > QUICK_STEPS and len(found) >= MIN_QUICK:
                break
        return found

    def draws(self, seed: int = 0) -> Iterator[Derivation]:
        """Yield independent draws with replacement, uniform over derivations, without end: ``sample`` takes the first.

        Args:
            seed: The same seed gives the same draws.
        """
        source = random.Random(f"{FORMAT}:{seed}")
        while True:
            yield self.draw(source)

    def __iter__(self) -> Iterator[Derivation]:
        """Yield all derivations in rank order."""
        return self.decisions.all()

    def __len__(self) -> int:
        """Return the number of derivations, if they are counted.

        Raises:
            TypeError: If they are not counted: ``size`` estimates their number, ``count()`` may take long.
            OverflowError: If the number is too large for ``len``.
        """
        if not self.is_counted:
            raise TypeError(
                f"{self.name} has {self.size}: they are not counted, so the space has no len(); use size, which"
                " estimates their number, or count(), which may take long"
            )
        if self.indices > sys.maxsize:
            raise OverflowError(f"{self.name} has more derivations than len() can return; use count()")
        return self.indices

    def __bool__(self) -> bool:
        return True

    @overload
    def __getitem__(self, index: int) -> Derivation: ...

    @overload
    def __getitem__(self, index: slice) -> list[Derivation]: ...

    def __getitem__(self, index: int | slice) -> Derivation | list[Derivation]:
        """Return the derivation of an index, from the end if it is negative, or a list of those of a slice.

        Raises:
            IndexError: If the index is outside the space.
        """
        if isinstance(index, slice):
            return [self.unrank(place) for place in range(self.indices)[index]]
        place, total = operator.index(index), self.indices
        if not -total <= place < total:
            raise IndexError(f"index {place} is outside the space: {self._range()}")
        return self.unrank(place % total)
