"""A trial beyond its time or memory is ended, and the search continues."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from explorer.study.search import run_search
from explorer.study.workers.jobs import Failure, Outcome
from explorer.study.workers.watchdog import TrialLimits, Watchdog, usual_limits
from explorer.system.memory import total_memory
from tests.polling import PATIENCE, wait_until
from tests.study import evaluations
from tests.study.workers.children import answers, is_running


@pytest.mark.parametrize(
    "evaluate, limits, message",
    [
        (evaluations.endless, TrialLimits(seconds=2.0), "it took longer than the 2 s that a trial may take"),
        (evaluations.ignores_sigterm, TrialLimits(seconds=2.0), "it took longer than the 2 s that a trial may take"),
        (evaluations.with_child, TrialLimits(seconds=2.0), "it took longer than the 2 s that a trial may take"),
        (evaluations.allocates_forever, TrialLimits(memory=1 << 30), "more than the 1.0 GiB that a trial may hold"),
        (evaluations.child_allocates, TrialLimits(memory=1 << 30), "more than the 1.0 GiB that a trial may hold"),
        (evaluations.detached_allocates, TrialLimits(memory=1 << 30), "more than the 1.0 GiB that a trial may hold"),
    ],
    ids=["hang", "hang ignoring SIGTERM", "hang of a grandchild", "memory", "of a grandchild", "of a detached one"],
)
def test_a_trial_beyond_its_limits_is_ended_with_all_it_started(workplace, job, evaluate, limits, message):
    """A trial that hangs or takes too much memory fails with the broken limit and leaves no process."""
    place = workplace(evaluate)
    place.start(job(0), limits)
    (child,) = place._children
    started: set[int] = set()  # by the trial, also in sessions of their own
    answer = None
    while answer is None:
        with suppress(psutil.NoSuchProcess):
            started |= {each.pid for each in psutil.Process(child.pid).children(recursive=True)}
        answer = next((each for _, each in place.messages(0.05) if isinstance(each, Failure | Outcome)), None)
    assert isinstance(answer, Failure) and message in answer.reason
    assert place.room == 1 and started
    wait_until(lambda: not any(is_running(pid) for pid in started))


@pytest.mark.slow
def test_a_trial_that_exhausts_memory_fails_alone(space):
    """Of two workers' trials, those without a memory bound fail with a reason and the others complete."""
    study = run_search(
        space,
        evaluate=evaluations.allocates_or_good,
        storage=None,
        sampler="random",
        workers=2,
        trials=5,
        trial_memory=600 << 20,
    ).study
    greedy = [record for record in study.trials() if record.state == "failed"]
    assert greedy and all("of memory, more than the 0.6 GiB that a trial may hold" in r.reason for r in greedy)
    assert all(record.seed % 3 == 0 for record in greedy if record.same_as is None)
    assert study.counts()["complete"] == 5 and study.counts()["running"] == 0


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="the kernel has no oom_score_adj")
def test_the_kernel_ends_a_trial_before_the_search(workplace, job):
    """A child has the highest ``oom_score_adj``, so the search survives when memory runs out."""
    place = workplace(evaluations.oom_score)
    place.start(job(0))
    assert answers(place, 1)[0].measured["score"] == 1000


def test_a_search_of_hanging_trials_gives_up(space):
    """With a time limit, a search in which every trial hangs fails each trial and ends."""
    result = run_search(space, evaluate=evaluations.endless, storage=None, workers=4, trial_seconds=0.2)
    assert result.failed and result.study.counts()["running"] == 0
    reasons = [record.reason for record in result.study.trials() if record.state == "failed" and record.same_as is None]
    assert len(reasons) >= 11
    assert reasons.count("it took longer than the 0.2 s that a trial may take") >= 11


def test_a_trial_that_ignores_sigterm_is_killed_a_second_later(monkeypatch):
    """A process that survives SIGTERM for one second gets SIGKILL, and an ended job is not run again."""
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    now = [0.0]
    monkeypatch.setattr("explorer.study.workers.watchdog.time", SimpleNamespace(monotonic=lambda: now[0]))
    watchdog = Watchdog(process.pid, TrialLimits(seconds=10.0))
    for moment in (9.9, 10.1, 11.0, 11.2):
        now[0] = moment
        watchdog.check()
        assert bool(watchdog.exceeded) == (moment > 10)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    now[0] = 60.0
    watchdog.check()
    assert process.wait(PATIENCE) == -signal.SIGKILL
    process.stdout.close()
    watchdog.check()


def test_default_limits_leave_room():
    """The time limit is unset at first, then twenty times the usual trial (at least ten minutes); workers share memory
    (at least 2 GiB)."""
    assert usual_limits(1, None).seconds is None
    assert usual_limits(1, 2.0).seconds == 600 and usual_limits(1, 60.0).seconds == 1200
    assert usual_limits(1, 60.0, epochs=12).seconds == 12 * 1200  # the usual trial was stopped after an epoch
    assert usual_limits(1, None).memory == max(2 << 30, int(0.9 * total_memory()))
    assert usual_limits(10_000, None).memory == 2 << 30
