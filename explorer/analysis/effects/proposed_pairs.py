"""Which trainings would narrow the intervals of effects most: counterparts of trained networks.

Each proposed network differs from a trained one only in one choice, and one of the two has the reference level. The
networks are chosen one by one. Each is the one that reduces most the variances of the effects all else equal, relative
to what they are, by the posterior of the model; a level that has too few pairs goes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from explorer.analysis.effects.answers import Networks, codes_of, compared, wanted_factors
from explorer.analysis.effects.contrast import CONFIDENCE, Contrasts
from explorer.analysis.effects.paired import MIN_PAIRS, pair_weights, paired_terms
from explorer.analysis.effects.population import Space, population_of
from explorer.errors import StudyError
from explorer.records import TrialRecord

MAX_CANDIDATES = 2_000  # of more, so many are drawn; it bounds the time
MAX_LACK_OF_FIT = 3.0  # factor by which deviations from the model are expected to raise a variance, at most


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
        trainings: The networks to train, the most informative first; fewer than asked for if there are no more.
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
    begun: Iterable[Mapping[str, str]] = (),
) -> Proposal:
    """Return the trainings that would narrow the intervals of the effects all else equal most.

    Args:
        records: The trials.
        count: The number of trainings.
        objective: The objective.
        cost: The cost.
        factor: The choice whose effects are wanted; ``attn`` means every ``attn@...``. Default: all choices.
        possible: Whether the space has a network with these choices and no trial of it has begun. It is called for one
            network after the other; those for which it returns True are proposed.
        space: As for ``choice_effects``.
        begun: The choices of networks that are proposed or in training already; ``narrowing`` counts them too.

    Raises:
        StudyError: As ``choice_effects``; or ``count`` is below 1.
    """
    if count < 1:
        raise StudyError(f"a proposal has at least 1 training, found {count}")
    known, networks = compared(records, objective, cost)
    wanted = [networks.place(name) for name in wanted_factors(known, networks, factor)]
    forecast = _Forecast(Contrasts(networks, population_of(networks, space)), wanted)
    for code in codes_of(list(begun), networks.levels):
        forecast.add(code)
    candidates = _Candidates(networks, wanted, known)
    columns = forecast.terms(candidates.codes)
    open_ = np.ones(len(columns), bool)
    trainings: list[ProposedTraining] = []
    while len(trainings) < count and open_.any():
        gains = forecast.gains(columns) + candidates.urgency(forecast.urgent())
        place = int(np.argmax(np.where(open_, gains, -math.inf)))
        open_ &= (candidates.codes != candidates.codes[place]).any(axis=1)
        training = candidates.training(place)
        if possible(training.choices):
            forecast.add(candidates.codes[place])
            trainings.append(training)
    return Proposal(trainings, forecast.narrowing())


def expected_narrowing(
    records: Iterable[TrialRecord],
    trainings: Iterable[Mapping[str, str]],
    objective: str = "accuracy",
    cost: str = "macs",
    factor: str | None = None,
    *,
    space: Space | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> list[Narrowing]:
    """Return how much narrower given trainings are expected to make the intervals of the effects all else equal.

    Args:
        records: The trials.
        trainings: The choices of each network to train.
        objective: The objective.
        cost: The cost.
        factor: As for ``propose_pairs``.
        space: As for ``choice_effects``.
        levels: Choice -> its levels, the reference first. Default: as for ``choice_effects``.

    Raises:
        StudyError: As ``choice_effects``.
    """
    known, networks = compared(records, objective, cost, levels)
    wanted = [networks.place(name) for name in wanted_factors(known, networks, factor)]
    forecast = _Forecast(Contrasts(networks, population_of(networks, space)), wanted)
    for code in codes_of(list(trainings), networks.levels):
        forecast.add(code)
    return forecast.narrowing()


class _Candidates:
    """Untrained counterparts of trained networks.

    Attributes:
        codes: (candidates, factors) their answers.
    """

    def __init__(self, networks: Networks, wanted: list[int], records: Sequence[TrialRecord]):
        self._constant = {name: next(iter(texts)) for name, texts in networks.seen.items() if len(texts) == 1}
        self._networks, self._trials = networks, _first_trials(networks, records)
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
        self.codes, self._column, self._twin = table[:, :-2], table[:, -2], table[:, -1]

    def training(self, place: int) -> ProposedTraining:
        """Return the training of a candidate."""
        levels = self._networks.levels
        answers = zip(levels.items(), self.codes[place])
        choices = self._constant | {name: own[code] for (name, own), code in answers if code >= 0}
        factor = self._networks.factors[self._column[place]]
        return ProposedTraining(choices, factor, self._trials[int(self._twin[place])])

    def urgency(self, effects: Iterable[tuple[int, int]]) -> np.ndarray:
        """Return (candidates,) for how many of these effects, each a factor and a level, a candidate makes a pair."""
        count = np.zeros(len(self.codes))
        for column, level in effects:
            own, twins = self.codes[:, column], self._networks.codes[self._twin, column]
            count += (self._column == column) & ((own == level) | ((own == 0) & (twins == level)))
        return count


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


def _first_trials(networks: Networks, records: Sequence[TrialRecord]) -> list[int]:
    """Return the number of the first trial of each network."""
    names = networks.factors
    first: dict[tuple[str | None, ...], int] = {}
    for record in records:
        first.setdefault(tuple(record.choices.get(name) for name in names), record.number)
    return list(first.values())  # networks are in the order of their first trial


class _Forecast:
    """The variances of effects all else equal while networks are added that are not trained yet.

    Args:
        contrasts: Estimates of the trained networks.
        wanted: The factors.
    """

    def __init__(self, contrasts: Contrasts, wanted: list[int]):
        self._contrasts, self._networks = contrasts, contrasts.networks
        self._effects = [(column, level) for column in wanted for level in range(1, self._networks.counts[column])]
        model = contrasts.model
        self._covariances = {column: model.covariance_to_expect(model.terms.of_choice(column)) for column in wanted}
        everything, nothing = np.arange(len(contrasts.columns)), np.zeros(contrasts.columns.shape[1])
        self._wanted = []
        for effect in self._effects:
            terms = paired_terms(contrasts, everything, *effect)
            self._wanted.append(nothing if terms is None else terms)
        self._codes = self._networks.codes

    def terms(self, codes: np.ndarray) -> np.ndarray:
        """Return the (networks, columns) terms of networks."""
        return self._contrasts.model.terms.of(codes)

    def gains(self, columns: np.ndarray) -> np.ndarray:
        """Return (networks,) the sum of the relative reductions of all variances by each network.

        Args:
            columns: (networks, columns) their terms.
        """
        gains = np.zeros(len(columns))
        for column, covariance in self._covariances.items():
            ahead = columns @ covariance
            known = self._contrasts.model.expected_noise + np.sum(ahead * columns, axis=1)
            for (own, _), wanted in zip(self._effects, self._wanted):
                if own == column and (now := float(wanted @ covariance @ wanted)) > 0:
                    gains += (ahead @ wanted) ** 2 / known / now
        return gains

    def urgent(self) -> list[tuple[int, int]]:
        """Return the effects that have too few pairs for an answer, each as factor and level."""
        return [effect for effect, pairs in zip(self._effects, self._pairs(self._codes)) if pairs < MIN_PAIRS]

    def add(self, code: np.ndarray) -> None:
        """Add a network by its answers."""
        row = self.terms(code[None])[0]
        for covariance in self._covariances.values():
            ahead = covariance @ row
            covariance -= np.outer(ahead, ahead) / (self._contrasts.model.expected_noise + row @ ahead)
        self._codes = np.concatenate([self._codes, code[None]])

    def narrowing(self) -> list[Narrowing]:
        """Return the intervals now, and as expected with the added networks."""
        pairs = zip(self._pairs(self._networks.codes), self._pairs(self._codes))
        return [self._narrowing(place, *each) for place, each in enumerate(pairs)]

    def _pairs(self, codes: np.ndarray) -> list[int]:
        return [pair_weights(codes, column, level)[1] for column, level in self._effects]

    def _narrowing(self, place: int, pairs: int, pairs_after: int) -> Narrowing:
        from scipy.special import stdtrit

        (column, level), wanted, model = self._effects[place], self._wanted[place], self._contrasts.model
        group = model.terms.of_choice(column)
        low, high = self._contrasts.estimate_terms(wanted, group).ci95
        _, covariance = model.without_shrinkage(group)
        before, variance = (high - low) / 2, float(wanted @ covariance @ wanted)
        lack = model.unshrunk_variance(wanted, group) / variance if variance > 0 else 1.0
        ahead = float(wanted @ self._covariances[column] @ wanted) * min(lack, MAX_LACK_OF_FIT)
        added = len(self._codes) - len(self._networks.codes)
        after = float(stdtrit(model.free + added, 0.5 + CONFIDENCE / 2)) * math.sqrt(max(ahead, 0.0))
        factor = self._networks.factors[column]
        levels = self._networks.levels[factor]
        return Narrowing(
            factor, levels[level], levels[0], before, min(after, before) if added else before, pairs, pairs_after
        )
