"""A study in a notebook: its trials, its front as a small figure and as a table, in HTML without scripts."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from explorer.analysis.amounts import amount, plural
from explorer.analysis.estimates import Estimate
from explorer.records import TrialRecord

WIDTH, HEIGHT, MARGIN = 420, 220, 30  # pixels of the figure
MAX_ROWS = 20  # of the table


def study_html(
    name: str,
    counts: Mapping[str, int],
    front: Sequence[TrialRecord],
    plane: tuple[str, str],
    estimates: Mapping[int, Estimate],
) -> str:
    """Return a study in HTML.

    Args:
        name: Its name.
        counts: Number of trials by state.
        front: The trials of its front.
        plane: The quantities (x, y) of the front.
        estimates: Trial number -> best estimate of y.
    """
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count) or "no trials yet"
    parts = [f"<b>{html.escape(name)}</b>: {states}; {plural(len(front), 'network')} on the frontier"]
    if front:
        x, y = plane
        points = [(record.value(x) or 0.0, _value(record, y, estimates)) for record in front]
        heads = "".join(f"<th>{html.escape(head)}</th>" for head in ("trial", x, y, "source", "choices"))
        rows = [_row(record, x, y, estimates) for record in front[:MAX_ROWS]]
        parts += [_figure(points, x, y), f"<table><tr>{heads}</tr>{''.join(rows)}</table>"]
    return "<br>".join(parts)


def _value(record: TrialRecord, y: str, estimates: Mapping[int, Estimate]) -> float:
    known = estimates.get(record.number)
    return known.value if known is not None else record.value(y) or 0.0


def _row(record: TrialRecord, x: str, y: str, estimates: Mapping[int, Estimate]) -> str:
    known = estimates.get(record.number)
    shown = (
        str(record.number),
        amount(x, record.value(x) or 0.0),
        known.interval if known is not None else amount(y, record.value(y) or 0.0),
        known.source if known is not None else "",
        ", ".join(f"{name}={text}" for name, text in record.choices.items()),
    )
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in shown)}</tr>"


def _figure(points: Sequence[tuple[float, float]], x: str, y: str) -> str:
    """Draw the points as an SVG figure, x on a logarithmic axis if all are positive."""
    is_log = all(point[0] > 0 for point in points)
    across = _places([math.log(point[0]) if is_log else point[0] for point in points], MARGIN, WIDTH - MARGIN)
    up = _places([point[1] for point in points], HEIGHT - MARGIN, MARGIN)
    line = " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(across, up))
    dots = "".join(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4"/>' for left, top in zip(across, up))
    (low, high), (least, most) = ((min(values), max(values)) for values in zip(*points))
    axis = f"{x} from {amount(x, low)} to {amount(x, high)}, {y} from {amount(y, least)} to {amount(y, most)}"
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" fill="currentColor">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>{dots}'
        f'<text x="{MARGIN}" y="{HEIGHT - 6}" font-size="11">{html.escape(axis)}</text></svg>'
    )


def _places(values: Sequence[float], start: float, end: float) -> list[float]:
    """Return the values mapped from their range to [start, end]; the middle if they are all equal."""
    low, high = min(values), max(values)
    return [start + (end - start) * ((value - low) / (high - low) if high > low else 0.5) for value in values]
