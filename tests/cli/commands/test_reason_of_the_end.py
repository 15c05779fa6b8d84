"""What commands print about why their work ended."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from explorer.space.search_space import parse_space
from explorer.study.confirm.loop import Event as ConfirmationEvent
from explorer.study.confirm.run import Confirmation
from explorer.study.search import run_search
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT, good


@pytest.fixture
def place(tmp_path):
    """A folder with the file of a space."""
    (tmp_path / "tiny.yaml").write_text(SPACE_TEXT)
    return tmp_path


def test_an_interrupted_search_says_so_once(capsys, place, monkeypatch):
    """An interrupted search prints once that the same command resumes the study."""
    ended = "interrupted; the same command resumes the study"

    def interrupted(space, *, progress, **settings):
        def report(event) -> None:
            progress(replace(event, why=ended) if event.kind == "finished" else event)

        settings = {"evaluate": good, "storage": f"{place}/explorer.db", "trials": 2, "sampler": "random"}
        made = run_search(parse_space(SPACE_TEXT, "tiny.yaml"), progress=report, **settings)
        return replace(made, ended=ended, interrupted=True, signal=signal.SIGINT)

    monkeypatch.setattr("explorer.study.run_search", interrupted, raising=False)
    status, out, err = run(capsys, "search", "--space", f"{place}/tiny.yaml", "--data", "digits")
    assert status == 130, err
    assert (out + err).count(ended) == 1 and ended in out and err.splitlines()[-1] == "interrupted"


def test_an_interrupted_confirmation_says_so_once(capsys, place, monkeypatch):
    """An interrupted confirmation prints once that the same command resumes it."""
    ended = "interrupted; the same command resumes the confirmation"
    settings = {"evaluate": good, "storage": f"{place}/explorer.db", "trials": 2, "sampler": "random"}
    study = run_search(parse_space(SPACE_TEXT, "tiny.yaml"), **settings).study

    def interrupted(storage, name, *, progress, **options):
        progress(ConfirmationEvent("finished", 0, 4, None, why=ended))
        return Confirmation(study, "macs", "accuracy", [], [], ended, [], 4, True, 1.0, signal.SIGINT)

    monkeypatch.setattr("explorer.study.confirm.run.run_confirmation", interrupted)
    status, out, err = run(capsys, "confirm", study.name, "--storage", f"{place}/explorer.db")
    assert status == 130, err
    assert (out + err).count(ended) == 1 and err.splitlines()[-1] == "interrupted"
