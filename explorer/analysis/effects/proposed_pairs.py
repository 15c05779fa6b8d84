"""Which trainings would narrow the intervals of effects most: counterparts of trained networks.

Each proposed network differs from a trained one only in one choice, and one of the two has the reference level. The
networks are chosen one by one. Each is the one that reduces most the variances of the effects all else equal, relative
to what they are, by the posterior of the model; a level that has too few pairs goes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from explorer.analysis.effects.answers import Networks, comparable, networks_of, wanted_factors
from explorer.analysis.effects.contrast import Contrasts
from explorer.analysis.effects.paired import MIN_PAIRS, pair_weights
from explorer.analysis.effects.population import Population, Space, population_of
from explorer.errors import StudyError
from explorer.records import TrialRecord

MAX_CANDIDATES = 2_000  # of more, so many are drawn; it bounds the time


@dataclass(frozen=True, slots=True)
class ProposedTraining:
    """A network to train.

    Attributes:
        choices: Its choices.
        factor: The choice in which it differs from its counterpart.
        twin: The number of the trial of its counterpart, whose seed it should have.
    """

    choices: Mapping[str, str]
    factor: str
    twin: int


@dataclass(frozen=True, slots=True)
class Narrowing:
    """How much narrower the interval of one effect all else equal is expected to become.

    Attributes:
        factor: The choice.
        level: Its level.
        reference: Its reference level.
        before: Half of the width of the 95% interval now, in the unit of the objective.
        after: The same after the trainings.
        pairs_before: The number of trained pairs now; the answer needs ``MIN_PAIRS``.
        pairs_after: The number of pairs after the trainings.
    """

    factor: str
    level: str
    reference: str
    before: float
    after: float
    pairs_before: int
    pairs_after: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """Trainings and what they are expected to tell.

    Attributes:
        trainings: The networks to train, those that tell most first; fewer than asked for if there are no more.
        narrowing: The intervals before and after all of them.
    """

    trainings: list[ProposedTraining]
    narrowing: list[Narrowing]


def propose_pairs(
    records: Iterable[TrialRecord],
    count: int,
    objective: str = "accuracy",
    cost: str = "macs",
    factor: str | None = None,
    *,
    possible: Callable[[Mapping[str, str]], bool] = lambda choices: True,
    space: Space | None = None,
) -> Proposal:
    """Return the trainings that would narrow the intervals of the effects all else equal most.

    Args:
        records: The trials.
        count: The number of trainings.
        objective: The objective.
        cost: The cost.
        factor: The choice whose effects are wanted; ``attn`` means every ``attn@...``. Default: all choices.
        possible: Whether the space has a network with these choices and no trial of it has begun.
        space: As for ``choice_effects``.

    Raises:
        StudyError: As ``choice_effects``; or ``count`` is below 1.
    """
    if count < 1:
        raise StudyError(f"a proposal has at least 1 training, found {count}")
    known = comparable(records, objective, cost)
    networks = networks_of(known, objective, cost)
    wanted = [networks.place(name) for name in wanted_factors(known, networks, factor)]
    contrasts = Contrasts(networks, population_of(networks, space))
    proposer = _Proposer(contrasts, wanted, _Candidates(networks, wanted, known, possible))
    return proposer.propose(count)


class _Candidates:
    """Untrained counterparts of trained networks.

    Attributes:
        codes: (candidates, factors) their answers.
        column: (candidates,) the factor in which each differs from its counterpart.
        twin: (candidates,) the row of its counterpart among the trained networks.
    """

    def __init__(
        self,
        networks: Networks,
        wanted: list[int],
        records: list[TrialRecord],
        possible: Callable[[Mapping[str, str]], bool],
    ):
        self._constant = {name: next(iter(texts)) for name, texts in networks.seen.items() if len(texts) == 1}
        self._levels, self._possible = networks.levels, possible
        self.trials = _first_trials(networks, records)
        rows = []
        for column in wanted:
            for level in range(networks.counts[column]):
                under = networks.codes[networks.codes[:, column] == level]
                for twin in np.flatnonzero(networks.codes[:, column] >= 0):
                    if (level == 0) != (networks.codes[twin, column] == 0):
                        code = _changed(networks.codes[twin], column, level, under)
                        rows.append((*code, column, twin))
        table = np.array(rows, int).reshape(-1, len(networks.counts) + 2)
        trained = {code.tobytes() for code in np.ascontiguousarray(networks.codes)}
        table = table[[np.ascontiguousarray(row[:-2]).tobytes() not in trained for row in table]]
        if len(table) > MAX_CANDIDATES:
            table = table[np.sort(np.random.default_rng(0).choice(len(table), MAX_CANDIDATES, replace=False))]
        self.codes, self.column, self.twin = table[:, :-2], table[:, -2], table[:, -1]

    def choices(self, place: int) -> dict[str, str]:
        """Return the choices of a candidate."""
        answers = zip(self._levels.items(), self.codes[place])
        return self._constant | {name: levels[code] for (name, levels), code in answers if code >= 0}

    def is_possible(self, place: int) -> bool:
        """Return whether the candidate can be trained."""
        return self._possible(self.choices(place))


def _changed(code: np.ndarray, column: int, level: int, under: np.ndarray) -> np.ndarray:
    """Return the answers with one changed; choices that appear with it take their most frequent answer.

    Args:
        code: (factors,) the answers.
        column: The factor to change.
        level: Its new level.
        under: (networks, factors) the answers of trained networks with the new level.
    """
    changed = code.copy()
    changed[column] = level
    changed[(under < 0).all(axis=0)] = -1
    changed[(under >= 0).all(axis=0) & (changed < 0)] = 0
    return changed


def _first_trials(networks: Networks, records: list[TrialRecord]) -> list[int]:
    """Return the number of the first trial of each network."""
    names = networks.factors
    first: dict[tuple[str | None, ...], int] = {}
    for record in records:
        first.setdefault(tuple(record.choices.get(name) for name in names), record.number)
    return list(first.values())  # networks are in the order of their first trial


class _Proposer:
    """Chooses candidates one by one, and follows the variances of all effects."""

    def __init__(self, contrasts: Contrasts, wanted: list[int], candidates: _Candidates):
        self._contrasts, self._candidates = contrasts, candidates
        self._networks, model = contrasts.networks, contrasts.model
        self._columns = model.terms.of(candidates.codes)
        self._effects = [(column, level) for column in wanted for level in range(1, self._networks.counts[column])]
        self._covariances = {
            column: model.without_shrinkage(model.terms.of_choice(column))[1].copy() for column in wanted
        }
        self._wanted = [
            pair_weights(contrasts.population.codes, column, level)[0] @ contrasts.columns
            for column, level in self._effects
        ]
        self._codes = self._networks.codes

    def propose(self, count: int) -> Proposal:
        """Return the proposal of up to ``count`` trainings."""
        before, pairs = self._variances(), self._pairs()
        open_ = np.ones(len(self._columns), bool)
        trainings: list[ProposedTraining] = []
        while len(trainings) < count and open_.any():
            place = int(np.argmax(np.where(open_, self._gains(), -math.inf)))
            same = (self._candidates.codes == self._candidates.codes[place]).all(axis=1)
            open_ &= ~same
            if not self._candidates.is_possible(place):
                continue
            self._train(place)
            twin = int(self._candidates.twin[place])
            trainings.append(
                ProposedTraining(
                    self._candidates.choices(place),
                    self._networks.factors[self._candidates.column[place]],
                    self._candidates.trials[twin],
                )
            )
        after, pairs_after = self._variances(), self._pairs()
        return Proposal(trainings, [self._narrowing(i, before, after, pairs, pairs_after) for i in range(len(before))])

    def _gains(self) -> np.ndarray:
        """Return for each candidate the sum of the relative reductions of variances, and of urgent pairs."""
        gains = np.zeros(len(self._columns))
        noise = self._contrasts.model.noise
        for column, covariance in self._covariances.items():
            ahead = self._columns @ covariance
            known = noise + np.sum(ahead * self._columns, axis=1)
            for (own, _), wanted in zip(self._effects, self._wanted):
                if own == column and (now := float(wanted @ covariance @ wanted)) > 0:
                    gains += (ahead @ wanted) ** 2 / known / now
        for (column, level), pairs in zip(self._effects, self._pairs()):
            if pairs < MIN_PAIRS:
                codes = self._candidates.codes[:, column]
                twins = self._networks.codes[self._candidates.twin, column]
                gains += (self._candidates.column == column) & ((codes == level) | ((codes == 0) & (twins == level)))
        return gains

    def _train(self, place: int) -> None:
        row = self._columns[place]
        for covariance in self._covariances.values():
            ahead = covariance @ row
            covariance -= np.outer(ahead, ahead) / (self._contrasts.model.noise + row @ ahead)
        self._codes = np.concatenate([self._codes, self._candidates.codes[place][None]])

    def _variances(self) -> list[float]:
        return [
            float(wanted @ self._covariances[column] @ wanted)
            for (column, _), wanted in zip(self._effects, self._wanted)
        ]

    def _pairs(self) -> list[int]:
        return [pair_weights(self._codes, column, level)[1] for column, level in self._effects]

    def _narrowing(
        self, place: int, before: list[float], after: list[float], pairs: list[int], pairs_after: list[int]
    ) -> Narrowing:
        column, level = self._effects[place]
        factor = self._networks.factors[column]
        population: Population = self._contrasts.population
        weights = pair_weights(population.codes, column, level)[0]
        low, high = self._contrasts.estimate(weights, self._contrasts.model.terms.of_choice(column)).ci95
        ratio = math.sqrt(after[place] / before[place]) if before[place] > 0 else 1.0
        levels = self._networks.levels[factor]
        half = (high - low) / 2
        return Narrowing(factor, levels[level], levels[0], half, half * ratio, pairs[place], pairs_after[place])
