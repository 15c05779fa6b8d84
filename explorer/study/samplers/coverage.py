"""Coverage of levels: each level of each choice is tried some times, so that its effect can be told.

A sampler that looks for the Pareto front may never try a level. A share of its proposals is therefore restricted to
networks with the least tried level; among them the sampler still chooses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from explorer.errors import SpaceError
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.edits import change_choice
from explorer.space.levels import Level, levels_of
from explorer.space.search_space import SearchSpace

MOST_BY_DEFAULT = 2  # times that each level is tried by default
FREE_TRIALS = 8  # the first ones, in which the sampler is not restricted: they cover most levels anyway
EVERY = 3  # of the later trials one in so many has a level that was tried least
SAMPLES = 300  # random networks among which similar ones are sought, if a network cannot have a level
MAX_CHANGED = 20  # of them get the level
MAX_REFUSED = 3  # measured networks with a promised level that exceed a limit, after which it is left out
TRIED = ("complete", "stopped", "running", "cached", "failed", "interrupted")


class Coverage:
    """Finds the level that the next proposal should have.

    Args:
        space: The space.
        times: How often each level is to be tried; None for the default, 0 for a sampler of random networks.
        trials: Trials of the budget.
        sampler: Name of the sampler.
    """

    def __init__(self, space: SearchSpace, times: int | None, trials: int, sampler: str):
        self._space = space
        self._trials = trials
        self._is_promised = times is not None
        if times is None:
            times = 0 if sampler == "random" else MOST_BY_DEFAULT  # a random sample stays unbiased
        self._times = times
        self._levels = levels_of(space) if times else []
        self._unreachable: set[Level] = set()
        self._refused: Counter[Level] = Counter()  # networks that were measured for a level and exceeded a limit
        self._begun: set[int] = set()  # the trials that count
        self._counts: Counter[tuple[str, str]] = Counter()  # choice and option -> trials

    def learn(self, record: TrialRecord) -> None:
        """Add or update a trial.

        Args:
            record: The trial.
        """
        if self._times and (record.state in TRIED) != (record.number in self._begun):
            if record.state in TRIED:
                self._begun.add(record.number)
                self._counts.update(record.choices.items())
            else:
                self._begun.remove(record.number)
                self._counts.subtract(record.choices.items())

    def next_level(self) -> Level | None:
        """Return the level that the next trial should have; None if the sampler is free.

        It is the level that was tried least; of several, the one whose alternative was tried least in all places of
        its choice, because ``attn@stage1=eca`` is partly known from ``attn@stage2=eca``.
        """
        counts, begun = self._counts, len(self._begun)
        missing = [level for level in self._levels if counts[level] < self._times and level not in self._unreachable]
        # Independent of the budget, so that a search in parts proposes the networks of one search.
        due = begun >= FREE_TRIALS and begun % EVERY == 0
        if self._is_promised:
            needed = sum(self._times - counts[level] for level in missing)  # trials, if each has one of them
            due = due or self._trials - begun <= needed
        if not missing or not due:
            return None
        anywhere = Counter[tuple[str, str]]()
        for (choice, option), number in counts.items():
            anywhere[_without_place(choice), option] += number
        return min(missing, key=lambda level: (counts[level], anywhere[_without_place(level.choice), level.option]))

    def give_up(self, level: Level) -> None:
        """Leave a level out: no untried network within the limits was found that has it."""
        self._unreachable.add(level)

    def refuse(self, level: Level) -> None:
        """Note that a network that was proposed for a level exceeded a limit when it was measured."""
        self._refused[level] += 1
        if self._refused[level] >= (MAX_REFUSED if self._is_promised else 1):
            self.give_up(level)

    def with_level(self, derivation: Derivation, level: Level) -> Iterator[Derivation]:
        """Yield networks with a level, the one that is most similar to another network first.

        Args:
            derivation: The other network.
            level: The level.
        """
        yield from self._changed(derivation, level)
        shared = set(derivation.choices.items())
        others = [each for each in self._space.sample(SAMPLES) if level.choice in each.choices]
        others.sort(key=lambda each: len(shared & set(each.choices.items())), reverse=True)
        for other in others[:MAX_CHANGED]:
            yield from self._changed(other, level)

    def _changed(self, derivation: Derivation, level: Level) -> Iterator[Derivation]:
        """Yield the network with the level in place of its own; none if it lacks the choice or conditions forbid it."""
        if level.choice in derivation.choices:
            with suppress(SpaceError):
                yield change_choice(self._space, derivation, *level)


def _without_place(choice: str) -> str:
    """Return the name of a choice without its place: ``attn`` for ``attn@stage1``."""
    return choice.partition("@")[0]
