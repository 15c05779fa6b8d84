"""How the numbers of the table of quantities are shown on pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from explorer.analysis.quantities import FRACTIONS, quantity_named
from explorer.dashboard.text import safe_text

MAX_DIGITS = 17  # of a float


@dataclass(frozen=True, slots=True)
class Unit:
    """How a quantity is shown: its values divided by ``divisor``; ``name`` of the unit on an axis (may
    be empty), ``suffix`` behind a single value."""

    title: str
    name: str
    suffix: str
    divisor: float

    @property
    def label(self) -> str:
        """For an axis or a heading: ``MACs (millions)``."""
        return f"{self.title} ({self.name})" if self.name else self.title

    def of(self, number: float, digits: int = 4) -> str:
        """One value, with at least its digits before the point: ``40.8M``, ``93.2%``, ``1.23 ms``."""
        shown = number / self.divisor
        if self.name == "%":
            return f"{shown:.{max(1, digits - 3)}f}{self.suffix}"
        if abs(shown) >= 1000:
            return f"{shown:,.{max(0, digits - len(f'{abs(shown):.0f}'))}f}{self.suffix}"
        return f"{shown:.{digits}g}{self.suffix}"

    def digits_around(self, bound: float, values: Iterable[float]) -> int:
        """Return the fewest digits, at least 4, with which a bound and values are on the same sides when rounded."""
        known = list(values)
        below = max((value for value in known if value <= bound), default=bound)
        above = min((value for value in known if value > bound), default=math.inf)

        def rounded(value: float, digits: int) -> float:
            return float(f"{value / self.divisor:.{digits}g}")

        for digits in range(4, MAX_DIGITS):
            if rounded(below, digits) <= rounded(bound, digits) < rounded(above, digits):
                return digits
        return MAX_DIGITS


def unit_of(name: str, values: Iterable[float]) -> Unit:
    """The unit in which all of ``values`` read well; a quantity that is not known keeps its name and has no unit."""
    row = quantity_named(name)
    scale = row.unit.scale(values)
    return Unit(safe_text(row.title), scale.name, scale.suffix, scale.divisor)


def change_of(name: str, values: Mapping[str, float], own: Mapping[str, float]) -> str:
    """A quantity of one network against another's: ``+12.5%``, ``±0%``, of shares ``-2.1 points``; empty where one has
    none."""
    if name not in values or name not in own:
        return ""
    if name in FRACTIONS:
        return f"{100 * (values[name] - own[name]):+.1f} points"
    if values[name] == own[name]:
        return "±0%"
    if not own[name]:
        return ""
    percent = 100 * (values[name] - own[name]) / abs(own[name])
    form = "+,.0f" if abs(percent) >= 100 else "+.1f" if abs(percent) >= 1 else "+.1g"
    return f"{percent:{form}}%"


def span_text(seconds: float) -> str:
    """Return a length of time in the unit that fits: ``45 s``, ``12 min``, ``3.4 h``, ``2.1 days``."""
    for unit, length, least in (("days", 86_400.0, 1.5), ("h", 3_600.0, 0.99), ("min", 60.0, 0.99)):
        if seconds >= least * length:
            shown = seconds / length
            return f"{shown:.0f} {unit}" if shown >= 9.95 else f"{shown:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"


def counted(number: int) -> str:
    """A count of any size: ``10,368``, ``3.2e+14``, ``10^140``."""
    if number < 10**9:
        return f"{number:,}"
    return f"{number:.2e}" if number < 10**300 else f"10^{int(math.log10(number))}"
