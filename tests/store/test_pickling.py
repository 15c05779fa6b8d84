"""Studies and their records as Python values: copied, sent to other processes, put into sets."""

from __future__ import annotations

import copy
import json
import multiprocessing
import pickle

import numpy
import pytest

import explorer
from explorer.errors import StoreError
from explorer.measure.result import LatencyEnvironment
from explorer.records import ConfirmationRecord
from explorer.store import open_study
from explorer.store.study import Study
from explorer.system.environment import describe_environment
from tests.study.evaluations import SPACE_TEXT, good

SPACE = explorer.parse_space(SPACE_TEXT)


def search(storage: str | None) -> Study:
    return explorer.search(SPACE, evaluate=good, trials=3, storage=storage, study="sent")


def numbers(study: Study) -> list[int]:
    return [record.number for record in study.trials()]


@pytest.fixture
def study(url):
    search(url)
    return open_study(url, "sent")


@pytest.mark.slow
def test_a_study_is_sent_to_another_process(study, monkeypatch, tmp_path):
    """A pickled study reopens its database in another process and from another folder."""
    monkeypatch.chdir(tmp_path)
    beside = open_study("sqlite:///explorer.db", "sent")
    packed = pickle.dumps(beside)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = pickle.loads(packed)
    assert again == study and hash(again) == hash(study) and numbers(again) == [0, 1, 2]
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        assert pool.apply(numbers, (study,)) == [0, 1, 2]


def test_a_study_can_be_copied(study):
    """Copies read the same database, also in memory; a study in memory cannot be pickled, and the error suggests a
    file."""
    kept = search(None)
    for each in (study, kept):
        assert numbers(copy.copy(each)) == numbers(copy.deepcopy(each)) == [0, 1, 2]
    with pytest.raises(TypeError, match=r"in memory cannot be sent.*explorer.copy_study"):
        pickle.dumps(kept)


def test_records_are_hashable_and_pickled(study):
    """Equal records have equal hashes, whatever mappings they contain, and can be pickled."""
    machine = describe_environment()
    values = [
        *study.trials(),
        machine,
        ConfirmationRecord("v1-a", 1, 2, "complete", test={"accuracy": 0.5}),
        LatencyEnvironment(machine, 1, "float32", "nchw", "eager", 1, {"watts": 3.0}),
    ]
    again = pickle.loads(pickle.dumps(values))
    assert again == values and set(again) == set(values) and len(set(values)) == len(values)
    assert study.trial(0) in set(study.trials())


def test_a_trial_number_is_an_integer(study):
    """NumPy integers are valid trial numbers; text and fractions are rejected."""
    assert study.trial(numpy.int64(1)) == study.trial(1)
    for number in ("1", 1.0, None, True):
        with pytest.raises(StoreError, match="whole number"):
            study.trial(number)


def test_numpy_numbers_are_stored_as_numbers(url):
    """NumPy numbers from an evaluation or a cost are stored as numbers and converted to JSON."""
    study = explorer.search(
        SPACE,
        evaluate=lambda *_, **__: {"accuracy": numpy.float32(0.5)},
        costs={"joules": lambda *_: numpy.int64(3)},
        objectives={"accuracy": "max", "joules": "min"},
        trials=2,
        storage=url,
        study="numpy",
    )
    record = study.trial(0)
    assert json.loads(json.dumps([dict(record.costs), dict(record.objectives)])) == [record.costs, record.objectives]
    assert (record.costs["joules"], record.objectives["accuracy"]) == (3, 0.5)
