"""Two workers whose transactions interleave: each trial has one holder, and no acknowledged result changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, text

from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.writer import NumberTaken, StudyWriter
from tests.polling import PATIENCE, wait_until
from tests.store.conftest import ELSEWHERE, GONE, RESULT, make_study, proposal, reap_after_a_lease, watching

COMPLETE = Ending("complete", {"accuracy": 0.9, "macs": 100.0}, RESULT)
SOON = 0.2  # seconds in which a transaction that did not wait would end


class Paused:
    """Calls a function in a thread whose transaction stops before its commit, or before its n-th statement."""

    def __init__(self, writer: StudyWriter | ConfirmationWriter, call: Callable[[], Any], statement: int | None):
        self._engine = writer.study.database.engine
        self._reached, self._proceed = threading.Event(), threading.Event()
        self._left = statement
        self.call = Running(call)
        self._listened = ("commit", self._stop) if statement is None else ("before_cursor_execute", self._count)
        event.listen(self._engine, *self._listened, insert=True)  # before the store's own listener, which commits
        self.call.start()
        wait_until(lambda: self._reached.is_set() or not self.call.is_alive())

    def _count(self, *_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            self._stop()

    def _stop(self, *_: Any) -> None:
        self._reached.set()
        assert self._proceed.wait(PATIENCE)

    def proceed(self) -> Any:
        self._proceed.set()
        found = self.call.result()
        event.remove(self._engine, *self._listened)
        return found


class Running(threading.Thread):
    """Calls a function in a thread; ``result`` returns what it returned or raised."""

    def __init__(self, call: Callable[[], Any]):
        super().__init__(daemon=True)
        self._call = call

    def run(self) -> None:
        try:
            self._result = self._call()
        except Exception as error:
            self._result = error

    def result(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive()
        if isinstance(self._result, Exception) and not isinstance(self._result, NumberTaken):
            raise self._result
        return self._result


@pytest.fixture(params=["file", "postgresql"])
def shared(request, tmp_path) -> str:
    """An empty storage that several processes can open."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return f"sqlite:///{tmp_path}/explorer.db"


@pytest.fixture
def writers(shared) -> Iterator[tuple[StudyWriter, StudyWriter]]:
    """Two workers of one study, with a connection each."""
    made = [StudyWriter(make_study(shared), new_worker()) for _ in range(2)]
    yield made[0], made[1]
    for writer in made:
        writer.study.database.close()


def interleave(first, first_call, second_call) -> Iterator[tuple[Any, Any]]:
    """Yield the results of two calls, the first stopped before each of its statements in turn while the second runs.

    The second call waits for the first one's lock; if the first has no lock yet, the second ends before it.
    """
    for statement in (1, 2, 3, 4, 6, None):
        paused = Paused(first, first_call, statement)
        other = Running(second_call)
        other.start()
        other.join(SOON)
        yield paused.proceed(), other.result()


def running_once(writer: StudyWriter, found: tuple[Any, Any]) -> None:
    """Exactly one of two results is a trial that its worker has to run, and the database says so too."""
    begun = [each for each in found if getattr(each, "state", "") == "running" and each.same_as is None]
    assert len(begun) == 1
    assert writer.study.trial(begun[0].number).worker == begun[0].worker


def test_begin_and_begin(writers):
    """Of two workers that begin a trial of the same number, one runs it, and the other has to propose again."""
    one, two = writers
    numbers = [0]

    def begin(writer, name):
        return writer.begin(numbers[-1], proposal(f"{name}{numbers[-1]}"))

    for found in interleave(one, lambda: begin(one, "a"), lambda: begin(two, "b")):
        running_once(one, found)
        assert [type(each) for each in found].count(NumberTaken) == 1
        numbers.append(numbers[-1] + 1)
        assert sum(one.study.counts().values()) == numbers[-1]


def test_begin_and_begin_of_one_network(writers):
    """A network that two workers begin under different numbers is trained once; the other trial waits and is cached."""
    one, two = writers

    def begin(writer):
        while True:
            try:
                return writer.begin(sum(writer.study.counts().values()), proposal(f"n{len(rounds)}"))
            except NumberTaken:
                continue

    rounds: list[int] = []
    for found in interleave(one, lambda: begin(one), lambda: begin(two)):
        running_once(one, found)
        holder = next(each for each in found if each.same_as is None)
        ended = (one if holder.worker == one.worker else two).finish(holder.number, COMPLETE)
        assert [each.state for each in ended] == ["complete", "cached"]
        rounds.append(holder.number)


def test_resume_and_resume(writers):
    """Of two workers that resume the only interrupted trial, one runs it."""
    one, two = writers
    StudyWriter(one.study, GONE).begin(0, proposal("a"))
    one.reap()
    for found in interleave(one, one.resume, two.resume):
        running_once(one, found)
        for writer in writers:
            writer.interrupt("again")


def test_retry_and_retry(writers):
    """Of two workers that retry a failed trial, one runs it."""
    one, two = writers
    one.begin(0, proposal("a"))
    one.finish(0, Ending("failed", reason="exploded"))
    failed = [one.study.trial(0)]

    def retry(writer):
        return writer.retry(failed[0], {"macs": 1.0}, {}, None)

    for found in interleave(one, lambda: retry(one), lambda: retry(two)):
        running_once(one, found)
        for writer in writers:
            writer.finish(0, Ending("failed", reason="again"))
        failed[0] = one.study.trial(0)


def test_reap_and_complete(writers):
    """A result that is acknowledged stays, however slowly another worker fails the trial as lost."""
    one, two = writers
    for number in range(6):
        reaper = watching(two)
        remote = StudyWriter(one.study, ELSEWHERE)
        remote.begin(number, proposal(f"n{number}"))
        for _ in range(4):
            assert reaper.reap() == []
        statement = (1, 2, 3, 4, 5, None)[number]
        paused = Paused(two, reaper.reap, statement)
        finishing = Running(lambda remote=remote, number=number: remote.finish(number, COMPLETE))
        finishing.start()
        finishing.join(SOON)
        paused.proceed()
        assert [each.state for each in finishing.result()] == ["complete"]
        assert (one.study.trial(number).state, two.resume()) == ("complete", None)


def test_reap_and_renew(writers):
    """A trial that is renewed while another worker fails it as lost has one holder afterwards."""
    one, two = writers
    for number in range(6):
        begun = one.begin(number, proposal(f"n{number}"))
        reaper = watching(two)
        pretended = StudyWriter(one.study, ELSEWHERE, held={number: begun.attempt})
        one.study.database.write(
            lambda connection, number=number: connection.execute(
                text("UPDATE explorer_trials SET worker = :worker WHERE number = :number"),
                {"worker": ELSEWHERE, "number": number},
            )
        )
        for _ in range(4):
            assert reaper.reap() == []
        paused = Paused(two, reaper.reap, (1, 2, 3, 4, 5, None)[number])
        renewing = Running(pretended.renew)
        renewing.start()
        renewing.join(SOON)
        paused.proceed()
        renewing.result()
        assert one.study.trial(number).state == "running"
        assert two.resume() is None
        assert [each.state for each in pretended.finish(number, COMPLETE)] == ["complete"]


def test_a_fenced_worker_changes_nothing(writers):
    """A worker whose trial another one has taken up neither renews, ends nor interrupts it."""
    one, two = writers
    one.begin(0, proposal("a"))
    remote = StudyWriter(one.study, ELSEWHERE, held={0: 1})
    one.study.database.write(
        lambda connection: connection.execute(text("UPDATE explorer_trials SET worker = :w"), {"w": ELSEWHERE})
    )
    reap_after_a_lease(two)
    taken = two.resume()
    remote.renew()
    assert remote.finish(0, COMPLETE) == [] and remote.interrupt("late") == []
    found = one.study.trial(0)
    assert (
        (found.state, found.worker, found.attempt)
        == ("running", two.worker, 2)
        == (
            taken.state,
            taken.worker,
            taken.attempt,
        )
    )


def test_claim_and_complete(writers):
    """A trial that begins while the trial of the same network ends gets its result, and is not trained."""
    one, two = writers
    for number in range(0, 12, 2):
        one.begin(number, proposal(f"n{number}"))
        statement = (1, 2, 3, 4, 6, None)[number // 2]
        paused = Paused(two, lambda number=number: two.begin(number + 1, proposal(f"n{number}")), statement)
        finishing = Running(lambda number=number: one.finish(number, COMPLETE))
        finishing.start()
        finishing.join(SOON)
        paused.proceed()
        assert finishing.result()[0].state == "complete"
        assert (one.study.trial(number + 1).state, one.study.trial(number + 1).same_as) == ("cached", number)


def test_interrupt_and_reap(writers):
    """A trial that is interrupted while another worker fails it as lost is resumed once."""
    one, two = writers
    for number in range(6):
        remote = StudyWriter(one.study, ELSEWHERE)
        remote.begin(number, proposal(f"n{number}"))
        reaper = watching(two)
        for _ in range(4):
            assert reaper.reap() == []
        paused = Paused(two, reaper.reap, (1, 2, 3, 4, 5, None)[number])
        interrupting = Running(lambda remote=remote: remote.interrupt("Ctrl-C"))
        interrupting.start()
        interrupting.join(SOON)
        paused.proceed()
        interrupting.result()
        assert one.study.trial(number).state == "interrupted"
        taken = two.resume()
        assert taken.number == number and one.resume() is None
        two.finish(number, COMPLETE)


def test_confirm_and_confirm(shared):
    """Of two processes that claim the same training, one gets it."""
    studies = [make_study(shared) for _ in range(2)]
    one, two = (ConfirmationWriter(study, new_worker()) for study in studies)
    one.keep_networks({"v1-a": '{"network": "a"}'})
    wanted = iter(Wanted("v1-a", 3, seed) for seed in range(100))
    each = [next(wanted)]
    for found in interleave(one, lambda: one.claim(each), lambda: two.claim(each)):
        claimed = [record for record in found if record is not None]
        assert len(claimed) == 1
        stored = [record for record in studies[0].confirmations() if record.seed == each[0].seed]
        assert [record.worker for record in stored] == [claimed[0].worker]
        each[0] = next(wanted)
    for study in studies:
        study.database.close()
