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
    wanted = paired_terms(contrasts, np.arange(len(contrasts.columns)), column, level)
    return None if wanted is None else contrasts.estimate_terms(wanted, contrasts.model.terms.of_choice(column))


def paired_terms(contrasts: Contrasts, rows: np.ndarray, column: int, level: int) -> np.ndarray | None:
    """Return the weight of each term in the mean difference of pairs, (columns,); None if there is no pair.

    Args:
        contrasts: The fitted model.
        rows: Which networks of the space are averaged.
        column: The factor.
        level: Its level, compared with level 0.
    """
    codes = contrasts.population.codes[rows]
    if contrasts.population.sampled:
        return _counterpart_terms(contrasts, codes, column, level)
    weights, pairs = pair_weights(codes, column, level)
    return weights @ contrasts.columns[rows] if pairs else None


def _counterpart_terms(contrasts: Contrasts, codes: np.ndarray, column: int, level: int) -> np.ndarray | None:
    """Return the weights as ``paired_terms``, from networks and their counterparts, which need not be among them."""
    before = codes[(codes[:, column] == 0) | (codes[:, column] == level)]
    if not len(before):
        return None
    known = np.concatenate([codes, contrasts.networks.codes])
    for own in (0, level):
        alone = (known[known[:, column] == own] < 0).all(axis=0)
        before[:, alone] = -1  # the terms of a choice sum to zero over its levels
    after = before.copy()
    before[:, column], after[:, column] = 0, level
    terms = contrasts.model.terms
    difference: np.ndarray = terms.of(after).mean(axis=0) - terms.of(before).mean(axis=0)
    return difference
