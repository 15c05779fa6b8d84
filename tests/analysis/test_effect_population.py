"""The networks about which effects are, where the caller does not list them."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from explorer.analysis.effects.answers import networks_of
from explorer.analysis.effects.population import population_of
from explorer.records import TrialRecord

LEVELS = {"order": ("full", "narrow"), "base": ("4", "8", "12", "16"), "depth": ("1", "2", "3"), "se": ("no", "yes")}


def cost_of(order: str, base: str, depth: str, se: str) -> float:
    """Of narrow blocks the stem, whose cost does not depend on the depth, is the larger part."""
    width, blocks = int(base), int(depth)
    body = blocks * width**2 * (1.0 if order == "full" else 0.3)
    return 1e4 * (body + 20 * width) * (1.02 if se == "yes" else 1.0)


def record(number: int, answers: tuple[str, ...]) -> TrialRecord:
    choices = dict(zip(LEVELS, answers))
    return TrialRecord(
        number, "complete", choices=choices, costs={"macs": cost_of(*answers)}, objectives={"accuracy": number / 100}
    )


def crowded(seed: int) -> list[TrialRecord]:
    """30 of 48 networks; a search that prefers full blocks."""
    draw = random.Random(seed)
    space = list(itertools.product(*LEVELS.values()))
    space.sort(key=lambda answers: draw.random() + (answers[0] == "narrow") * 0.6)
    return [record(number, answers) for number, answers in enumerate(space[:30])]


@pytest.mark.parametrize("seed", range(3))
def test_predicted_costs_are_as_uncertain_as_they_are_wrong(seed):
    """The costs of most untrained networks lie within two standard deviations of the draws; those of trained networks
    are what was observed."""
    networks = networks_of(crowded(seed), "accuracy", "macs")
    population = population_of(networks, None)
    factors = list(networks.levels.items())
    true = np.log10([cost_of(*(levels[code] for (_, levels), code in zip(factors, row))) for row in population.codes])
    spread = population.costs.std(axis=0, ddof=1)
    trained = {code.tobytes() for code in networks.codes}
    known = np.array([code.tobytes() in trained for code in population.codes])
    assert factors[0][0] == "order" and 0 < known.sum() < len(known)
    assert spread[known] == pytest.approx(0.0, abs=1e-12)
    assert population.cost[known] == pytest.approx(true[known])
    assert np.mean(np.abs(population.cost - true)[~known] <= 2 * spread[~known]) >= 0.8
    assert np.median(np.abs(population.cost - true)[~known]) < 0.05
