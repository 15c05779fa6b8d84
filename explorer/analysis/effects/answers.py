"""The answers of trained networks to the choice points, as integers; repeated trainings of a network are one row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from explorer.errors import StudyError, did_you_mean
from explorer.records import TrialRecord

MAX_COMBINATIONS = 2**62  # of answers that are numbered in int64 at once
LARGEST = 1e100  # the squares of larger values overflow


def comparable(records: Iterable[TrialRecord], objective: str, cost: str) -> list[TrialRecord]:
    """Return the complete trials with a finite objective and a cost above 0, whose logarithm is compared.

    A cached trial is no second training, so it is left out, as are values above ``LARGEST``.
    """
    return [
        record
        for record in records
        if record.state == "complete"
        and abs(quantity(record, objective)) <= LARGEST
        and 0 < quantity(record, cost) <= LARGEST
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


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The trained networks of a study, one row for each combination of answers.

    Attributes:
        levels: Factor -> its levels, as ``levels_of`` returns them.
        codes: (networks, factors) the index of each answer in its ``levels``; -1 if the choice was not asked.
        cost: (networks,) the base-10 logarithm of the cost; the mean over repeated trainings.
        value: (networks,) the mean objective over repeated trainings.
        trainings: (networks,) the number of trainings.
        noise_squares: The sum of squared deviations of repeated trainings from the mean of their network.
        seen: Choice -> the answers that occur, for choices with one answer too.
    """

    levels: dict[str, list[str]]
    codes: np.ndarray
    cost: np.ndarray
    value: np.ndarray
    trainings: np.ndarray
    noise_squares: float
    seen: dict[str, set[str]]

    def __len__(self) -> int:
        return len(self.value)

    @property
    def counts(self) -> list[int]:
        """The number of levels of each factor."""
        return [len(levels) for levels in self.levels.values()]

    @property
    def factors(self) -> list[str]:
        """The choice points with more than one answer."""
        return list(self.levels)

    def place(self, factor: str) -> int:
        """Return the column of a factor in ``codes``."""
        return self.factors.index(factor)


def networks_of(
    records: Sequence[TrialRecord], objective: str, cost: str, leading: Mapping[str, Sequence[str]] | None = None
) -> Networks:
    """Return the networks of trials that ``comparable`` returned.

    Args:
        records: The trials.
        objective: The objective.
        cost: The cost.
        leading: Choice -> levels that come first, in this order, for choices whose most frequent level does not.
    """
    levels = {
        factor: list(dict.fromkeys([*(leading or {}).get(factor, ()), *levels_of(records, factor)]))
        for factor in varying_choices(records)
    }
    codes = codes_of([record.choices for record in records], levels)
    different, first, row = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # networks in the order of their first trial
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    row = rank[row.ravel()]
    count = np.bincount(row)
    values = np.array([quantity(record, objective) for record in records])
    decades = np.log10([quantity(record, cost) for record in records])
    value = np.bincount(row, values) / count
    seen: dict[str, set[str]] = {}
    for record in records:
        for name, text in record.choices.items():
            seen.setdefault(name, set()).add(text)
    return Networks(
        levels=levels,
        codes=different[order],
        cost=np.bincount(row, decades) / count,
        value=value,
        trainings=count,
        noise_squares=float(np.sum((values - value[row]) ** 2)),
        seen=seen,
    )


def codes_of(choices: Sequence[Mapping[str, str]], levels: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Return the (networks, factors) indices of answers in ``levels``; -1 for a choice that was not asked."""
    codes = np.full((len(choices), len(levels)), -1)
    for column, (factor, own) in enumerate(levels.items()):
        places = {level: place for place, level in enumerate(own)}
        codes[:, column] = [places.get(each.get(factor, ""), -1) for each in choices]
    return codes


def twins(codes: np.ndarray, column: int) -> np.ndarray:
    """Number networks so that those which differ only in one factor have equal numbers.

    Compared are the other choice points that are asked both at the reference and at another level of the factor.

    Args:
        codes: (networks, factors) their answers: only networks with one of two levels of the factor.
        column: The factor that may differ.

    Returns:
        (networks,) the number of each network, from 0.
    """
    reference = codes[:, column] == 0
    number, count = np.zeros(len(codes), np.int64), 1
    for other in range(codes.shape[1]):
        own = codes[:, other]
        if other == column or own[reference].max(initial=-1) < 0 or own[~reference].max(initial=-1) < 0:
            continue
        radix = int(own.max()) + 2
        if count > MAX_COMBINATIONS // radix:
            number, count = _ranked(number)
        number, count = number * radix + own + 1, count * radix
    return _ranked(number)[0]


def _ranked(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the rank of each number among the distinct ones, and how many distinct ones there are."""
    different, ranks = np.unique(numbers, return_inverse=True)
    return ranks, len(different)


def wanted_factors(known: Sequence[TrialRecord], networks: Networks, factor: str | None) -> list[str]:
    """Return the factors whose effects are wanted.

    Args:
        known: The trials.
        networks: Their networks.
        factor: The choice; ``attn`` means every ``attn@...``; None for all.

    Raises:
        StudyError: The factor is unknown, or has only one level.
    """
    factors = networks.factors
    wanted = factors if factor is None else [name for name in factors if factor in (name, name.split("@")[0])]
    if wanted or factor is None:
        return wanted
    if any(factor in (name, name.split("@")[0]) for name in networks.seen):
        raise StudyError(f"{factor} is the same in all {len(known)} trials; its effect is not determined")
    names = list(dict.fromkeys([*factors, *(name.split("@")[0] for name in factors)]))
    raise StudyError(
        f"unknown factor {factor!r}; the choices that differ: {', '.join(factors) or 'none'}"
        f"{did_you_mean(str(factor), names)}"
    )


def compared(
    records: Iterable[TrialRecord], objective: str, cost: str, levels: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[TrialRecord], Networks]:
    """Return the trials that can be compared, and their networks.

    Args:
        records: The trials.
        objective: The objective.
        cost: The cost.
        levels: Choice -> its levels, the reference first. Default: the most frequent level first.

    Raises:
        StudyError: Objective and cost are the same quantity, or fewer than two networks can be compared.
    """
    if objective == cost:
        raise StudyError(f"objective and cost are both {cost}; at equal {cost} every effect on it is 0")
    known = comparable(records, objective, cost)
    if len(known) < 2:
        raise StudyError(
            f"{len(known)} complete trial{'s' * (len(known) != 1)} with {objective} and a {cost} above 0, whose"
            " logarithm is compared; an effect needs at least two networks"
        )
    return known, networks_of(known, objective, cost, levels)
