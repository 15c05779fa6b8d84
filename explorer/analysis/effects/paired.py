"""All else equal: networks that differ only in one choice.

The answer is the mean, over all answers to the other choices that exist under both levels, of the objective at the
level minus that at the reference. Choices that exist under one level alone are averaged. Costs play no part.

Trained pairs tell it directly. The model adds what networks tell that differ in other choices too (Yates 1940, The
recovery of inter-block information), and weighs all answers to the other choices alike, where a search preferred some.
"""

from __future__ import annotations

import numpy as np

from explorer.analysis.effects.answers import twins
from explorer.analysis.effects.contrast import Contrasts, Estimate

MIN_PAIRS = 3  # trained pairs; with fewer, the answer would rest on the model alone


def trained_pairs(codes: np.ndarray, cost: np.ndarray, column: int, level: int) -> tuple[int, float]:
    """Return the number of pairs of networks, and the geometric mean of the ratios of their costs.

    If a choice exists under one level alone, a pair is two groups of networks.
    """
    weights, pairs = pair_weights(codes, column, level)
    return pairs, float(10 ** (weights @ cost))


def pair_weights(codes: np.ndarray, column: int, level: int) -> tuple[np.ndarray, int]:
    """Return the weight of each network in the mean difference of pairs, and the number of pairs.

    Args:
        codes: (networks, factors) their answers.
        column: The factor.
        level: Its level, compared with level 0.
    """
    weights = np.zeros(len(codes))
    among = np.flatnonzero((codes[:, column] == 0) | (codes[:, column] == level))
    if not len(among):
        return weights, 0
    group, changed = twins(codes[among], column), codes[among, column] == level
    sizes = [np.bincount(group[side], minlength=group.max() + 1) for side in (~changed, changed)]
    both = (sizes[0] > 0) & (sizes[1] > 0)
    pairs = int(both.sum())
    for side, sign, size in ((~changed, -1, sizes[0]), (changed, 1, sizes[1])):
        own = group[side]
        weights[among[side]] = np.where(both[own], sign / np.maximum(size[own], 1) / max(pairs, 1), 0.0)
    return weights, pairs


def paired_estimate(contrasts: Contrasts, column: int, level: int) -> Estimate | None:
    """Return the mean difference, level minus reference; None if no network of the space has a counterpart."""
    weights, pairs = pair_weights(contrasts.population.codes, column, level)
    return contrasts.estimate(weights, contrasts.model.terms.of_choice(column)) if pairs else None
