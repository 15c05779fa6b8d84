"""The effect of one choice under each level of another one, all else equal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.analysis.effects.contrast import Contrasts, Estimate
from explorer.analysis.effects.interactions import MIN_NETWORKS
from explorer.analysis.effects.paired import paired_terms


@dataclass(frozen=True, slots=True)
class ConditionalEffect:
    """What one level of a choice does to the objective, all else equal, where another choice has a given level.

    Attributes:
        factor: The choice.
        level: Its level.
        reference: Its reference level, the same under all levels of the other choice.
        other: The other choice.
        other_level: Its level, the same in all networks that are compared.
        trials: The number of trained networks with both levels.
        reference_trials: The number of trained networks with the reference level and the other level.
        effect: The mean difference of the objective, in its unit; None if the trials cannot tell it.
        ci95: Its 95% confidence interval; None likewise.
    """

    factor: str
    level: str
    reference: str
    other: str
    other_level: str
    trials: int
    reference_trials: int
    effect: float | None = None
    ci95: tuple[float, float] | None = None


def conditional_effects(contrasts: Contrasts, factor: str, other: str) -> list[ConditionalEffect]:
    """Return the effect of each level of a choice under each level of another one; the most frequent levels first.

    The difference between the effects under two levels is the interaction that ``interactions`` returns, if all
    combinations of the other choices exist under both.

    Args:
        contrasts: The fitted model.
        factor: The choice whose effect is wanted.
        other: The other choice.
    """
    networks = contrasts.networks
    column, given = networks.place(factor), networks.place(other)
    levels = networks.levels[factor]
    separated = [contrasts.separates(column, level) for level in range(len(levels))]
    out = []
    for under, other_level in enumerate(networks.levels[other]):
        inside = networks.codes[networks.codes[:, given] == under, column]
        trials = [int(np.sum(inside == level)) for level in range(len(levels))]
        for level in range(1, len(levels)):
            known = separated[level] and min(trials[0], trials[level]) >= MIN_NETWORKS
            found = _estimate(contrasts, column, level, given, under) if known else None
            told = (found.effect, found.ci95) if found else (None, None)
            out.append(
                ConditionalEffect(factor, levels[level], levels[0], other, other_level, trials[level], trials[0], *told)
            )
    return out


def _estimate(contrasts: Contrasts, column: int, level: int, given: int, under: int) -> Estimate | None:
    """Return the difference between two levels where the choice ``given`` has the level ``under``."""
    rows = np.flatnonzero(contrasts.population.codes[:, given] == under)
    wanted = paired_terms(contrasts, rows, column, level)
    return None if wanted is None else contrasts.estimate_terms(wanted, contrasts.model.terms.of_pair(column, given))
