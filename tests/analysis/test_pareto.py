"""The Pareto front and its hypervolume, compared with brute force."""

from __future__ import annotations

import itertools
import random

import pytest

from explorer.analysis.pareto import hypervolume, non_dominated


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b)) and tuple(a) != tuple(b)


def cells_dominated(points, reference):
    """Return the volume by counting the unit cells whose lower corner a point dominates or equals."""
    cells = itertools.product(*(range(r) for r in reference))
    return sum(any(all(x <= c for x, c in zip(p, cell)) for p in points) for cell in cells)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(25))
def test_front_equals_brute_force(dimensions, seed):
    """The front has no dominated point, all non-dominated ones, and of equal points the first."""
    draw = random.Random(seed)
    points = [tuple(draw.randrange(6) for _ in range(dimensions)) for _ in range(40)]
    expected = [
        place
        for place, point in enumerate(points)
        if not any(dominates(other, point) for other in points) and point not in points[:place]
    ]
    assert non_dominated(points) == expected


def test_an_empty_set_has_an_empty_front_without_volume():
    """Without points the front is empty and its volume is 0."""
    assert non_dominated([]) == []
    assert hypervolume([], (1.0, 1.0)) == 0.0


def test_published_example():
    """{(1,4), (2,2), (4,1)} against (5,5) dominates 11."""
    assert hypervolume([(1, 4), (2, 2), (4, 1)], (5, 5)) == 11.0


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(10))
def test_volume_equals_counted_cells(dimensions, seed):
    """The volume equals the number of dominated unit cells, also with points outside or repeated."""
    draw = random.Random(seed)
    points = [tuple(draw.randrange(8) for _ in range(dimensions)) for _ in range(12)]
    reference = (6,) * dimensions
    assert hypervolume(points + points[:3], reference) == cells_dominated(points, reference)


def test_a_point_on_the_reference_adds_nothing():
    """A point that equals the reference in one coordinate has no volume, and the next better one does."""
    assert hypervolume([(5.0, 0.0)], (5.0, 5.0)) == 0.0
    assert hypervolume([(4.0, 0.0)], (5.0, 5.0)) == 5.0
