"""What a choice does at equal cost: pure functions on the records of a study.

A choice that makes a network better often makes it dearer too. Each effect is therefore read at equal
cost: from pairs of networks that differ in that choice alone where there are at least ``MIN_PAIRS`` of
them, else from a linear model of all networks; which of the two is said with every figure.
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

MIN_PAIRS = 3
CONFIDENCE = 0.95
LARGEST = 2**62  # combinations of answers that are numbered at once


@dataclass(frozen=True, slots=True)
class Effect:
    """How much more of the objective ``level`` gives than ``reference`` does, at equal cost.

    In the objective's own unit (accuracies are fractions). ``ci95``: its 95% confidence interval, from
    Student's t. ``pairs``: networks (or groups of them) of this level with a twin of the reference that
    answers every other shared choice alike; ``trials``: networks of this level. ``method``: pairs, model, or
    none where the trials cannot tell (then ``effect`` and ``ci95`` are None).
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
        return asdict(self)


def choice_effects(
    records: Iterable[TrialRecord], objective: str = "accuracy", cost: str = "macs", factor: str | None = None
) -> list[Effect]:
    """The effect of each level of each choice, or of ``factor``'s alone (``attn`` means every ``attn@...``).

    Counted are the complete trials that have both quantities. The reference of a factor is its most
    frequent level; of equals the first met. Raises StudyError for an unknown factor, or when fewer than
    two networks can be compared.
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
            raise StudyError(f"{factor} is the same in all {len(known)} trials; its effect cannot be told")
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
    """The complete trials with a finite objective and a cost above 0 (its logarithm is what is compared)."""
    return [
        record
        for record in records
        if record.state == "complete"
        and math.isfinite(quantity(record, objective))
        and 0 < quantity(record, cost) < math.inf
    ]


def quantity(record: TrialRecord, name: str) -> float:
    """An objective or cost of a trial; NaN where it has none."""
    value = record.value(name)
    return float(value) if isinstance(value, (int, float)) else math.nan


def varying_choices(records: Sequence[TrialRecord]) -> list[str]:
    """The choice points answered in more than one way, in the order asked."""
    names = dict.fromkeys(name for record in records for name in record.choices)
    return [name for name in names if len({record.choices.get(name) for record in records} - {None}) > 1]


def levels_of(records: Sequence[TrialRecord], factor: str) -> list[str]:
    """The answers to a choice point where it was asked, the most frequent first, of equals the first met."""
    counts = Counter([record.choices.get(factor) for record in records])
    return [level for level, _ in counts.most_common() if level is not None]


class Answers:
    """What networks answered to choice points, as numbers.

    ``levels``: factor -> its levels as ``levels_of`` gives them. ``codes``: factor -> (networks,) the place of each
    one's answer among them, -1 where it was not asked.
    """

    def __init__(self, records: Sequence[TrialRecord], factors: Sequence[str]):
        self.levels = {factor: levels_of(records, factor) for factor in factors}
        self.codes = {}
        for factor, levels in self.levels.items():
            places = {level: place for place, level in enumerate(levels)}
            texts = [record.choices.get(factor) for record in records]
            self.codes[factor] = np.array([-1 if text is None else places[text] for text in texts])

    def twins(self, factor: str, among: np.ndarray) -> np.ndarray:
        """For each of the networks ``among`` (places) a number, equal for those that answer alike every other choice
        point that is asked at the reference as well as at the other levels of ``factor`` that are among them."""
        reference = self.codes[factor][among] == 0
        number, count = np.zeros(len(among), np.int64), 1
        for name, every in self.codes.items():
            codes = every[among]
            if name == factor or codes[reference].max() < 0 or codes[~reference].max() < 0:
                continue
            radix = len(self.levels[name]) + 1
            if count > LARGEST // radix:
                number, count = _ranked(number)
            number, count = number * radix + codes + 1, count * radix
        return _ranked(number)[0]


class AdditiveModel:
    """Least squares of the objective on every choice's levels and the decades (base-10 logarithm) of the cost.

    A choice that only some networks are asked is compared among those; to the others its reference stands.

    ``slope``: what ten times the cost gives, ``slope_error`` its standard error; both 0 where the trials
    cannot tell it from the choices.
    """

    def __init__(self, answers: Answers, objective: np.ndarray, decades: np.ndarray):
        columns = [np.ones(len(objective)), decades - decades.mean()]
        self._columns = {}
        for factor, levels in answers.levels.items():
            for place, level in enumerate(levels[1:], 1):
                self._columns[factor, level] = len(columns)
                columns.append((answers.codes[factor] == place).astype(float))
        x = np.stack(columns, axis=1)
        # As many rows as weights hold all that thousands of networks say of these.
        rotation, triangle = np.linalg.qr(x)
        left, sizes, right = np.linalg.svd(triangle)
        rank = int(np.sum(sizes > sizes[0] * max(x.shape) * np.finfo(float).eps))
        rows = right[:rank]
        self._inverse = (rows.T / sizes[:rank]) @ left[:, :rank].T
        self._kept = rows.T @ rows  # the identity where each weight can be told from the others
        self._weights = self._inverse @ (rotation.T @ objective)
        residuals = objective - x @ self._weights
        self._free = len(objective) - rank
        self._variance = float(residuals @ residuals) / self._free if self._free > 0 else math.nan
        told = self._free > 0 and self._told(1)
        self.slope, self.slope_error = (float(self._weights[1]), self._error(1)) if told else (0.0, 0.0)

    def _told(self, place: int) -> bool:
        row = self._kept[place].copy()
        row[place] -= 1
        return bool(np.abs(row).max() < 1e-6)

    def effect(self, factor: str, level: str) -> tuple[float, tuple[float, float]] | None:
        """(effect, interval) of a level against its factor's reference; None where the trials cannot tell."""
        place = self._columns[factor, level]
        if self._free < 1 or not self._told(place):
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
            # Of the charge for the cost, only the slope is uncertain, and by as much for all pairs.
            charged = model.slope_error * float(paid.mean())
            error = math.hypot(float(net.std(ddof=1)) / math.sqrt(len(net)), charged)
            method, found = "pairs", _interval(float(net.mean()), error, len(net) - 1)
        else:
            found = model.effect(factor, level)
            method = "model" if found else "none"
        effect, interval = found or (None, None)
        out.append(Effect(factor, level, reference, effect, interval, len(gained), int(changed.sum()), method))
    return out


def _paired(values: np.ndarray, twins: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """For each group of twins on both sides: the mean of its changed networks less that of the others."""
    sides = [np.bincount(twins[side], minlength=twins.max() + 1) for side in (~changed, changed)]
    sums = [np.bincount(twins[side], values[side], twins.max() + 1) for side in (~changed, changed)]
    both = (sides[0] > 0) & (sides[1] > 0)
    before, after = (total[both] / count[both] for total, count in zip(sums, sides))
    return after - before


def _ranked(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """The numbers by their rank, equal ones alike, and how many different ones there are."""
    different, ranks = np.unique(numbers, return_inverse=True)
    return ranks, len(different)


def _interval(value: float, error: float, free: int) -> tuple[float, tuple[float, float]]:
    from scipy.special import stdtrit

    reach = float(stdtrit(free, 0.5 + CONFIDENCE / 2)) * error
    return value, (value - reach, value + reach)
