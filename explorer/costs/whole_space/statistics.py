"""What a space holds, in numbers: distinct networks and the range of costs."""

from __future__ import annotations

import statistics
from typing import NamedTuple

import numpy as np

from explorer.analysis.quantities import COSTS
from explorer.costs.whole_space.table import survey
from explorer.networks.ops.base import OpCost
from explorer.space.choices import Choice, Derivation
from explorer.space.search_space import SearchSpace

ENUMERATED = 20_000
NEIGHBOURS_OF = 100
LISTED = 200_000
DRAWN = 10_000


class NetworkCount(NamedTuple):
    networks: int
    exact: bool


def count_networks(space: SearchSpace, limit: int = ENUMERATED) -> NetworkCount:
    """The number of distinct networks: exact by listing all derivations up to ``limit``, else an estimate.

    The estimate is the mean, over 100 uniform derivations, of 1 / (derivations of the same network),
    times the number of derivations. How many share a network is read from its neighbours: each
    choice is redrawn alone, and the options that leave the digest as it is are multiplied.
    """
    total = space.count()
    if total <= limit:
        return NetworkCount(len({space.architecture(derivation).digest for derivation in space}), True)
    shares = [1 / _spellings(space, derivation) for derivation in space.sample(NEIGHBOURS_OF)]
    return NetworkCount(
        max(1, round(total * statistics.fmean(shares))) if total < 10**15 else _scaled(total, shares), False
    )


def _scaled(total: int, shares: list[float]) -> int:
    # Beyond the precision of floats the factor is applied in whole numbers.
    return total * round(statistics.fmean(shares) * 10**6) // 10**6


def _spellings(space: SearchSpace, derivation: Derivation) -> int:
    """About how many derivations give this derivation's network."""
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
    """The derivation with one choice changed; choices that arise anew take their first alternative."""

    def choose(choice: Choice) -> str:
        if choice.name == name:
            return option
        return derivation.choices.get(choice.name, choice.options[0])

    return space.derive(choose)


class CostRanges(NamedTuple):
    """For params, macs and activations: min, median, max over ``rows`` derivations. ``exact``: those are all
    there are, else a uniform draw. ``feasible``: the share of them that keeps the space's limits."""

    costs: dict[str, dict[str, float]]
    rows: int
    exact: bool
    feasible: float


def cost_ranges(space: SearchSpace) -> CostRanges:
    """The costs of all derivations when there are at most 200,000, else of 10,000 different uniform draws (seed 0)."""
    total = space.count()
    rows = total if total <= LISTED else DRAWN
    counted = [costs for _, _, costs in survey(space, rows, seed=0)]
    costs = {name: np.concatenate([part[name] for part in counted]) for name in COSTS}
    # Limits on what only training or measuring can tell do not show here.
    known = [limit.allows(costs) for limit in space.limits if limit.cost in costs]
    feasible = float(np.mean(np.all(known, axis=0))) if known else 1.0
    ranges = {key: _range(np.sort(costs[key])) for key in OpCost._fields}
    return CostRanges(ranges, rows, rows == total, feasible)


def _range(ascending: np.ndarray) -> dict[str, float]:
    low, high = (int(ascending[(len(ascending) - 1 + up) // 2]) for up in (0, 1))
    median = (low + high) / 2 if (low + high) % 2 else (low + high) // 2
    return {"min": int(ascending[0]), "median": median, "max": int(ascending[-1])}
