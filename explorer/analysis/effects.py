"""The effects of choices at equal cost, as pure functions of the records of a study.

A choice that makes a network better often makes it more expensive too. Effects are therefore estimated at equal cost:
from pairs of networks that differ only in that choice if there are at least ``MIN_PAIRS``, else from a linear model of
all networks. Each effect names its method.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from explorer.errors import StudyError, did_you_mean
from explorer.records import TrialRecord

MIN_PAIRS = 3  # for 2 pairs the factor of Student's t is 12.7, which gives too wide an interval
CONFIDENCE = 0.95
MAX_COMBINATIONS = 2**62  # of answers that are numbered in int64 at once


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one level of a choice on the objective, against the reference level, at equal cost.

    Attributes:
        factor: The choice.
        level: The level.
        reference: The reference level of the factor.
        effect: The difference of the objective, in its unit (accuracies are fractions); None if it is not determined.
        ci95: The 95% confidence interval of the effect, from Student's t; None if it is not determined.
        pairs: The number of pairs of networks (or groups of networks) with this level and with the reference that have
            all other shared choices in common.
        trials: The number of networks with this level.
        method: pairs, model, or none if the trials do not determine the effect.
    """

    factor: str
    level: str
    reference: str
    effect: float | None
    ci95: tuple[float, float] | None
    pairs: int
    trials: int
    method: Literal["pairs", "model", "none"]

    def to_json(self) -> dict[str, Any]:
        """Return the effect as a mapping for JSON."""
        return asdict(self)


def choice_effects(
    records: Iterable[TrialRecord], objective: str = "accuracy", cost: str = "macs", factor: str | None = None
) -> list[Effect]:
    """Return the effect of each level of each choice.

    Complete trials with both quantities are used. The reference of a factor is its most frequent level, the first of
    equally frequent ones.

    Args:
        records: The trials.
        objective: The objective.
        cost: The cost at which networks are compared.
        factor: The choice; ``attn`` means every ``attn@...``. Default: all choices.

    Raises:
        StudyError: The factor is unknown, or fewer than two networks can be compared.
    """
    known = comparable(records, objective, cost)
    if len(known) < 2:
        raise StudyError(
            f"{len(known)} complete trials have {objective} and a {cost} above 0 (its logarithm is compared);"
            " an effect needs at least two networks"
        )
    factors = varying_choices(known)
    wanted = factors if factor is None else [name for name in factors if factor in (name, name.split("@")[0])]
    if not wanted:
        every = dict.fromkeys(name for record in known for name in record.choices)
        if factor is not None and any(factor in (name, name.split("@")[0]) for name in every):
            raise StudyError(f"{factor} is the same in all {len(known)} trials; its effect is not determined")
        names = list(dict.fromkeys([*factors, *(name.split("@")[0] for name in factors)]))
        raise StudyError(
            f"unknown factor {factor!r}; the choices that differ: {', '.join(factors) or 'none'}"
            f"{did_you_mean(factor or '', names)}"
        )
    answers = Answers(known, factors)
    gains = np.array([quantity(record, objective) for record in known])
    decades = np.log10([quantity(record, cost) for record in known])
    model = AdditiveModel(answers, gains, decades)
    return [effect for name in wanted for effect in _effects_of(name, answers, gains, decades, model)]


def comparable(records: Iterable[TrialRecord], objective: str, cost: str) -> list[TrialRecord]:
    """Return the complete trials with a finite objective and a cost above 0, whose logarithm is compared."""
    return [
        record
        for record in records
        if record.state == "complete"
        and math.isfinite(quantity(record, objective))
        and 0 < quantity(record, cost) < math.inf
    ]


def quantity(record: TrialRecord, name: str) -> float:
    """Return an objective or cost of a trial; NaN if it has none."""
    value = record.value(name)
    return float(value) if isinstance(value, (int, float)) else math.nan


def varying_choices(records: Sequence[TrialRecord]) -> list[str]:
    """Return the choice points with more than one answer, in the order in which they are asked."""
    names = dict.fromkeys(name for record in records for name in record.choices)
    return [name for name in names if len({record.choices.get(name) for record in records} - {None}) > 1]


def levels_of(records: Sequence[TrialRecord], factor: str) -> list[str]:
    """Return the answers to a choice point in descending order of frequency; ties in order of occurrence."""
    counts = Counter([record.choices.get(factor) for record in records])
    return [level for level, _ in counts.most_common() if level is not None]


class Answers:
    """The answers of networks to choice points, as integers.

    Attributes:
        levels: Factor -> its levels, as ``levels_of`` returns them.
        codes: Factor -> (networks,) the index of each answer in ``levels``; -1 if the choice was not asked.

    Args:
        records: The trials.
        factors: The choice points.
    """

    def __init__(self, records: Sequence[TrialRecord], factors: Sequence[str]):
        self.levels = {factor: levels_of(records, factor) for factor in factors}
        self.codes = {}
        for factor, levels in self.levels.items():
            places = {level: place for place, level in enumerate(levels)}
            texts = [record.choices.get(factor) for record in records]
            self.codes[factor] = np.array([-1 if text is None else places[text] for text in texts])

    def twins(self, factor: str, among: np.ndarray) -> np.ndarray:
        """Number networks so that those which differ only in ``factor`` have equal numbers.

        Compared are the other choice points that are asked both at the reference and at another level of ``factor``.

        Args:
            factor: The choice point that may differ.
            among: (m,) indices of networks.

        Returns:
            (m,) the number of each network, from 0.
        """
        reference = self.codes[factor][among] == 0
        number, count = np.zeros(len(among), np.int64), 1
        for name, every in self.codes.items():
            codes = every[among]
            if name == factor or codes[reference].max() < 0 or codes[~reference].max() < 0:
                continue
            radix = len(self.levels[name]) + 1
            if count > MAX_COMBINATIONS // radix:
                number, count = _ranked(number)
            number, count = number * radix + codes + 1, count * radix
        return _ranked(number)[0]


class AdditiveModel:
    """A least-squares model of the objective: one term per level of each choice, and the base-10 logarithm of the cost.

    A choice that only some networks have is compared among these; the others count as its reference level.

    Attributes:
        slope: The effect of ten times the cost; 0 if the trials do not separate it from the choices.
        slope_error: Its standard error; 0 likewise.

    Args:
        answers: The answers of the networks.
        objective: (networks,) the objective.
        decades: (networks,) the base-10 logarithm of the cost.
    """

    def __init__(self, answers: Answers, objective: np.ndarray, decades: np.ndarray):
        columns = [np.ones(len(objective)), decades - decades.mean()]
        self._columns = {}
        for factor, levels in answers.levels.items():
            for place, level in enumerate(levels[1:], 1):
                self._columns[factor, level] = len(columns)
                columns.append((answers.codes[factor] == place).astype(float))
        x = np.stack(columns, axis=1)
        # The triangle has one row per weight, which makes the SVD cheap for thousands of networks.
        rotation, triangle = np.linalg.qr(x)
        left, sizes, right = np.linalg.svd(triangle)
        rank = int(np.sum(sizes > sizes[0] * max(x.shape) * np.finfo(float).eps))
        rows = right[:rank]
        self._inverse = (rows.T / sizes[:rank]) @ left[:, :rank].T
        self._kept = rows.T @ rows  # the identity if every weight is determined
        self._weights = self._inverse @ (rotation.T @ objective)
        residuals = objective - x @ self._weights
        self._free = len(objective) - rank
        self._variance = float(residuals @ residuals) / self._free if self._free > 0 else math.nan
        known = self._free > 0 and self._is_determined(1)
        self.slope, self.slope_error = (float(self._weights[1]), self._error(1)) if known else (0.0, 0.0)

    def _is_determined(self, place: int) -> bool:
        row = self._kept[place].copy()
        row[place] -= 1
        return bool(np.abs(row).max() < 1e-6)

    def effect(self, factor: str, level: str) -> tuple[float, tuple[float, float]] | None:
        """Return (effect, interval) of a level against the reference; None if the trials do not determine it."""
        place = self._columns[factor, level]
        if self._free < 1 or not self._is_determined(place):
            return None
        return _interval(float(self._weights[place]), self._error(place), self._free)

    def _error(self, place: int) -> float:
        return math.sqrt(self._variance * float(self._inverse[place] @ self._inverse[place]))


def _effects_of(
    factor: str, answers: Answers, objective: np.ndarray, decades: np.ndarray, model: AdditiveModel
) -> list[Effect]:
    reference, *others = answers.levels[factor]
    codes, out = answers.codes[factor], []
    for place, level in enumerate(others, 1):
        among = np.flatnonzero((codes == 0) | (codes == place))
        twins, changed = answers.twins(factor, among), codes[among] == place
        paid, gained = (_paired(values[among], twins, changed) for values in (decades, objective))
        found: tuple[float, tuple[float, float]] | None
        method: Literal["pairs", "model", "none"]
        if len(gained) >= MIN_PAIRS:
            net = gained - model.slope * paid
            # The correction for the cost is uncertain only in its slope, which all pairs share.
            slope_part = model.slope_error * float(paid.mean())
            error = math.hypot(float(net.std(ddof=1)) / math.sqrt(len(net)), slope_part)
            method, found = "pairs", _interval(float(net.mean()), error, len(net) - 1)
        else:
            found = model.effect(factor, level)
            method = "model" if found else "none"
        effect, interval = found or (None, None)
        out.append(Effect(factor, level, reference, effect, interval, len(gained), int(changed.sum()), method))
    return out


def _paired(values: np.ndarray, twins: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Return for each group with networks on both sides the mean of its changed networks minus that of the others."""
    sides = [np.bincount(twins[side], minlength=twins.max() + 1) for side in (~changed, changed)]
    sums = [np.bincount(twins[side], values[side], twins.max() + 1) for side in (~changed, changed)]
    both = (sides[0] > 0) & (sides[1] > 0)
    before, after = (total[both] / count[both] for total, count in zip(sums, sides))
    return after - before


def _ranked(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the rank of each number among the distinct ones, and how many distinct ones there are."""
    different, ranks = np.unique(numbers, return_inverse=True)
    return ranks, len(different)


def _interval(value: float, error: float, free: int) -> tuple[float, tuple[float, float]]:
    from scipy.special import stdtrit

    reach = float(stdtrit(free, 0.5 + CONFIDENCE / 2)) * error
    return value, (value - reach, value + reach)
