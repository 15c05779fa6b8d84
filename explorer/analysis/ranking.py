"""Rank correlations between quantities known before training and the results of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MIN_NETWORKS = 4  # networks; with fewer the interval of a correlation is undefined


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation of a quantity with a trained objective.

    The values are None if there are fewer than MIN_NETWORKS networks, or if all values are equal.

    Attributes:
        name: The quantity.
        networks: The number of networks that have both values.
        rho: The rank correlation.
        ci95: Its 95% interval, by Fisher's z with the variance of Bonett and Wright 2000 (Psychometrika 65, eq. 3).
        at_equal_macs: The partial correlation given the rank of MACs, that is without the effect of size.
    """

    name: str
    networks: int
    rho: float | None
    ci95: tuple[float, float] | None
    at_equal_macs: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the correlation as a mapping for JSON."""
        return asdict(self)


def rank_correlations(
    numbers: Mapping[str, Sequence[float | None]], trained: Sequence[float], macs: Sequence[float]
) -> list[Correlation]:
    """Return the rank correlation of each quantity with the trained objective, in descending order of strength.

    Args:
        numbers: Quantity -> (n,) its value for each network; networks with None are left out.
        trained: (n,) the objective of each network.
        macs: (n,) the MACs of each network.
    """
    found = [_correlation(name, values, trained, macs) for name, values in numbers.items()]
    return sorted(found, key=lambda each: -abs(each.rho or 0.0))


def _correlation(
    name: str, values: Sequence[float | None], trained: Sequence[float], macs: Sequence[float]
) -> Correlation:
    rows = np.array([row for row in zip(values, trained, macs) if row[0] is not None], dtype=float).reshape(-1, 3)
    x, y, z = rows.T
    if len(rows) < MIN_NETWORKS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(name, len(rows), None, None, None)
    rho = _spearman(x, y)
    half = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(rows) - 3))
    centre = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
    return Correlation(
        name, len(rows), rho, (math.tanh(centre - half), math.tanh(centre + half)), _partial(rho, x, y, z)
    )


def _partial(rho: float, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> float | None:
    if np.ptp(z) == 0:
        return None
    with_x, with_y = _spearman(x, z), _spearman(y, z)
    left = (1 - with_x**2) * (1 - with_y**2)
    return (rho - with_x * with_y) / math.sqrt(left) if left > 1e-12 else None


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation. ``scipy.stats`` has it too, and takes half a second to import."""
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value; equal values share the mean of their ranks."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    means: np.ndarray = sizes.cumsum() - (sizes - 1) / 2
    return means[group]
