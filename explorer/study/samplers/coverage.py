"""Coverage of levels: each level of each choice is tried some times, so that its effect can be told.

A sampler that looks for the Pareto front may never try a level. A share of its proposals is therefore restricted to
networks with the least tried level; among them the sampler still chooses.
"""

from __future__ import annotations

from collections import Counter

from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.edits import change_choice
from explorer.space.levels import Level, levels_of
from explorer.space.search_space import SearchSpace

MOST_BY_DEFAULT = 2  # times that each level is tried by default
TRIALS_PER_LEVEL = 4  # of the budget for each time by default, so that coverage takes at most a quarter of the trials
FIRST_SHARE = 4  # the sampler is not restricted in the first quarter of the trials, which cover most levels anyway
SAMPLES = 300  # random networks among which one with a level is sought that needs other choices
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
        self._levels = levels_of(space) if times != 0 else []
        if times is None:  # a random sample stays unbiased
            most = trials // (TRIALS_PER_LEVEL * max(1, len(self._levels)))
            times = 0 if sampler == "random" else min(MOST_BY_DEFAULT, most)
        self._times = times
        self._unreachable: set[Level] = set()
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

    def level_for(self, number: int) -> Level | None:
        """Return the level that trial ``number`` should have; None if the sampler is free.

        Args:
            number: Number of the next trial.
        """
        if not self._times:
            return None
        counts, begun = self._counts, len(self._begun)
        missing = [level for level in self._levels if counts[level] < self._times and level not in self._unreachable]
        left = self._trials - begun
        due = begun >= self._trials // FIRST_SHARE and number % 2 == 0
        if not missing or not (due or left <= len(missing)):
            return None
        return min(missing, key=lambda level: counts[level])

    def give_up(self, level: Level) -> None:
        """Leave a level out: no network within the limits has it."""
        self._unreachable.add(level)

    def with_level(self, derivation: Derivation, level: Level) -> Derivation | None:
        """Return a network with a level, as similar to another one as possible; None if none is found.

        Args:
            derivation: The other network.
            level: The level.
        """
        if level.choice in derivation.choices:
            return change_choice(self._space, derivation, *level)
        having = [each for each in self._space.sample(SAMPLES) if level.choice in each.choices]
        shared = set(derivation.choices.items())
        nearest = max(having, key=lambda each: len(shared & set(each.choices.items())), default=None)
        return None if nearest is None else change_choice(self._space, nearest, *level)
