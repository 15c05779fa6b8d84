"""What a choice does at equal cost: pure functions on the records of a study.

A choice that makes a network better often makes it dearer too. Each effect is therefore read at equal
cost: from pairs of networks that differ in that choice alone where there are at least ``MIN_PAIRS`` of
them, else from a linear model of all networks; which of the two is said with every figure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from explorer.errors import StudyError, did_you_mean
from explorer.records import TrialRecord

MIN_PAIRS = 3
CONFIDENCE = 0.95


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

    def to_json(self) -> dict:
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
            f"{len(known)} complete trials have both {objective} and {cost}; an effect needs at least two networks"
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
    model = AdditiveModel(known, factors, objective, cost)
    return [effect for name in wanted for effect in _effects_of(name, known, model, objective, cost)]


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
    value = record.objectives.get(name, record.costs.get(name))
    return float(value) if isinstance(value, (int, float)) else math.nan


def varying_choices(records: Sequence[TrialRecord]) -> list[str]:
    """The choice points answered in more than one way, in the order asked."""
    names = dict.fromkeys(name for record in records for name in record.choices)
    return [name for name in names if len(levels_of(records, name)) > 1]


def levels_of(records: Sequence[TrialRecord], factor: str) -> list[str]:
    """The answers to a choice point where it was asked, the most frequent first, of equals the first met."""
    return [level for level, _ in Counter(r.choices[factor] for r in records if factor in r.choices).most_common()]


class AdditiveModel:
    """Least squares of the objective on every choice's levels and the logarithm of the cost.

    A choice that only some networks are asked is compared among those; to the others its reference stands.

    ``slope``: what ten times the cost gives, ``slope_error`` its standard error; both 0 where the trials
    cannot tell it from the choices.
    """

    def __init__(self, records: Sequence[TrialRecord], factors: Sequence[str], objective: str, cost: str):
        self._columns = {
            (factor, level): place
            for place, (factor, level) in enumerate(
                ((factor, level) for factor in factors for level in levels_of(records, factor)[1:]), 2
            )
        }
        x = np.zeros((len(records), 2 + len(self._columns)))
        x[:, 0] = 1
        x[:, 1] = [math.log10(quantity(record, cost)) for record in records]
        x[:, 1] -= x[:, 1].mean()
        for row, record in enumerate(records):
            for factor in factors:
                place = self._columns.get((factor, record.choices.get(factor, "")))
                if place is not None:
                    x[row, place] = 1
        y = np.array([quantity(record, objective) for record in records])
        self._inverse = np.linalg.pinv(x)
        self._weights = self._inverse @ y
        self.residuals = y - x @ self._weights
        self._kept = self._inverse @ x  # the identity where each weight can be told from the others
        self._free = len(records) - int(np.linalg.matrix_rank(x))
        self._variance = float(self.residuals @ self.residuals) / self._free if self._free > 0 else math.nan
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
    factor: str, records: Sequence[TrialRecord], model: AdditiveModel, objective: str, cost: str
) -> list[Effect]:
    levels = levels_of(records, factor)
    reference, of_level = levels[0], {level: [r for r in records if r.choices.get(factor) == level] for level in levels}
    out = []
    for level in levels[1:]:
        gains = _paired_gains(factor, of_level[reference], of_level[level], objective, cost)
        found: tuple[float, tuple[float, float]] | None
        if len(gains) >= MIN_PAIRS:
            gain = np.array(gains)
            net = gain[:, 0] - model.slope * gain[:, 1]
            # Of the charge for the cost, only the slope is uncertain, and by as much for all pairs.
            charged = model.slope_error * float(gain[:, 1].mean())
            error = math.hypot(float(net.std(ddof=1)) / math.sqrt(len(net)), charged)
            method, found = "pairs", _interval(float(net.mean()), error, len(net) - 1)
        else:
            found = model.effect(factor, level)
            method = "model" if found else "none"
        effect, interval = found or (None, None)
        out.append(Effect(factor, level, reference, effect, interval, len(gains), len(of_level[level]), method))
    return out


def _paired_gains(
    factor: str, of_reference: list[TrialRecord], of_level: list[TrialRecord], objective: str, cost: str
) -> list[tuple[float, float]]:
    """(gain in the objective, decades of cost paid for it) for each way to answer the other choices that both
    levels ask: mean of the level less mean of the reference."""
    asked = [set().union(*(record.choices for record in side)) for side in (of_reference, of_level)]
    shared = sorted((asked[0] & asked[1]) - {factor})

    def grouped(side: list[TrialRecord]) -> Mapping[tuple, list[TrialRecord]]:
        groups: dict[tuple, list[TrialRecord]] = {}
        for record in side:
            groups.setdefault(tuple(record.choices.get(name) for name in shared), []).append(record)
        return groups

    def means(side: list[TrialRecord]) -> tuple[float, float]:
        return (
            float(np.mean([quantity(record, objective) for record in side])),
            float(np.mean([math.log10(quantity(record, cost)) for record in side])),
        )

    references, others = grouped(of_reference), grouped(of_level)
    gains = []
    for key in references.keys() & others.keys():
        (y0, x0), (y1, x1) = means(references[key]), means(others[key])
        gains.append((y1 - y0, x1 - x0))
    return gains


def _interval(value: float, error: float, free: int) -> tuple[float, tuple[float, float]]:
    from scipy.special import stdtrit

    reach = float(stdtrit(free, 0.5 + CONFIDENCE / 2)) * error
    return value, (value - reach, value + reach)
