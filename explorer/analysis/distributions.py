"""Error distributions of two design spaces at equal cost: pure functions on numbers.

Radosavovic et al. 2019 (arXiv:1905.13214) and 2020 (arXiv:2003.13678, section 3.1) compare spaces by the empirical
distribution functions of the errors of networks drawn from them. A space of dearer networks would win by cost
alone; so the cost range that both share is cut into k equal bins, and of n networks in bin j each weighs 1 / (k m_j),
m_j of them there: both spaces then have the same distribution of costs, a uniform one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from explorer.errors import StudyError

MOST_BINS = 10
DRAWS = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class ErrorDistribution:
    """``networks``: all there were; ``compared``: those in the cost range of both. ``edf``: (error, share of the weight
    of networks with at most that error), ascending; ``mean_error``: under the same weights; ``min_error`` without."""

    name: str
    networks: int
    compared: int
    mean_error: float
    min_error: float
    edf: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two spaces at equal ``cost`` within ``range``, in ``bins`` equal bins of it. ``ks``: the largest distance between
    the two distribution functions. ``difference``: mean error of ``a`` less that of ``b``, with the 95% interval of
    2,000 bootstrap draws of the networks within each bin (a bin of one network adds nothing to its width)."""

    cost: str
    range: tuple[float, float]
    bins: int
    a: ErrorDistribution
    b: ErrorDistribution
    ks: float
    difference: float
    ci95: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sample:
    """The networks of one space: their costs, and their errors in 0..1."""

    name: str
    costs: Sequence[float]
    errors: Sequence[float]


def compare_errors(a: Sample, b: Sample, cost: str = "macs", seed: int = 0) -> Comparison:
    """How the errors of two spaces compare at equal cost. ``seed``: of the bootstrap. Raises StudyError when one has no
    networks, or none in the other's range of costs."""
    for sample in (a, b):
        if not sample.costs:
            raise StudyError(f"{sample.name} has no complete trial with accuracy and {cost} to compare")
    low, high = max(min(a.costs), min(b.costs)), min(max(a.costs), max(b.costs))
    inside = [[(c, e) for c, e in zip(s.costs, s.errors, strict=True) if low <= c <= high] for s in (a, b)]
    for sample, pairs in zip((a, b), inside):
        if not pairs:
            raise StudyError(
                f"no network of {sample.name} has {cost} in the range that both share, {low:g} to {high:g}"
            )
    costs, errors = ([np.array([pair[i] for pair in pairs], float) for pairs in inside] for i in (0, 1))
    bins, places = _shared_bins(costs, low, high)
    weights = [_weights(place, bins) for place in places]
    random = np.random.default_rng(seed)
    means = [float(weight @ error) for weight, error in zip(weights, errors)]
    drawn = [_redrawn_means(place, bins, error, random) for place, error in zip(places, errors)]
    tail = 50 * (1 - CONFIDENCE)
    interval = np.percentile(drawn[0] - drawn[1], [tail, 100 - tail])
    steps = np.unique(np.concatenate(errors))
    shares = [np.array([weight[error <= step].sum() for step in steps]) for weight, error in zip(weights, errors)]
    first, second = [
        ErrorDistribution(s.name, len(s.costs), len(e), mean, float(e.min()), _edf(e, w))
        for s, e, w, mean in zip((a, b), errors, weights, means)
    ]
    ks = float(np.abs(shares[0] - shares[1]).max())
    between = (float(interval[0]), float(interval[1]))
    return Comparison(cost, (low, high), bins, first, second, ks, means[0] - means[1], between)


def _shared_bins(costs: list[np.ndarray], low: float, high: float) -> tuple[int, list[np.ndarray]]:
    """The most equal bins, up to MOST_BINS, none of which is empty in either space; and each network's bin."""
    for bins in range(MOST_BINS, 1, -1):
        width = (high - low) / bins
        if width > 0:
            places = [np.minimum((cost - low) / width, bins - 1).astype(int) for cost in costs]
            if all(len(np.unique(place)) == bins for place in places):
                return bins, places
    return 1, [np.zeros(len(cost), int) for cost in costs]


def _weights(place: np.ndarray, bins: int) -> np.ndarray:
    weights: np.ndarray = 1 / (bins * np.bincount(place, minlength=bins)[place])
    return weights


def _redrawn_means(place: np.ndarray, bins: int, errors: np.ndarray, random: np.random.Generator) -> np.ndarray:
    of_bins = [errors[place == number] for number in range(bins)]
    means: np.ndarray = np.mean([random.choice(own, (DRAWS, len(own))).mean(axis=1) for own in of_bins], axis=0)
    return means


def _edf(errors: np.ndarray, weights: np.ndarray) -> tuple[tuple[float, float], ...]:
    order = np.argsort(errors, kind="stable")
    shares = np.minimum(np.cumsum(weights[order]), 1.0)
    return tuple(zip(errors[order].tolist(), shares.round(12).tolist()))
