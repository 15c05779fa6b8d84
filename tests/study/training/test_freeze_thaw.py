"""Searches that pause trainings and continue them from their checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from explorer.records import TrialRecord
from explorer.store.cleaning import removable_files
from explorer.store.remote.files import ObjectStore
from explorer.store.studies import open_study
from explorer.store.study import Study
from explorer.study.events import Event
from explorer.study.search import SearchResult, run_search
from explorer.study.trials import files
from tests.study.training.digits import SETTINGS, copied, no_late_verdicts

EPOCHS, TRIALS = 6, 12
SEARCH = {**SETTINGS, "epochs": EPOCHS, "precision": "float32", "workers": 1}


class Heard:
    """The events of a search, which ends with Ctrl-C after some trials have ended if ``most`` is given."""

    def __init__(self, most: int = 10**6):
        self.epochs: set[tuple[int, int, float]] = set()  # a continued training reports its earlier epochs again
        self.started: list[int] = []
        self.states: list[str] = []
        self.times_left: set[float | None] = set()
        self._most = most

    def __call__(self, event: Event) -> None:
        self.times_left.add(event.status.seconds_left)
        if event.kind == "epoch":
            self.epochs.add((event.trial.number, event.epoch.epoch, event.epoch.seconds))
        elif event.kind == "started":
            self.started.append(event.trial.number)
        elif event.kind == "ended":
            self.states.append(event.trial.state)
            if len(self.states) >= self._most:
                raise KeyboardInterrupt


def searched(space, url: str, heard: Callable[[Event], None] | None = None, **settings) -> SearchResult:
    """Run a search that pauses trials."""
    settings = {**SEARCH, "stopping": "freeze_thaw", "trials": TRIALS, **settings}
    with no_late_verdicts():
        return run_search(space, storage=url, progress=heard, **settings)


def checkpoints(study: Study) -> set[str]:
    """Return the networks of which there is a checkpoint."""
    return {name.removesuffix(".checkpoint") for name in study.files.names() if name.endswith(".checkpoint")}


def of_state(study: Study, state: str) -> list[TrialRecord]:
    return [record for record in study.trials() if record.state == state]


@pytest.fixture(scope="module")
def paused(space, tmp_path_factory):
    """A study of a search that paused trials, with its events and its storage."""
    url, heard = f"sqlite:///{tmp_path_factory.mktemp('paused')}/explorer.db", Heard()
    result = searched(space, url, heard)
    return result, heard, url


def test_a_third_of_the_epochs_is_trained(paused):
    """Each trial is begun, a third of their epochs is trained at most, and no epoch is given up."""
    result, heard, _ = paused
    study, counts = result.study, result.study.counts()
    assert heard.times_left == {None}  # the trials that are left do not tell it, since some of them continue
    assert result.ended == f"the study has its {TRIALS} trials" and not result.failed
    assert counts["complete"] > 0 and counts["complete"] + counts["stopped"] == TRIALS
    assert study.savings()["epochs_trained"] == len(heard.epochs) <= TRIALS * EPOCHS / 3


@pytest.mark.slow
def test_a_continued_trial_ends_as_if_it_had_not_been_paused(paused, space, tmp_path):
    """Its result is bitwise that of a search without stopping; being continued is no attempt."""
    result, heard, _ = paused
    complete = of_state(result.study, "complete")
    assert any(heard.started.count(record.number) > 1 for record in complete)
    whole = run_search(space, storage=f"sqlite:///{tmp_path}/x.db", trials=TRIALS, **SEARCH, stopping="none").study
    for record in complete:
        other = whole.trial(record.number)
        assert (record.digest, record.attempt, record.result.epochs) == (other.digest, 1, EPOCHS)
        assert [epoch.val_loss for epoch in record.result.curve] == [epoch.val_loss for epoch in other.result.curve]


def test_paused_trials_have_a_reason_and_a_checkpoint(paused):
    """A paused trial is stopped; its checkpoint is one of the files that may be removed when no search runs."""
    study = paused[0].study
    stopped = of_state(study, "stopped")
    assert stopped and all(record.reason.startswith("paused after ") for record in stopped)
    assert checkpoints(study) == {record.digest for record in stopped}
    listed = {each.file: each for each in removable_files(study)}
    for record in stopped:
        found = listed[f"{record.digest}.checkpoint"]
        assert found.is_paused and found.reason == f"checkpoint of trial {record.number}, which is paused"


def test_more_trials_continue_paused_ones(paused, space, tmp_path):
    """A search with more trials may train more epochs, and gives none of the earlier ones up."""
    url, heard = copied(paused[2], tmp_path), Heard()
    study = searched(space, url, heard, trials=TRIALS + 6).study
    assert len({number for number in heard.started if number < TRIALS}) > 0
    saved = study.savings()
    assert saved["epochs_trained"] <= (TRIALS + 6) * EPOCHS / 3
    assert saved["epochs_trained"] + saved["epochs_saved"] == (TRIALS + 6) * EPOCHS
    assert saved["epochs_trained"] == len(heard.epochs | paused[1].epochs)


@pytest.mark.slow
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_search_that_was_interrupted_goes_on(space, url, is_lost):
    """Trials that were paused before an interruption continue; without their checkpoints they start again, and their
    earlier epochs count as given up."""
    first, second = Heard(most=TRIALS), Heard()
    assert searched(space, url, first).interrupted and "stopped" in first.states
    if is_lost:
        shutil.rmtree(open_study(url).artifacts)
    result = searched(space, url, second)
    counts, saved = result.study.counts(), result.study.savings()
    assert not result.failed and counts["complete"] + counts["stopped"] == TRIALS and counts["complete"] > 0
    again = {number for number in second.started if number in first.started}
    assert again and not counts["failed"]
    assert saved["epochs_trained"] == len(first.epochs | second.epochs)
    assert saved["epochs_trained"] + saved["epochs_saved"] == TRIALS * EPOCHS
    known = {(number, epoch) for number, epoch, _ in first.epochs | second.epochs}
    assert (len(known) < saved["epochs_trained"]) == is_lost
    assert saved["epochs_trained"] <= TRIALS * EPOCHS / 3


@pytest.mark.slow
def test_several_workers_pause_and_continue(space, url):
    """With several trainings at once each trial ends, and little more than a third of the epochs is trained."""
    heard = Heard()
    result = searched(space, url, heard, workers=3, trials=18)
    counts, saved = result.study.counts(), result.study.savings()
    assert counts["complete"] + counts["stopped"] == 18 and counts["complete"] > 0 and not counts["failed"]
    assert saved["epochs_trained"] == len(heard.epochs) <= 18 * EPOCHS / 3 + 2 * EPOCHS


@pytest.mark.slow
def test_another_rule_continues_from_the_checkpoint_too(paused, space, tmp_path):
    """A later run with another rule finds the paused trials, and may reopen them."""
    url = copied(paused[2], tmp_path)
    result = searched(space, url, trials=TRIALS + 3, stopping="rungs")
    counts = result.study.counts()
    assert counts["complete"] + counts["stopped"] == TRIALS + 3 and not result.failed


@pytest.mark.slow
def test_the_checkpoints_of_paused_trials_are_limited(space, url, monkeypatch):
    """Beyond a number or a size, the trials that were paused first lose their checkpoints, and the search goes on."""
    monkeypatch.setattr(files, "MAX_PAUSED", 3)
    study = searched(space, url).study
    assert len(checkpoints(study)) <= 3 < study.counts()["stopped"]
    monkeypatch.setattr(files, "MAX_PAUSED_BYTES", 1)
    study = searched(space, url, trials=TRIALS + 2).study
    assert not checkpoints(study) & {record.digest for record in of_state(study, "stopped")}
    assert study.counts()["complete"] + study.counts()["stopped"] == TRIALS + 2


@pytest.mark.slow
def test_paused_trials_continue_on_another_machine(space, url, s3):
    """With a bucket as the place of the files, the checkpoints of paused trials are there, and nothing is given up."""
    first, second = Heard(most=TRIALS), Heard()
    searched(space, url, first, artifacts=s3)
    study = open_study(url)
    assert isinstance(study.files, ObjectStore) and checkpoints(study)
    shutil.rmtree(study.artifacts, ignore_errors=True)  # as on another machine
    result = searched(space, url, second)
    assert [number for number in second.started if number in first.started]
    known = {(number, epoch) for number, epoch, _ in first.epochs | second.epochs}
    assert result.study.savings()["epochs_trained"] == len(known)
    assert checkpoints(result.study) == {record.digest for record in of_state(result.study, "stopped")}


@pytest.mark.slow
def test_a_study_in_memory_starts_paused_trials_again(space):
    """A study in memory keeps no files: a trial that is continued starts again, which counts as epochs given up."""
    heard = Heard()
    settings = {**SEARCH, "stopping": "freeze_thaw", "trials": TRIALS}
    with no_late_verdicts():
        study = run_search(space, storage=None, progress=heard, **settings).study
    counts = study.counts()
    assert counts["complete"] + counts["stopped"] == TRIALS
    assert study.savings()["epochs_trained"] == len(heard.epochs)
