"""The number of derivations of a space: exact, or an estimate with its interval."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from explorer.space.count.decisions import Decisions

Z_95 = 1.96  # standard deviations on either side of a 95% interval
MAX_WALKS = 2_000
ENOUGH_FOUND = 200
MAX_WORK = 20_000  # choices and dropped walks, some 0.25 s
MIN_FOUND = 10
WORK_OF_WALK = 20  # of one that ends at an index without derivation


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
    """Return the number of derivations: exact if they are counted, else estimated from random indices with seed 0.

    The share of the indices that belong to a derivation has the interval of Wilson (1927).
    """
    if decisions.is_counted:
        total = decisions.indices
        return Size(total, total, total, True)
    source, bound = random.Random(0), decisions.indices
    walks = found = work = 0
    while walks < MAX_WALKS and found < ENOUGH_FOUND and (work < MAX_WORK or found < MIN_FOUND):
        derivation = decisions.find(source.randrange(bound))
        walks += 1
        found += derivation is not None
        work += WORK_OF_WALK if derivation is None else len(derivation.choices)
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
