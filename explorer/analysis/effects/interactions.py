"""Interactions: whether the effect of one choice is different under the levels of another, all else equal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from explorer.analysis.effects.contrast import Contrasts
from explorer.analysis.effects.effect import Interaction
from explorer.analysis.effects.significance import significant

MIN_NETWORKS = 2  # trained networks with each of the four pairs of levels


def pair_interactions(contrasts: Contrasts, wanted: list[str]) -> list[Interaction]:
    """Return the interactions of all pairs of choices of which one is wanted, where the trials tell them."""
    networks, terms = contrasts.networks, contrasts.model.terms
    names, found, chances = networks.factors, [], []
    for a, b in terms.pairs:
        if names[a] not in wanted and names[b] not in wanted:
            continue
        group = terms.of_pair(a, b)
        counts = _cells(networks.codes[:, a], networks.codes[:, b], networks.counts[a], networks.counts[b])
        for one in _own_levels(terms.merged[a], networks.counts[a]):
            for other in _own_levels(terms.merged[b], networks.counts[b]):
                if counts[np.ix_((0, one), (0, other))].min() < MIN_NETWORKS:
                    continue
                corners = np.full((4, len(names)), -1)
                corners[:, a], corners[:, b] = (one, 0, one, 0), (other, other, 0, 0)
                weights = np.zeros(terms.columns)
                weights[group] = np.array([1, -1, -1, 1]) @ terms.of(corners)[:, group]
                estimate = contrasts.estimate_terms(weights, group)
                chances.append(estimate.p)
                found.append(
                    Interaction(
                        factor=names[a],
                        level=networks.levels[names[a]][one],
                        reference=networks.levels[names[a]][0],
                        other=names[b],
                        other_level=networks.levels[names[b]][other],
                        other_reference=networks.levels[names[b]][0],
                        effect=estimate.effect,
                        ci95=estimate.ci95,
                        trials=int(counts[one, other]),
                    )
                )
    return [replace(each, significant=sure) for each, sure in zip(found, significant(chances))]


def _own_levels(merged: int, count: int) -> range:
    """Return the levels, but the reference, that have pair terms of their own."""
    return range(1, merged if merged == count else merged - 1)


def _cells(codes: np.ndarray, others: np.ndarray, count: int, other_count: int) -> np.ndarray:
    """Return (levels, levels of the other) the number of networks with each pair of levels."""
    both = (codes >= 0) & (others >= 0)
    number = np.bincount(codes[both] * other_count + others[both], minlength=count * other_count)
    return number.reshape(count, other_count)
