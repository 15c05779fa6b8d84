"""The networks about which the answers are: those of the design space, as far as the trials show it.

Unless the caller lists them, they are all combinations of the levels that occur. A choice that is asked only under some
levels of another choice is asked under these. The costs of untrained networks are predicted from those of trained ones
by a model of the same form as that of the objective. A search that crowds leaves some of them uncertain, so there are
several draws of the costs (Rubin 1987, Multiple imputation for nonresponse in surveys). If the trials do not determine
the costs, the population is the trained networks alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from explorer.analysis.effects.answers import Networks, codes_of
from explorer.analysis.effects.model import ChoiceModel

Space = Iterable[tuple[Mapping[str, str], float]]  # choices and cost of networks

MAX_NETWORKS = 4_096  # of a larger space so many are drawn
MAX_COST_ERROR = math.log10(1.1)  # mean error of a predicted cost, in decades, up to which costs are predicted
# Least variance of a cost about its model, relative to that of all costs. A search that crowds hides interactions of
# three choices; with this, 95% of the untrained networks of benchmarks/effects_coverage.py lie in their intervals.
LEAST_COST_NOISE = 1e-3
COST_DRAWS = 10  # of the costs of untrained networks; the time of an answer is proportional to it
MIN_KEPT = 0.1  # share of the listed networks without a level that no trial has, below which the list is not used


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Networks of a design space, within the range of costs of the trained ones.

    Attributes:
        codes: (networks, factors) their answers; -1 if a choice is not asked.
        costs: (draws, networks) the base-10 logarithm of their cost; one draw if the costs are known.
        note: What should be known of it; empty if there is nothing to say.
        sampled: Whether it is a sample of a larger space, in which few networks have their counterparts.
    """

    codes: np.ndarray
    costs: np.ndarray
    note: str = ""
    sampled: bool = False

    @property
    def cost(self) -> np.ndarray:
        """The mean over the draws, (networks,)."""
        mean: np.ndarray = self.costs.mean(axis=0)
        return mean


def population_of(networks: Networks, space: Space | None) -> Population:
    """Return the networks of the design space.

    Args:
        networks: The trained networks.
        space: Choices and cost of all networks of the space, or of a random sample of them; None if unknown.
    """
    if space is not None:
        listed = list(space)
        codes = codes_of([choices for choices, _ in listed], networks.levels)
        cost = np.log10([cost for _, cost in listed])
        seen = [all(text in networks.seen.get(name, ()) for name, text in choices.items()) for choices, _ in listed]
        if sum(seen) >= MIN_KEPT * len(seen) > 0:
            return _within(networks, codes[seen], cost[None, seen], sampled=len(listed) >= MAX_NETWORKS)
    combinations = _combinations(networks)
    if combinations is not None:
        costs, error = _costs(networks, combinations)
        if error <= MAX_COST_ERROR:
            return _within(networks, combinations, costs, sampled=len(combinations) >= MAX_NETWORKS)
    reason = "which choices exist under which others" if combinations is None else "the costs of untrained networks"
    return Population(
        networks.codes,
        networks.cost[None],
        f"the trials do not tell {reason}, so the answers are about trained networks",
    )


def _within(networks: Networks, codes: np.ndarray, costs: np.ndarray, sampled: bool) -> Population:
    cost = costs.mean(axis=0)
    inside = (cost >= networks.cost.min() - 1e-9) & (cost <= networks.cost.max() + 1e-9)
    return Population(codes[inside], costs[:, inside], sampled=sampled)


def _combinations(networks: Networks) -> np.ndarray | None:
    """Return (networks, factors) all combinations of levels or a sample; None if their form cannot be told."""
    conditions = _conditions(networks.codes)
    if conditions is None:
        return None
    counts = networks.counts
    draw = np.random.default_rng(0)
    if math.prod(counts) <= 4 * MAX_NETWORKS:
        codes = np.stack(np.unravel_index(np.arange(math.prod(counts)), counts), axis=1)
    else:
        codes = draw.integers(0, counts, (4 * MAX_NETWORKS, len(counts)))
    for column, (parent, levels) in conditions.items():
        codes[~np.isin(codes[:, parent], levels), column] = -1
    codes = np.unique(codes, axis=0)
    if len(codes) > MAX_NETWORKS:
        codes = codes[np.sort(draw.choice(len(codes), MAX_NETWORKS, replace=False))]
    return codes


def _conditions(codes: np.ndarray) -> dict[int, tuple[int, np.ndarray]] | None:
    """Return conditional choice -> (the choice and its levels under which it is asked), outer ones first.

    None if the presence of a choice does not follow from the answer to one other choice.
    """
    found = {}
    for column in np.flatnonzero((codes < 0).any(axis=0)):
        asked = codes[:, column] >= 0
        for parent in np.argsort((codes < 0).sum(axis=0), kind="stable"):
            under = np.unique(codes[asked, parent])
            if parent != column and under[0] >= 0 and not np.isin(codes[~asked, parent], under).any():
                found[int(column)] = (int(parent), under)
                break
        else:
            return None
    missing = (codes < 0).sum(axis=0)
    return dict(sorted(found.items(), key=lambda item: missing[item[0]]))


def _costs(networks: Networks, codes: np.ndarray) -> tuple[np.ndarray, float]:
    """Return (draws, networks) log10 costs and the mean error of predicting one, from the costs of trained networks.

    The cost or its logarithm is modelled, whichever leaves the smaller error when networks are left out one by one.
    """
    best, least = np.empty(0), math.inf
    for as_logarithm in (True, False):
        known = networks.cost if as_logarithm else 10**networks.cost
        model = ChoiceModel(networks.counts, networks.codes, known, np.ones(len(known)), LEAST_COST_NOISE)
        drawn, left_out = model.predictions(codes, COST_DRAWS), known - model.left_out
        if not as_logarithm:
            drawn, left_out = (np.log10(np.maximum(each, known.min() / 2)) for each in (drawn, left_out))
        error = float(np.mean(np.abs(left_out - networks.cost)))
        if error < least:
            best, least = drawn, error
    trained = {code.tobytes(): cost for code, cost in zip(networks.codes, networks.cost)}
    for place, code in enumerate(codes):
        if code.tobytes() in trained:
            best[:, place] = trained[code.tobytes()]
    return best, least
