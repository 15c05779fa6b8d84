"""The page of a space: its exact count and all of its networks."""

from __future__ import annotations

import json

import numpy as np
import pandas
from streamlit.testing.v1 import AppTest

from explorer.dashboard.data.space import PLACE_CELLS, atlas_points
from tests.dashboards.conftest import (
    numbers,
)
from tests.dashboards.views.contents import table_with, texts


def test_the_space_page_shows_the_exact_count(page, study):
    """The space page shows the exact count, the choices and the file."""
    at = page("space")
    assert next(metric.value for metric in at.metric if metric.label == "derivations") == "10,368"
    assert {"order", "attn"} <= set(table_with(at, "options").choice)
    assert "grammar:" in texts(at)


def test_the_space_page_draws_every_network(page, study):
    """A small space's scatter plot shows all networks, can show the trained ones alone, and can be coloured by any
    choice."""
    at = page("space")
    caption = next(text.value for text in at.caption if "Small points" in text.value)
    assert "all 10,368 networks of the space" in caption and "20×20" in caption
    assert networks(at) == 10_368
    at.toggle(key="cloud_unseen").set_value(True)
    at.selectbox(key="cloud_colour").set_value("depth").run()
    assert [trace["name"] for trace in cloud(at)] == ["1", "2", "3", "trained"]
    assert 0 < networks(at) < 10_368


def test_many_places_become_fewer():
    """Networks of equal costs share a point; of very many places those next to each other do, and none is lost."""
    costs = np.random.default_rng(0).uniform(1e6, 1e8, (20_000, 2))
    atlas = pandas.DataFrame({"macs": costs[:, 0], "params": costs[:, 1], "act": ["relu", "silu"] * 10_000})
    for log in (False, True):
        points = atlas_points(atlas, "macs", "params", "act", log)
        assert points.networks.sum() == len(atlas) and len(points) <= 2 * PLACE_CELLS[0] * PLACE_CELLS[1]
        assert len(points.merge(atlas, left_on=["x", "y", "level"], right_on=["macs", "params", "act"])) == len(points)
    few = pandas.concat([atlas.head(100)] * 200, ignore_index=True)
    assert list(atlas_points(few, "macs", "params", None, True).networks) == [200] * 100


def cloud(at: AppTest) -> list[dict]:
    """Return the traces of the scatter plot, the trained networks last."""
    assert not at.exception
    return json.loads(at.get("plotly_chart")[0].proto.spec)["data"]


def networks(at: AppTest) -> int:
    """Return how many networks the points of the scatter plot stand for."""
    return int(sum(sum(numbers(trace["customdata"])) for trace in cloud(at)[:-1]))
