"""What the pages load from a storage, and when they reload it."""

from __future__ import annotations

import pytest

from explorer.dashboard.data.storage import StudyCache
from explorer.dashboard.launch import STORAGE_VARIABLE
from explorer.dashboard.session import is_outdated, take_snapshot
from explorer.records import Curve, TrainingResult
from explorer.store import open_study
from tests.dashboards.conftest import COMPLETE, EPOCHS, accuracy_of, begin_study, confirm, ending, proposal, write_study


def test_only_changes_are_loaded(study, monkeypatch):
    """An unchanged study is not loaded again; of a changed one, only changed trials and confirmations are."""
    known, asked = StudyCache(), []
    for name in ("trials", "confirmations", "curves"):
        monkeypatch.setattr(type(study), name, counting(getattr(type(study), name), asked))
    assert known.update(open_study(study.storage, study.name))
    assert asked == [COMPLETE + 4, 0]
    assert not known.update(open_study(study.storage, study.name))
    assert asked == [COMPLETE + 4, 0]
    assert len(known.curves(study)) == COMPLETE
    confirm(study, study.trial(0), 1, 0.5)
    another_trial(study)
    assert known.update(open_study(study.storage, study.name))
    assert [record.digest for record in known.confirmed()] == [study.trial(0).digest]
    known.curves(study)
    known.curves(study)
    assert asked[3:] == [1, 1, 1]


def test_a_compact_curve_equals_the_training_curve(study):
    """The compact curve has the values of all epochs and the cumulative seconds of training steps."""
    course, epochs = study.curves()[3], study.trial(3).result.curve
    assert course.epochs == tuple(epoch.epoch for epoch in epochs)
    for field in ("val_accuracy", "val_top5", "val_loss"):
        assert getattr(course, field) == tuple(getattr(epoch, field) for epoch in epochs)
    assert course.seconds == pytest.approx([0.5 * count for count in range(1, EPOCHS + 1)])
    nothing = TrainingResult(0.5, 1.0, 0.9, 0, 0.0, 0.0, ())
    assert Curve.from_json(nothing.to_json()) == ((), (), (), (), ())


def counting(question, asked: list[int]):
    """Return a method that records the number of records in each answer."""

    def ask(*args, **options):
        found = question(*args, **options)
        asked.append(len(found))
        return found

    return ask


def another_trial(study) -> None:
    """Write one more complete trial."""
    writer = begin_study(study.storage, study.name)
    writer.begin(COMPLETE + 4, proposal(COMPLETE + 4))
    writer.finish(COMPLETE + 4, ending(0.9))


@pytest.mark.parametrize("change", ["nothing", "a confirmation", "a trial", "a study", "no storage"])
def test_an_open_page_reloads_when_something_changes(change, url, tmp_path, monkeypatch):
    """A page reloads for a new confirmation, trial or study, and for a removed storage."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    study = write_study(url, "watched")
    monkeypatch.setattr("streamlit.session_state", {"study": "watched"})
    drawn = take_snapshot("watched")
    if change == "a confirmation":
        confirm(study, study.trial(3), 1, accuracy_of(3))
    elif change == "a trial":
        another_trial(study)
    elif change == "a study":
        begin_study(url, "another")
    elif change == "no storage":
        study.database.close()
        (tmp_path / "explorer.db").unlink()
    assert is_outdated(drawn) == (change != "nothing")


def test_a_page_without_a_storage_waits_for_one(url, monkeypatch):
    """A page without a storage stays unchanged until the storage exists."""
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    monkeypatch.setattr("streamlit.session_state", {})
    drawn = take_snapshot(None)
    assert "'explorer search' creates it" in drawn.problem
    assert not is_outdated(drawn)
    write_study(url, "late")
    assert is_outdated(drawn)
