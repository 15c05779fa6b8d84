"""The names of the zero-cost scores, without importing torch."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.analysis.quantities import SCORES
from explorer.errors import ExplorerError, did_you_mean

NAMES = SCORES


def check_scores(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names without duplicates.

    Args:
        names: Names of scores.

    Returns:
        Each name once, in the order given.

    Raises:
        ExplorerError: A name is not in NAMES.
    """
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in NAMES:
            raise ExplorerError(f"unknown score {name!r}; known: {', '.join(NAMES)}{did_you_mean(name, NAMES)}")
    return names
