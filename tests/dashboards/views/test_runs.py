"""The page of runs: workers, states, and studies in one figure."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from explorer.dashboard.launch import pages_folder
from explorer.dashboard.quantities import span_text
from explorer.space.search_space import load_space
from explorer.store import open_study
from explorer.store.lease import LEASE_SECONDS
from explorer.study.search import run_search
from tests.dashboards.conftest import (
    COMPLETE,
    FAILED,
    REASON,
    RUNNING,
    begin_study,
    confirm,
    numbers,
    write_study,
    write_timed,
)
from tests.dashboards.views.contents import runs, table_with, texts
from tests.polling import PATIENCE


def test_the_runs_page_shows_workers_and_leases(page, study):
    """A running trial shows its worker and lease, and an interrupted one waits for a worker."""
    at = page("runs")
    held = table_with(at, "lease left")
    assert list(held.trial) == [RUNNING] and list(held.status) == ["running"]
    assert held["lease left"][0] in {span_text(left) for left in range(int(LEASE_SECONDS) + 1)}
    processes = table_with(at, "cores")
    assert list(processes.training) == [f"trial {RUNNING}"] and list(processes.state) == ["training"]


def test_the_runs_page_filters_by_state(page, study):
    """The table of runs shows the selected states with their reasons."""
    at = page("runs")
    assert len(runs(at)) == COMPLETE + 4
    assert runs(at).device[0] == "a processor"
    at.selectbox(key="state").set_value("failed").run()
    table = runs(at)
    assert list(table.trial) == [FAILED] and list(table.reason) == [REASON]


def test_studies_in_one_figure(page, url):
    """Studies with the same objectives, data and training can be drawn in one figure."""
    write_study(url, "one")
    write_study(url, "two")
    at = page("runs")
    at.multiselect(key="side_by_side").set_value(["one", "two"]).run()
    assert not at.exception
    assert len(at.get("plotly_chart")) == 4
    at.multiselect(key="side_by_side").set_value([]).run()
    assert "Pick the studies" in texts(at)


def test_the_compared_studies_are_in_the_address(page, url):
    """The address follows the compared studies and opens them again; one that is not there gives a sentence."""
    for name in ("one", "two", "three"):
        write_study(url, name)
    at = page("runs", study="one")
    assert "compare" not in at.query_params
    at.multiselect(key="side_by_side").set_value(["one", "three"]).run()
    assert at.query_params == {"study": "one", "compare": ["one", "three"]}
    again = AppTest.from_file(pages_folder() / "views" / "runs.py", default_timeout=PATIENCE)
    again.query_params["study"], again.query_params["compare"] = "one", ["two", "one", "gone"]
    again.run()
    assert again.multiselect(key="side_by_side").value == ["two", "one"]
    assert "Not compared: 'gone'." in texts(again)
    assert again.query_params == {"study": "one", "compare": ["two", "one"]}
    again.query_params["compare"] = ["three"]  # the browser goes back
    again.run()
    assert again.multiselect(key="side_by_side").value == ["three"]
    again.multiselect(key="side_by_side").set_value(["one"]).run()
    assert again.query_params == {"study": "one"}


def test_studies_that_are_not_comparable_are_combined_only_on_request(page, url):
    """For studies on other data or with latencies of other machines the page names the difference, and draws them on
    request."""
    for name, data, card in (("one", "digits", "card 1"), ("two", "mnist", "card 1"), ("three", "digits", "card 3")):
        write_timed(url, name, {"digest": card, "device_name": card}, data=data)
    at = page("runs", study="one")
    at.multiselect(key="side_by_side").set_value(["one", "two"]).run()
    assert "trained with different settings: data (digits, mnist)" in texts(at)
    drawn = len(at.get("plotly_chart"))
    at.toggle(key="mix_studies").set_value(True).run()
    assert len(at.get("plotly_chart")) == drawn + 1
    at.multiselect(key="side_by_side").set_value(["one", "three"]).run()
    assert "2 environments (device_name card 1 or card 3)" in texts(at)
    figure = json.loads(at.get("plotly_chart")[-1].proto.spec)
    assert "device_name card 1 or card 3" in " ".join(note["text"] for note in figure["layout"]["annotations"]).replace(
        "<br>", " "
    )


def test_a_note_that_is_too_long_is_refused_with_a_message(page, url, study):
    """The field takes a text of any length, and saving says that it is too long."""
    at = page("runs")
    (field,) = at.text_area
    assert not field.proto.max_chars
    field.set_value("word " * 500)
    next(button for button in at.button if button.label == "Save").click().run()
    assert "a note is printable text of at most 2,000 characters, found 2,499" in texts(at)
    assert at.text_area[0].value.startswith("word word") and not open_study(url, study.name).note


def test_a_study_without_data_is_said_to_have_an_evaluate_function(page, url):
    """The picker and the header name the same thing in place of the data."""
    write_study(url, "one")
    begin_study(url, "own", data="")
    at = page("runs", study="own")
    assert "own — space preact_variants, own evaluate function" in at.selectbox(key="study").options
    assert "own evaluate function, 8 epochs, seed 0" in texts(at)


def test_studies_of_different_functions_are_combined_only_on_request(page, url):
    """Studies that were evaluated by different functions are not comparable; those of one function are."""
    space, functions = load_space("he2016_orders.yaml"), (lambda *_, **__: 0.5, lambda *_, **__: 0.25)
    for name, function in zip(("one", "two", "three"), (functions[0], *functions)):
        run_search(space, trials=2, storage=url, study=name, evaluate=function)
    at = page("runs", study="one")
    at.multiselect(key="side_by_side").set_value(["one", "two"]).run()
    assert "Not comparable" not in texts(at)
    at.multiselect(key="side_by_side").set_value(["one", "three"]).run()
    assert "Not comparable: these studies evaluated their networks with different" in texts(at)


def test_compared_studies_are_drawn_at_their_best_estimates(page, url):
    """The frontiers of compared studies have the means over fresh seeds."""
    study = write_study(url, "one")
    write_study(url, "two")
    best = study.frontier()[-1]
    for seed in range(2):
        confirm(study, best, seed, 0.95)
    at = page("runs", study="one")
    at.multiselect(key="side_by_side").set_value(["one", "two"]).run()
    traces = {trace["name"]: trace for trace in json.loads(at.get("plotly_chart")[-1].proto.spec)["data"]}
    assert max(numbers(traces["one"]["y"])) == pytest.approx(95.0)
    assert "drawn at their best estimates" in texts(at)
