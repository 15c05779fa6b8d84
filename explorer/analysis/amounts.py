"""How numbers are written in text for people: counts, percentages, and nouns with their number."""

from __future__ import annotations

from explorer.analysis.quantities import FRACTIONS


def format_count(number: float) -> str:
    """Format a count with three digits and a suffix, such as 40.8M, 272k or 512."""
    for factor, suffix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(number) >= factor:
            return f"{number / factor:.3g}{suffix}"
    return f"{number:g}"


def format_percent(share: float | None) -> str:
    """Format a fraction as a percentage; None as empty text."""
    return "" if share is None else f"{100 * share:.1f}%"


def amount(name: str, value: float) -> str:
    """Format the value of a quantity, such as 93.2%, 1.23 or 40.8M."""
    if name in FRACTIONS:
        return format_percent(value)
    return f"{value:.3g}" if name.endswith("_ms") else format_count(value)


def plural(number: float, noun: str) -> str:
    """Return a number with its noun, which takes an "s" unless the number is 1: ``1 trial``, ``2,000 trials``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
