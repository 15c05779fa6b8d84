"""The networks about which the answers are: those of the design space, as far as the trials show it.

Unless the caller lists them, they are all combinations of the levels that occur. A choice that is asked only under some
levels of another choice is asked under these. The costs of untrained networks follow from those of trained ones, since
a cost has no noise. If these do not determine them, the population is the trained networks alone.
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
MAX_COST_ERROR = math.log10(1.1)  # median error of a predicted cost, in decades, up to which costs are predicted
MIN_KEPT = 0.1  # share of the listed networks without a level that no trial has, below which the list is not used


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Networks of a design space, within the range of costs of the trained ones.

    Attributes:
        codes: (networks, factors) their answers; -1 if a choice is not asked.
        cost: (networks,) the base-10 logarithm of their cost.
        note: What should be known of it; empty if there is nothing to say.
    """

    codes: np.ndarray
    cost: np.ndarray
    note: str = ""


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
            return _within(networks, codes[seen], cost[seen], "")
    combinations = _combinations(networks)
    if combinations is not None:
        cost, error = _costs(networks, combinations)
        if error <= MAX_COST_ERROR:
            return _within(networks, combinations, cost, "")
    reason = "which choices exist under which others" if combinations is None else "the costs of untrained networks"
    return Population(
        networks.codes, networks.cost, f"the trials do not tell {reason}, so the answers are about trained networks"
    )


def _within(networks: Networks, codes: np.ndarray, cost: np.ndarray, note: str) -> Population:
    inside = (cost >= networks.cost.min() - 1e-9) & (cost <= networks.cost.max() + 1e-9)
    return Population(codes[inside], cost[inside], note)


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
    """Return the log10 costs of networks and their median error, from the costs of trained networks.

    The cost or its logarithm is modelled, whichever leaves the smaller error when networks are left out one by one.
    """
    best, least = np.empty(0), math.inf
    counts = networks.counts
    for as_logarithm in (True, False):
        known = networks.cost if as_logarithm else 10**networks.cost
        model = ChoiceModel(counts, networks.codes, known, np.ones(len(known)), exact=True)
        predicted, left_out = model.terms.of(codes) @ model.mean, known - model.left_out
        if not as_logarithm:
            predicted, left_out = (np.log10(np.maximum(each, known.min() / 2)) for each in (predicted, left_out))
        error = float(np.median(np.abs(left_out - networks.cost)))
        if error < least:
            best, least = predicted, error
    trained = {code.tobytes(): cost for code, cost in zip(networks.codes, networks.cost)}
    return np.array([trained.get(code.tobytes(), cost) for code, cost in zip(codes, best)]), least
