"""Statistics of a space: the number of distinct networks and the ranges of their costs.

They are exact if that takes little time, and estimates from uniform draws otherwise. ``EXACT`` allows any time.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from explorer.analysis.quantities import COSTS
from explorer.costs.analytic import count_cost
from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts, TooManyUnits
from explorer.costs.whole_space.identities import count_distinct
from explorer.costs.whole_space.table import rank_batches
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import OpCost
from explorer.space.choices import Choice, Derivation
from explorer.space.count.size import MAX_WORK
from explorer.space.edits import current_choices, neighbour_at, network_at
from explorer.space.search_space import SearchSpace

Z_95 = 1.96  # standard deviations on either side of a 95% interval
COST_SAMPLE = 10_000  # derivations drawn from a larger space
COST_BATCH = 250  # of these in the first batch; each later one is twice as large
FIRST_SHARES = (8, 4)  # the first batch is begun with an eighth, and the second eighth
MAX_FIRST_UNITS = 600  # of such a part; then the other parts are left out, which would take some 0.2 s more
ESTIMATION_SAMPLE = 100  # derivations from which a larger number of networks is estimated
MIN_ESTIMATION_SAMPLE = 10
ESTIMATION_WORK = 120_000  # layers of the networks derived for it, some 0.2 s
WORK_PER_NETWORK = 100
TESTED_CHOICES = 12  # of a derivation with more, so many drawn ones are tested
TESTED_OPTIONS = 4  # of a choice with more other options, two drawn ones are tested
TESTED_EXCHANGES = 3  # pairs of places of one rule whose alternatives are exchanged, for each derivation

MAX_LOGARITHM = 700.0  # the largest that ``exp`` takes

Progress = Callable[[int], object]  # receives the number of finished derivations


class Bounds(NamedTuple):
    """Up to which size of a space its statistics are exact.

    Attributes:
        derivations: The largest number of derivations.
        units: The largest number of distinct units to derive; None for no limit.
    """

    derivations: int
    units: int | None


MAX_UNITS = 2_500  # that are derived in some 0.3 s
QUICK = Bounds(200_000, MAX_UNITS)
EXACT = Bounds(20_000_000, None)  # bounded by the memory: some GB


class NetworkCount(NamedTuple):
    """The number of distinct networks of a space.

    Attributes:
        networks: The number.
        exact: Whether it is exact, not an estimate.
        ci95: The 95% interval of an estimate; None if the number is exact.
        is_upper_bound: Whether the estimate is that of an upper bound. The lower end of its interval is then the number
            of distinct networks that were drawn.
    """

    networks: int
    exact: bool
    ci95: tuple[int, int] | None = None
    is_upper_bound: bool = False


def count_networks(space: SearchSpace, bounds: Bounds = QUICK, progress: Progress = lambda rows: None) -> NetworkCount:
    """Count the distinct networks of a space.

    The estimate is the number of derivations times the mean, over up to 100 uniform derivations, of
    1 / (derivations of the same network). That number is estimated by changing one choice at a time: the numbers of
    options that keep the digest are multiplied. This misses derivations that differ in two choices at least, such as
    blocks that are their input at another place: if an exchange of two alternatives keeps a digest, the estimate is an
    upper bound.

    Args:
        space: The space.
        bounds: Up to which size the count is exact.
        progress: Called with the number of derivations counted so far.
    """
    total = space.size.derivations
    if space.is_counted and total <= bounds.derivations:
        columns = ChoiceColumns(space)
        networks = NetworkCosts(space, columns, with_hashes=True, most_units=bounds.units)
        try:
            hashes = [networks.hashes(*batch) for batch in _batches(columns, total, progress)]
            return NetworkCount(count_distinct(np.concatenate(hashes, axis=1)), True)
        except TooManyUnits:
            pass
    shares, seen, is_upper_bound = _estimated_shares(space)
    mean, number = statistics.fmean(shares), len(shares)
    half = Z_95 * statistics.stdev(shares) / math.sqrt(number)
    # With equal draws the deviation is 0. What has not occurred in n draws has a probability of at most 3 / n.
    low = max(0.0, min(mean - half, mean * (1 - 3 / number)))
    high = min(1.0, max(mean + half, mean + (1 - mean) * 3 / number))
    size = space.size
    parts = zip((size.low, total, size.high), (low, mean, high))
    networks_low, networks_mean, networks_high = (max(1, _scaled(*part)) for part in parts)
    if is_upper_bound:
        networks_low = seen
    return NetworkCount(networks_mean, False, (networks_low, networks_high), is_upper_bound)


def _scaled(total: int, share: float) -> int:
    return round(total * Fraction(share))  # exact, since the total can exceed the precision of floats


def _estimated_shares(space: SearchSpace) -> tuple[list[float], int, bool]:
    """Estimate for uniform derivations 1 / (derivations of the same network).

    Returns:
        The shares, the number of distinct networks among the derivations, and whether derivations of one network differ
        in two choices.
    """
    draws = random.Random(0)
    shares: list[float] = []
    seen: set[str] = set()
    work, exchanged = 0, False
    for derivation in _sample(space):
        own = space.architecture(derivation)
        choices = current_choices(space, derivation)
        spellings, own_work = _spellings(space, derivation, own, choices, draws)
        shares.append(1 / spellings)
        seen.add(own.digest)
        work += own_work
        if not exchanged:
            pairs = list(_exchangeable(derivation, choices))
            pairs = draws.sample(pairs, min(len(pairs), TESTED_EXCHANGES))
            exchanged = any(_keeps_network(space, derivation, own, pair) for pair in pairs)
            work += len(pairs) * (WORK_PER_NETWORK + own.layer_count)
        if work > ESTIMATION_WORK and len(shares) >= MIN_ESTIMATION_SAMPLE:
            break
    return shares, len(seen), exchanged


def _exchangeable(derivation: Derivation, choices: list[Choice]) -> Iterator[tuple[Choice, Choice]]:
    """Yield neighbouring places of a rule that have different alternatives, which both places allow."""
    last: dict[str, Choice] = {}
    for choice in choices:
        rule = choice.name.partition("@")[0]
        before = last.get(rule)
        last[rule] = choice
        if before is not None:
            options = {derivation.choices[before.name], derivation.choices[choice.name]}
            if len(options) == 2 and options <= set(before.allowed) and options <= set(choice.allowed):
                yield before, choice


def _keeps_network(space: SearchSpace, derivation: Derivation, own: Architecture, pair: tuple[Choice, Choice]) -> bool:
    """Whether an exchange of the alternatives of two choices gives the same network, by no change of one of them."""
    one, other = pair
    options = derivation.choices[other.name], derivation.choices[one.name]
    single = [network_at(space, derivation, choice.name, option) for choice, option in zip(pair, options)]
    if any(changed is None or changed.digest == own.digest for changed in single):
        return False
    exchanged = neighbour_at(space, derivation, one.name, options[0])
    if exchanged is None or other.name not in exchanged.choices:
        return False
    changed = network_at(space, exchanged, other.name, options[1])
    return changed is not None and changed.digest == own.digest


def _sample(space: SearchSpace) -> list[Derivation]:
    """Return uniform derivations; those of the estimated number of derivations, if they are not counted."""
    if space.is_counted:
        return space.sample(ESTIMATION_SAMPLE)
    walks = space.decisions.random_walks
    return [found.derivation for found in walks.up_to(ESTIMATION_SAMPLE, MAX_WORK)]


def _spellings(
    space: SearchSpace, derivation: Derivation, own: Architecture, choices: list[Choice], draws: random.Random
) -> tuple[float, int]:
    """Estimate how many derivations give the network of this derivation; return this and the work."""
    tested = choices if len(choices) <= TESTED_CHOICES else draws.sample(choices, TESTED_CHOICES)
    logarithm, work = 0.0, 0
    for choice in tested:
        others = [option for option in choice.allowed if option != derivation.choices[choice.name]]
        drawn = others if len(others) <= TESTED_OPTIONS else draws.sample(others, 2)
        alike = 0
        for option in drawn:
            changed = network_at(space, derivation, choice.name, option)
            if changed is None:
                continue
            alike += changed.digest == own.digest
            work += WORK_PER_NETWORK + changed.layer_count
        logarithm += math.log(1 + alike * len(others) / max(1, len(drawn)))
    return math.exp(min(logarithm * len(choices) / max(1, len(tested)), MAX_LOGARITHM)), work


class CostRanges(NamedTuple):
    """The ranges of the costs of a space.

    Attributes:
        costs: For params, macs and activations the ``min``, ``median`` and ``max``.
        median_ci95: For each of them the 95% interval of the median; None if it is exact.
        rows: The number of derivations.
        exact: Whether these are all derivations of the space, not a uniform sample.
        feasible: The fraction of them that satisfies the limits of the space.
        feasible_ci95: The 95% interval of that fraction; None if it is exact.
        limited: For each limited cost the smallest and the largest value.
    """

    costs: dict[str, dict[str, float]]
    median_ci95: dict[str, tuple[int, int]] | None
    rows: int
    exact: bool
    feasible: float
    feasible_ci95: tuple[float, float] | None
    limited: dict[str, tuple[int, int]]


def cost_ranges(space: SearchSpace, bounds: Bounds = QUICK, progress: Progress = lambda rows: None) -> CostRanges:
    """Return the ranges over all derivations, or over up to 10,000 distinct uniform draws (seed 0) of a larger space.

    Of a space that is not counted, up to 100 networks are costed: those of its estimated size.

    Args:
        space: The space.
        bounds: Up to which size the ranges are exact.
        progress: Called with the number of derivations costed so far.
    """
    exact = space.is_counted and space.indices <= bounds.derivations
    if space.is_counted:
        columns = ChoiceColumns(space)
        try:
            counted = list(_all_costs(space, columns, bounds, progress)) if exact else []
        except TooManyUnits:
            exact = False
        if not exact:
            counted = list(_sampled_costs(space, columns))
    else:
        counted = [_costs_of(space, _sample(space))]
    costs = {name: np.concatenate([part[name] for part in counted]) for name in counted[0]}
    feasible = costs.pop("feasible")
    limited = {name: costs[name] for name in dict.fromkeys(limit.cost for limit in space.limits) if name in costs}
    ascending = {name: np.sort(costs[name]) for name in OpCost._fields}
    rows, share = len(feasible), float(np.mean(feasible))
    return CostRanges(
        {name: _range(values) for name, values in ascending.items()},
        None if exact else {name: _median_ci95(values) for name, values in ascending.items()},
        rows,
        exact,
        share,
        None if exact else _share_ci95(share, rows),
        {name: (int(values.min()), int(values.max())) for name, values in limited.items()},
    )


Costs = dict[str, np.ndarray]


def _batches(columns: ChoiceColumns, total: int, progress: Progress) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ranks and choices of all derivations."""
    for indices in rank_batches(columns, total):
        yield indices, columns.codes(indices)
        progress(int(indices[-1]) + 1)


def _all_costs(space: SearchSpace, columns: ChoiceColumns, bounds: Bounds, progress: Progress) -> Iterator[Costs]:
    costs = NetworkCosts(space, columns, most_units=bounds.units)
    return (_needed(space, costs(*batch)) for batch in _batches(columns, columns.total, progress))


def _sampled_costs(space: SearchSpace, columns: ChoiceColumns) -> Iterator[Costs]:
    """Yield the costs of uniform draws, until there are 10,000 or their units are as many as are derived quickly."""
    costs = NetworkCosts(space, columns)
    drawn = columns.drawn(min(COST_SAMPLE, columns.total), seed=0)
    drawn = np.arange(columns.total) if drawn is None else drawn
    drawn = drawn[np.random.default_rng(0).permutation(len(drawn))]  # so that the first ones are a uniform sample
    step = max(10, min(COST_BATCH, 20_000 // (len(columns.columns) + 1)))
    first = [-(-step // share) for share in FIRST_SHARES]
    start = before = 0
    for end in (*first, step):
        if start >= len(drawn):
            return
        yield _needed(space, costs(drawn[start:end], columns.codes(drawn[start:end])))
        start = end
        if end < step and costs.made > MAX_FIRST_UNITS:
            return  # the first batch alone has too many units
    while start < len(drawn) and 2 * costs.made - before <= MAX_UNITS:  # if the next batch adds as many as the last
        before, step = costs.made, 2 * step
        indices = drawn[start : start + step]
        yield _needed(space, costs(indices, columns.codes(indices)))
        start += step


def _costs_of(space: SearchSpace, derivations: list[Derivation]) -> Costs:
    """Return the costs of some derivations, each network counted by itself."""
    counted = [count_cost(space.architecture(derivation)).to_dict() for derivation in dict.fromkeys(derivations)]
    return _needed(space, {name: np.array([cost[name] for cost in counted]) for name in COSTS})


def _needed(space: SearchSpace, costs: Costs) -> Costs:
    """Return the costs that have a range or a limit, and ``feasible``: whether the limits are satisfied."""
    known = {name: costs[name] for name in COSTS}
    # Limits on quantities that need training or a measurement are not checked here.
    allowed = [limit.allows(known) for limit in space.limits if limit.cost in known]
    feasible = np.all(allowed, axis=0) if allowed else np.ones(len(known["params"]), dtype=bool)
    limited = [limit.cost for limit in space.limits if limit.cost in known]
    return {**{key: known[key] for key in (*OpCost._fields, *limited)}, "feasible": feasible}


def _range(ascending: np.ndarray) -> dict[str, float]:
    low, high = (int(ascending[(len(ascending) - 1 + up) // 2]) for up in (0, 1))
    median = (low + high) / 2 if (low + high) % 2 else (low + high) // 2
    return {"min": int(ascending[0]), "median": median, "max": int(ascending[-1])}


def _median_ci95(ascending: np.ndarray) -> tuple[int, int]:
    """Return the interval of the median: the number of draws below it has a binomial distribution."""
    last = len(ascending) - 1
    half = Z_95 * math.sqrt(len(ascending)) / 2
    low, high = max(0, math.floor(last / 2 - half)), min(last, math.ceil(last / 2 + half))
    return int(ascending[low]), int(ascending[high])


def _share_ci95(share: float, rows: int) -> tuple[float, float]:
    """Return the interval of a fraction (Wilson 1927)."""
    square = Z_95**2 / rows
    middle = (share + square / 2) / (1 + square)
    half = Z_95 / (1 + square) * math.sqrt(share * (1 - share) / rows + square / (4 * rows))
    return min(share, middle - half), max(share, middle + half)
