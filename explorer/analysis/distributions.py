"""Error distributions of two design spaces at equal cost, as pure functions of numbers.

Radosavovic et al. 2019 (arXiv:1905.13214) and 2020 (arXiv:2003.13678, section 3.1) compare spaces by the empirical
distribution functions (EDF) of the errors of networks drawn from them. A space of more expensive networks would win by
its cost alone. Therefore the cost range that both spaces share is divided into k equal bins, and each of the m_j
networks of a space in bin j has the weight 1 / (k m_j). Both spaces then have the same, uniform distribution of costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from explorer.errors import StudyError

MAX_BINS = 10  # of the shared cost range; fewer where a bin would be empty
BOOTSTRAP_DRAWS = 2_000  # the standard error of an end of a 95% interval is then about 1.5% of its width
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class ErrorDistribution:
    """The errors of the networks of one space.

    Attributes:
        name: The name of the space.
        networks: The number of networks.
        compared: The number of networks in the cost range that both spaces share.
        mean_error: The weighted mean error of the compared networks, in 0..1.
        min_error: Their smallest error, without weights.
        edf: (error, cumulative weight of networks with at most that error), ascending.
    """

    name: str
    networks: int
    compared: int
    mean_error: float
    min_error: float
    edf: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of two spaces at equal cost.

    Attributes:
        cost: The cost.
        range: The cost range that both spaces share.
        bins: The number of equal bins of the range.
        a: The errors of the first space.
        b: The errors of the second space.
        ks: The Kolmogorov-Smirnov distance: the largest difference of the two distribution functions.
        difference: The mean error of ``a`` minus that of ``b``.
        ci95: The 95% interval of ``difference`` from 2,000 bootstrap draws of the networks within each bin. A bin with
            one network adds nothing to its width.
    """

    cost: str
    range: tuple[float, float]
    bins: int
    a: ErrorDistribution
    b: ErrorDistribution
    ks: float
    difference: float
    ci95: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as a mapping for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sample:
    """The networks of one space.

    Attributes:
        name: The name of the space.
        costs: The cost of each network.
        errors: The error of each network, in 0..1.
    """

    name: str
    costs: Sequence[float]
    errors: Sequence[float]


def compare_errors(a: Sample, b: Sample, cost: str = "macs", seed: int = 0) -> Comparison:
    """Compare the errors of two spaces at equal cost.

    Args:
        a: The networks of the first space.
        b: The networks of the second space.
        cost: The name of the cost.
        seed: The seed of the bootstrap.

    Raises:
        StudyError: A space has no networks, or none in the cost range of the other.
    """
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
    bins, bins_of = _shared_bins(costs, low, high)
    weights = [_weights(bin_of, bins) for bin_of in bins_of]
    random = np.random.default_rng(seed)
    means = [float(weight @ error) for weight, error in zip(weights, errors)]
    drawn = [_bootstrap_means(bin_of, bins, error, random) for bin_of, error in zip(bins_of, errors)]
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
    """Return the largest number of bins up to MAX_BINS without an empty bin in either space, and each network's bin."""
    for bins in range(MAX_BINS, 1, -1):
        width = (high - low) / bins
        if width > 0:
            bins_of = [np.minimum((cost - low) / width, bins - 1).astype(int) for cost in costs]
            if all(len(np.unique(bin_of)) == bins for bin_of in bins_of):
                return bins, bins_of
    return 1, [np.zeros(len(cost), int) for cost in costs]


def _weights(bin_of: np.ndarray, bins: int) -> np.ndarray:
    weights: np.ndarray = 1 / (bins * np.bincount(bin_of, minlength=bins)[bin_of])
    return weights


def _bootstrap_means(bin_of: np.ndarray, bins: int, errors: np.ndarray, random: np.random.Generator) -> np.ndarray:
    by_bin = [errors[bin_of == number] for number in range(bins)]
    means: np.ndarray = np.mean(
        [random.choice(own, (BOOTSTRAP_DRAWS, len(own))).mean(axis=1) for own in by_bin], axis=0
    )
    return means


def _edf(errors: np.ndarray, weights: np.ndarray) -> tuple[tuple[float, float], ...]:
    order = np.argsort(errors, kind="stable")
    shares = np.minimum(np.cumsum(weights[order]), 1.0)
    return tuple(zip(errors[order].tolist(), shares.round(12).tolist()))
