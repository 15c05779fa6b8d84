"""The importance of choices: the share of the variance of an objective over the space that each choice explains.

The model is a sum of terms of choices and of pairs of choices, so the variance of its value over the networks of the
space divides into theirs (Sobol 1993; Hutter et al. 2014, functional ANOVA). Noise is no part of it. The interval is
that of draws from the posterior of the terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.analysis.effects.contrast import Contrasts

DRAWS = 400


@dataclass(frozen=True, slots=True)
class Importance:
    """How much of the variance over the networks of the space one choice explains.

    Attributes:
        factor: The choice.
        share: The share of the choice and of its interactions with others, in 0..1. The shares of all choices add up to
            more than 1 if there are interactions.
        ci95: Its 95% interval.
        alone: The share of the choice without interactions.
    """

    factor: str
    share: float
    ci95: tuple[float, float]
    alone: float


def importances(contrasts: Contrasts) -> list[Importance]:
    """Return the importance of each choice, the largest first.

    Args:
        contrasts: The fitted model.
    """
    model, columns = contrasts.model, contrasts.columns
    terms = np.column_stack([model.mean, model.draws(DRAWS)])  # (columns, 1 + draws); the first is the estimate
    count = len(contrasts.networks.counts)
    groups = model.terms.groups[1:]
    variances = np.array([np.var(columns[:, group] @ terms[group], axis=0) for group in groups])
    total = np.maximum(variances.sum(axis=0), np.finfo(float).tiny)
    shares = variances / total
    found = []
    for place in range(count):
        pairs = [count + k for k, pair in enumerate(model.terms.pairs) if place in pair]
        whole = shares[[place, *pairs]].sum(axis=0)
        low, high = np.quantile(whole[1:], (0.025, 0.975))
        share = float(whole[0])
        ends = min(float(low), share), max(float(high), share)
        found.append(Importance(contrasts.networks.factors[place], share, ends, float(shares[place, 0])))
    return sorted(found, key=lambda each: -each.share)
