"""Statistics of a space: the number of distinct networks and the ranges of their costs."""

from __future__ import annotations

import statistics
from typing import NamedTuple

import numpy as np

from explorer.analysis.quantities import COSTS
from explorer.costs.whole_space.table import cost_batches
from explorer.networks.ops.base import OpCost
from explorer.space.choices import Choice, Derivation
from explorer.space.search_space import SearchSpace

MAX_ENUMERATED = 20_000  # derivations that are all derived to count the networks exactly
ESTIMATION_SAMPLE = 100  # derivations from which a larger number of networks is estimated
MAX_COSTED = 200_000  # derivations of a space whose costs are all computed
COST_SAMPLE = 10_000  # derivations drawn from a larger space


class NetworkCount(NamedTuple):
    """The number of distinct networks of a space.

    Attributes:
        networks: The number.
        exact: Whether it is exact, not an estimate.
    """

    networks: int
    exact: bool


def count_networks(space: SearchSpace, limit: int = MAX_ENUMERATED) -> NetworkCount:
    """Count the distinct networks of a space.

    The estimate is the number of derivations times the mean, over 100 uniform derivations, of
    1 / (derivations of the same network). That number is estimated by changing one choice at a time: the numbers of
    options that keep the digest are multiplied.

    Args:
        space: The space.
        limit: The largest number of derivations for an exact count, which builds them all.
    """
    total = space.count()
    if total <= limit:
        return NetworkCount(len({space.architecture(derivation).digest for derivation in space}), True)
    shares = [1 / _spellings(space, derivation) for derivation in space.sample(ESTIMATION_SAMPLE)]
    return NetworkCount(
        max(1, round(total * statistics.fmean(shares))) if total < 10**15 else _scaled(total, shares), False
    )


def _scaled(total: int, shares: list[float]) -> int:
    # Integer arithmetic, since the total exceeds the precision of floats.
    return total * round(statistics.fmean(shares) * 10**6) // 10**6


def _spellings(space: SearchSpace, derivation: Derivation) -> int:
    """Estimate how many derivations give the network of this derivation."""
    own = space.architecture(derivation).digest
    product = 1
    for name, text in derivation.choices.items():
        options = _options(space, derivation, name)
        alike = 1
        for option in options:
            if option != text:
                alike += space.architecture(_changed(space, derivation, name, option)).digest == own
        product *= alike
    return product


def _options(space: SearchSpace, derivation: Derivation, name: str) -> tuple[str, ...]:
    found: list[tuple[str, ...]] = []

    def choose(choice: Choice) -> str:
        if choice.name == name:
            found.append(choice.options)
        return derivation.choices[choice.name]

    space.derive(choose)
    return found[0]


def _changed(space: SearchSpace, derivation: Derivation, name: str, option: str) -> Derivation:
    """Return the derivation with one choice changed. Choices that this adds take their first alternative."""

    def choose(choice: Choice) -> str:
        if choice.name == name:
            return option
        return derivation.choices.get(choice.name, choice.options[0])

    return space.derive(choose)


class CostRanges(NamedTuple):
    """The ranges of the costs of a space.

    Attributes:
        costs: For params, macs and activations the ``min``, ``median`` and ``max``.
        rows: The number of derivations.
        exact: Whether these are all derivations of the space, not a uniform sample.
        feasible: The fraction of them that satisfies the limits of the space.
    """

    costs: dict[str, dict[str, float]]
    rows: int
    exact: bool
    feasible: float


def cost_ranges(space: SearchSpace) -> CostRanges:
    """Return the ranges over all derivations up to 200,000, else over 10,000 distinct uniform draws (seed 0)."""
    total = space.count()
    rows = total if total <= MAX_COSTED else COST_SAMPLE
    counted = [costs for _, _, costs in cost_batches(space, rows, seed=0)]
    costs = {name: np.concatenate([part[name] for part in counted]) for name in COSTS}
    # Limits on quantities that need training or a measurement are not checked here.
    known = [limit.allows(costs) for limit in space.limits if limit.cost in costs]
    feasible = float(np.mean(np.all(known, axis=0))) if known else 1.0
    ranges = {key: _range(np.sort(costs[key])) for key in OpCost._fields}
    return CostRanges(ranges, rows, rows == total, feasible)


def _range(ascending: np.ndarray) -> dict[str, float]:
    low, high = (int(ascending[(len(ascending) - 1 + up) // 2]) for up in (0, 1))
    median = (low + high) / 2 if (low + high) % 2 else (low + high) // 2
    return {"min": int(ascending[0]), "median": median, "max": int(ascending[-1])}
