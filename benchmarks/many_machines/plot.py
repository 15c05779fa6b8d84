"""The plot of a simulation: throughput as a share of the ideal, and how busy the database is, over the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def draw(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the rows of simulations as SVG, without further packages.

    Args:
        file: The file, whose name ends in .svg.
        rows: Results of ``simulate``.
    """
    import math

    width, height, left, bottom, top = 640, 360, 70, 50, 30
    counts = sorted({row["workers"] for row in rows})
    most = math.log10(max(counts[-1], 10))

    def x(workers: float) -> float:
        return left + (width - left - 30) * math.log10(workers) / most

    def y(share: float) -> float:
        return height - bottom - (height - bottom - top) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(f'<line x1="{left}" x2="{width - 30}" y1="{y(share)}" y2="{y(share)}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y(share) + 4}" text-anchor="end">{share:.0%}</text>')
    for workers in counts:
        parts.append(f'<text x="{x(workers):.1f}" y="{height - bottom + 20}" text-anchor="middle">{workers:,}</text>')
    middle = (left + width - 30) / 2
    parts.append(f'<text x="{middle}" y="{height - 10}" text-anchor="middle">workers</text>')
    for name, label, colour in (
        ("of_ideal", "throughput, share of the ideal", "#1f6feb"),
        ("database_busy", "database busy, share of the time", "#d1242f"),
    ):
        values = {workers: [row[name] for row in rows if row["workers"] == workers] for workers in counts}
        points = [(x(workers), y(sum(found) / len(found))) for workers, found in values.items()]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x(workers):.1f}" cy="{y(each):.1f}" r="3" fill="{colour}"/>'
            for workers, found in values.items()
            for each in found
        ]
        above = -10 if name == "of_ideal" else -12
        parts.append(
            f'<text x="{left + 10}" y="{points[0][1] + above + (28 if name == "of_ideal" else 0):.1f}"'
            f' fill="{colour}">{label}</text>'
        )
    file.write_text("\n".join([*parts, "</svg>", ""]))
