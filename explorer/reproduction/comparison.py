"""Measured numbers beside published ones, and differences between cases with confidence intervals.

The interval of a difference is Student's, from the repeated trainings of the two cases: with K seeds each it is
t(0.975, 2K - 2) * s * sqrt(2 / K), where s is the pooled standard deviation of the two. It holds for one difference by
itself: of twenty, one may miss.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import stdtrit

from explorer.analysis.noise import pooled_std
from explorer.reproduction.experiment import Case, Quantity

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Network:
    """The network that stands for a case.

    Attributes:
        digest: Its digest.
        choices: Its choices.
        weight_layers: Its depth.
        params: Its parameters.
        macs: Its multiply-accumulates.
    """

    digest: str
    choices: Mapping[str, str]
    weight_layers: int
    params: int
    macs: int


@dataclass(frozen=True, slots=True)
class Row:
    """One case, measured.

    Attributes:
        case: The case.
        network: The network that was measured.
        values: The measured numbers, one for each seed, in the unit of tables.
        failures: Why trainings failed, one for each failed seed.
    """

    case: Case
    network: Network
    values: tuple[float, ...]
    failures: tuple[str, ...] = ()

    @property
    def mean(self) -> float | None:
        """The mean of the values; None without any."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """The standard deviation of one value; None for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def to_json(self, factor: float) -> dict[str, Any]:
        """Return the row for JSON; ``factor``: that of the quantity."""
        network = {name: getattr(self.network, name) for name in Network.__dataclass_fields__}
        return {
            "case": self.case.name,
            "published": _divided(self.case.published, factor),
            "published_note": self.case.note,
            "measured": _divided(self.mean, factor),
            "seeds": len(self.values),
            "std": _divided(self.std, factor),
            "values": [value / factor for value in self.values],
            "failures": list(self.failures),
            "network": {**network, "choices": dict(self.network.choices)},
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """A case less the case that it is compared with.

    Attributes:
        case: The case.
        against: The other case.
        published: The difference of the published numbers; None if one is missing.
        measured: The difference of the means; None if one is missing.
        ci95: Its confidence interval; None if a case has fewer than two values.
    """

    case: str
    against: str
    published: float | None
    measured: float | None
    ci95: tuple[float, float] | None

    @property
    def is_separated(self) -> bool | None:
        """Whether the interval excludes 0; None without an interval."""
        return None if self.ci95 is None else not self.ci95[0] <= 0 <= self.ci95[1]

    def to_json(self, factor: float) -> dict[str, Any]:
        """Return the difference for JSON; ``factor``: that of the quantity."""
        return {
            "case": self.case,
            "against": self.against,
            "published": _divided(self.published, factor),
            "measured": _divided(self.measured, factor),
            "ci95": None if self.ci95 is None else [end / factor for end in self.ci95],
            "separated": self.is_separated,
        }


def differences(rows: Sequence[Row]) -> list[Difference]:
    """Return the differences that the cases ask for, in their order."""
    by_name = {row.case.name: row for row in rows}
    return [_difference(row, by_name[row.case.against]) for row in rows if row.case.against]


def _difference(row: Row, other: Row) -> Difference:
    measured = _subtracted(row.mean, other.mean)
    ci95 = None
    std = pooled_std([row.values, other.values])
    if measured is not None and std is not None and min(len(row.values), len(other.values)) > 1:
        free = len(row.values) + len(other.values) - 2
        error = std * math.sqrt(1 / len(row.values) + 1 / len(other.values))
        half = float(stdtrit(free, (1 + CONFIDENCE) / 2)) * error
        ci95 = measured - half, measured + half
    published = _subtracted(row.case.published, other.case.published)
    return Difference(row.case.name, other.case.name, published, measured, ci95)


def verdict(found: Sequence[Difference], quantity: Quantity) -> list[str]:
    """Return what the intervals can and cannot tell, in sentences."""
    told = [each for each in found if each.ci95 is not None]
    if not found:
        return []
    if not told:
        return ["No interval: each of two compared cases needs two finished seeds or more."]
    halves = [(each.ci95[1] - each.ci95[0]) / 2 for each in told if each.ci95 is not None]
    published = [abs(each.published) for each in told if each.published is not None]
    points = " points" if quantity.unit == "%" else ""
    lines = [
        f"The 95% intervals are +-{min(halves):.{quantity.digits}f} to +-{max(halves):.{quantity.digits}f}{points} wide"
        + (
            f"; the published differences are {min(published):.{quantity.digits}f} to"
            f" {max(published):.{quantity.digits}f}{points}."
            if published
            else "."
        )
    ]
    separated = [f"{each.case} from {each.against}" for each in told if each.is_separated]
    unknown = [f"{each.case} from {each.against}" for each in told if not each.is_separated]
    if separated:
        lines.append(f"This run separates: {'; '.join(separated)}.")
    if unknown:
        lines.append(f"This run cannot separate (the interval holds 0): {'; '.join(unknown)}.")
    return lines


def _subtracted(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _divided(value: float | None, factor: float) -> float | None:
    return None if value is None else value / factor
