"""Paused trials whose checkpoint is lost, damaged or of another machine."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace

import pytest

from explorer.records import Environment
from explorer.store.artifacts import checkpoint_file
from explorer.store.remote.files import ObjectStore
from explorer.store.remote.place import PLACE
from explorer.store.rows import Ending
from explorer.store.study import Study
from explorer.study.stopping import continuations as module
from explorer.study.stopping.continuations import Continuations
from tests.study.stopping.test_learning_curves import ALL, NONE, Search, epoch, pausing

CURVE = [0.6, 0.7, 0.8, 0.9]


def checkpoint(epochs: int) -> bytes:
    """Return the content of a checkpoint after a number of epochs, with a tensor of eight bytes."""
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = {"__metadata__": {"state": json.dumps({"curve": [{}] * epochs})}, "a": tensor}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


def place_checkpoint(study: Study, number: int, content: bytes) -> None:
    file = checkpoint_file(study.artifacts, study.trial(number).digest)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


@pytest.fixture
def search(tmp_path, monkeypatch) -> Search:
    """A search with four complete trials, and two equal ones that were paused after an epoch: 4 and 5."""
    monkeypatch.chdir(tmp_path)  # where a study in memory would have its files
    search = pausing()
    for _ in range(2):
        assert search.trial(CURVE, 90, NONE)
    return search


@pytest.mark.parametrize("whole", [4, 5])
@pytest.mark.parametrize(
    "damaged",
    [None, b"", checkpoint(1)[:-3], checkpoint(1)[:40], checkpoint(0), b"another file", checkpoint(1) + b"x"],
    ids=["missing", "empty", "cut", "cut in the header", "of no epoch", "other content", "too long"],
)
def test_a_trial_with_a_whole_checkpoint_is_continued(search, whole, damaged):
    """Of two equal paused trials, the one with a whole checkpoint is continued."""
    for number in (4, 5):
        if number == whole:
            place_checkpoint(search.writer.study, number, checkpoint(1))
        elif damaged is not None:
            place_checkpoint(search.writer.study, number, damaged)
    assert search.curves.trial_to_reopen(ALL) == whole


def test_epochs_that_a_checkpoint_does_not_hold_are_lost(search):
    """An older checkpoint loses the epochs after it; one that was replaced is read again."""
    continuations, study = Continuations(search.writer.study), search.writer.study
    digest = study.trial(4).digest
    for held, lost in ((0, 3), (1, 2), (3, 0), (4, 0), (2, 1)):
        place_checkpoint(study, 4, checkpoint(held))
        assert continuations.lost_epochs({4: (digest, 3)}) == {4: lost}


def continued(search: Search, first: float) -> None:
    """Continue trial 4 and report its first epoch, and a further one."""
    record = search.writer.reopen(4, counts=False)
    search.curves.learn([record])
    search.curves.begin(record)
    for at, accuracy in ((1, first), (2, 0.7)):
        search.curves.add_epoch(record, epoch(at, accuracy), ALL)


@pytest.mark.parametrize(("first", "given_up"), [(0.6, 0), (0.601, 1)])
def test_a_training_that_starts_again_costs_its_epochs(search, first, given_up):
    """Epochs that a training repeats count once if they are those of its checkpoint; those of a new training come on
    top, while it runs and after it has ended."""
    place_checkpoint(search.writer.study, 4, checkpoint(1))
    continued(search, first)
    assert search.curves._seen(ALL).spent == given_up
    assert search.train(search.writer.study.trial(4), [first, *CURVE[1:]], ALL) == ""
    assert search.curves._seen(ALL).spent == given_up


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("content", [checkpoint(1), b""])
def test_checkpoints_of_other_threads_are_lost_once_one_was_refused(search, threads, content):
    """If a whole checkpoint is not continued, those of as many threads are lost; a damaged one says nothing."""
    study = search.writer.study
    environment = Environment("cpu", "a processor", 1, "Linux", "3.12", {"torch": "2.0"}, "0")
    for number, environment_threads in ((4, 1), (5, threads)):
        record = search.writer.reopen(number, counts=False)
        ending = Ending("stopped", {}, record.result, "paused", replace(environment, threads=environment_threads))
        search.curves.learn(search.writer.finish(number, ending))
    place_checkpoint(study, 4, content)
    place_checkpoint(study, 5, checkpoint(1))
    continued(search, 0.601)
    lost = search.curves._continuations.lost_epochs({5: (study.trial(5).digest, 1)})
    assert lost == {5: int(bool(content) and threads == 1)}


def test_a_checkpoint_that_an_object_store_does_not_have_is_lost(search, monkeypatch):
    """The store is listed from time to time; while it is away its checkpoints are assumed to be there."""
    study = search.writer.study
    study = replace(study, fingerprint={**study.fingerprint, PLACE: f"memory://{secrets.token_hex(4)}"})
    store, continuations = study.files, Continuations(study)
    kept, gone = study.trial(4).digest, study.trial(5).digest
    store.write(f"{kept}.checkpoint", checkpoint(1))
    asked = {4: (kept, 1), 5: (gone, 1)}
    assert continuations.lost_epochs(asked) == {4: 0, 5: 1}
    store.write(f"{gone}.checkpoint", checkpoint(1))
    assert continuations.lost_epochs(asked) == {4: 0, 5: 1}  # the store is not listed again yet
    monkeypatch.setattr(module, "LIST_SECONDS", 0.0)
    assert continuations.lost_epochs(asked) == {4: 0, 5: 0}
    store.remove(f"{gone}.checkpoint")
    monkeypatch.setattr(ObjectStore, "_system", AwayStore())
    assert Continuations(study).lost_epochs(asked) == {4: 0, 5: 0}


class AwayStore:
    """A file system that cannot be reached."""

    def ls(self, *args: object, **settings: object) -> None:
        raise ConnectionError("the store is away")
