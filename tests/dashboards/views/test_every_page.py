"""Every page draws every kind of study, run without a browser."""

from __future__ import annotations

import pytest

from explorer.space.search_space import load_space
from explorer.store.rows import Ending
from explorer.study.search import run_search
from tests.dashboards.conftest import (
    COMPLETE,
    REASON,
    begin_study,
    ending,
    proposal,
)
from tests.dashboards.views.contents import runs, texts

PAGES = ("architecture", "effects", "space", "runs")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_draws_a_study(name, page, study):
    """Each page draws a study with trials of every state."""
    at = page(name)
    assert not at.exception and not at.error
    assert at.selectbox(key="study").value == study.name
    assert at.get("plotly_chart")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("trials", [None, 0, 1])
def test_every_page_reports_missing_data(name, trials, page, url):
    """Without a storage, without trials, and with only a running trial, each page gives a sentence about it."""
    if trials is not None:
        writer = begin_study(url, "young")
        for number in range(trials):
            writer.begin(number, proposal(number))
    at = page(name)
    assert texts(at)
    assert not at.error


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> str:
    """A storage that ``run_search`` wrote; only read by the tests."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('searched')}/explorer.db"
    run_search(
        load_space("he2016_orders.yaml"),
        trials=4,
        storage=storage,
        study="real",
        objectives={"quality": "max", "joules": "min"},
        evaluate=lambda arch, **_: {"quality": 1 / len(arch.to_json())},
        costs={"joules": lambda arch, choices: len(arch.to_json()) % 97 + 1.0},
    )
    return storage


@pytest.mark.parametrize("name", PAGES)
def test_every_page_draws_the_study_of_a_search(name, page, searched):
    """The pages draw a study of ``run_search`` with a user's evaluation function and objectives."""
    at = page(name, searched)
    assert not at.exception and not at.error


@pytest.fixture(scope="module", params=["three objectives", "all failed"])
def odd(request, tmp_path_factory) -> tuple[str, str]:
    """The kind and the storage of a study of three objectives, or of one whose trials all failed."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('odd')}/explorer.db"
    writer = begin_study(storage, "odd", {"latency_ms": "min", "accuracy": "max", "params": "min"})
    for number in range(12):
        writer.begin(number, proposal(number))
        done = ending(0.5 + number / 50, latency_ms=1.0 + number % 5)
        writer.finish(number, Ending("failed", reason=REASON) if request.param == "all failed" else done)
    return request.param, storage


@pytest.mark.parametrize("name", ["frontier", *PAGES])
def test_every_page_draws_unusual_studies(name, odd, page):
    """Pages draw a study with three objectives and a study whose trials all failed."""
    kind, storage = odd
    at = page(name, storage)
    assert not at.exception and not at.error
    if name == "frontier" and kind == "three objectives":
        assert at.selectbox(key="cost").value == "latency_ms"


def test_a_selection_box_filters_every_page(page, study):
    """Effects, the list of runs and the space's marks show only the networks in a selected box until a button clears
    it; a line says so, on the page of runs above everything that shows all trials."""
    identity = (study.storage, study.name, study.created)
    selected = (identity, frozenset(range(6)))
    at = page("runs", selected=selected)
    assert list(runs(at).trial) == list(range(6))
    said = [text.value for text in at.text]
    assert "The list of trials shows only the 6 networks in the selection box." in said[:6]
    assert "Only the 6 networks in the selection box" in texts(page("effects", selected=selected))
    assert "Only the 6 networks in the selection box" in texts(page("space", selected=selected))
    at.button(key="show_all").click().run()
    assert len(runs(at)) == COMPLETE + 4


def test_levels_outside_a_selection_box_are_tried(page, study):
    """A level that the study tried is not called untried because a selection box leaves it out."""
    selected = ((study.storage, study.name, study.created), frozenset(range(4)))
    said = [line for line in texts(page("effects")).splitlines() if line.startswith("Levels ")]
    assert said == [
        line for line in texts(page("effects", selected=selected)).splitlines() if line.startswith("Levels ")
    ]
