"""The page of an architecture: its neighbours, its comparison, its address and its export."""

from __future__ import annotations

import io
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
from explorer.store import open_study
from explorer.store.rows import Ending, Proposal
from explorer.store.views.gradient_flows import save_gradient_flow
from explorer.study.search import run_search
from tests.dashboards.conftest import (
    CACHED,
    COMPLETE,
    EPOCHS,
    FAILED,
    REASON,
    RUNNING,
    begin_study,
    ending,
    proposal,
    small_space,
    write_study,
)
from tests.dashboards.views.contents import drawings, table_with, tables, texts
from tests.polling import PATIENCE


def test_the_page_of_one_network(page, study):
    """A network's page shows its block, its costs by part, and each neighbour with its index in the space."""
    at = page("architecture")
    assert f"trial {study.frontier()[-1].number} · complete" in texts(at)
    assert drawings(at) == 2
    assert {"order", "act"} <= set(neighbours(at).choice)
    trial = study.trial(study.frontier()[-1].number)
    row = next(row for row in neighbours(at).itertuples() if row.choice == "act")
    assert dict(small_space().unrank(int(row.derivation)).choices) == {**trial.choices, "act": row.instead}
    at.toggle(key="show_code").set_value(True).run()
    assert "class Network" in texts(at) and "stem:" in texts(at)


def test_a_trial_that_its_space_does_not_have(page, study):
    """A trial with other choices than the study's space is shown and exported, without neighbours and address."""
    writer = begin_study(study.storage, study.name)
    architecture = small_space().with_input((3, 48, 48), 7).architecture(0)  # no trial has it
    strange = Proposal(architecture.digest, architecture.to_json(), {"other": "choice"}, {"macs": 1, "params": 1}, 0)
    writer.begin(COMPLETE + 4, strange)
    writer.finish(COMPLETE + 4, ending(0.99))
    at = page("architecture", compared=(COMPLETE + 4,))
    assert f"trial {COMPLETE + 4} · complete" in texts(at) and not at.exception
    assert "are not a derivation of the study's space" in texts(at)
    assert "explorer export" in texts(at)


def neighbours(at: AppTest):
    """Return the table of neighbours, the networks that differ in one choice."""
    return table_with(at, "instead")


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
    table = tables(at)[0].set_index("")
    space = small_space()
    other = space.unrank(int(row.derivation))
    costs = count_cost(space.architecture(other)).to_dict()
    assert table.loc["MACs", "this network"] == unit_of("macs", [costs["macs"]]).of(costs["macs"])
    assert table.loc["MACs", "change"] == change_of("macs", costs, trial.costs)
    assert list(table.loc["depth"])[1:3] == [trial.choices["depth"], row.instead]
    assert drawings(at)
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
        at = AppTest.from_file(pages_folder() / "views/architecture.py", default_timeout=PATIENCE)
        for name, value in query.items():
            at.query_params[name] = value
        return f"{at.run().selectbox(key='study').value}: {texts(at)}"

    for study, trials in (("one", "3"), ("two", ["3", "4"])):
        shown = visit(study=study, trial=trials)
        assert shown.startswith(f"{study}: ") and "trial 3 · " in shown
    assert "derivation 5 of 10,368" in visit(study="one", network="5")
    assert "names trial 999; this study has trials 0 to 23" in visit(study="one", trial="999")
    assert "trial '<b>'" in visit(study="one", trial="<b>")
    assert "study '<img>', which is not in this storage" in visit(study="<img>", trial="1")
    said = visit(study="one", trial="3", network="99999")
    assert "The address names network 99,999; the space of this study has networks 0 to 10,367." in said
    assert "trial 3 · complete" in said  # and the page is not empty


def test_two_networks_side_by_side(page, study):
    """Of two networks, differences are marked, and equal rows are shown on request."""
    at = page("architecture")
    at.multiselect(key="compared").set_value([0, 3]).run()
    differing = tables(at)[0]
    assert list(differing.columns[2:]) == ["trial 0", "trial 3", "change"]
    assert (differing["trial 0"] != differing["trial 3"]).all()
    at.toggle(key="only_differences").set_value(False).run()
    every = tables(at)[0]
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
    assert drawings(at)
    assert "explorer export" not in texts(at)  # it would be refused
    assert "explorer export" in texts(page("architecture", compared=(CACHED,)))


def test_recorded_gradients_are_drawn(page, study):
    """A network's page draws its recorded gradient flow, or explains how to record one."""
    assert "--record-gradients" in texts(page("architecture"))
    trial = study.frontier()[-1]
    blocks = tuple(BlockFlow(1, k, 0.1 * k, 0.5, 0.6, 0.1, 1.0) for k in (1, 2, 3))
    save_gradient_flow(study, GradientFlow(trial.digest, 0, 32, "digits", 2.3, blocks))
    at = page("architecture")
    assert "32 images of digits" in texts(at)
    assert len(at.get("plotly_chart")) == 3


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
    with pytest.raises(ExportError, match=r"no result to export: it is failed \(it broke\)"):
        zipped_export(other, other.trial(0), url)
