"""The page of the front: budgets, its growth, and latencies of several machines."""

from __future__ import annotations

import io
import json
import os

import pandas
import pytest
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from explorer.dashboard.launch import STORAGE_VARIABLE, pages_folder
from tests.dashboards.conftest import (
    COMPLETE,
    FAILED,
    begin_study,
    confirm,
    ending,
    proposal,
    write_timed,
)
from tests.dashboards.views.contents import table_with, texts
from tests.polling import PATIENCE

APP = pages_folder() / "app.py"


def test_budget_and_earlier_front(url, study, monkeypatch):
    """A budget gives the best network within it, and an earlier front can be drawn."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    at = AppTest.from_file(APP, default_timeout=PATIENCE).run()
    macs = sorted({record.costs["macs"] for record in study.trials() if record.state == "complete"})
    at.select_slider(key=f"budget_{study.name}_macs").set_value(macs[1]).run()
    assert not at.exception
    fitting = [r for r in study.trials() if r.state == "complete" and r.costs["macs"] <= macs[1]]
    best = max(fitting, key=lambda record: record.objectives["accuracy"])
    assert f"Best within budget: trial {best.number}," in texts(at)
    at.button(key="show_best").click().run()
    assert at.selectbox(key="trial").value == best.number
    at.toggle(key="earlier").set_value(True).run()
    assert not at.exception
    writer = begin_study(os.environ[STORAGE_VARIABLE], study.name)
    writer.begin(COMPLETE + 4, proposal(COMPLETE + 4))
    writer.finish(COMPLETE + 4, ending(0.9))
    at.run()
    assert not at.exception


def test_a_budget_of_a_link_stays_as_given(url, study, monkeypatch):
    """The best network under a budget fits it, also between the costs of two networks that look alike when rounded."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    macs = sorted({record.costs["macs"] for record in study.trials() if record.state == "complete"})
    for bound in ((macs[1] + macs[2]) / 2, macs[1], macs[2] - 1, macs[0] - 1, macs[-1] + 1):
        at = AppTest.from_file(APP, default_timeout=PATIENCE)
        at.query_params.update({"study": study.name, "under": f"{bound:.17g}"})
        at.run()
        assert not at.exception
        assert float(at.query_params["under"]) == bound
        fitting = [r for r in study.trials() if r.state == "complete" and r.costs["macs"] <= bound]
        best = max(fitting, key=lambda record: record.objectives["accuracy"], default=None)
        shown = next(text.value for text in at.text if text.value.startswith(("Best under", "No complete")))
        expected = "No complete trial is within this budget." if best is None else f": trial {best.number},"
        assert expected in shown


def test_the_best_network_within_the_budget_is_beside_the_plot(url, study, monkeypatch):
    """The panel follows the budget until the user picks a trial."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    front = [trial.number for trial in study.frontier()]
    costs = {trial.number: trial.costs["macs"] for trial in study.frontier()}
    at = AppTest.from_file(APP, default_timeout=PATIENCE)
    at.query_params.update({"study": study.name, "under": str(costs[front[1]])})
    at.run()
    assert at.selectbox(key="trial").value == at.session_state["marked"] == front[1]
    assert "trial" not in at.query_params
    at.select_slider(key=f"budget_{study.name}_macs").set_value(costs[front[0]]).run()
    assert at.selectbox(key="trial").value == at.session_state["marked"] == front[0]
    at.selectbox(key="trial").set_value(FAILED).run()
    at.select_slider(key=f"budget_{study.name}_macs").set_value(costs[front[1]]).run()
    assert at.selectbox(key="trial").value == FAILED


def test_one_network_has_one_accuracy_with_one_interval(url, study, monkeypatch):
    """With fresh seeds, sentence, panel, hover text, table and CSV show the best estimate; the value of the search is
    labelled."""
    best = study.frontier()[-1]
    for trial, values in ((best, (0.70, 0.74)), (study.frontier()[0], (0.5,))):
        for seed, value in enumerate(values):
            confirm(study, trial, seed, value)
    saved = []
    monkeypatch.setattr(DeltaGenerator, "download_button", lambda self, label, data, *_, **__: saved.append(data))
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    at = AppTest.from_file(APP, default_timeout=PATIENCE).run()
    known = study.estimates()[best.number]
    assert known.interval.startswith("72.0% ± ")
    assert f"trial {best.number}, {known.interval} accuracy (test, 2 fresh seeds)" in texts(at)
    own = f"{best.objectives['accuracy']:.1%}"
    assert f"trial {best.number} · complete · {known.interval} (test, 2 fresh seeds; in the search {own})" in texts(at)
    traces = [trace for chart in at.get("plotly_chart") for trace in json.loads(chart.proto.spec)["data"]]
    hovers = "\n".join(text for trace in traces for text in trace.get("text") or ())
    one = study.estimates()[study.frontier()[0].number]
    assert str(known) in hovers and str(one) in hovers and "± 0.0" not in hovers
    at.button(key="prepare_csv").click().run()
    csv = pandas.read_csv(io.StringIO(saved[-1]))
    table = table_with(at, "fresh seeds")
    assert list(csv.columns) == list(table.columns) and "stays (%)" in csv
    assert csv["validation accuracy (%)"][best.number] == pytest.approx(72.0)
    assert csv["fresh seeds"].tolist() == table["fresh seeds"].tolist()


def test_latencies_of_two_machines_are_mixed_only_on_request(url, monkeypatch):
    """Latencies of two environments are drawn together only on request, with a warning."""
    write_timed(url, "two machines", *({"digest": f"d{n}", "device_name": f"card {n}"} for n in (0, 1)))
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    at = AppTest.from_file(APP, default_timeout=PATIENCE).run()
    assert "2 environments (device_name card 0 or card 1)" in texts(at)
    drawn = len(at.get("plotly_chart"))
    at.toggle(key="mix_environments").set_value(True).run()
    assert "2 environments" in texts(at)
    assert len(at.get("plotly_chart")) == drawn + 1
    assert any("latencies of 2" in chart.proto.spec for chart in at.get("plotly_chart"))


def test_a_budget_may_be_of_measured_latency(url, monkeypatch):
    """A latency budget gives the best network within it, with its latency."""
    write_timed(url, "timed", {"digest": "d", "device_name": "a card"})
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    at = AppTest.from_file(APP, default_timeout=PATIENCE).run()
    at.select_slider(key="budget_timed_latency_ms").set_value(2.0).run()
    assert "Best within budget: trial 1, validation accuracy 60.0%, latency 2 ms" in texts(at)
    at.button(key="show_best").click().run()
    assert "trial 1 · complete · 60.0% · 2 ms latency" in texts(at)


def test_the_front_page_shows_its_growth(url, study, monkeypatch):
    """The page shows hypervolume over trials and over seconds, and the earlier front with its time."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    at = AppTest.from_file(APP, default_timeout=PATIENCE).run()
    at.session_state["below"] = "Growth of the frontier"
    at.run()
    axes = [json.loads(chart.proto.spec)["layout"]["xaxis"] for chart in at.get("plotly_chart")]
    titles = {axis["title"]["text"] for axis in axes if "title" in axis}
    assert {"complete trials", "seconds of training, all workers together"} <= titles
    at.toggle(key="earlier").set_value(True).run()
    assert at.select_slider(key=f"before_{study.name}").options[4].startswith("5 of 20 trials, ")
    drawn = [json.loads(chart.proto.spec)["data"] for chart in at.get("plotly_chart")]
    assert any(trace.get("name") == "earlier frontier" for traces in drawn for trace in traces)


def test_a_link_to_what_is_not_there_says_so(url, study, monkeypatch):
    """A trial, an axis, a scale or a budget of the address that the study does not have gives a sentence; the rest of
    the address is followed."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    for query, sentence in (
        ({"trial": "9999"}, f"The address names trial 9,999; this study has trials 0 to {COMPLETE + 3}."),
        ({"trial": "-1"}, "The address names trial '-1', which is not a whole number from 0."),
        ({"x": "beauty", "under": "much"}, "The address has x=beauty, under=much, which this study does not have."),
        ({"trial": "abc", "scale": "linear"}, "The address names trial 'abc', which is not a whole number from 0."),
        ({"trial": "3"}, ""),
    ):
        at = AppTest.from_file(APP, default_timeout=PATIENCE)
        for name, value in {"study": study.name, **query}.items():
            at.query_params[name] = value
        at.run()
        assert [line for line in texts(at).splitlines() if line.startswith("The address")] == [sentence][
            : bool(sentence)
        ]
        assert at.toggle(key="log").value == ("scale" not in query)
        assert (at.selectbox(key="trial").value == 3) == (query == {"trial": "3"})
