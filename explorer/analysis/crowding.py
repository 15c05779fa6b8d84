"""Non-dominated rank and crowding distance, by which NSGA-II orders points (Deb et al. 2002, sections III.A and III.B).

All coordinates are finite and minimised; negate objectives that are maximised.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def non_dominated_ranks(points: Array) -> Array:
    """Return the non-dominated rank of each point: 0 on the front, 1 on the front of the others, and so on.

    Args:
        points: (N, M) coordinates. Equal points have equal ranks.

    Returns:
        (N,) integers.
    """
    # dominates[i, j]: whether point i dominates point j
    dominates = np.asarray((points[:, None] <= points[None]).all(2) & (points[:, None] < points[None]).any(2))
    ranks = np.full(len(points), -1)
    left, rank = np.ones(len(points), bool), 0
    while left.any():
        front = left & ~dominates[left].any(0)
        ranks[front] = rank
        left &= ~front
        rank += 1
    return ranks


def crowding_distances(points: Array, ranks: Array) -> Array:
    """Return the crowding distance of each point among the points of its rank.

    It is the sum over the coordinates of the gap between the point's neighbours, as a share of the range of all points;
    infinite at both ends of a rank. Equal points have equal distances.

    Args:
        points: (N, M) coordinates.
        ranks: (N,) their non-dominated ranks.

    Returns:
        (N,) distances.
    """
    spread = points.max(0) - points.min(0)
    scaled = (points - points.min(0)) / np.where(spread > 0, spread, 1.0)
    distances = np.empty(len(points))
    for rank in np.unique(ranks):
        distances[ranks == rank] = _within(scaled[ranks == rank])
    return distances


def _within(front: Array) -> Array:
    distinct, place = np.unique(front, axis=0, return_inverse=True)
    distances = np.zeros(len(distinct))
    for column in distinct.T:
        order = np.argsort(column, kind="stable")
        values = column[order]
        distances[order[[0, -1]]] = np.inf
        distances[order[1:-1]] += values[2:] - values[:-2]
    return distances[place.reshape(-1)]
