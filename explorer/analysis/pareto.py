"""The non-dominated set and its hypervolume, as pure functions of numbers.

All coordinates are finite and minimised; negate objectives that are maximised.
"""

from __future__ import annotations

from collections.abc import Sequence

Point = Sequence[float]


def non_dominated(points: Sequence[Point]) -> list[int]:
    """Return the indices of the non-dominated points, in ascending order; of equal points the first.

    In lexicographic order a point can be dominated only by an earlier one, and then also by one on the front. So each
    point is compared with the front only.

    Args:
        points: (n, d) coordinates.
    """
    order = sorted(range(len(points)), key=lambda place: (tuple(points[place]), place))
    front: list[int] = []
    for place in order:
        if not any(all(a <= b for a, b in zip(points[kept], points[place])) for kept in reversed(front)):
            front.append(place)
    return sorted(front)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Return the hypervolume: the volume that the points dominate, bounded by ``reference``.

    The result is exact, by slicing along the last coordinate (Zitzler 1999; While et al. 2006). It is suited for fronts
    of some hundred points in two to four coordinates.

    Args:
        points: (n, d) coordinates. Points that are not below the reference in every coordinate add nothing.
        reference: (d,) the upper bounds.
    """
    inside = [tuple(point) for point in points if all(a < r for a, r in zip(point, reference))]
    front = sorted((inside[place] for place in non_dominated(inside)), key=lambda point: point[-1])
    if not front:
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - front[0][0])
    ends = [point[-1] for point in front[1:]] + [reference[-1]]
    volume, best = 0.0, reference[0]
    for place, (point, end) in enumerate(zip(front, ends), 1):
        if len(reference) == 2:
            best = min(best, point[0])
            area = reference[0] - best
        else:
            area = hypervolume([p[:-1] for p in front[:place]], reference[:-1]) if end > point[-1] else 0.0
        volume += area * (end - point[-1])
    return float(volume)
