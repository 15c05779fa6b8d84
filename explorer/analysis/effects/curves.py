"""The objective over cost for each level of a choice: the curves that the effect at equal cost compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.analysis.effects.contrast import Contrasts
from explorer.analysis.effects.equal_cost import LIKE, MIN_LIKE, local_linear
from explorer.analysis.pareto import non_dominated

POINTS = 80  # of a curve, at equal distances of log cost


@dataclass(frozen=True, slots=True)
class LevelCurve:
    """The trained networks with one level of a choice in the plane of objective and cost.

    Attributes:
        level: The level.
        costs: The costs of the trained networks, ascending.
        values: Their objectives; the mean over repeated trainings.
        trainings: Their numbers of trainings.
        curve: (cost, mean objective of the networks of the space with this level), ascending; the mean is None where
            there are fewer than three trained networks of like cost. The effect at equal cost is the mean difference
            between two such curves.
        frontier: (cost, objective) of the trained networks that no other one with this level dominates.
    """

    level: str
    costs: tuple[float, ...]
    values: tuple[float, ...]
    trainings: tuple[int, ...]
    curve: tuple[tuple[float, float | None], ...]
    frontier: tuple[tuple[float, float], ...]


def level_curves(contrasts: Contrasts, factor: str, maximised: bool = True) -> list[LevelCurve]:
    """Return the curve of each level of a choice, the most frequent level first.

    Args:
        contrasts: The fitted model.
        factor: The choice.
        maximised: Whether larger objectives are better.
    """
    networks, population = contrasts.networks, contrasts.population
    column = networks.place(factor)
    means = contrasts.columns @ contrasts.model.unshrunk_mean(contrasts.model.terms.of_choice(column))
    sign = -1 if maximised else 1
    out = []
    for code, level in enumerate(networks.levels[factor]):
        rows = np.flatnonzero(networks.codes[:, column] == code)
        rows = rows[np.argsort(networks.cost[rows], kind="stable")]
        decades, values = networks.cost[rows], networks.value[rows]
        costs = (10**decades).tolist()
        front = non_dominated(list(zip(decades.tolist(), (sign * values).tolist())))
        of_level = population.codes[:, column] == code
        out.append(
            LevelCurve(
                level=level,
                costs=tuple(costs),
                values=tuple(values.tolist()),
                trainings=tuple(networks.trainings[rows].tolist()),
                curve=_curve(decades, population.costs[:, of_level], means[of_level]),
                frontier=tuple(sorted((costs[place], float(values[place])) for place in front)),
            )
        )
    return out


def _curve(trained: np.ndarray, costs: np.ndarray, means: np.ndarray) -> tuple[tuple[float, float | None], ...]:
    """Return the mean over networks of like cost.

    Args:
        trained: Costs of the trained networks, in decades, ascending.
        costs: (draws, networks) costs of the networks of the space, in decades.
        means: Their estimated objectives.
    """
    if not costs.size:
        return ()
    at = np.unique(np.linspace(trained[0], trained[-1], POINTS))
    like = np.searchsorted(trained, at + LIKE, "right") - np.searchsorted(trained, at - LIKE, "left")
    curve = np.mean([local_linear(cost, at) @ means for cost in costs], axis=0)
    return tuple(
        (float(10**decade), float(mean) if count >= MIN_LIKE else None) for decade, mean, count in zip(at, curve, like)
    )
