"""Searches, confirmations and trainings of pairs obey requests to stop, and go on when the same call is made again."""

from __future__ import annotations

import json
import time

import pytest

from explorer.store import lease
from explorer.store.presence.status import study_status
from explorer.store.presence.stops import stop_study
from explorer.store.studies import open_study
from explorer.study.confirm.run import run_confirmation
from explorer.study.pairs.run import run_pairs
from explorer.study.search import run_search
from tests.command_line import run
from tests.polling import PATIENCE, wait_until
from tests.study.evaluations import good, score


@pytest.fixture(autouse=True)
def short_leases(monkeypatch):
    """Leases, and the rows of processes, are renewed twice a second."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)


def evaluate_slowly(architecture, *, choices, epochs, seed):
    time.sleep(0.4)
    return {"accuracy": score(choices)}


def stopping(url: str, at_once: bool, kind: str = "started", wait: float = 0.0):
    """Return a progress function that asks at the second event of ``kind`` for a stop, and then waits."""
    seen = []

    def progress(event) -> None:
        if event.kind == kind:
            seen.append(event)
            if len(seen) == 2:
                stop_study(open_study(url, "one"), at_once)
                time.sleep(wait)

    return progress


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_search_finishes_what_it_has(space, url, workers):
    """After a request to stop no trial begins, the running ones are finished, and the same call goes on."""
    given = {"evaluate": evaluate_slowly, "storage": url, "study": "one", "sampler": "random", "workers": workers}
    found = run_search(space, progress=stopping(url, at_once=False), trials=20, **given)
    counts = found.study.counts()
    assert (
        found.ended.startswith("stopped by 'explorer stop' of ") and (found.failed, found.interrupted) == (False,) * 2
    )
    assert 1 < counts["complete"] < 20 and counts["interrupted"] == counts["running"] == 0
    assert study_status(open_study(url)).workers == ()
    again = run_search(space, trials=counts["complete"] + 2, **given)
    assert again.study.counts()["complete"] == counts["complete"] + 2 and "stop" not in again.ended


@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_leaves_at_once(space, url, workers):
    """With ``at_once`` running trials are interrupted, without an attempt, even if ``evaluate`` keeps the process
    busy."""
    given = {"storage": url, "study": "one", "sampler": "random", "workers": workers, "trials": 3}
    if workers == 1:
        found = run_search(space, evaluate=stuck_after_asking(url), **given)
    else:
        found = run_search(space, evaluate=stuck, progress=stopping(url, at_once=True), **given)
    assert found.ended.startswith("stopped by 'explorer stop --now' of ")
    assert (found.interrupted, found.signal, found.failed) == (False, 0, False)
    records = [record for record in found.study.trials() if record.state == "interrupted"]
    assert len(records) == workers and {record.reason for record in records} == {"interrupted: explorer stop --now"}


def stuck(architecture, *, choices, epochs, seed):
    time.sleep(1000)


def stuck_after_asking(url):
    def evaluate(architecture, *, choices, epochs, seed):
        stop_study(open_study(url, "one"), at_once=True)
        time.sleep(1000)

    return evaluate


def test_no_repeat_follows_a_stop(space, url):
    """A search that was stopped trains no repeats."""
    given = {"evaluate": evaluate_slowly, "storage": url, "study": "one", "sampler": "random", "workers": 1}
    found = run_search(space, progress=stopping(url, at_once=False), trials=20, repeats=3, **given)
    assert found.ended.startswith("stopped by") and not found.study.confirmations()


@pytest.mark.parametrize("wait", [0.0, 2.0], ids=["while one runs", "while one ends"])
def test_repeats_obey(space, url, wait):
    """A request during the repeats of a search ends them, and the same call trains the rest."""
    given = {
        "evaluate": evaluate_slowly,
        "storage": url,
        "study": "one",
        "sampler": "random",
        "workers": 1,
        "trials": 4,
    }
    found = run_search(space, progress=stopping(url, False, "repeated", wait), repeats=20, **given)
    done = len(found.study.confirmations())
    assert "stopped by 'explorer stop'" in found.ended and not found.failed
    assert 1 < done < 20 and found.ended.endswith(f"after {done} of 20 repeats")
    assert len(run_search(space, repeats=20, **given).study.confirmations()) == 20


def test_trainings_of_pairs_obey(space, url):
    """Counterparts that a request left untrained are trained by the next call."""
    run_search(space, evaluate=good, storage=url, study="one", sampler="random", trials=12)
    study = open_study(url)
    found = run_pairs(
        study, 8, evaluate=evaluate_slowly, workers=1, progress=stopping(url, False), changed_code="continue"
    )
    assert found.unfinished and not found.broken and not found.signal and found.ended.startswith("stopped by")
    again = run_pairs(study, 8, evaluate=evaluate_slowly, workers=1, changed_code="continue")
    assert not again.unfinished


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [False, True])
def test_a_confirmation_obeys(space, url, at_once):
    """The trainings that a request left are run by the next call."""
    run_search(space, storage=url, study="one", data="digits", epochs=1, sampler="random", trials=4, workers=2)
    found = run_confirmation(url, "one", seeds=20, epochs=2, workers=1, progress=stopping(url, at_once))
    assert found.stopped and found.missing and not found.failed and not found.interrupted
    assert found.ended.startswith("stopped by") and not [each for each in open_study(url).leases() if each.until]
    done = len(open_study(url).confirmations())
    again = run_confirmation(url, "one", seeds=1, epochs=2, workers=1)
    assert not again.missing and not again.stopped and len(open_study(url).confirmations()) >= done


@pytest.mark.slow
def test_commands_end_with_status_0(start, url, capsys):
    """``explorer stop`` ends a search of another process with status 0, and ``explorer status`` shows it before."""
    process = start("endless", 50, 2, lease=8.0)
    wait_until(lambda: _workers(capsys, url) == 2)
    status, out, err = run(capsys, "stop", "--storage", url, "--now")
    assert (status, err) == (0, "") and "asked 1 process to stop" in out
    assert process.wait(PATIENCE) == 0
    status, out, _ = run(capsys, "stop", "--storage", url)
    assert (status, "no process works on it" in out) == (0, True)


def _workers(capsys, url: str) -> int:
    status, out, _ = run(capsys, "status", "--json", "--storage", url)
    return sum(each["state"] == "training" for each in json.loads(out)["workers"]) if status == 0 else 0
