"""Which of many differences are not zero."""

from __future__ import annotations

from collections.abc import Sequence

LEVEL = 0.05


def significant(p: Sequence[float]) -> list[bool]:
    """Return which hypotheses are rejected, with at most a 5% chance of any false rejection (Holm 1979).

    Args:
        p: The p-value of each.
    """
    out = [False] * len(p)
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if p[place] > LEVEL / (len(p) - rank):
            break
        out[place] = True
    return out
