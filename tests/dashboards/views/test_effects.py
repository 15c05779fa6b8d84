"""The page of effects: its quantities, and what it draws of unusual studies."""

from __future__ import annotations

import pytest
from pandas import DataFrame
from streamlit.testing.v1 import AppTest

from explorer.dashboard.report import report_page
from explorer.store import open_study
from tests.command_line import run
from tests.dashboards.conftest import begin_study, confirm, ending, proposal
from tests.dashboards.payloads import HOSTILE
from tests.dashboards.views.contents import table_with, texts


def test_effects_follow_the_choice_of_quantities(page, study):
    """Objective, cost and every choice on the page can be picked, and the table follows."""
    at = page("effects")
    assert {"at equal MACs", "all else equal", "on the frontier"} <= set(effects_table(at))
    at.selectbox(key="at_equal").set_value("params").run()
    at.selectbox(key="effects_of").set_value("act").run()
    assert "at equal parameters" in effects_table(at)
    assert set(effects_table(at).choice) == {"act"}
    open_question(at, "Over cost")
    at.selectbox(key="curves_of").set_value("act").run()
    at.multiselect(key="curves_levels_act").set_value([]).run()
    assert not at.exception
    open_question(at, "Interactions")
    at.selectbox(key="interaction_rows").set_value("order").run()
    assert not at.exception
    open_question(at, "Distributions")
    at.selectbox(key="spread_by").set_value("act").run()
    assert not at.exception


def test_the_compared_values_are_named(page, study, capsys):
    """Where fresh seeds gave other estimates, the page, the command and the report say that effects compare the values
    of the search, and the effects are as before."""

    def said() -> tuple[str, str, str]:
        at = page("effects")
        found.append(effects_table(at))
        printed = run(capsys, "effects", study.name, "--storage", study.storage)[1]
        opened = open_study(study.storage, study.name)
        return texts(at), printed, report_page(opened, opened.trials())

    found: list[DataFrame] = []
    assert not any("the values of the search" in each for each in said())
    trial = study.frontier()[0]
    for seed in (101, 102):
        confirm(study, trial, seed, 0.2)
    assert all("Effects compare the values of the search" in each for each in said())
    assert found[0].equals(found[1])


def open_question(at: AppTest, name: str) -> None:
    """Open a tab of the page."""
    at.session_state["question"] = name
    at.run()


def effects_table(at: AppTest):
    """The table of effects."""
    return table_with(at, "against")


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
    assert (effects_table(at)["all else equal"] == "").all()
    assert "3 are needed" in texts(at)
    open_question(at, "Interactions")
    assert "These networks differ in only one choice." in texts(at)
    open_question(at, "Effects")
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
