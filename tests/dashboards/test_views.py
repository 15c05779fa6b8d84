"""The dashboard's other pages, run without a browser."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shlex
import zipfile

import pytest
from streamlit.testing.v1 import AppTest

from explorer.costs.analytic import count_cost
from explorer.dashboard.launch import STORAGE_VARIABLE, pages_folder
from explorer.dashboard.panels.export import zipped_export
from explorer.dashboard.quantities import change_of, unit_of
from explorer.errors import ExportError
from explorer.records import BlockFlow, GradientFlow
from explorer.space.choices import named_choices
from explorer.space.search_space import load_space
from explorer.store import open_study
from explorer.store.gradient_flows import save_gradient_flow
from explorer.store.lease import LEASE_SECONDS
from explorer.store.rows import Ending, Proposal
from explorer.study.search import run_search
from tests.dashboards.conftest import (
    COMPLETE,
    EPOCHS,
    FAILED,
    REASON,
    RUNNING,
    begin_study,
    ending,
    numbers,
    proposal,
    small_space,
    write_study,
)
from tests.dashboards.payloads import HOSTILE

ROOT = pages_folder()
PAGES = ("architecture", "effects", "space", "runs")


@pytest.fixture
def page(url, monkeypatch):
    """Run one page of ``url`` and return its contents."""

    def draw(name: str, storage: str = url, **session) -> AppTest:
        monkeypatch.setenv(STORAGE_VARIABLE, storage)
        at = AppTest.from_file(ROOT / "views" / f"{name}.py", default_timeout=60)
        for key, value in session.items():
            at.session_state[key] = value
        return at.run()

    return draw


def texts(at: AppTest) -> str:
    assert not at.exception
    return "\n".join(str(element.value) for element in [*at.text, *at.code, *at.caption, *at.markdown, *at.subheader])


def runs(at: AppTest):
    """Return the table of trials on the page of runs."""
    assert not at.exception
    return next(frame.value for frame in at.dataframe if "reason" in frame.value)


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


def test_the_page_of_one_network(page, study):
    """A network's page shows its block, its costs by part, and each neighbour with its index in the space."""
    at = page("architecture")
    assert f"trial {study.frontier()[-1].number} · complete" in texts(at)
    assert len(at.get("graphviz_chart")) == 2
    assert {"order", "act"} <= set(neighbours(at).choice)
    trial = study.trial(study.frontier()[-1].number)
    row = next(row for row in neighbours(at).itertuples() if row.choice == "act")
    assert dict(small_space().unrank(int(row.derivation)).choices) == {**trial.choices, "act": row.instead}
    at.toggle(key="show_code").set_value(True).run()
    assert "class Network" in texts(at) and "stem:" in texts(at)


def neighbours(at: AppTest):
    """Return the table of neighbours, the networks that differ in one choice."""
    assert not at.exception
    return next(frame.value for frame in at.dataframe if "instead" in frame.value)


def beside(study, number: int, instead: dict) -> None:
    """Write a trial of the network that differs from trial ``number`` in ``instead``."""
    space = small_space()
    choices = {**study.trial(number).choices, **instead}
    architecture = space.architecture(space.named(choices))
    costs = count_cost(architecture).to_dict()
    writer = begin_study(study.storage, study.name)
    writer.begin(COMPLETE + 4, Proposal(architecture.digest, architecture.to_json(), choices, costs, 0))
    writer.finish(COMPLETE + 4, ending(0.9))


def test_a_trained_neighbour_opens_as_its_trial(page, study):
    """A neighbour's button opens its trial and changes the address, and the old address returns."""
    other = next(act for act in ("relu", "silu") if act != study.trial(0).choices["act"])
    beside(study, 0, {"act": other})
    at = page("architecture")
    (home,) = at.multiselect(key="compared").value
    assert not at.query_params
    at.multiselect(key="compared").set_value([0]).run()
    assert at.query_params == {"study": study.name, "trial": "0"}
    button = next(button for button in at.button if f"trial {COMPLETE + 4}" in button.label)
    assert button.label == f"{other} · ±0% MACs · trial {COMPLETE + 4}, 90.0%"
    button.click().run()
    assert f"trial {COMPLETE + 4} · complete · 90.0%" in texts(at)
    assert at.query_params == {"study": study.name, "trial": str(COMPLETE + 4)}
    at.query_params["trial"] = "0"
    at.run()
    assert "trial 0 · complete" in texts(at)
    at.query_params.clear()
    at.run()
    assert at.multiselect(key="compared").value == [home]
    assert not at.query_params


def test_an_untrained_neighbour_shows_its_costs(page, study):
    """The page shows its costs beside the trial's, its block, its own neighbours and the command that trains it."""
    at = page("architecture")
    trial = study.trial(study.frontier()[-1].number)
    row = next(row for row in neighbours(at).itertuples() if row.choice == "depth")
    at.button(key=f"neighbour_{row.derivation}").click().run()
    assert "No trial holds this network." in texts(at)
    table = at.dataframe[0].value.set_index("")
    space = small_space()
    other = space.unrank(int(row.derivation))
    costs = count_cost(space.architecture(other)).to_dict()
    assert table.loc["MACs", "this network"] == unit_of("macs", [costs["macs"]]).of(costs["macs"])
    assert table.loc["MACs", "change"] == change_of("macs", costs, trial.costs)
    assert list(table.loc["depth"])[1:3] == [trial.choices["depth"], row.instead]
    assert at.get("graphviz_chart")
    words = shlex.split(next(code.value for code in at.code if code.value.startswith("explorer train")))
    name, _, choices = words[2].partition("#")
    assert name == "preact_variants.yaml"
    assert space.named(named_choices(choices)) == other
    assert words[3:] == ["--data", "digits", "--epochs", str(EPOCHS)]
    back = next(row for row in neighbours(at).itertuples() if row.choice == "depth" and row.state == "complete")
    assert back.trial == trial.number
    at.button(key="back").click().run()
    assert f"trial {trial.number} · complete" in texts(at)


def test_an_address_opens_study_trials_and_network(page, url, monkeypatch):
    """An address may name study, trials and a network, and an unknown one gives a sentence."""
    write_study(url, "one")
    write_study(url, "two")
    monkeypatch.setenv(STORAGE_VARIABLE, url)

    def visit(**query) -> str:
        at = AppTest.from_file(ROOT / "views/architecture.py", default_timeout=60)
        for name, value in query.items():
            at.query_params[name] = value
        return f"{at.run().selectbox(key='study').value}: {texts(at)}"

    assert visit(study="one", trial="3").startswith("one: trial 3 · ")
    assert visit(study="two", trial=["3", "4"]).startswith("two: trial 3 · ")
    assert "derivation 5 of 10,368" in visit(study="one", network="5")
    assert "names trial 999; this study has trials 0 to 23" in visit(study="one", trial="999")
    assert "trial '<b>'" in visit(study="one", trial="<b>")
    assert "study '<img>', which is not in this storage" in visit(study="<img>", trial="1")
    assert "index 99999 is outside the space" in visit(study="one", network="99999")


def test_two_networks_side_by_side(page, study):
    """Of two networks, differences are marked, and equal rows are shown on request."""
    at = page("architecture")
    at.multiselect(key="compared").set_value([0, 3]).run()
    differing = at.dataframe[0].value
    assert list(differing.columns[2:]) == ["trial 0", "trial 3", "change"]
    assert (differing["trial 0"] != differing["trial 3"]).all()
    at.toggle(key="only_differences").set_value(False).run()
    every = at.dataframe[0].value
    assert len(every) > len(differing)
    same = every[every.differs == ""]
    assert (same["trial 0"] == same["trial 3"]).all()


def test_among_many_trials_any_number_can_be_typed(page, study, monkeypatch):
    """With many trials the list offers the front and any typed number; an invalid number gives a message and keeps the
    others."""
    monkeypatch.setattr("explorer.dashboard.session.LISTED", 2)
    at = page("architecture")
    front = sorted(trial.number for trial in study.frontier())
    assert at.multiselect(key="compared").options == [str(number) for number in front]
    at.multiselect(key="compared").set_value([str(FAILED)]).run()
    assert f"trial {FAILED} · failed" in texts(at)
    assert str(FAILED) in at.multiselect(key="compared").options
    at.multiselect(key="compared").set_value([FAILED, "999", "<b>"]).run()
    assert f"No trial 999, <b>: this study has trials 0 to {RUNNING}" in texts(at)
    assert at.multiselect(key="compared").value == [FAILED]


def test_a_trial_that_ends_stays_selected(page, study):
    """A trial has the same label before and after it ends, so that the browser's selection stays."""
    writer = begin_study(study.storage, study.name)
    writer.begin(RUNNING + 1, proposal(RUNNING + 1))
    at = page("architecture")
    at.multiselect(key="compared").set_value([RUNNING + 1]).run()
    before = at.multiselect(key="compared").options
    writer.finish(RUNNING + 1, ending(0.9))
    at.run()
    assert at.multiselect(key="compared").options == before
    assert f"trial {RUNNING + 1} · complete" in texts(at)


def test_a_failed_trial_shows_its_reason(page, study):
    """A failed trial's page shows its reason and its network."""
    at = page("architecture")
    at.multiselect(key="compared").set_value([FAILED]).run()
    assert REASON in texts(at)
    assert at.get("graphviz_chart")


def test_effects_follow_the_choice_of_quantities(page, study):
    """Objective, cost and every choice on the page can be picked, and the table follows."""
    at = page("effects")
    assert {"at equal MACs", "all else equal", "on the frontier"} <= set(effects_table(at))
    at.selectbox(key="at_equal").set_value("params").run()
    at.selectbox(key="effects_of").set_value("act").run()
    at.selectbox(key="curves_of").set_value("act").run()
    at.selectbox(key="interaction_rows").set_value("order").run()
    at.selectbox(key="spread_by").set_value("act").run()
    assert "at equal parameters" in effects_table(at)
    assert set(effects_table(at).choice) == {"act"}
    at.multiselect(key="curves_levels_act").set_value([]).run()
    assert not at.exception


def effects_table(at: AppTest):
    """The table of effects."""
    assert not at.exception
    return next(frame.value for frame in at.dataframe if "against" in frame.value)


def test_effects_that_cannot_be_told_have_no_number(page, url):
    """Of two networks that differ in one choice nothing can be told: there is no number, and a note says what is
    missing; with more networks there are numbers."""
    writer = begin_study(url, "growing")

    def train(numbers) -> None:
        for number in numbers:
            choices = {"order": "ab"[number % 2], "act": "xy"[number // 2 % 2], "depth": str(number // 4)}
            writer.begin(number, proposal(number, choices=choices, costs={"macs": 1e6 * (1 + number // 4)}))
            writer.finish(number, ending(0.5 + number / 100))

    train(range(2))
    at = page("effects")
    assert effects_table(at)["all else equal"].isna().all()
    assert "3 are needed" in texts(at)
    assert "These networks differ in only one choice." in texts(at)
    train(range(2, 16))
    at.run()
    assert effects_table(at)["all else equal"].notna().any()


@pytest.mark.parametrize(
    "kind", ["one network", "one factor", "hostile texts", pytest.param("sixty levels", marks=pytest.mark.slow)]
)
def test_the_effects_page_draws_odd_studies(kind, page, url):
    """A study of one network, of one choice, of a choice with 60 levels, or with hostile texts is drawn or is a
    sentence."""
    writer = begin_study(url, "odd")
    for number in range({"one network": 1, "sixty levels": 120}.get(kind, 16)):
        text = HOSTILE[number % 2]
        choices = {
            "one network": {"kind": "a"},
            "one factor": {"kind": "ab"[number % 2]},
            "sixty levels": {"kind": f"level {number % 60}", "act": str(number // 60)},
            "hostile texts": {HOSTILE[2]: text, HOSTILE[3]: f"{text}{number // 2 % 3}"},
        }[kind]
        writer.begin(number, proposal(number, choices=choices, costs={"macs": 1e6 + number}))
        writer.finish(number, ending(0.5 + number / 1000))
    at = page("effects")
    assert not at.exception and not at.error
    if kind == "one network":
        assert "needs at least two networks" in texts(at)
    else:
        assert len(effects_table(at)) == {"one factor": 1, "sixty levels": 60, "hostile texts": 6}[kind]


def test_the_space_page_shows_the_exact_count(page, study):
    """The space page shows the exact count, the choices and the file."""
    at = page("space")
    assert next(metric.value for metric in at.metric if metric.label == "derivations") == "10,368"
    assert {"order", "attn"} <= set(next(frame.value for frame in at.dataframe if "options" in frame.value).choice)
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


def test_the_runs_page_shows_workers_and_leases(page, study):
    """A running trial shows its worker and lease, and an interrupted one waits for a worker."""
    at = page("runs")
    held = next(frame.value for frame in at.dataframe if "lease left (s)" in frame.value)
    assert list(held.trial) == [RUNNING] and list(held.status) == ["running"]
    assert 0 < held["lease left (s)"][0] <= LEASE_SECONDS


def test_recorded_gradients_are_drawn(page, study):
    """A network's page draws its recorded gradient flow, or explains how to record one."""
    assert "--record-gradients" in texts(page("architecture"))
    trial = study.frontier()[-1]
    blocks = tuple(BlockFlow(1, k, 0.1 * k, 0.5, 0.6, 0.1, 1.0) for k in (1, 2, 3))
    save_gradient_flow(study, GradientFlow(trial.digest, 0, 32, "digits", 2.3, blocks))
    at = page("architecture")
    assert "32 images of digits" in texts(at)
    assert len(at.get("plotly_chart")) == 3


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


def write_timed(url: str, name: str, *environments: dict, data: str = "digits") -> None:
    """Write a study of four trials whose latencies were measured in these environments in turn."""
    writer = begin_study(url, name, {"accuracy": "max", "latency_ms": "min"}, data=data)
    for number in range(4):
        environment = {"versions": {}, "limits": {}, **environments[number % len(environments)]}
        made = proposal(number, costs={"latency_ms": 1.0 + number})
        latency = {"environment": environment, "contended": False, "notes": []}
        writer.begin(number, dataclasses.replace(made, latency=latency))
        writer.finish(number, ending(0.5 + number / 10, latency_ms=1.0 + number))


def test_a_selection_box_filters_every_page(page, study):
    """Effects, runs and the space's marks show only the networks in a selected box until a button clears it."""
    identity = (study.storage, study.name, study.created)
    selected = (identity, frozenset(range(6)))
    at = page("runs", selected=selected)
    assert list(runs(at).trial) == list(range(6))
    assert "Only the 6 networks in the selection box" in texts(at)
    assert "Only the 6 networks in the selection box" in texts(page("effects", selected=selected))
    assert "Only the 6 networks in the selection box" in texts(page("space", selected=selected))
    at.button(key="show_all").click().run()
    assert len(runs(at)) == COMPLETE + 4


@pytest.mark.slow
def test_a_zip_file_contains_the_export(url, tmp_path):
    """The export on the page contains what ``explorer export`` writes, and a failure gives a sentence."""
    from explorer.space.search_space import parse_space

    text = """
name: tiny
input: 1x8x8
classes: 10
stem: conv3x3(4) post
stages: {blocks: 1, width: 4}
block: conv3x3 bn act +
head: gap fc
grammar: {act: relu | silu}
"""
    study = run_search(parse_space(text), data="digits", trials=1, epochs=1, storage=url, workers=1).study
    with zipfile.ZipFile(io.BytesIO(zipped_export(study, study.trial(0), url))) as archive:
        names = set(archive.namelist())
    assert {"trial-0/model.py", "trial-0/model.safetensors", "trial-0/architecture.json"} <= names
    writer = begin_study(url, "other")
    writer.begin(0, proposal(0))
    writer.finish(0, Ending("failed", reason="it broke"))
    other = open_study(url, "other")
    with pytest.raises(ExportError, match="no trained weights"):
        zipped_export(other, other.trial(0), url)


def test_budget_and_earlier_front(url, study, monkeypatch):
    """A budget gives the best network within it, and an earlier front can be drawn."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
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


def test_latencies_of_two_machines_are_mixed_only_on_request(url, monkeypatch):
    """Latencies of two environments are drawn together only on request, with a warning."""
    write_timed(url, "two machines", *({"digest": f"d{n}", "device_name": f"card {n}"} for n in (0, 1)))
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
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
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    at.select_slider(key="budget_timed_latency_ms").set_value(2.0).run()
    assert "Best within budget: trial 1, validation accuracy 60.0%, latency 2 ms" in texts(at)
    at.button(key="show_best").click().run()
    assert "trial 1 · complete · 60.0% · 2 ms latency" in texts(at)


def test_the_front_page_shows_its_growth(url, study, monkeypatch):
    """The page shows hypervolume over trials and over seconds, and the earlier front with its time."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    axes = [json.loads(chart.proto.spec)["layout"]["xaxis"] for chart in at.get("plotly_chart")]
    titles = {axis["title"]["text"] for axis in axes if "title" in axis}
    assert {"complete trials", "seconds of training, all workers together"} <= titles
    at.toggle(key="earlier").set_value(True).run()
    assert at.select_slider(key=f"before_{study.name}").options[4].startswith("5 of 20 trials, 0.0 min")
    drawn = [json.loads(chart.proto.spec)["data"] for chart in at.get("plotly_chart")]
    assert any(trace.get("name") == "earlier frontier" for traces in drawn for trace in traces)
