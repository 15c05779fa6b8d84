"""A bound on a cost or an objective, as users write it: ``macs <= 50M``."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from explorer.errors import ExplorerError

_FACTORS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BOUND = re.compile(r"\s*(<=|>=|<|>)\s*(\d{1,18}(?:\.\d{1,18})?)\s*([kKMGT]?)\s*", re.ASCII)
_LIMIT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)" + _BOUND.pattern, re.ASCII)
_COMPARE = {
    "<=": lambda value, bound: value <= bound,
    ">=": lambda value, bound: value >= bound,
    "<": lambda value, bound: value < bound,
    ">": lambda value, bound: value > bound,
}


@dataclass(frozen=True, slots=True)
class Limit:
    """``cost`` compared (``<= >= < >``) with ``bound``, for instance macs <= 50,000,000."""

    cost: str
    comparison: str
    bound: float

    def allows(self, costs: Mapping[str, float]) -> bool:
        """Whether ``costs`` keep the limit. Raises ExplorerError when the cost is not among them."""
        if self.cost not in costs:
            raise ExplorerError(f"limit {self}: no cost {self.cost!r} is known; known: {', '.join(sorted(costs))}")
        return _COMPARE[self.comparison](costs[self.cost], self.bound)

    def excess(self, costs: Mapping[str, float]) -> float:
        """By how much ``costs`` break the limit, above 0 exactly when they do: the logarithm of the ratio to the
        bound where both are positive, else the difference."""
        value = costs[self.cost]
        beyond = math.log(value / self.bound) if value > 0 and self.bound > 0 else value - self.bound
        beyond = beyond if self.comparison[0] == "<" else -beyond
        return min(beyond, 0.0) if self.allows(costs) else max(beyond, sys.float_info.epsilon)

    def __str__(self) -> str:
        suffix = next((suffix for suffix in "TGMk" if self.bound >= _FACTORS[suffix]), "")
        number = (Decimal(repr(self.bound)) / _FACTORS[suffix]).normalize()
        return f"{self.cost} {self.comparison} {number:f}{suffix}"


def parse_bound(cost: str, text: str) -> Limit:
    """The limit on ``cost`` that ``text`` ("<= 50M") states. Raises ExplorerError."""
    match = _BOUND.fullmatch(text)
    if not match:
        raise ExplorerError(f"{text[:80]!r} is not a bound; write a comparison and a number, as in '<= 50M' or '> 0.9'")
    comparison, number, suffix = match.groups()
    return Limit(cost, comparison, float(Fraction(number) * _FACTORS[suffix]))


def parse_limit(text: str) -> Limit:
    """The limit that ``text`` ("macs<=50M") states. Raises ExplorerError."""
    match = _LIMIT.fullmatch(text)
    if not match:
        raise ExplorerError(f"{text[:80]!r} is not a limit; write a cost and a bound, as in 'macs<=50M'")
    return parse_bound(match[1], text[match.end(1) :])
