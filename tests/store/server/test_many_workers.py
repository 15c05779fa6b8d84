"""Costs of a study that has many trials or many workers."""

from __future__ import annotations

from itertools import count

import pytest
from sqlalchemy import event

from explorer.store import lease
from explorer.store.lease import HeldLease, LeaseWatch, new_worker, renew_seconds
from explorer.store.rows import Ending
from explorer.store.writer import NumberTaken, StudyWriter
from tests.store.conftest import ELSEWHERE, make_study, proposal

COMPLETE = Ending("complete", {"accuracy": 0.5})


@pytest.fixture
def writer(storage):
    """A writer of a new study, on every kind of database."""
    writer = StudyWriter(make_study(storage), new_worker())
    yield writer
    writer.study.database.close()


def test_a_number_that_another_worker_took_is_replaced(writer):
    """A proposal that is valid for any number gets the next one; the same network is not begun twice."""
    other = StudyWriter(writer.study, ELSEWHERE)
    other.begin(0, proposal("a"))
    with pytest.raises(NumberTaken):
        writer.begin(0, proposal("b"))
    asked = []

    def numbered(number):
        asked.append(number)
        return proposal("b")

    begun = writer.begin(0, proposal("b"), None, numbered)
    assert (begun.number, begun.state, asked) == (1, "running", [1])
    with pytest.raises(NumberTaken):
        writer.begin(1, proposal("a"), None, lambda number: proposal("a"))
    with pytest.raises(NumberTaken):  # a number after the next one is not a race that was lost
        writer.begin(3, proposal("c"), None, lambda number: proposal("c"))


def test_the_total_is_kept_whatever_the_worker_knows(writer):
    """Trials since the last read are counted, whether they were known before or not."""
    for number in range(3):
        writer.begin(number, proposal(f"n{number}"))
        writer.finish(number, COMPLETE)
    writer.known.revision, writer.known.count = writer.study.trials(full=False)[-1].revision, 3
    writer.begin(3, proposal("n3"), 5)
    writer.finish(3, COMPLETE)  # counted twice since the last read, so all are counted
    assert writer.begin(4, proposal("n4"), 5).state == "running"
    with pytest.raises(NumberTaken, match="the 5 trials"):
        writer.begin(5, proposal("n5"), 5)


def test_a_trial_on_a_server_takes_few_statements(postgresql_url):
    """Begin and end of a trial are four statements each on PostgreSQL, the commit included, and a read is two."""
    writer, seen = StudyWriter(make_study(postgresql_url), new_worker()), []
    event.listen(writer.study.database.engine, "before_cursor_execute", lambda *given: seen.append(given[2].split()[0]))
    for number in range(3):
        calls = (
            lambda number=number: writer.begin(number, proposal(f"n{number}")),
            lambda number=number: writer.finish(number, COMPLETE),
            lambda: writer.study.trials(1, full=False),
        )
        for call, most in zip(calls, (4, 4, 2)):
            seen.clear()
            call()
            assert len(seen) <= most, seen
    writer.study.database.close()


def test_many_leases_are_read_once_in_a_lease(monkeypatch):
    """With many other workers a process reads their leases every fourth renewal, and still finds a lost one."""
    monkeypatch.setattr(lease, "MANY", 2)
    clock = count(0.0, renew_seconds())
    watch = LeaseWatch(clock.__next__)
    workers = {f"elsewhere:space:{number}:1:x": 0 for number in range(3)}
    lost, reads = set(), 0
    for renewal in range(20):
        for worker in list(workers)[1:]:
            workers[worker] = renewal
        if not watch.is_due():
            continue
        reads += 1
        lost |= watch.observe(HeldLease(worker, worker, renewed) for worker, renewed in workers.items())
    assert reads <= 6 and lost == {"elsewhere:space:0:1:x"}
