"""A space's networks and those that were trained, as tables: where has the search not been? Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import pandas

from dashboards.tables import NOT_ASKED
from dashboards.text import safe_text
from explorer.records import TrialRecord

CELLS = 20  # of the grid over a plane of two costs, along each axis


def cloud_points(atlas: pandas.DataFrame, x: str, y: str, colour: str | None) -> pandas.DataFrame:
    """What ``cost_figures.cloud_figure`` draws of an atlas: x, y and the level of the choice point ``colour``."""
    level = pandas.Series("", index=atlas.index) if colour is None else atlas[colour].astype(object).fillna(NOT_ASKED)
    return pandas.DataFrame({"x": atlas[x].astype(float), "y": atlas[y].astype(float), "level": level})


def trained_points(records: Sequence[TrialRecord], x: str, y: str) -> pandas.DataFrame:
    """One row a trial: x, y, trial."""
    rows = [(record.costs[x], record.costs[y], record.number) for record in records]
    return pandas.DataFrame(rows, columns=["x", "y", "trial"]).astype({"x": float, "y": float})


def coverage(
    atlas: pandas.DataFrame, trained: pandas.DataFrame, x: str, y: str, log: bool
) -> tuple[numpy.ndarray, int, int]:
    """Over a grid of CELLS x CELLS in the plane of two costs: for each row of the atlas whether a trained network lies
    in its cell; the number of cells with networks; and of those with a trained one."""
    every, done = numpy.zeros(len(atlas), int), numpy.zeros(len(trained), int)
    for name, own in ((x, trained.x), (y, trained.y)):
        low, high = atlas[name].min(), atlas[name].max()
        edges = numpy.geomspace(low, high, CELLS + 1) if log and low > 0 else numpy.linspace(low, high, CELLS + 1)
        inner = edges[1:-1]
        every = every * CELLS + numpy.searchsorted(inner, atlas[name].to_numpy(float), "right")
        done = done * CELLS + numpy.searchsorted(inner, own.to_numpy(float), "right")
    cells = numpy.unique(every)
    return numpy.isin(every, done), len(cells), int(numpy.isin(cells, done).sum())


def untried(atlas: pandas.DataFrame, records: Sequence[TrialRecord], names: Sequence[str]) -> pandas.DataFrame:
    """The alternatives that no trial of ``records`` took: choice, alternative, share of the space in percent."""
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
