"""``explorer search --config`` and ``--print-config``."""

from __future__ import annotations

import json

import pytest

from explorer.store.studies import open_study
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT

LINE = ("--data", "digits", "--subset", "200", "--epochs", "1", "--workers", "1", "--sampler", "random", "--seed", "3")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder that contains a space."""
    (tmp_path / "tiny.yaml").write_text(SPACE_TEXT)
    monkeypatch.chdir(tmp_path)
    for name in ("EXPLORER_STORAGE", "EXPLORER_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_printed_file_runs_the_same_search(capsys, place):
    """The printed file resumes the study that the options created, and an option overrides the file."""
    line = ("search", "--space", "tiny.yaml", *LINE, "--recipe", "cosine", "--limit", "macs<=2M", "--trials", "1")
    status, printed, err = run(capsys, *line, "--storage", "sqlite:///one.db", "--print-config")
    assert (status, err) == (0, "") and not (place / "one.db").exists()
    (place / "search.yaml").write_text(printed)
    assert run(capsys, "search", "--config", "search.yaml", "--print-config") == (0, printed, "")
    assert run(capsys, *line, "--storage", "sqlite:///one.db", "--json")[0] == 0
    status, out, err = run(capsys, "search", "--config", "search.yaml", "--trials", "2", "--json")
    assert status == 0, err
    study = open_study("sqlite:///one.db")
    assert json.loads(out)["trials"]["complete"] == study.counts()["complete"] == 2
    assert (study.seed, study.limits, study.fingerprint["recipe"]["name"]) == (3, ("macs <= 2M",), "cosine")


def test_the_file_overrides_defaults_and_the_environment(capsys, place, monkeypatch):
    """Options override the file, which overrides the environment, which overrides the defaults."""
    monkeypatch.setenv("EXPLORER_STORAGE", "sqlite:///environment.db")
    (place / "search.yaml").write_text("storage: sqlite:///file.db\ntrials: 7\nrecipe: {lr: 0.5}\nlimits: macs<=5M\n")
    shown = run(capsys, "search", "--config", "search.yaml", "--trials", "8", "--print-config")[1].splitlines()
    assert {"storage: sqlite:///file.db", "trials: 8", "recipe:", "  lr: 0.5", "- macs <= 5M"} <= set(shown)
    assert {"space: null", "device: auto", "sampler: frontier"} <= set(shown)
    assert "storage: sqlite:///environment.db" in run(capsys, "search", "--print-config")[1]
    shown = run(capsys, "search", "--config", "search.yaml", "--limit", "none", "--print-config")[1]
    assert "limits: []" in shown.splitlines()
    (place / "search.yaml").write_text("storage: null\nsampler: null\nscores: null\nobjectives:\nretry_failed: null\n")
    shown = run(capsys, "search", "--config", "search.yaml", "--print-config")[1]
    assert {"storage: sqlite:///environment.db", "sampler: frontier", "scores: []", "retry_failed: false"} <= set(
        shown.splitlines()
    )


def test_null_is_the_default_storage(capsys, place):
    """With ``storage: null`` the study is in the default database, not in memory."""
    (place / "search.yaml").write_text("space: tiny.yaml\nstorage: null\ntrials: 1\n")
    assert run(capsys, "search", "--config", "search.yaml", *LINE)[0] == 0
    assert open_study("sqlite:///explorer.db").counts()["complete"] == 1


def test_a_printed_file_leaves_the_environment_its_place(capsys, place, monkeypatch):
    """A printed file holds no storage and no folder of data that nobody gave, so environment variables apply."""
    printed = run(capsys, "search", "--print-config")[1]
    assert {"storage: null", "data_dir: null", "device: auto"} <= set(printed.splitlines())
    (place / "search.yaml").write_text(printed)
    monkeypatch.setenv("EXPLORER_STORAGE", "sqlite:///environment.db")
    monkeypatch.setenv("EXPLORER_DATA", "images")
    again = run(capsys, "search", "--config", "search.yaml", "--print-config")[1]
    assert {"storage: sqlite:///environment.db", "data_dir: images"} <= set(again.splitlines())


@pytest.mark.parametrize("name", ["retry_failed", "new_study", "record_gradients", "skip_damaged"])
def test_a_flag_of_the_file_can_be_switched_off(capsys, place, name):
    """``--no-...`` overrides a flag that the file switches on, and of several files the last one wins."""
    (place / "on.yaml").write_text(f"{name}: true\ntrials: 7\n")
    (place / "off.yaml").write_text(f"{name}: false\n")
    flag = f"--no-{name.replace('_', '-')}"
    config = ("search", "--print-config", "--config", "on.yaml")
    for options, value in (((), "true"), ((flag,), "false"), (("--config", "off.yaml"), "false")):
        assert {f"{name}: {value}", "trials: 7"} <= set(run(capsys, *config, *options)[1].splitlines())
    assert f"did you mean '{flag}'" in run(capsys, "search", f"{flag}x")[2]


def test_a_password_is_not_printed(capsys, place, monkeypatch):
    """A storage with a password, and trackers with one or a token, are left out of the printed file."""
    monkeypatch.setattr("explorer.study.trackers.tracking.find_spec", lambda name: name)
    monkeypatch.setenv("EXPLORER_STORAGE", "postgresql://me:secret@host/db")
    line = ("search", "--space", "tiny.yaml", "--print-config")
    status, out, err = run(capsys, *line)
    assert (status, err) == (0, "") and "secret" not in out and out.endswith("set EXPLORER_STORAGE\n")
    _, out, _ = run(capsys, *line, "--track", "tensorboard=http://secret@host")
    assert "secret" not in out and out.endswith("# track: has a password; give --track on the command line\n")
    assert "- tensorboard=logs" in run(capsys, *line, "--track", "tensorboard=logs")[1]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("trails: 3\n", (), "search.yaml:1:1: unknown setting 'trails'; did you mean 'trials'?"),
        ("space: tiny.yaml\nepochs: 0\n", (), "search.yaml:2:9: epochs must be at least 1, found 0"),
        ("trials: 3\n", (), "Missing option '--space'"),
        ("space: nowhere.yaml\n", (), "nowhere.yaml:1:1: no such file"),
        ("space: tiny.yaml\n", ("--trials", "0"), "explorer search: Invalid value for '--trials': trials must be"),
        ("space: tiny.yaml\nrecipe: 5\n", (), "unknown recipe '5'"),
        ("space: tiny.yaml\nrecipe: 5\n", ("--print-config",), "unknown recipe '5'"),
        ("objectives: [nothing]\n", ("--print-config",), "unknown objective 'nothing'"),
        ("study: ''\n", ("--print-config",), "study"),
        ("trials: 3\n", ("--config", ""), "'': the settings file cannot be read"),
    ],
)
def test_an_invalid_file_is_one_line_and_status_2(capsys, place, text, options, message):
    """An invalid file gives one line and status 2, and nothing is read, trained or written."""
    (place / "search.yaml").write_text(text)
    status, out, err = run(capsys, "search", "--config", "search.yaml", *options)
    assert (status, out) == (2, "") and message in err and len(err.strip().splitlines()) == 1
    assert sorted(path.name for path in place.iterdir()) == ["search.yaml", "tiny.yaml"]


def test_a_missing_file_is_one_line(capsys, place):
    """A missing file gives a line with its name and the reason."""
    status, out, err = run(capsys, "search", "--config", "absent.yaml")
    assert (status, out) == (
        2,
        "",
    ) and err == "absent.yaml: the settings file cannot be read: No such file or directory\n"
