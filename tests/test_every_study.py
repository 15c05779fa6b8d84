"""Every reading command and every page, on a study of every kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file
from streamlit.testing.v1 import AppTest

import explorer
from explorer.cli import COMMANDS
from explorer.cli.managing.studies import studies as group
from explorer.dashboard.launch import STORAGE_VARIABLE, pages_folder
from explorer.store import open_study
from explorer.store.database import open_for_writing
from tests.command_line import run
from tests.every_study import CONFIRMED_SEEDS, KINDS, SEARCHED, SPACE, write_every_study
from tests.polling import PATIENCE

WITHOUT_POINTS = ("all failed", "empty", "only rejected", "only running")
EVALUATED = tuple(kind for kind in KINDS if kind not in ("trained", "confirmed"))
PAGES = ("frontier", "architecture", "effects", "space", "runs")


@pytest.fixture(scope="session")
def storage(tmp_path_factory):
    """A storage with a study of every kind."""
    url = f"sqlite:///{tmp_path_factory.mktemp('kinds')}/explorer.db"
    write_every_study(url)
    return url


@pytest.fixture
def ask(capsys, storage, tmp_path):
    """Run a command on the storage; an error is one line with exit status 2."""

    def call(*arguments: str):
        status, out, err = run(capsys, *arguments, "--storage", storage)
        assert (status, err.count("\n")) in ((0, 0), (2, 1)), (arguments, status, err)
        return status, out, err

    return call


# Command -> how test_every_command_answers_on_every_kind calls it on the study KIND.
CALLS: dict[str, tuple[str, ...]] = {
    "frontier": ("KIND", "--markdown"),
    "stop": ("KIND", "--now"),
    "studies": ("copy", "KIND", "copy of KIND", "--to", "sqlite:///FOLDER/copy.db"),
    "export-optuna": ("KIND", "FOLDER/optuna.db"),
    "scores": ("--study", "KIND", "--score", "zen"),
    "compare": ("KIND", "KIND"),
    "confirm": ("KIND", "--seeds", "1", "--x", "no such cost"),
    "worker": ("--study", "KIND", "--trials", "1"),
    "latency": ("KIND:999",),
    "train": ("KIND:999", "--data", "digits"),
}
# Commands that other tests of this file call on every kind.
CALLED = {
    **dict.fromkeys(
        ("trials", "status", "clean", "effects", "report", "cost", "gradients"),
        "test_every_reading_command_answers",
    ),
    "export": "test_the_networks_of_every_study_are_exported",
}
# Commands that read no study, with the reason.
NO_STUDY = {
    **dict.fromkeys(("space", "sample", "atlas"), "it reads a space"),
    "search": "it writes the studies of this file",
    "reproduce": "it writes a study of its own",
    "describe": "it reads a folder: test_the_networks_of_every_study_are_exported",
    "dashboard": "it serves the pages of test_every_page_is_drawn",
    "import-optuna": "it writes a study",
    **dict.fromkeys(("data", "doctor"), "it reads this machine"),
}


def test_every_command_is_in_the_matrix():
    """Each command of the command line is called on a study of every kind, or reads none."""
    assert sorted([*CALLS, *CALLED, *NO_STUDY]) == sorted(COMMANDS) and set(CALLED.values()) <= set(globals())
    assert set(PAGES) == {file.stem for file in (pages_folder() / "views").glob("*.py")}
    assert {line[0] for line in CHANGES} == set(group.commands)


# What ``explorer studies`` does to a study, in this order.
CHANGES = (
    ("copy", "KIND", "one", "--to", "STORAGE"),
    ("copy", "one", "two"),
    ("rename", "two", "three"),
    ("note", "three", "a note"),
    ("tag", "three", "a tag"),
    ("merge", "three", "one"),
    ("delete", "one", "three", "--yes"),
)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in ("table", "counterparts") else pytest.mark.slow) for kind in KINDS]
)
def test_every_kind_is_copied_renamed_merged_and_deleted(capsys, storage, kind, tmp_path):
    """The commands that change a study work on every kind, in a storage of their own."""
    own = f"sqlite:///{tmp_path}/own.db"
    for line in CHANGES:
        words = [{"KIND": kind, "STORAGE": own}.get(word, word) for word in line]
        status, _, err = run(capsys, "studies", *words, "--storage", storage if "KIND" in line else own)
        assert status == 0, (line, err)
    assert json.loads(run(capsys, "studies", "--storage", own, "--json")[1]) == []


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in ("table", "counterparts") else pytest.mark.slow) for kind in KINDS]
)
@pytest.mark.parametrize("command", CALLS)
def test_every_command_answers_on_every_kind(capsys, storage, command, kind, tmp_path):
    """A command ends with its result, or with one line that says what is missing."""
    line = [word.replace("KIND", kind).replace("FOLDER", str(tmp_path)) for word in CALLS[command]]
    status, out, err = run(capsys, command, *line, "--storage", storage)
    assert status in (0, 2) and (bool(out) == (status == 0) or err.count("\n") == 1), err
    assert "Traceback" not in err


ALIKE = ("in workers", "own cost", "one loss", "latency", "limited")  # kinds that differ little from another


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in ALIKE else ()) for kind in KINDS]
)
def test_every_reading_command_answers(ask, kind, tmp_path):
    """Each command prints its result, or one line with the reason why there is none."""
    assert ask("trials", kind, "--csv")[0] == 0
    assert ask("clean", kind)[0] == 0
    assert ask("status", kind)[0] == 0
    status, out, _ = ask("status", kind, "--json")
    assert status == 0 and len(json.loads(out)["workers"]) == (kind == "only running")
    status, out, _ = ask("frontier", kind, "--json")
    mixed = kind == "elsewhere"
    assert (status == 2) if mixed else bool(json.loads(out)) == (kind not in WITHOUT_POINTS)
    assert ask("frontier", kind, "--under", "params<=1M")[0] == 0
    status, _, err = ask("effects", kind)
    assert status == (2 if mixed or kind in (*WITHOUT_POINTS, "no cost") else 0), err
    file = tmp_path / "report.html"
    status, _, err = ask("report", kind, "-o", str(file))
    assert status == 0 and file.read_text().startswith("<!doctype html>"), err
    assert ask("cost", f"{kind}:0")[0] == (2 if kind == "empty" else 0)
    assert ask("gradients", f"{kind}:0", "--batch", "2")[0] == (2 if kind == "empty" else 0)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in ALIKE else ()) for kind in KINDS]
)
def test_the_networks_of_every_study_are_exported(capsys, storage, kind, tmp_path):
    """Every complete trial is exported: with trained weights, with those of a file, or as not trained."""
    first, mixed = open_study(storage, kind).counts()["complete"] > 0, kind == "elsewhere"
    untrained = kind not in ("trained", "confirmed")
    for line in ((kind, "--frontier"), (kind, "--under", "params<=1M"), (f"{kind}:0",)):
        folder = tmp_path / "network"
        command = ("export", *line, "-o", str(folder), "--formats", "yaml", "--storage", storage)
        status, out, err = run(capsys, *command)
        assert status == (0 if first and not (mixed and "--frontier" in line) else 2), err
        assert ("a function evaluated its networks" in err) == (status == 0 and untrained)
        if status == 0 and "--frontier" not in line:
            status, out, err = run(capsys, "describe", str(folder))
            assert status == 0 and ("not trained" in out) == untrained, err
            assert ("measured by" in (folder / "README.md").read_text()) == untrained
        shutil.rmtree(folder, ignore_errors=True)


def test_an_evaluated_network_is_exported_with_weights_of_a_file(capsys, storage, tmp_path):
    """``--weights`` exports a trial with the caller's own weights; weights of another network are an error."""
    trial = open_study(storage, "in process").frontier()[-1]
    for seed, architecture in enumerate((trial.architecture, open_study(storage, "in process").trial(0).architecture)):
        save_file(explorer.build(architecture, seed=7).state_dict(), tmp_path / f"{seed}.safetensors")
    line = ("export", f"in process:{trial.number}", "-o", str(tmp_path / "net"), "--formats", "safetensors")
    status, _, err = run(capsys, *line, "--weights", str(tmp_path / "0.safetensors"), "--storage", storage)
    assert (status, err) == (0, "")
    assert "from the file 0.safetensors" in (tmp_path / "net" / "README.md").read_text()
    assert (tmp_path / "net/model.safetensors").read_bytes() == (tmp_path / "0.safetensors").read_bytes()


def test_a_confirmed_study_shows_and_ranks_by_fresh_seeds(ask, capsys, storage, tmp_path):
    """Frontier, budget, model card and Python give the mean over fresh seeds on the test split, and say so."""
    study = open_study(storage, "confirmed")
    estimates = study.estimates()
    assert any(estimate.seeds for estimate in estimates.values())
    _, out, _ = ask("frontier", "confirmed", "--json")
    rows = json.loads(out)
    assert [row["accuracy"] for row in rows] == [estimates[row["trial"]].value for row in rows]
    assert [row["accuracy"] for row in rows] == sorted(row["accuracy"] for row in rows)
    best = max(estimates, key=lambda number: estimates[number].value)
    assert study.best_under("params<=1M").number == best
    assert "(test, 2 fresh seeds)" in str(estimates[best]) and "test, 2 fresh seeds" in ask("frontier", "confirmed")[1]
    found = [*study.frontier(), study.best_under("params<=1M")]
    assert [each.value("accuracy") for each in found] == [estimates[each.number].value for each in found]
    assert [row["accuracy"] for row in rows] == [each.objectives["accuracy"] for each in found[:-1]]
    assert all(each.estimates["accuracy"] == estimates[each.number] for each in found)
    assert f"({estimates[best].source})" in repr(found[-1]) and found[-1].architecture and found[-1].result
    own = [study.trial(each.number).objectives for each in found]
    assert [row["objectives"] for row in rows] == own[:-1] and own[-1] != found[-1].objectives
    assert [each.objectives for each in study.frontier(searched=True)] == [
        study.trial(each.number).objectives for each in study.frontier(searched=True)
    ]
    folder = tmp_path / "net"
    ask("export", f"confirmed:{best}", "-o", str(folder), "--formats", "yaml")
    described = run(capsys, "describe", str(folder))[1]
    assert f"accuracy: {estimates[best].interval} (test" in described and "of these weights" in described
    assert "not used" not in (folder / "README.md").read_text()


@pytest.mark.parametrize("kind", EVALUATED)
def test_commands_that_train_reject_an_evaluated_study(ask, kind):
    """``confirm`` explains that it cannot train networks that a function evaluated."""
    status, _, err = ask("confirm", kind)
    assert status == 2 and "evaluated by a function" in err


@pytest.mark.parametrize("kind", ["no accuracy", "all failed", "empty"])
def test_commands_on_accuracies_name_what_is_missing(ask, kind):
    """``scores --study`` and ``compare`` report that they need accuracies."""
    for line in (("scores", "--study", kind, "--score", "zen"), ("compare", kind, kind)):
        status, _, err = ask(*line)
        assert status == 2 and kind in err, err


@pytest.mark.parametrize(
    "kind",
    [
        *("trained", "no accuracy", "no cost", "empty", "elsewhere", "table", "counterparts"),
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("confirmed", "in process", "own cost", "all failed", "only rejected")
        ),
    ],
)
def test_every_page_is_drawn(storage, monkeypatch, kind):
    """No page of the dashboard raises an error, and a page with complete trials draws them."""
    monkeypatch.setenv(STORAGE_VARIABLE, storage)
    for page in PAGES:
        at = AppTest.from_file(pages_folder() / "views" / f"{page}.py", default_timeout=PATIENCE)
        at.session_state["study"] = kind
        at.run()
        assert not at.exception, (page, at.exception)
        if page == "frontier" and kind not in WITHOUT_POINTS:
            assert any(text.value.startswith("Best within budget: trial ") for text in at.text)


@pytest.mark.parametrize(
    ("kind", "axes"),
    [
        ("in process", ("macs", "accuracy")),
        ("own cost", ("joules", "accuracy")),
        ("no accuracy", ("params", "error")),
        ("one loss", ("macs", "error")),
        ("one objective", ("macs", "accuracy")),
        ("latency", ("latency_ms", "accuracy")),
        ("no cost", ("regret", "reward")),
    ],
)
def test_default_axes_are_the_studys_own(ask, storage, kind, axes):
    """By default front, budget and table use the study's first measured objective and its first cost."""
    study = open_study(storage, kind)
    assert study.plane == axes
    front = study.frontier()
    assert [each.number for each in front] == [each.number for each in study.frontier(*axes)] != []
    _, out, _ = ask("frontier", kind, "--json")
    assert [each["trial"] for each in json.loads(out)] == [each.number for each in front]
    best = min(study.trials(full=False), key=lambda each: (study.sign(axes[1]) * each.objectives[axes[1]], each.number))
    assert study.best_under("params<=1M").objectives[axes[1]] == best.objectives[axes[1]]
    _, out, _ = ask("trials", kind)
    assert set(study.objectives) < set(out.split("\n")[0].split())


def test_an_unknown_axis_gives_the_known_ones(ask):
    """An unknown quantity gives one line with the known ones."""
    for line in (
        ("frontier", "no accuracy", "--y", "accuracy"),
        ("effects", "no accuracy", "--y", "accuracy"),
        ("effects", "in process", "--x", "flop"),
        ("frontier", "in process", "--under", "flop<=1M"),
    ):
        status, _, err = ask(*line)
        assert status == 2 and "has no quantity" in err and "macs, params" in err


def test_a_limit_that_no_trial_keeps_names_the_closest_trial(ask, storage, tmp_path):
    """Front and export name the trial that breaks the limit least, with its value."""
    cheapest = min(open_study(storage, "trained").trials(full=False), key=lambda each: each.costs["params"])
    said = f"no trial of 'trained' keeps params <= 1; the nearest is trial {cheapest.number} with params "
    assert said in ask("frontier", "trained", "--under", "params<=1")[1]
    assert said in ask("export", "trained", "--under", "params<=1", "-o", str(tmp_path / "network"))[2]


def test_accuracies_are_fractions(ask, storage):
    """A percentage is read as a fraction, and 60 without a percent sign is rejected with a suggestion."""
    status, out, _ = ask("frontier", "in process", "--under", "accuracy>=60%", "--json")
    assert status == 0 and json.loads(out)[0]["accuracy"] >= 0.6
    status, _, err = ask("frontier", "in process", "--under", "accuracy>=60")
    assert status == 2 and "did you mean 'accuracy>=0.6' (60%)?" in err


def test_the_confirmed_study_has_confirmations(storage):
    """The confirmed study has runs from new seeds, which the tests above depend on."""
    study = open_study(storage, "confirmed")
    assert {each.seeds for each in study.confirmed()} == {len(CONFIRMED_SEEDS)}
    assert set(study.frontier_probabilities()) == {
        each.number for each in study.trials(full=False) if each.state == "complete"
    }
    assert Path(study.artifacts).is_dir()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("cost", "in process:9"), "study 'in process' has no trial 9; its trials are 0..3"),
        (
            ("cost", "in process:-1"),
            "'-1' is not the number of a trial; name a trial of the study, as in 'in process:0'",
        ),
        (("cost", "in process:1.5"), "'1.5' is not the number of a trial"),
        (("cost", "in process"), "'in process' is a study; name a trial of the study, as in 'in process:0'"),
        (("cost", "he2016_orders"), "'he2016_orders' is a space; name a network of it, as in he2016_orders.yaml#0"),
        (("cost", "he2016_orders.yaml#-1"), "'-1' is not an index; write a whole number in 0..4"),
        (("cost", "resnet50"), "did you mean 'published/resnet.yaml'"),
        (("frontier", "in process:3"), "name the study alone: 'in process'"),
        (("trials", "sqlite:///explorer.db"), "give the storage with --storage, and the name of a study"),
        (("effects", "explorer.db"), "give the storage with --storage"),
        (("report", "he2016_orders.yaml", "-o", "r.html"), "that is the name of a space file, not of a study"),
        (("frontier",), "holds several studies, name one"),
        (("trials", "in-process"), "did you mean 'in process'?"),
        (("effects", "in process", "--factor", "Depth"), "did you mean 'depth'?"),
        (("export", "only running:0", "-o", "network"), "it is running"),
        (("export", "only rejected:0", "-o", "network"), "it is rejected"),
        (("train", "in process:0", "--data", "digits", "--device", "mps"), "only CPUs and NVIDIA GPUs are supported"),
        (("train", "in process:0", "--data", "digits", "--device", "cuda:0,1"), "one process uses one GPU"),
        (("train", "in process:0", "--data", "digits", "--device", "cuda1"), "did you mean 'cuda:1'?"),
        (("train", "in process:0", "--data", "CIFAR-10"), "did you mean 'cifar10'?"),
    ],
)
def test_a_misspelled_name_gives_a_suggestion(ask, line, message):
    """A misspelled study, trial, file, device or data set gives one line with the correct name."""
    status, _, err = ask(*line)
    assert status == 2 and message in err, err


def test_the_only_study_needs_no_name(capsys, tmp_path):
    """With a single study its name is optional, and an empty storage explains how to create one."""
    url = f"sqlite:///{tmp_path}/explorer.db"
    open_for_writing(url).close()
    status, _, err = run(capsys, "frontier", "--storage", url)
    assert status == 2 and "holds no studies yet; 'explorer search' creates one" in err
    explorer.search(SPACE, study="a:b #1 \u00e9", trials=1, storage=url, **SEARCHED["in process"])
    for command in ("trials", "frontier", "clean"):
        assert run(capsys, command, "--storage", url)[0] == 0
    assert run(capsys, "frontier", "a:b #1 \u00e9", "--storage", url)[0] == 0
    assert run(capsys, "cost", "a:b #1 \u00e9:0", "--storage", url)[0] == 0


def test_an_objective_may_be_named_like_a_column(capsys, tmp_path):
    """An objective "trial" or "choices" does not hide the trial's number or choices, in tables and JSON."""
    url = f"sqlite:///{tmp_path}/explorer.db"
    for name in ("trial", "choices"):
        explorer.search(
            SPACE,
            objectives={name: "max", "macs": "min"},
            evaluate=lambda arch, *, choices, epochs, seed, name=name: {name: 7.25},
            trials=1,
            study=name,
            storage=url,
            workers=1,
        )
        _, out, _ = run(capsys, "frontier", name, "--storage", url, "--json")
        (row,) = json.loads(out)
        assert row["trial"] == 0 and row["choices"]["depth"] and row["objectives"][name] == 7.25
        _, out, _ = run(capsys, "frontier", name, "--storage", url)
        titles, values = out.splitlines()[:2]
        assert f"{name} (objective)" in titles and values.split()[:2] == ["0", "7.25"]
