"""Trials that failed in an earlier run: which ones the next run retries, and what it reports."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from explorer.records import TrialRecord
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.studies import find_study, open_study
from explorer.store.writer import StudyWriter
from explorer.study import retries
from explorer.study.retries import Retries
from explorer.study.search import run_search
from tests.study.evaluations import dies_beside, endless, good, score

FEW = "macs<=135900"  # three networks


def search(space, url, evaluate=good, **settings):
    """Search the whole small space by default."""
    return run_search(space, **{"evaluate": evaluate, "storage": url, "study": "one", "sampler": "random", **settings})


def broken_while(flag):
    """Return a function that raises on networks of depth 2 while ``flag`` is not empty."""

    def evaluate(architecture, *, choices, epochs, seed):
        if flag and choices["depth"] == "2":
            raise RuntimeError(f"broken {flag[0]}")
        return {"accuracy": score(choices)}

    return evaluate


def states(study):
    return {record.number: (record.state, record.attempt, record.reason) for record in study.trials()}


def test_a_failure_of_code_is_retried_by_the_next_run(space, url, caplog):
    """After a fix, a failed trial succeeds in the next run with the same number and seed, one attempt later."""
    flag = ["yesterday"]
    evaluate = broken_while(flag)
    first = search(space, url, evaluate)
    failed = [record for record in first.study.trials() if record.state == "failed" and record.same_as is None]
    assert len(failed) == 9 and {record.failure for record in failed} == {"code"}
    flag.clear()
    caplog.clear()
    second = search(space, url, evaluate)
    for record in failed:
        again = second.study.trial(record.number)
        assert (again.state, again.attempt, again.seed, again.reason) == ("complete", 2, record.seed, "")
    assert second.study.counts()["failed"] == 0 and second.study.counts()["complete"] == 27
    assert "9 trials failed in an earlier run; retried: 9, failed again: 0" in caplog.text
    assert "yesterday" not in second.ended + caplog.text


def test_a_persistent_failure_is_retried_once_per_run(space, url, caplog):
    """A network that fails again is not retried in the same run, and the message separates old and new failures."""
    evaluate = broken_while(["still"])
    search(space, url, evaluate)
    again = search(space, url, evaluate)
    failed = [record for record in again.study.trials() if record.state == "failed" and record.same_as is None]
    assert [record.attempt for record in failed] == [2] * 9 and not again.failed
    assert "9 trials failed in an earlier run; retried: 9, failed again: 9" in caplog.text


def test_duplicates_follow_a_retried_trial(space, url):
    """A trial that failed because its duplicate failed gets the duplicate's result once that succeeds."""
    flag = ["broken"]
    evaluate = broken_while(flag)
    twins = [r for r in search(space, url, evaluate).study.trials() if r.state == "failed" and r.same_as is not None]
    flag.clear()
    study = search(space, url, evaluate).study
    assert twins
    for twin in twins:
        record, holder = study.trial(twin.number), study.trial(twin.same_as)
        assert (record.state, record.reason, record.objectives) == ("cached", "", holder.objectives)


def test_a_function_that_still_fails_ends_the_run_with_the_new_reason(space, url):
    """A run in which the new networks fail as well gives up, with the reason of this run."""
    flag = ["yesterday"]

    def evaluate(architecture, *, choices, epochs, seed):
        if flag:
            raise RuntimeError(f"broken {flag[0]}")
        return {"accuracy": 0.5}

    for day in ("yesterday", "today"):
        flag[0] = day
        result = search(space, url, evaluate, trials=50)
        assert result.failed and f"RuntimeError: broken {day}" in result.ended
    assert "11 of the last 11 trials failed" in result.ended
    flag.clear()
    assert search(space, url, evaluate).study.counts()["complete"] == 27


def test_failing_retries_do_not_block_new_networks(space, url):
    """After MAX_FAILURES consecutive retries that failed again, new networks come first."""
    few = [0]

    def evaluate(architecture, *, choices, epochs, seed):
        if choices["depth"] == "2" or few[0] == 0:
            raise RuntimeError("large")
        return {"accuracy": score(choices)}

    search(space, url, evaluate)  # gives up after 11 failures
    few[0] = 1
    kept = search(space, url, evaluate, trials=16, changed_code="continue")
    assert not kept.failed and kept.study.counts()["complete"] == 16


def test_retries_that_fail_again_do_not_end_the_run(space, url):
    """Only failures of new networks end a run, so a study in which some networks always fail continues."""
    failing, most = set(), [8]

    def evaluate(architecture, *, choices, epochs, seed):
        if len(failing) < most[0]:
            failing.add(architecture.digest)
        if architecture.digest in failing:
            raise RuntimeError("large")
        return {"accuracy": score(choices)}

    assert not search(space, url, evaluate, trials=2).failed
    most[0] = 14  # five retries and the next six networks fail
    again = search(space, url, evaluate, trials=4)
    assert not again.failed and again.study.counts()["complete"] == 4


def test_a_broken_limit_is_retried_only_on_request(space, url, caplog):
    """A trial that took too long is retried with ``retry_failed``; otherwise the message explains how."""
    limits = {"workers": 2, "trial_seconds": 0.3, "changed_code": "continue", "limits": FEW}
    search(space, url, endless, **limits)
    before = states(open_study(url, "one"))
    assert {reason for _, _, reason in before.values() if reason.startswith("it took")}
    caplog.clear()
    search(space, url, good, trials=1, **{**limits, "trial_seconds": 60})
    assert {1} == {attempt for state, attempt, reason in states(open_study(url, "one")).values()}
    assert "not retried" in caplog.text
    assert "--retry-failed (in Python retry_failed=True) retries these too" in caplog.text
    after = search(space, url, good, retry_failed=True, **{**limits, "trial_seconds": 60}).study
    assert after.counts()["failed"] == 0 and max(record.attempt for record in after.trials()) == 2


@pytest.mark.slow
def test_a_dead_process_is_retried_by_the_next_run(space, url, tmp_path, no_signal_follows):
    """The next run retries a trial whose process was killed by a signal."""
    place = tmp_path / "die"
    place.touch()
    settings = {"evaluate": partial(dies_beside, place=str(place)), "workers": 2, "limits": FEW}
    died = search(space, url, **settings).study
    assert {record.failure for record in died.trials() if record.state == "failed"} - {""} == {"died"}
    place.unlink()
    assert search(space, url, **settings).study.counts()["failed"] == 0


def test_a_fixed_cost_function_is_computed_again(space, url):
    """A trial that failed because of a cost function is retried with the current function and evaluated."""
    flag = ["no meter"]

    def joules(architecture, choices):
        if flag and choices["depth"] == "2":
            raise LookupError(flag[0])
        return float(choices["depth"])

    settings = {"costs": {"joules": joules}, "objectives": {"accuracy": "max", "joules": "min"}}
    assert search(space, url, **settings).study.counts()["failed"]
    flag.clear()
    study = search(space, url, **settings).study
    assert study.counts()["failed"] == 0 and study.counts()["complete"] == 27
    assert {r.objectives["joules"] for r in study.trials() if r.attempt == 2 and r.state == "complete"} == {2.0}


def test_two_workers_retry_a_trial_once(space, url):
    """If two workers read the same failure, only one retries it, also after it failed again."""
    search(space, url, broken_while(["x"]))
    database = open_for_writing(url)
    study = find_study(database, "one")
    failed = next(record for record in study.trials() if record.state == "failed" and record.same_as is None)
    got: list[TrialRecord | None] = []

    def retry() -> None:
        got.append(StudyWriter(study, new_worker()).retry(failed, failed.costs, {}, None))

    threads = [threading.Thread(target=retry) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [record for record in got if record is not None]
    assert (winner.state, winner.attempt) == ("running", 2)
    StudyWriter(study, winner.worker).finish(failed.number, Ending("failed", reason="again", failure="code"))
    assert StudyWriter(study, new_worker()).retry(failed, failed.costs, {}, None) is None
    database.close()


def test_failures_of_a_running_worker_are_not_retried():
    """A failure in another worker that still runs is not a failure of an earlier run."""
    failures = [TrialRecord(n, "failed", worker=w, failure="code") for n, w in enumerate(("gone", "busy"))]
    running = TrialRecord(2, "running", worker="busy")
    asked = Retries([*failures, running], all_kinds=False)
    assert asked.next().number == 0 and asked.next() is None


def test_trials_with_the_fewest_attempts_are_retried_first():
    """If some trials always fail, each run starts with others and stops after MAX_FAILURES consecutive failures."""
    attempts = [3, 1, 2, 1, 1, 1, 1]
    failures = [TrialRecord(n, "failed", attempt=a, failure="code") for n, a in enumerate(attempts)]
    asked = Retries(failures, all_kinds=False)
    tried = []
    while (record := asked.next()) is not None:
        tried.append(record.number)
        asked.ended(record)
    assert tried == [1, 3, 4, 5, 6] and retries.MAX_FAILURES == 5
    assert asked.next(last_resort=True).number == 2


def test_an_interrupted_trial_is_not_a_failure(space, url):
    """An interrupted trial is resumed as usual and has no kind of failure."""
    search(space, url, trials=1)
    database = open_for_writing(url)
    writer = StudyWriter(find_study(database, "one"), new_worker())
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE explorer_trials SET state='running', worker=?", (writer.worker,))
    assert [record.failure for record in writer.interrupt("Ctrl-C")] == [""]
    database.close()
    taken = search(space, url, trials=1).study.trial(0)
    assert (taken.state, taken.attempt) == ("complete", 1)


def test_the_kind_of_a_failure_is_stored(space, url):
    """The kind of a failure is stored with the trial, whatever its reason says."""
    study = search(space, url, endless, workers=2, trial_seconds=0.3, limits=FEW).study
    query = "SELECT failure FROM explorer_trials WHERE state='failed'"
    kinds = study.database.read(lambda connection: connection.exec_driver_sql(query).scalars().all())
    assert "limit" in kinds
