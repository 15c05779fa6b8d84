"""The number of derivations of a space: exact, or an estimate with its interval."""

from __future__ import annotations

import math
from typing import NamedTuple

from explorer.space.count.decisions import Decisions

Z_95 = 1.96  # standard deviations on either side of a 95% interval
ENOUGH_FOUND = 200
MAX_WORK = 10_000  # of random walks, some 0.15 s


class Size(NamedTuple):
    """The number of derivations of a space.

    Attributes:
        derivations: The number, or its estimate.
        low: The lower end of the 95% interval; the number itself if it is exact.
        high: The upper end.
        is_exact: Whether it is exact.
    """

    derivations: int
    low: int
    high: int
    is_exact: bool

    def __str__(self) -> str:
        if self.is_exact:
            return f"{_short(self.derivations)} derivations"
        return f"about {_short(self.derivations)} derivations (95% interval {_short(self.low)} to {_short(self.high)})"


def size_of(decisions: Decisions) -> Size:
    """Return the number of derivations: exact if they are counted or each random walk is one, else estimated.

    The share of the walks that are derivations has the interval of Wilson (1927).
    """
    if decisions.is_counted:
        total = decisions.indices
        return Size(total, total, total, True)
    if decisions.walks_are_derivations:
        return Size(decisions.walks, decisions.walks, decisions.walks, True)
    bound, made = decisions.walks, decisions.random_walks
    made.up_to(ENOUGH_FOUND, MAX_WORK)
    walks, found = made.tried, len(made.found)
    share, square = found / walks, Z_95**2 / walks
    middle = (share + square / 2) / (1 + square)
    half = Z_95 / (1 + square) * math.sqrt(share * (1 - share) / walks + square / (4 * walks))
    low, high = max(0.0, middle - half), 1.0 if found == walks else min(1.0, middle + half)
    estimate, least, most = (max(1, _scaled(bound, each)) for each in (share, low, high))
    return Size(estimate, least, most, False)


def _scaled(total: int, share: float) -> int:
    numerator, denominator = share.as_integer_ratio()  # exact: the total can exceed the precision of floats
    return total * numerator // denominator


def _short(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"10^{len(str(number)) - 1}"
