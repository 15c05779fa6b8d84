"""The zero-cost scores by name, for who asks for them without computing any."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.analysis.quantities import SCORES
from explorer.errors import ExplorerError, did_you_mean

NAMES = SCORES


def check_scores(names: Iterable[str]) -> tuple[str, ...]:
    """The names themselves, once each. Raises ExplorerError when one is no score."""
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in NAMES:
            raise ExplorerError(f"unknown score {name!r}; known: {', '.join(NAMES)}{did_you_mean(name, NAMES)}")
    return names
