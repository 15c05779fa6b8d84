"""The page of the Pareto front, run without a browser."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from explorer.dashboard.launch import STORAGE_VARIABLE, pages_folder
from explorer.space.search_space import load_space
from explorer.store import open_study
from explorer.store.database import open_for_writing
from explorer.study.search import run_search
from tests.dashboards.conftest import (
    CACHED,
    COMPLETE,
    FAILED,
    REASON,
    RUNNING,
    begin_study,
    confirm,
    ending,
    join_log,
    numbers,
    proposal,
    write_study,
)
from tests.dashboards.views.contents import drawings, plain, table_with
from tests.polling import PATIENCE

APP = pages_folder() / "app.py"


@pytest.fixture
def page(url, monkeypatch):
    """Run the page of ``url`` and return its contents."""

    def draw(storage: str = url) -> AppTest:
        monkeypatch.setenv(STORAGE_VARIABLE, storage)
        return AppTest.from_file(str(APP), default_timeout=PATIENCE).run()

    return draw


def texts(at: AppTest) -> str:
    assert not at.exception
    return "\n".join(str(element.value) for element in [*at.text, *at.code, *at.caption, *at.markdown])


def test_the_page_of_a_study(page, study):
    """The page names the study, counts its trials, and shows the front, a table of all trials and the details of
    one."""
    at = page()
    assert at.selectbox(key="study").options == ["digits & co — space preact_variants, data digits"]
    assert "digits, 8 epochs, seed 0" in texts(at)
    assert "Search running: 1 training now, 20 complete, 1 failed, 1 cached, 1 rejected" in texts(at)
    assert "Best: trial 17, 68.0% accuracy (validation, one seed) at" in plain(texts(at))
    assert len(at.get("plotly_chart")) == 1
    assert drawings(at) == 1
    table = table_with(at, "reason")
    assert list(table["trial"]) == list(range(COMPLETE + 4))
    assert table["reason"][FAILED] == REASON
    dear = study.frontier()[-1].number
    assert at.selectbox(key="trial").value == dear
    assert f"trial {dear} · complete" in texts(at)
    open_tab(at, "Choices and costs")
    assert f"explorer export 'digits & co:{dear}' -o trial-{dear} --storage sqlite:///" in at.code[0].value


def open_tab(at: AppTest, name: str) -> None:
    """Open a tab of the trial in detail."""
    at.session_state["detail"] = name
    at.run()


def test_controls_offer_the_quantities_of_the_trials(page, study):
    """Any cost is offered as an axis and any varying choice as a colour, and all of them can be drawn."""
    at = page()
    assert at.selectbox(key="cost").options[:3] == ["MACs", "parameters", "FLOPs"]
    assert "peak memory" in at.selectbox(key="cost").options
    assert "attn@stage2" in at.selectbox(key="colour").options
    at.selectbox(key="cost").set_value("peak_memory_bytes")
    at.selectbox(key="colour").set_value("attn@stage2")
    at.toggle(key="log").set_value(False)
    assert not at.run().exception


def test_epochs_and_time_are_quantities(page, study):
    """Accuracies of earlier epochs are offered, epochs and seconds are costs, and trainings stopped later are
    included."""
    at = page()
    at.selectbox(key="stage").set_value(4).run()
    points = figure(at)
    assert max(value for trace in points if trace.get("mode") == "markers" for value in numbers(trace["y"])) == (
        pytest.approx(100 * 0.68 / 2)
    )
    at.selectbox(key="cost").set_value("epochs_spent").run()
    assert {value for trace in figure(at) if trace.get("mode") == "markers" for value in numbers(trace["x"])} == {4}
    at.selectbox(key="stage").set_value(None)
    at.selectbox(key="cost").set_value("training_seconds").run()
    assert {value for trace in figure(at) if trace.get("mode") == "markers" for value in numbers(trace["x"])} == {4.0}
    assert f"trial {study.frontier()[-1].number} · complete" in texts(at)


def figure(at: AppTest) -> list[dict]:
    """Return the traces of the front's figure."""
    assert not at.exception
    charts = [json.loads(chart.proto.spec)["data"] for chart in at.get("plotly_chart")]
    return next(traces for traces in charts if any(trace.get("name") == "frontier" for trace in traces))


def test_confirmed_networks_have_error_bars_and_opacity(page, study):
    """After a confirmation, the means have error bars and every point has its probability."""
    front = study.frontier()
    for trial in front[:2]:
        for seed in range(3):
            confirm(study, trial, seed, trial.objectives["accuracy"] + 0.02 * (seed - 1))
    at = page()
    seeds = next(trace for trace in figure(at) if trace.get("name") == "fresh seeds")
    assert numbers(seeds["y"]) == pytest.approx([100 * trial.objectives["accuracy"] for trial in front[:2]])
    half = 2.0 * 2.776 / 3**0.5  # Student's t of four degrees of freedom
    assert numbers(seeds["error_y"]["array"]) == pytest.approx([half, half], rel=1e-3)
    colours = [trace["marker"]["color"] for trace in figure(at) if "customdata" in trace]
    assert len({shade for shades in colours if isinstance(shades, list) for shade in shades}) > 2
    assert "Dashes with error bars" in texts(at)
    certainty = study.frontier_certainty()
    stays = [certainty.probabilities[trial.number] for trial in front]
    assert f"{sum(stays):.1f} of these {len(front)} are expected to stay on the frontier" in plain(texts(at))
    rows = table_with(at, "stays (%)").set_index("trial")
    assert [rows["stays (%)"][trial.number] for trial in front] == pytest.approx([100 * p for p in stays], abs=0.05)
    hovers = [text for trace in figure(at) for text in trace.get("text") or ()]
    assert any(f"stays with probability {stays[-1]:.0%}" in text for text in hovers)
    at.toggle(key="seeds").set_value(False).run()
    assert not any(trace.get("name") == "fresh seeds" for trace in figure(at))


def test_every_trial_can_be_selected(page, study):
    """A trial of any state can be selected: failures show the reason, a cached trial shows its duplicate's curve."""
    at = page()
    for number in range(COMPLETE - 1, COMPLETE + 4):
        at.selectbox(key="trial").set_value(number).run()
        assert f"trial {number} · " in texts(at)
    at.selectbox(key="trial").set_value(FAILED).run()
    assert f"failed: {REASON}" in texts(at)
    at.selectbox(key="trial").set_value(RUNNING).run()
    open_tab(at, "Training")
    assert "drawn when the training ends" in texts(at)
    at.selectbox(key="trial").set_value(CACHED).run()
    assert "same network as trial 0" in texts(at)
    assert "The training of trial 0" in texts(at)
    assert len(at.get("plotly_chart")) == 2


def test_a_growing_study_keeps_the_selection(page, study):
    """New trials appear when the page runs again, and the selected trial stays."""
    at = page()
    at.selectbox(key="trial").set_value(3).run()
    writer = begin_study(os.environ[STORAGE_VARIABLE], study.name)
    writer.begin(RUNNING + 1, proposal(RUNNING + 1))
    writer.finish(RUNNING + 1, ending(0.9))
    at.run()
    assert f"{COMPLETE + 1} complete" in texts(at)
    assert at.selectbox(key="trial").value == 3
    assert "trial 3 · " in texts(at)


def test_among_many_trials_the_number_is_typed(page, study, monkeypatch):
    """If the list of trials would be most of the page, the user types a number, and a click sets it."""
    monkeypatch.setattr("explorer.dashboard.panels.picked_trial.LISTED", 2)
    at = page()
    box = at.number_input(key="trial")
    assert (box.min, box.max, box.value) == (0, RUNNING, study.frontier()[-1].number)
    box.set_value(FAILED).run()
    assert f"trial {FAILED} · failed" in texts(at) and not at.exception


def test_another_study_shows_its_own_front(page, url):
    """Another study shows its own trials, its own costs and the expensive end of its own front."""
    write_study(url, "first")
    writer = begin_study(url, "second", {"accuracy": "max", "joules": "min"})
    for number in range(3):
        writer.begin(number, proposal(number, costs={"joules": 5.0 * (number + 1)}, choices={"kind": str(number)}))
        writer.finish(number, ending(0.5 + number / 10))
    at = page()
    at.selectbox(key="study").set_value("first").run()
    at.selectbox(key="cost").set_value("params").run()
    at.selectbox(key="trial").set_value(1).run()
    at.selectbox(key="study").set_value("second").run()
    assert not at.exception
    assert at.selectbox(key="cost").value == "joules"
    assert at.selectbox(key="trial").value == 2
    assert "3 complete" in texts(at)


def test_trials_can_be_selected_before_any_is_complete(page, url):
    """The selected trial stays without a front, and also after another study was shown."""
    write_study(url, "first")
    writer = begin_study(url, "second")
    for number in range(2):
        writer.begin(number, proposal(number))
    at = page()
    at.selectbox(key="study").set_value("first").run()
    at.selectbox(key="study").set_value("second").run()
    at.selectbox(key="trial").set_value(1).run()
    assert "trial 1 · running" in texts(at)
    at.run()
    assert "trial 1 · running" in texts(at)


def test_a_study_that_a_search_wrote(page, url):
    """The page draws a study of ``run_search`` with a user's evaluation function, which has no curves."""
    run_search(
        load_space("he2016_orders.yaml"),
        trials=4,
        storage=url,
        study="real",
        evaluate=lambda arch, **_: {"accuracy": 1 / len(arch.to_json())},
    )
    at = page()
    assert "4 complete" in texts(at)
    assert drawings(at) == 1
    open_tab(at, "Training")
    assert "No training curve" in texts(at)


def damage(file: Path, kind: str, written_file: Path) -> None:
    """Replace ``file`` by something that is not a complete database."""
    url = f"sqlite:///{file}"
    if kind == "empty file":
        file.touch()
    elif kind == "text":
        file.write_text("trial,accuracy\n1,0.5\n")
    elif kind == "half":
        shutil.copy(written_file, file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif kind == "later version":
        open_for_writing(url).close()
        change(file, "UPDATE explorer_schema SET version = 999")
    elif kind == "foreign":
        change(file, "CREATE TABLE birds (name TEXT)")
    elif kind == "bad row":
        shutil.copy(written_file, file)
        change(file, "UPDATE explorer_trials SET costs = '{' WHERE number = 3")
    elif kind == "odd row":
        shutil.copy(written_file, file)
        change(file, """UPDATE explorer_trials SET costs = '{"macs": "5"}' WHERE number = 3""")
    elif kind == "no studies":
        open_for_writing(url).close()
    elif kind != "absent":
        writer = begin_study(url, "one")
        if kind == "none complete":
            writer.begin(0, proposal(0))
        elif kind == "all refused":
            writer.refuse(0, proposal(0), "rejected", "macs <= 1")
        writer.study.database.close()


def change(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute(statement)
    connection.commit()
    connection.close()


SENTENCES = {
    "absent": "'explorer search' creates it",
    "empty file": "is empty; give the file that 'explorer search' wrote",
    "text": "is not an SQLite database",
    "half": "cannot read this database",
    "later version": "update the explorer",
    "foreign": "holds no studies of the explorer",
    "bad row": "explorer_trials, trial 3, column costs: expected JSON",
    "odd row": "explorer_trials, trial 3, column costs: expected JSON of an object of finite numbers",
    "no studies": "Start one with: explorer search",
    "no trials": "They appear here by themselves",
    "none complete": "The first point appears here when",
    "all refused": "The table below shows how each one ended",
}


@pytest.mark.parametrize("kind", SENTENCES)
def test_a_storage_that_cannot_be_shown_gives_a_sentence(kind, page, tmp_path, written_file):
    """A storage without a study gives a sentence with advice, and is left unchanged."""
    file = tmp_path / "explorer.db"
    damage(file, kind, written_file)
    before = file.read_bytes() if file.exists() else None
    at = page(f"sqlite:///{file}")
    assert SENTENCES[kind] in texts(at)
    assert not at.error
    assert (file.read_bytes() if file.exists() else None) == before


def test_a_storage_created_later_is_found(page, written_file, tmp_path):
    """A page opened before the search shows the study once it exists."""
    at = page()
    assert "'explorer search' creates it" in texts(at)
    shutil.copy(written_file, tmp_path / "explorer.db")
    at.run()
    assert f"{COMPLETE} complete" in texts(at)


def test_the_page_does_not_change_the_database(page, study, tmp_path):
    """Showing the page and selecting trials leaves the bytes of the database unchanged."""
    study.database.close()
    join_log(tmp_path / "explorer.db")
    before = hashlib.sha256((tmp_path / "explorer.db").read_bytes()).digest()
    at = page()
    at.selectbox(key="trial").set_value(2).run()
    assert not at.exception
    assert hashlib.sha256((tmp_path / "explorer.db").read_bytes()).digest() == before


def test_passwords_are_not_displayed(page):
    """An unreachable storage is named without its password."""
    at = page("postgresql+psycopg://someone:canary@127.0.0.1:1/none")
    assert "canary" not in texts(at)
    assert "127.0.0.1" in texts(at)


def test_the_page_starts_without_torch(url, study):
    """The page imports neither torch nor optuna nor the search."""
    lines = [
        "import sys",
        "from streamlit.testing.v1 import AppTest",
        f"at = AppTest.from_file({str(APP)!r}, default_timeout={PATIENCE}).run()",
        "assert at.tabs and not at.exception",
        "print(sorted({'torch', 'optuna', 'sklearn', 'explorer.study', 'explorer.training'} & set(sys.modules)))",
    ]
    environment = {**os.environ, STORAGE_VARIABLE: url, "PYTHONPATH": str(APP.parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert open_study(url).name == "digits & co"


def test_an_address_may_name_a_study(url, monkeypatch):
    """A link to a study opens it on every page, an unknown study gives a sentence, and the address follows the
    selection."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    for name in ("one", "two"):
        write_study(url, name)
    for asked in ("one", "two", "<b>three"):
        at = AppTest.from_file(str(APP), default_timeout=PATIENCE)
        at.query_params["study"] = asked
        at.run()
        shown = asked if asked in ("one", "two") else "two"
        assert at.selectbox(key="study").value == shown
        assert ("names study '<b>three', which is not in this storage" in texts(at)) == (asked != shown)
        assert at.query_params == {"study": shown}
    at.selectbox(key="study").set_value("one").run()
    assert at.query_params == {"study": "one"}
    assert "names study" not in texts(at)


def test_a_storage_that_returns_keeps_the_selected_study(page, url, tmp_path):
    """When a missing storage is available again, the page shows the study selected before, not the last changed one."""
    for name in ("one", "two"):
        write_study(url, name).database.close()
    at = page()
    at.selectbox(key="study").set_value("one").run()
    join_log(tmp_path / "explorer.db")
    (tmp_path / "explorer.db").rename(tmp_path / "elsewhere.db")
    at.run()
    assert "'explorer search' creates it" in texts(at)
    (tmp_path / "elsewhere.db").rename(tmp_path / "explorer.db")
    at.run()
    assert at.selectbox(key="study").value == "one"
