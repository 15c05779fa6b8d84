"""Limits on costs and objectives and their text form: ``macs <= 50M``, ``accuracy>=60%``, ``latency<=2ms``."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from explorer.analysis.quantities import FRACTIONS, LATENCY, MILLISECONDS, PREFIXES, UNITS, Unit
from explorer.errors import ExplorerError, did_you_mean

_COMPARISON = r"(?:<=|>=|=<|=>|≤|≥|<|>)"
_NUMBER = r"(?:[0-9][0-9_]{0,17}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,2})?"
_AMOUNT = rf"(-?{_NUMBER})\s*(%|[^\W\d_]*)"
_NAME = r"[^\W\d][^\s<>=≤≥]*"
_BOUND = re.compile(rf"\s*({_COMPARISON})\s*{_AMOUNT}\s*")
_LIMIT = re.compile(rf"\s*({_NAME})\s*({_COMPARISON}\s*{_AMOUNT})\s*")
_REVERSED = re.compile(rf"\s*({_AMOUNT})\s*({_COMPARISON})\s*({_NAME})\s*")
_SPELLINGS = {"=<": "<=", "=>": ">=", "≤": "<=", "≥": ">="}
_MIRRORED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<"}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda value, bound: value <= bound,
    ">=": lambda value, bound: value >= bound,
    "<": lambda value, bound: value < bound,
    ">": lambda value, bound: value > bound,
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on a cost or an objective, for instance macs <= 50,000,000.

    Attributes:
        cost: The name of the cost or objective.
        comparison: ``<=``, ``>=``, ``<`` or ``>``.
        bound: The bound, finite.

    Raises:
        ExplorerError: The comparison is unknown, or the bound is not a finite number.
    """

    cost: str
    comparison: str
    bound: float

    def __post_init__(self) -> None:
        if self.comparison not in _COMPARE:
            raise ExplorerError(f"limit on {self.cost}: {self.comparison!r} is not one of {', '.join(_COMPARE)}")
        if not isinstance(self.bound, (int, float)) or not math.isfinite(self.bound):
            raise ExplorerError(f"limit on {self.cost}: the bound must be a finite number, found {self.bound!r}")

    def allows(self, costs: Mapping[str, Any]) -> bool:
        """Return whether costs satisfy the limit.

        Args:
            costs: Values by name, or arrays of values, which are compared elementwise.

        Raises:
            ExplorerError: ``costs`` has no value of the limited cost.
        """
        if self.cost not in costs:
            raise ExplorerError(f"limit {self}: no cost {self.cost!r} is known; known: {', '.join(sorted(costs))}")
        return _COMPARE[self.comparison](costs[self.cost], self.bound)

    def excess(self, costs: Mapping[str, float]) -> float:
        """Return by how much costs violate the limit; positive exactly if they do.

        It is the logarithm of the ratio to the bound if both are positive, else the difference.

        Args:
            costs: Values by name; without the limited cost the excess is infinite.
        """
        if self.cost not in costs:
            return math.inf
        value = costs[self.cost]
        beyond = math.log(value / self.bound) if value > 0 and self.bound > 0 else value - self.bound
        beyond = beyond if self.comparison[0] == "<" else -beyond
        return min(beyond, 0.0) if self.allows(costs) else max(beyond, sys.float_info.epsilon)

    def __str__(self) -> str:
        if self.bound and not 1e-6 <= abs(self.bound) < 1e18:
            return f"{self.cost} {self.comparison} {self.bound!r}"
        suffix = next((suffix for suffix in "TGMk" if self.bound >= PREFIXES[suffix]), "")
        number = (Decimal(repr(self.bound)) / PREFIXES[suffix]).normalize()
        return f"{self.cost} {self.comparison} {number:f}{suffix}"


def parse_bound(cost: str, text: str) -> Limit:
    """Parse a bound, as in "<= 50M".

    Args:
        cost: The name of the limited cost or objective.
        text: A comparison and a number, with a suffix or a unit of the cost.

    Raises:
        ExplorerError: The text is not a valid bound.
    """
    match = _BOUND.fullmatch(text)
    if not match:
        raise ExplorerError(f"{text[:80]!r} is not a bound; write a comparison and a number, as in '<= 50M' or '> 0.9'")
    comparison, number, unit = match.groups()
    comparison = _SPELLINGS.get(comparison, comparison)
    factor = _unit_of(cost).factor(unit)
    if factor is None:
        raise ExplorerError(f"{text[:80]!r} is not a bound on {cost}: {_unit_problem(cost, comparison, number, unit)}")
    bound = Fraction(number) * factor
    if bound < 0 and cost in UNITS:
        raise ExplorerError(
            f"{text[:80]!r} is not a bound on {cost}, which is never negative; write one as in '<= 50M'"
        )
    if bound > 1 and unit == "%":
        raise ExplorerError(f"{text[:80]!r} is not a bound on {cost}, which is at most 100%")
    return Limit(cost, comparison, float(bound))


def parse_limit(text: str | Limit) -> Limit:
    """Parse a limit, as in "macs<=50M".

    Args:
        text: A cost, a comparison (``<= >= < >``) and a number, with the cost on either side. The number may have an
            exponent (1e6), a suffix k, M, G or T, the unit of the quantity (MACs, ms, GiB), or % for an accuracy.
            ``latency`` with a unit of time is ``latency_ms``. A ``Limit`` is returned unchanged.

    Raises:
        ExplorerError: The text is not a valid limit.
    """
    if isinstance(text, Limit):
        return text
    if not isinstance(text, str):
        raise ExplorerError(f"{str(text)[:80]!r} is not a limit; write a text, as in 'macs<=50M'")
    if match := _LIMIT.fullmatch(text):
        name, bound, unit = match[1], match[2], match[4]
    elif match := _REVERSED.fullmatch(text):
        comparison = _SPELLINGS.get(match[4], match[4])
        name, bound, unit = match[5], f"{_MIRRORED[comparison]}{match[1]}", match[3]
    else:
        raise ExplorerError(f"{text[:80]!r} is not a limit; write a cost and a bound, as in 'macs<=50M'{_hint(text)}")
    if name == "latency" and unit.lower() in MILLISECONDS.words:
        name = LATENCY
    return parse_bound(name, bound)


def _unit_of(cost: str) -> Unit:
    """Return the unit of ``cost``. A quantity without one in the table has its name as the unit."""
    return UNITS.get(cost) or Unit({cost.lower(): Fraction(1)})


def _unit_problem(cost: str, comparison: str, number: str, unit: str) -> str:
    """Return why ``unit`` is not a unit of ``cost``, and a suggested fix."""
    near = "" if cost in UNITS else did_you_mean(cost, UNITS)
    if unit == "%":
        return f"a percentage is understood for {' and '.join(FRACTIONS)} only; write a number, as in '> 0.9'{near}"
    suffix = next((suffix for suffix in ("k", "M", "G", "T") if unit.upper() == suffix.upper()), "")
    if suffix:
        return f"did you mean '{cost}{comparison}{number}{suffix}'?"
    other = next((name for name, known in UNITS.items() if known.factor(unit) is not None), None)
    if other is not None and cost in UNITS:
        return f"{unit!r} is a unit of {other}, not of {cost}; write a number with k, M, G or T, as in '<= 50M'"
    return f"{unit!r} is not a unit of {cost}; write a number with k, M, G or T, as in '<= 50M'{near}"


def _hint(text: str) -> str:
    """Return the suggested fix for a text that is not a limit; empty if there is none."""
    repaired = re.sub(r"(?<![<>=])={1,2}(?![<>=])", "<=", text)
    repaired = re.sub(r"\b10\s*(?:\^|\*\*)\s*(?=[0-9])", "1e", repaired)
    repaired = re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", repaired)
    repaired = re.sub(r"(?<=[0-9]),(?=[0-9])", ".", repaired)
    if repaired != text and _LIMIT.fullmatch(repaired):
        return f"; did you mean {repaired.strip()[:80]!r}?"
    if len(re.findall(_COMPARISON, text)) > 1:
        return "; it states two bounds: write one limit for each"
    return ""
