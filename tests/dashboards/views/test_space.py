"""The page of a space: its exact count and all of its networks."""

from __future__ import annotations

import json

from streamlit.testing.v1 import AppTest

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
    every = sum(len(numbers(trace["x"])) for trace in cloud(at)[:-1])
    assert every == 10_368
    at.toggle(key="cloud_unseen").set_value(True)
    at.selectbox(key="cloud_colour").set_value("depth").run()
    assert [trace["name"] for trace in cloud(at)] == ["1", "2", "3", "trained"]
    assert 0 < sum(len(numbers(trace["x"])) for trace in cloud(at)[:-1]) < every


def cloud(at: AppTest) -> list[dict]:
    """Return the traces of the scatter plot, the trained networks last."""
    assert not at.exception
    return json.loads(at.get("plotly_chart")[0].proto.spec)["data"]
