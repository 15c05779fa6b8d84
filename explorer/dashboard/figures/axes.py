"""Axes of quantities: SI units, and labels of one size at 1, 2 and 5 of each decade of a logarithmic axis."""

from __future__ import annotations

import math
from typing import Any

from explorer.dashboard.quantities import Unit
from explorer.dashboard.text import safe_text

SHORT = (1, 1.5, 2, 3, 4, 5, 6, 8)
SHORTER = tuple(k / 10 for k in range(10, 100))
FEW, MANY = 3, 9  # labels on the axis
ROOM = 0.06  # of the range beyond the data on each side
PREFIXES = {"G": 1e9, "M": 1e6, "k": 1e3, "": 1.0}


def axis_range(low: float, high: float, log: bool) -> tuple[float, float]:
    """Return the range of an axis as plotly takes it, with room at both ends.

    Args:
        low: The lowest value of the data.
        high: The highest value.
        log: Whether the axis is logarithmic; the range is then one of exponents.
    """
    start, end = (math.log10(low), math.log10(high)) if log else (low, high)
    room = ROOM * (end - start) or (0.1 if log else abs(end) * 0.1 or 1.0)
    return start - room, end + room


def quantity_axis(unit: Unit, low: float, high: float, *, log: bool = False) -> dict[str, Any]:
    """Return the settings of an axis.

    Args:
        unit: Unit of the quantity; the figure has its values divided by ``unit.divisor``.
        low: The lowest value, in the unit of the quantity.
        high: The highest value.
        log: Whether the axis is logarithmic.
    """
    is_si = unit.suffix in PREFIXES or unit.suffix in ("%", "")
    title = safe_text(unit.title if is_si else unit.label, "plotly", length=60)
    settings: dict[str, Any] = {"title": title, "type": "log" if log else "linear"}
    if not math.isfinite(low) or not math.isfinite(high) or (log and low <= 0):
        return settings
    settings["range"] = axis_range(low / unit.divisor, high / unit.divisor, log)
    if log:
        places = log_ticks(low, high)
        settings |= {"tickvals": [place / unit.divisor for place in places]}
        settings |= {"ticktext": [_spelled(place, unit) for place in places]}
    elif is_si:
        settings["ticksuffix"] = unit.suffix
    return settings


def log_ticks(low: float, high: float) -> list[float]:
    """Return the labelled places of a logarithmic axis, one decade beyond the data on each side."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    usual = [mantissa * 10.0**decade for decade in decades for mantissa in (1, 2, 5)]
    if FEW <= sum(low <= place <= high for place in usual) <= MANY:
        return usual
    for mantissas in (SHORTER, SHORT, (1, 3), (1,)):
        places = [mantissa * 10.0**decade for decade in decades for mantissa in mantissas]
        if sum(low <= place <= high for place in places) <= MANY:
            return places
    return [10.0**decade for decade in decades][:: 1 + len(decades) // MANY]


def _spelled(value: float, unit: Unit) -> str:
    """Return a label: ``500k``, ``2M``, ``0.5``."""
    if unit.suffix not in PREFIXES or not unit.suffix:
        return f"{value / unit.divisor:.4g}" + (unit.suffix if unit.suffix == "%" else "")
    prefix = next((name for name, size in PREFIXES.items() if value >= size), "")
    return f"{value / PREFIXES[prefix]:.4g}{prefix}"
