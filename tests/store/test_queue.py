"""Trials of counterparts, which wait for a worker, on every backend."""

from __future__ import annotations

import dataclasses

import pytest

from explorer.errors import StoreError
from explorer.store.lease import new_worker
from explorer.store.rows import Ending, Proposal
from explorer.store.writer import StudyWriter
from tests.store.conftest import GONE, proposal

PAIR = {"twin": 0, "factor": "order", "precision": "float32", "objective": "accuracy", "asked": ""}


def counterpart(name: str) -> Proposal:
    return dataclasses.replace(proposal(name), counterpart=PAIR)


def test_counterparts_wait_and_are_resumed_in_order(writer):
    """Queued trials get the next numbers, wait as interrupted ones, and begin with attempt 1 in their order."""
    writer.begin(0, proposal("a"))
    queued = writer.queue([counterpart("b"), counterpart("c")], known=[])
    assert [(each.number, each.state, each.attempt) for each in queued] == [
        (1, "interrupted", 1),
        (2, "interrupted", 1),
    ]
    first = writer.resume()
    assert (first.number, first.state, first.attempt, first.counterpart) == (1, "running", 1, PAIR)
    assert writer.resume(among=[0, 1]) is None and writer.resume(among=[0, 2]).number == 2
    assert writer.begin(3, proposal("c")).same_as == 2
    assert [each.number for each in writer.finish(2, Ending("complete", {"accuracy": 0.5, "macs": 100.0}))] == [2, 3]


def test_a_proposal_that_another_worker_changed_is_refused(writer):
    """Nothing is stored if there are unknown counterparts, or if a trial of one of the networks has begun."""
    other = StudyWriter(writer.study, new_worker())
    assert other.queue([counterpart("b")], known=[]) is not None
    assert writer.queue([counterpart("c")], known=[]) is None
    other.begin(1, proposal("d"))
    assert writer.queue([counterpart("c"), counterpart("d")], known=[0]) is None
    assert [each.digest for each in writer.study.trials()] == ["v1-b", "v1-d"]
    assert [each.number for each in writer.queue([counterpart("c")], known=[0])] == [2]


def test_a_counterpart_of_a_lost_worker_is_resumed(writer):
    """The lease of a counterpart ends with its worker, as that of any trial, and its result is fenced."""
    lost = StudyWriter(writer.study, GONE)
    lost.queue([counterpart("b")], known=[])
    assert lost.resume().number == 0
    assert [each.state for each in writer.reap()] == ["interrupted"]
    assert (writer.resume().attempt, lost.finish(0, Ending("failed", reason="late"))) == (2, [])


@pytest.mark.parametrize("damaged", ['{"twin": -1}', '{"twin": 0, "factor": 3}', "[]", "nothing"])
def test_a_damaged_counterpart_is_reported(writer, damaged):
    """A value that the explorer does not write is an error that names trial and column."""
    writer.queue([counterpart("b")], known=[])
    with writer.study.database.engine.begin() as connection:
        text = damaged.replace("'", "''")
        connection.exec_driver_sql(f"UPDATE explorer_trials SET counterpart = '{text}'")
    with pytest.raises(StoreError, match="explorer_trials, trial 0, column counterpart: expected JSON"):
        writer.study.trials()
