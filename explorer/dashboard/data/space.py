"""A study's search space: its parsed form, the addresses of its networks, and how much of it a search has tried."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy
import pandas

from explorer.analysis.quantities import COSTS
from explorer.dashboard.data.trials import NOT_ASKED
from explorer.dashboard.text import safe_text
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture
from explorer.records import TrialRecord
from explorer.space.choices import Choice, Derivation, named_choices
from explorer.space.search_space import SearchSpace, parse_space
from explorer.space.shipped import shipped_spaces
from explorer.store import Study
from explorer.system.files import slug

CELLS = 20  # of the grid over a plane of two costs, along each axis
MAX_PLACES = 3_000  # points of a figure that a browser draws without delay
PLACE_CELLS = (120, 80)  # of the grid of places, along x and y: about the size of a point

SHOWN_COSTS = ("macs", *(cost for cost in COSTS if cost not in ("macs", "flops")))  # FLOPs are 2 x MACs


def space_of(study: Study, architecture: Architecture) -> SearchSpace | str:
    """Return the study's space with the input and classes of one of its networks.

    Returns:
        The space, or a sentence that says why its text cannot be read.
    """
    try:
        return _parsed(study.space_text, tuple(architecture.input), architecture.classes)
    except ExplorerError as error:
        return f"The space of this study cannot be read by this version: {error}."


@functools.lru_cache(maxsize=8)
def _parsed(text: str, shape: tuple[int, int, int], classes: int) -> SearchSpace:
    space = parse_space(text, "the study's space")
    return space if (tuple(space.input), space.classes) == (shape, classes) else space.with_input(shape, classes)


def shipped_as(study: Study) -> str | None:
    """Return the name of the shipped space that the study searches; None for a space of the user's own."""
    for name, file in shipped_spaces().items():
        if file.read_text(encoding="utf-8") == study.space_text:
            return name
    return None


def space_file(study: Study) -> str:
    """Return a file name for the study's space: that of the shipped space, or one under which to save it."""
    return shipped_as(study) or f"{slug(study.space_name)}.yaml"


def address_of(study: Study, space: SearchSpace, derivation: Derivation) -> str:
    """Return ``SPACE#choice=alternative,...``, or ``SPACE#index`` if choices alone do not name the derivation.

    Choices with their first alternative that is allowed are left out, because it is the default. Raises SpaceError if
    the space has no such derivation.
    """
    derivation = space.derivation(derivation)
    first: dict[str, str] = {}

    def choose(choice: Choice) -> str:
        first[choice.name] = choice.allowed[0]
        return derivation.choices[choice.name]

    space.derive(choose)
    named = ",".join(f"{name}={text}" for name, text in derivation.choices.items() if text != first[name])
    try:
        is_exact = bool(named) and space.named(named_choices(named)) == derivation
    except ExplorerError:
        is_exact = False
    return f"{space_file(study)}#{named if is_exact else space.rank(derivation)}"


def atlas_points(atlas: pandas.DataFrame, x: str, y: str, colour: str | None, log: bool) -> pandas.DataFrame:
    """Return the places of an atlas's networks in a plane of two costs, few enough for a browser to draw.

    Networks of equal costs have one place. If there are more than ``MAX_PLACES`` places, those in the same cell of a
    grid of ``PLACE_CELLS`` over the plane become the place of one of them.

    Args:
        atlas: One row per network of the space.
        x: Name of the cost on the x axis.
        y: Name of the cost on the y axis.
        colour: The choice point whose answers are the levels; None for one level.
        log: Whether the cells of the grid are equally wide on logarithmic axes.

    Returns:
        One row per place: x, y, level, and networks (how many there are).
    """
    level = pandas.Series("", index=atlas.index) if colour is None else atlas[colour].astype(object).fillna(NOT_ASKED)
    points = pandas.DataFrame({"x": atlas[x].astype(float), "y": atlas[y].astype(float), "level": level})
    points = points.groupby(["x", "y", "level"], as_index=False, sort=False).size().rename(columns={"size": "networks"})
    if len(points) <= MAX_PLACES:
        return points
    cells = [_cells(points[axis], points[axis], count, log) for axis, count in zip("xy", PLACE_CELLS, strict=True)]
    groups = points.groupby([*cells, points.level], sort=False)
    return groups.agg({"x": "first", "y": "first", "level": "first", "networks": "sum"}).reset_index(drop=True)


def _cells(
    values: pandas.Series[float], every: pandas.Series[float], count: int, log: bool
) -> numpy.ndarray[tuple[int], numpy.dtype[numpy.int_]]:
    """Return the number of each value's cell, of ``count`` between the smallest and the largest of ``every``."""
    low, high = every.min(), every.max()
    edges = numpy.geomspace(low, high, count + 1) if log and low > 0 else numpy.linspace(low, high, count + 1)
    return numpy.searchsorted(edges[1:-1], values.to_numpy(float), "right")


def trained_points(records: Sequence[TrialRecord], x: str, y: str) -> pandas.DataFrame:
    """Return one row per trial: the costs x and y, and trial."""
    rows = [(record.costs[x], record.costs[y], record.number) for record in records]
    return pandas.DataFrame(rows, columns=["x", "y", "trial"]).astype({"x": float, "y": float})


def coverage(
    atlas: pandas.DataFrame, trained: pandas.DataFrame, x: str, y: str, log: bool
) -> tuple[numpy.ndarray[tuple[int], numpy.dtype[numpy.bool_]], int, int]:
    """Return how much of the plane of two costs is covered by trained networks.

    The plane is divided into ``CELLS`` x ``CELLS`` cells between the smallest and the largest costs of the atlas.

    Args:
        atlas: One row per network of the space.
        trained: As ``trained_points`` returns it.
        x: Name of the cost on the x axis.
        y: Name of the cost on the y axis.
        log: Whether the cells are equally wide on logarithmic axes.

    Returns:
        For each row of the atlas, whether its cell holds a trained network; the number of cells that hold networks; and
        the number of those that hold a trained one.
    """
    every, done = numpy.zeros(len(atlas), int), numpy.zeros(len(trained), int)
    for name, own in ((x, trained.x), (y, trained.y)):
        every = every * CELLS + _cells(atlas[name], atlas[name], CELLS, log)
        done = done * CELLS + _cells(own, atlas[name], CELLS, log)
    cells = numpy.unique(every)
    return numpy.isin(every, done), len(cells), int(numpy.isin(cells, done).sum())


def untried_alternatives(
    atlas: pandas.DataFrame, records: Sequence[TrialRecord], names: Sequence[str]
) -> pandas.DataFrame:
    """Return the alternatives that no trial has, with their share of the space in percent, the largest first.

    Args:
        atlas: One row per network of the space.
        records: The trials.
        names: The atlas's columns of choices.
    """
    rows = []
    for name in names:
        column = name.removeprefix("choice.")
        taken = {record.choices.get(column) for record in records}
        shares = atlas[name].value_counts(normalize=False)
        for level, count in shares.items():
            if count and level not in taken:
                rows.append((safe_text(column, "cell"), safe_text(level, "cell"), 100 * count / len(atlas)))
    table = pandas.DataFrame(rows, columns=["choice", "alternative", "share of the space (%)"])
    return table.sort_values("share of the space (%)", ascending=False, ignore_index=True)
