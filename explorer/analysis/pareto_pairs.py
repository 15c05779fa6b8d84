"""The Pareto front of very many points of two coordinates."""

from __future__ import annotations

import numpy as np


def non_dominated_pairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return whether each of very many points of two coordinates is non-dominated; of equal points the first is.

    Args:
        x: (n,) first coordinates.
        y: (n,) second coordinates.
    """
    order = np.lexsort((np.arange(len(x)), y, x))
    least = np.minimum.accumulate(y[order])
    kept = np.zeros(len(x), bool)
    kept[order] = np.concatenate([[True], least[1:] < least[:-1]]) if len(x) else False
    return kept
