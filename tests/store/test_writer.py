"""The life cycle of a trial, on every backend."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import platform
import signal
import subprocess
import time

import pytest

from explorer.store import writer as writer_module
from explorer.store.lease import RETRIES, LeaseWatch, new_worker
from explorer.store.rows import Ending
from explorer.store.studies import create_study
from explorer.store.writer import NumberTaken, StudyWriter
from explorer.system.plain_text import printable
from explorer.system.processes import process_start
from tests.polling import PATIENCE, wait_until
from tests.store.conftest import (
    ELSEWHERE,
    ENVIRONMENT,
    GONE,
    OBJECTIVES,
    RESULT,
    make_study,
    proposal,
    reap_after_a_lease,
    watching,
)

COMPLETE = Ending("complete", {"accuracy": 0.9, "macs": 100.0}, RESULT, environment=ENVIRONMENT, weights="ab" * 32)


def another(writer: StudyWriter) -> StudyWriter:
    return StudyWriter(writer.study, new_worker())


def test_a_trial_is_stored_completely(writer):
    """Choices, costs, objectives, curve, environment, architecture, seed and times are read back as written."""
    begun = writer.begin(0, proposal("a", order="x", depth="2"))
    assert (begun.state, begun.same_as, begun.finished, begun.attempt) == ("running", None, None, 1)
    (ended,) = writer.finish(0, COMPLETE)
    (read,) = writer.study.trials()
    assert read == ended == writer.study.trial(0)
    assert read.choices == {"order": "x", "depth": "2"} and read.costs == {"macs": 100.0, "params": 7}
    assert read.objectives == {"accuracy": 0.9, "macs": 100.0} and read.result == RESULT
    assert (
        read.environment == ENVIRONMENT and read.architecture_json == '{"network": "a"}' and read.weights == "ab" * 32
    )
    assert (read.seed, read.worker) == (11, writer.worker) and read.started <= read.finished


def test_numbers_have_no_gaps(writer):
    """Only the next trial number can start; other numbers are refused and write nothing."""
    writer.begin(0, proposal("a"))
    for wrong in (0, 2):
        with pytest.raises(NumberTaken, match="the next is 1"):
            writer.begin(wrong, proposal("b"))
    assert writer.begin(1, proposal("b")).state == "running"
    assert [record.number for record in writer.study.trials()] == [0, 1]


def test_a_complete_network_answers_its_duplicate(writer):
    """A second trial of a complete network is cached with its values; another network runs."""
    writer.begin(0, proposal("a"))
    writer.finish(0, COMPLETE)
    twin = writer.begin(1, proposal("a"))
    assert (twin.state, twin.same_as, twin.objectives) == ("cached", 0, COMPLETE.objectives)
    assert twin.finished is not None
    assert writer.begin(2, proposal("b")).state == "running"


def test_a_failed_network_fails_its_duplicate(writer):
    """A second trial of a network that failed fails with that reason, without an evaluation."""
    writer.begin(0, proposal("a"))
    writer.finish(0, Ending("failed", reason="exploded"))
    twin = writer.begin(1, proposal("a"))
    assert (twin.state, twin.same_as) == ("failed", 0) and twin.reason == "the same network failed in trial 0: exploded"


def test_duplicates_of_a_running_network_wait(writer):
    """Trials of a running network wait for it and end with it in one transaction."""
    writer.begin(0, proposal("a"))
    other = another(writer)
    assert [(r.state, r.same_as) for r in (writer.begin(1, proposal("a")), other.begin(2, proposal("a")))] == [
        ("running", 0)
    ] * 2
    assert [(r.number, r.state) for r in writer.finish(0, COMPLETE)] == [(0, "complete"), (1, "cached"), (2, "cached")]
    assert [r.objectives for r in writer.study.trials()] == [COMPLETE.objectives] * 3


def test_a_rejected_candidate_does_not_reserve_its_network(writer):
    """A rejected trial is stored with its reason, cut to 500 characters, and its network can be proposed again."""
    refused = writer.refuse(0, proposal("a"), "rejected", "macs <= 50 M\n" + "x" * 600)
    assert refused.state == "rejected" and len(refused.reason) == 500 and "\n" not in refused.reason
    assert writer.begin(1, proposal("a")).same_as is None


def test_a_lost_trial_is_resumed_under_its_number(writer):
    """A trial with an expired lease resumes with its number and seed as attempt 2, and its late worker writes
    nothing."""
    begun = writer.begin(0, proposal("a"))
    heir = another(writer)
    assert heir.reap() == [] and heir.resume() is None
    (lost,) = reap_after_a_lease(heir)
    assert (lost.state, lost.reason) == ("interrupted", "interrupted: its worker was lost")
    resumed = heir.resume()
    assert (resumed.state, resumed.number, resumed.attempt, resumed.seed) == ("running", 0, 2, begun.seed)
    assert (
        resumed.worker == heir.worker
        and resumed.architecture_json == begun.architecture_json
        and resumed.finished is None
    )
    assert writer.finish(0, Ending("failed", reason="late")) == []
    assert heir.finish(0, COMPLETE)[0].state == "complete"
    assert heir.resume() is None


def test_a_late_ending_is_logged(writer, caplog):
    """A worker that lost its trial logs this."""
    writer.begin(0, proposal("a"))
    reap_after_a_lease(another(writer))
    another(writer).resume()
    with caplog.at_level(logging.WARNING):
        writer.finish(0, COMPLETE)
    assert "no longer holds its lease" in caplog.text


def test_a_trial_that_loses_its_workers_fails(writer):
    """After RETRIES resumptions the trial fails, and the trials that waited for it fail too."""
    writer.begin(0, proposal("a"))
    for _ in range(RETRIES):
        reap_after_a_lease(another(writer))
        assert another(writer).resume() is not None
    patient = another(writer)
    patient.begin(1, proposal("a"))
    (given_up,) = reap_after_a_lease(patient)
    assert given_up.reason == f"its worker was lost {RETRIES + 1} times"
    assert patient.resume() is None
    waited = writer.study.trial(1)
    assert waited.state == "failed" and waited.reason.startswith("the same network failed in trial 0")


def test_a_waiting_duplicate_survives_the_loss_of_its_trial(writer):
    """If the trial it waits for is lost and resumed, the waiting trial ends with the second attempt."""
    writer.begin(0, proposal("a"))
    heir = another(writer)
    heir.begin(1, proposal("a"))
    writer.interrupt("Ctrl-C")
    assert writer.study.trial(1).state == "running"
    assert heir.resume().number == 0
    assert [r.state for r in heir.finish(0, COMPLETE)] == ["complete", "cached"]


def test_a_duplicate_resumed_late_is_answered(writer):
    """An interrupted waiting trial that resumes after the other one ended is answered at once."""
    writer.begin(0, proposal("a"))
    brief = another(writer)
    brief.begin(1, proposal("a"))
    brief.interrupt("Ctrl-C")
    writer.finish(0, COMPLETE)
    assert writer.resume().state == "cached"


def test_renewal_keeps_a_lease(writer):
    """A trial that is renewed between checks is never lost; without renewal it is lost after one lease."""
    writer.begin(0, proposal("a"))
    watcher = watching(another(writer))
    for _ in range(20):
        writer.renew()
        assert watcher.reap() == []
    assert [len(watcher.reap()) for _ in range(5)] == [0, 0, 0, 1, 0]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_differs_by_an_hour_costs_no_lease(writer, monkeypatch, hours):
    """Workers whose clocks differ by an hour take no trial from each other."""
    writer.begin(0, proposal("a"))
    watcher, true = watching(another(writer)), time.time
    for _ in range(6):
        writer.renew()
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: true() + 3600 * hours)
            assert watcher.reap() == []
            if watcher.study.counts()["running"] == 1:
                watcher.begin(1, proposal("b"))
            watcher.renew()
        assert another(writer).reap() == []
    assert writer.study.counts()["running"] == 2


def test_time_without_a_check_counts_as_one_interval(writer):
    """A process that slept for an hour, or waited so long for a locked database, counts one interval of every lease."""
    writer.begin(0, proposal("a"))
    moments = iter([0.0, 15.0, 3600.0, 7200.0, 7215.0, 7230.0])
    watcher = dataclasses.replace(another(writer), watch=LeaseWatch(lambda: next(moments)))
    assert [len(watcher.reap()) for _ in range(5)] == [0, 0, 0, 0, 1]


def test_only_a_local_process_is_lost_at_once(writer):
    """A trial of an ended local process is lost at once; one of another machine, container or an unknown name after a
    lease."""
    earlier = f"{platform.node()}:999999999:1:ab"
    for number, worker in enumerate((GONE, ELSEWHERE, earlier)):
        dataclasses.replace(writer, worker=worker).begin(number, proposal(f"n{number}"))
    assert [record.number for record in writer.reap()] == [0]
    assert [record.number for record in reap_after_a_lease(writer)] == [1, 2]


def test_a_result_that_comes_late_is_kept_unless_another_took_the_trial_up(writer):
    """The late result of a worker presumed lost is stored in its waiting trial and ends the trials that wait for it."""
    writer.begin(0, proposal("a"))
    heir = another(writer)
    heir.begin(1, proposal("a"))
    reap_after_a_lease(heir)
    assert [(r.number, r.state) for r in writer.finish(0, COMPLETE)] == [(0, "complete"), (1, "cached")]
    assert heir.resume() is None


def test_a_worker_reclaims_its_running_trial(writer):
    """A worker presumed lost reclaims its trial at the next renewal, as the same attempt, and cannot restart it
    before."""
    writer.begin(0, proposal("a"))
    reap_after_a_lease(another(writer))
    assert writer.resume() is None
    writer.renew()
    assert [(r.state, r.attempt, r.reason) for r in writer.study.trials()] == [("running", 1, "")]
    writer.interrupt("Ctrl-C")
    writer.renew()
    assert writer.study.trial(0).state == "interrupted" and another(writer).resume().attempt == 1


def test_trials_of_remote_workers_are_undecided(writer):
    """Trials of workers that are not visible from here are uncertain until the worker renews or is lost."""
    writer.begin(0, proposal("a"))
    far = dataclasses.replace(writer, worker=ELSEWHERE, held={})
    far.begin(1, proposal("b"))
    watcher = watching(another(writer))
    watcher.reap()
    assert watcher.uncertain() == 1
    far.renew()
    watcher.reap()
    assert watcher.uncertain() == 0
    for _ in range(3):
        watcher.reap()
    assert watcher.uncertain() == 1
    watcher.reap()
    assert watcher.uncertain() == 0 and watcher.study.trial(1).state == "interrupted"


def test_trials_of_a_suspended_process_are_undecided(writer):
    """A worker of this machine is known to run until its process is suspended, or it does not renew for two
    intervals."""
    process = subprocess.Popen(["sleep", "60"])
    try:
        host, space, _, _, end = new_worker().rsplit(":", 4)
        near = f"{host}:{space}:{process.pid}:{process_start(process.pid)}:{end}"
        dataclasses.replace(writer, worker=near).begin(0, proposal("a"))
        watcher = watching(another(writer))
        watcher.reap()
        assert watcher.uncertain() == 0
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: watcher.uncertain() == 1)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: watcher.uncertain() == 0)
        watcher.reap()
        watcher.reap()
        assert watcher.uncertain() == 1
    finally:
        process.kill()
        process.wait()


def test_revisions_mark_changed_trials(writer):
    """After any change exactly the changed trials have a later revision than all trials before."""
    writer.begin(0, proposal("a"))
    writer.begin(1, proposal("b"))
    seen = max(record.revision for record in writer.study.trials())
    assert writer.study.trials(since_revision=seen) == []
    writer.finish(0, COMPLETE)
    assert [record.number for record in writer.study.trials(since_revision=seen)] == [0]
    writer.renew()
    assert [record.number for record in writer.study.trials(since_revision=seen)] == [0]


def test_two_studies_are_independent(writer):
    """Two studies each run the same network, and numbers begin at 0 in both."""
    settings = {"space_name": "t", "space_text": "", "fingerprint": {}, "objectives": OBJECTIVES, "seed": 0}
    other = StudyWriter(create_study(writer.study.database, "two", **settings), new_worker())
    assert writer.begin(0, proposal("a")).same_as is None and other.begin(0, proposal("a")).same_as is None
    assert len(reap_after_a_lease(writer)) == 0 and len(reap_after_a_lease(another(other))) == 1


@pytest.mark.parametrize("said", ["a\udcffb", "a\0b", "\x1b]0;title\x07\x1b[31mred", "\u202eevil"])
def test_any_reason_can_be_stored_and_shown(writer, said):
    """A reason that a database cannot store, or that controls a terminal, is stored with escapes, and the trial
    ends."""
    writer.begin(0, dataclasses.replace(proposal("a"), choices={"order": said}, sampler_notes={"note": said}))
    (ended,) = writer.finish(0, Ending("failed", reason=said))
    assert ended.state == "failed" and ended.reason == ended.choices["order"] == printable(said) != said
    assert writer.study.trial(0) == ended and writer.resume() is None
    assert all(32 <= ord(sign) < 127 for sign in ended.reason)


def test_a_result_that_cannot_be_stored_fails_its_trial(writer, caplog):
    """If the database rejects a result, the trial fails with the reason and is not resumed."""
    writer.begin(0, proposal("a"))
    (ended,) = writer.finish(0, dataclasses.replace(COMPLETE, weights=object()))
    assert ended.state == "failed" and ended.reason.startswith("its result cannot be stored: ")
    assert "cannot be stored" in caplog.text and another(writer).resume() is None


def test_a_trial_that_crashes_its_search_fails_finally(writer):
    """A trial that was running whenever its search crashed resumes RETRIES times; Ctrl-C is not counted."""
    writer.begin(0, proposal("a"))
    for _ in range(RETRIES + 2):
        writer.interrupt("Ctrl-C")
        assert writer.resume().attempt == 1
    for _ in range(RETRIES):
        writer.interrupt("the search ended", crashed=True)
        assert writer.resume() is not None
    (given_up,) = writer.interrupt("the search ended", crashed=True)
    assert given_up.state == "failed" and writer.resume() is None
    writer.begin(1, proposal("b"))
    writer.interrupt("the search ended", crashed=True)
    assert writer.resume().number == 1


def test_a_duration_is_measured_and_never_negative(writer, monkeypatch):
    """A duration is measured by the worker, unaffected by clock changes; without a measurement it is at least 0."""
    true, stamp = time.time, writer_module.stamp
    for number, (name, seconds) in enumerate((("a", 2.5), ("b", None))):
        writer.begin(number, proposal(name))
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: true() - 3 * 3600)
            patched.setattr(writer_module, "stamp", lambda *given: stamp(*given)._replace(time=true() - 3 * 3600))
            (ended,) = writer.finish(number, dataclasses.replace(COMPLETE, duration=seconds))
        assert ended.seconds == writer.study.trials(full=False)[number].seconds == (seconds or 0.0)
    assert list(writer.study.to_frame()["seconds"]) == [2.5, 0.0]


def resume_all(storage: str, number: int, begun) -> None:
    """Resume all interrupted trials in one of several concurrent processes, and report which ones it got."""
    writer = StudyWriter(make_study(storage), new_worker())
    begun.wait(PATIENCE)
    while (record := writer.resume()) is not None:
        writer.finish(record.number, dataclasses.replace(COMPLETE, objectives={"accuracy": float(number), "macs": 1.0}))


def test_processes_that_take_trials_up_at_once_get_each_once(writer, storage):
    """Four processes that resume twenty interrupted trials resume each one once, as the same attempt."""
    if storage is None:
        pytest.skip("a database in memory has one process")
    for number in range(20):
        writer.begin(number, proposal(f"n{number}"))
    writer.interrupt("Ctrl-C")
    context = multiprocessing.get_context("forkserver")
    begun = context.Barrier(4)
    processes = [context.Process(target=resume_all, args=(storage, number, begun)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * 4
    assert [(record.state, record.attempt) for record in writer.study.trials()] == [("complete", 1)] * 20
