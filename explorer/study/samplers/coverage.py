"""Coverage of levels: each level of each choice is tried some times, so that its effect can be told.

A sampler that looks for the Pareto front may never try a level. A share of its proposals is therefore restricted to
networks with the least tried level; among them the sampler still chooses.

A search that was asked for coverage begins with it: each of its first networks has as many missing levels as the
conditions and limits allow, so that they take few trials.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice

from explorer.errors import SpaceError
from explorer.records import TrialRecord
from explorer.space.choices import Choice, Derivation
from explorer.space.edits import change_choice
from explorer.space.levels import Level, levels_of
from explorer.space.search_space import SearchSpace
from explorer.study.candidates import Candidate

MOST_BY_DEFAULT = 2  # times that each level is tried by default
FREE_TRIALS = 8  # the first ones, in which the sampler is not restricted: they cover most levels anyway
EVERY = 3  # of the later trials one in so many has a level that was tried least
SAMPLES = 300  # at most: random networks, for similar ones and for levels that few allowed networks have
MAX_CHANGED = 20  # of them get the level
MAX_LEVELS = 5  # levels in a row that no untried network has, after which the sampler is free
MAX_FILLED = 10  # of them, within the limits, are filled with missing levels one by one
MAX_REFUSED = 3  # measured networks with a promised level that exceed a limit, after which it is left out
TRIED = ("complete", "stopped", "running", "cached", "failed", "interrupted")


class Coverage:
    """Finds the level that the next proposal should have.

    Args:
        space: The space.
        times: How often each level is to be tried; None for the default, 0 for a sampler of random networks.
        sampler: Name of the sampler.
        candidate_of: Returns the candidate of a network; None if it is tried or outside the limits.

    Attributes:
        most_sought: Levels that are sought for one trial, after which the sampler is free.
    """

    def __init__(
        self,
        space: SearchSpace,
        times: int | None,
        sampler: str,
        candidate_of: Callable[[Derivation], Candidate | None],
    ):
        self._space = space
        self._candidate_of = candidate_of
        self._is_promised = times is not None
        if times is None:
            times = 0 if sampler == "random" else MOST_BY_DEFAULT  # a random sample stays unbiased
        self._times = times
        self._levels = levels_of(space) if times else []
        self.most_sought = len(self._levels) if self._is_promised else MAX_LEVELS
        self._known = frozenset(self._levels)
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
        its choice, because ``attn@stage1=eca`` is partly known from ``attn@stage2=eca``. If coverage was asked for, a
        choice that needs more trials than others comes first, and of its levels the one that the fewest networks within
        the limits have, since it fits together with few others.
        """
        missing, begun = self._missing(), len(self._begun)
        # Independent of the budget, so that a search in parts proposes the networks of one search.
        due = self._is_promised or (begun >= FREE_TRIALS and begun % EVERY == 0)
        if not missing or not due:
            return None
        needs = self._needs(missing) if self._is_promised else Counter[str]()
        anywhere = Counter[tuple[str, str]]()
        for (choice, option), number in self._counts.items():
            anywhere[_without_place(choice), option] += number

        rarity = self._rarity if self._is_promised else dict.fromkeys(missing, 0.0)

        def order(level: Level) -> tuple[float, ...]:
            place = anywhere[_without_place(level.choice), level.option]
            return -needs[level.choice], self._counts[level], -rarity[level], place

        return min(missing, key=order)

    @cached_property
    def _rarity(self) -> dict[Level, float]:
        """How few of some random networks that are untried and within the limits have each level, up to 1."""
        allowed = [each.choices for each in self._random if self._candidate_of(each) is not None]
        having = Counter(item for choices in allowed for item in choices.items())
        return {level: 1 / (1 + having[level.choice, level.option]) for level in self._levels}

    def find(self, derivation: Derivation, level: Level) -> Candidate | None:
        """Return a network with a level that is similar to another network; None if none was found.

        If coverage was asked for, the network has as many of the missing levels as could be found together.

        Args:
            derivation: The other network, which may have the level.
            level: The level.
        """
        if self._is_promised:
            return self._fullest(derivation, level)
        changed = islice(self._with_level(derivation, level), 1 + MAX_CHANGED)
        return next(filter(None, map(self._candidate_of, changed)), None)

    def _fullest(self, derivation: Derivation, level: Level) -> Candidate | None:
        """Return a network with a level and many of the other missing levels, None if no network has the level."""
        missing = self._missing()
        needs = self._needs(missing)

        def gain(network: Derivation) -> tuple[int, float]:
            """Return how much a network helps: a missing level counts as much as its choice needs trials, then as much
            as it is rare."""
            new = [each for each in missing if network.choices.get(each.choice) == each.option]
            return sum(needs[each.choice] for each in new), sum(self._rarity[each] for each in new)

        similar = list(self._with_level(derivation, level))
        filled = [each for base in similar[: 1 + MAX_CHANGED] for each in self._filled(base, level)]
        for network in sorted(filled, key=gain, reverse=True)[:MAX_FILLED]:
            if (candidate := self._candidate_of(network)) is not None:
                return candidate
        allowed = islice(filter(None, map(self._candidate_of, similar)), MAX_FILLED)
        climbed = [self._climbed(start, level, gain) for start in allowed]
        return max(climbed, key=lambda each: gain(each.derivation), default=None)

    def _filled(self, derivation: Derivation, level: Level) -> Iterator[Derivation]:
        """Yield the network with the level and the least tried one of each other choice that misses levels; none if
        conditions forbid it."""

        def choose(choice: Choice) -> str:
            if choice.name == level.choice:
                return level.option
            allowed, own = choice.allowed or choice.options, derivation.choices.get(choice.name)
            wanted = [each for each in allowed if self._is_missing(Level(choice.name, each))]
            least = min((self._counts[choice.name, each] for each in wanted), default=0)
            wanted = [each for each in wanted if self._counts[choice.name, each] == least] or list(allowed)
            return own if own in wanted else wanted[0]

        with suppress(SpaceError):
            yield self._space.derive(choose)

    def _climbed(
        self,
        start: Candidate,
        level: Level,
        gain: Callable[[Derivation], tuple[int, float]],
    ) -> Candidate:
        """Return the network with missing levels put in one by one, as far as the limits allow it."""
        needs = self._needs(self._missing())
        for each in sorted(self._missing(), key=lambda each: -needs[each.choice]):
            if each.choice == level.choice:
                continue
            for changed in self._changed(start.derivation, each):
                if gain(changed) > gain(start.derivation) and (candidate := self._candidate_of(changed)) is not None:
                    start = candidate
        return start

    def _missing(self) -> list[Level]:
        """Return the levels that still have to be tried."""
        return list(filter(self._is_missing, self._levels))

    def _is_missing(self, level: Level) -> bool:
        return level in self._known and self._counts[level] < self._times and level not in self._unreachable

    def _needs(self, missing: list[Level]) -> Counter[str]:
        """Return how many trials each choice needs for its missing levels."""
        needs = Counter[str]()
        for level in missing:
            needs[level.choice] += self._times - self._counts[level]
        return needs

    def give_up(self, level: Level) -> None:
        """Leave a level out: no untried network within the limits was found that has it."""
        self._unreachable.add(level)

    def refuse(self, level: Level) -> None:
        """Note that a network that was proposed for a level exceeded a limit when it was measured."""
        self._refused[level] += 1
        if self._refused[level] >= (MAX_REFUSED if self._is_promised else 1):
            self.give_up(level)

    def _with_level(self, derivation: Derivation, level: Level) -> Iterator[Derivation]:
        """Yield networks with a level, the one that is most similar to another network first."""
        yield from self._changed(derivation, level)
        shared = set(derivation.choices.items())
        others = [each for each in self._random if level.choice in each.choices]
        others.sort(key=lambda each: len(shared & set(each.choices.items())), reverse=True)
        for other in others:
            yield from self._changed(other, level)

    @cached_property
    def _random(self) -> list[Derivation]:
        """Random networks of the space; fewer than ``SAMPLES`` if they are not counted and take long to draw."""
        return self._space.quick_sample(SAMPLES)

    def _changed(self, derivation: Derivation, level: Level) -> Iterator[Derivation]:
        """Yield the network with the level in place of its own; none if it lacks the choice or conditions forbid it."""
        if level.choice in derivation.choices:
            with suppress(SpaceError):
                yield change_choice(self._space, derivation, *level)


def _without_place(choice: str) -> str:
    """Return the name of a choice without its place: ``attn`` for ``attn@stage1``."""
    return choice.partition("@")[0]
