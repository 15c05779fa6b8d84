"""What the noise of training does to a frontier: pure functions on numbers.

A training's accuracy depends on its seed. Two figures come of it: the standard deviation of one training, pooled
over networks that were trained from several seeds, and the probability that a network is on the frontier, given
that deviation. Both are stated as formulas below; neither is made up where nothing was repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from explorer.frontier import non_dominated

REACH = 8.0  # standard errors beyond which a normal's tail (6e-16) is left out
FINENESS = 4  # grid points in the smallest standard error; the trapezoid rule then errs by less than 1e-15


def pooled_std(groups: Iterable[Sequence[float]]) -> float | None:
    """The standard deviation of one value, from groups (networks) of values that differ by chance (the seed) alone:

        s = sqrt( sum_i sum_k (a_ik - mean_i)^2 / sum_i (K_i - 1) ),  K_i: values of group i

    None when no group has two values: then nothing is known of the noise.
    """
    squares, free = 0.0, 0
    for group in groups:
        mean = math.fsum(group) / len(group) if group else 0.0
        squares += math.fsum((value - mean) ** 2 for value in group)
        free += max(0, len(group) - 1)
    return math.sqrt(squares / free) if free else None


def frontier_probabilities(costs: Sequence[float], values: Sequence[float], errors: Sequence[float]) -> list[float]:
    """For each network the probability that no other of at most its cost has a better mean value.

    ``costs``: exact, minimised. ``values``: estimated means, maximised (who minimises negates first). ``errors``: their
    standard errors, all positive, or all 0, when the answer is whether a point is non-dominated, of equals the first.
    Each true mean is taken as normal about its estimate v_i, independent of the others (a flat prior), so that

        P_i = integral over m of  phi((m - v_i) / e_i) / e_i  *  product of  Phi((m - v_j) / e_j)
                                                                 over all j != i with cost_j <= cost_i

    by the trapezoid rule. The cheapest network has 1; of networks of one cost exactly one is non-dominated, so
    that theirs add up to at most 1. Raises ValueError for errors of both kinds.
    """
    if not any(errors):
        front = set(non_dominated([(cost, -value) for cost, value in zip(costs, values, strict=True)]))
        return [float(place in front) for place in range(len(costs))]
    if min(errors) <= 0:
        raise ValueError("the standard errors must be all positive or all 0")
    from scipy.special import log_ndtr

    mean, error = np.asarray(values, float), np.asarray(errors, float)
    groups = [list(group) for _, group in groupby(np.argsort(costs, kind="stable").tolist(), key=lambda i: costs[i])]
    groups = _contenders(groups, mean, error)
    kept = np.array([place for group in groups for place in group])
    step = error[kept].min() / FINENESS
    low, high = (mean[kept] - REACH * error[kept]).min(), (mean[kept] + REACH * error[kept]).max()
    grid = np.arange(low, high + step, step)
    beaten = np.zeros_like(grid)  # log of the product of Phi over all networks of at most this cost
    out = np.zeros(len(mean))
    for group in groups:
        for place in group:
            end = np.searchsorted(grid, mean[place] + REACH * error[place])
            beaten[:end] += log_ndtr((grid[:end] - mean[place]) / error[place])
        for place in group:
            begin, end = np.searchsorted(grid, mean[place] + error[place] * np.array([-REACH, REACH]))
            z = (grid[begin:end] - mean[place]) / error[place]
            density = np.exp(-0.5 * z * z + beaten[begin:end] - log_ndtr(z)) / math.sqrt(2 * math.pi)
            out[place] = density.sum() * step / error[place]
    return out.round(12).tolist()  # what the rule errs by is no figure


def _contenders(groups: list[list[int]], mean: np.ndarray, error: np.ndarray) -> list[list[int]]:
    """The networks that may be on the frontier at all: those left out are beaten by a cheaper one beyond doubt, and
    so beat no other that the cheaper one does not."""
    surely, out = -math.inf, []
    for group in groups:
        surely = max(surely, *(mean[place] - REACH * error[place] for place in group))
        out.append([place for place in group if mean[place] + REACH * error[place] > surely])
    return out
