"""How the numbers of the table of quantities are shown on pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from explorer.analysis.quantities import FRACTIONS, quantity_named
from explorer.dashboard.text import safe_text

MAX_DIGITS = 17  # of a float
LARGEST_WHOLE = 10**15  # a larger number is not written out


@dataclass(frozen=True, slots=True)
class Unit:
    """How a quantity is shown: its values divided by ``divisor``; ``name`` of the unit on an axis (may
    be empty), ``suffix`` behind a single value; ``is_own``: whether the caller of a search defined it."""

    title: str
    name: str
    suffix: str
    divisor: float
    is_own: bool = False

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

    def exact(self, number: float, digits: int = 4) -> str:
        """One value, with the whole number in brackets if it is rounded: ``2.397M (2,396,928)``."""
        shown, whole = self.of(number, digits), round(number) if abs(number) < LARGEST_WHOLE else 0
        is_whole = math.isclose(number, whole, rel_tol=1e-12, abs_tol=0.0)  # scaled values are not quite whole
        rounded = float(shown.removesuffix(self.suffix).replace(",", "")) * self.divisor
        return f"{shown} ({whole:,})" if is_whole and round(rounded) != whole else shown

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

    def titled(self, number: float, title: str | None = None) -> str:
        """One value with its title: ``40.8M (40,813,640) MACs``, ``93.2% validation accuracy``.

        Args:
            number: The value.
            title: Another title.
        """
        return self.joined(self.exact(number), self.title if title is None else title)

    def joined(self, value: str, title: str) -> str:
        """A written value with a title; the title is first for a quantity that the caller defined: ``score -3,000``."""
        return f"{title} {value}" if self.is_own else f"{value} {title}".strip()


def unit_of(name: str, values: Iterable[float]) -> Unit:
    """The unit in which all of ``values`` read well; a quantity that is not known keeps its name and has no unit."""
    row = quantity_named(name)
    scale = row.unit.scale(values)
    return Unit(safe_text(row.title), scale.name, scale.suffix, scale.divisor, row.kind == "own")


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


def short_text(value: float) -> str:
    """Return a number in three digits, with the prefixes of plotly's axes: ``135k``, ``0.5``, ``428p``."""
    size = abs(float(f"{value:.3g}"))
    if not size or not math.isfinite(size) or 1e-3 <= size < 1e3 or not 1e-15 <= size < 1e15:
        return f"{value:.3g}"
    power = 3 * math.floor(math.log10(size) / 3)
    return f"{value / 10.0**power:.3g}{'fpnµm kMGT'[power // 3 + 5]}"


def span_text(seconds: float) -> str:
    """Return a length of time in the unit that fits: ``45 s``, ``12 min``, ``3.4 h``; ``less than 0.1 s``."""
    for unit, length, least in (("days", 86_400.0, 1.5), ("h", 3_600.0, 0.99), ("min", 60.0, 0.99)):
        if seconds >= least * length:
            shown = seconds / length
            return f"{shown:.0f} {unit}" if shown >= 9.95 else f"{shown:.1f} {unit}"
    if 0 < seconds < 0.05:
        return "less than 0.1 s"
    return f"{seconds:.0f} s" if seconds >= 9.95 or not seconds else f"{seconds:.1f} s"


def counted(number: int) -> str:
    """Format a count of any size: ``10,368``, ``3.2e14``, ``10^140``."""
    if number < 10**9:
        return f"{number:,}"
    return f"{number:.2e}".replace("e+", "e") if number < 10**300 else f"10^{int(math.log10(number))}"
