"""Searches whose workers are a job array of a real SLURM cluster of one node, with a PostgreSQL database."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from explorer.store.presence.status import study_status
from explorer.store.studies import open_study
from tests.polling import wait_until
from tests.study.launchers.conftest import PASSWORD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]
SEARCH = ("search", "--space", "preact_variants", "--data", "digits", "--stopping", "none", "--sampler", "random")
QUICK = (*SEARCH, "--subset", "100", "--epochs", "1", "--study", "one", "--engine", "slurm")
LONG = (*SEARCH, "--subset", "400", "--epochs", "3000", "--study", "one", "--engine", "slurm")
PATIENCE = 600.0  # seconds that a state may take on a loaded machine


@pytest.fixture
def search(explorer, slurm, storage):
    """Start a command with SLURM and the database."""
    yield lambda *arguments: explorer(*arguments, **slurm.environment, EXPLORER_STORAGE=storage)
    slurm.run("scancel", "--user=root")
    wait_until(lambda: not slurm.run("squeue", "--noheader"), PATIENCE)


def elements(slurm, *states: str) -> list[str]:
    """Return the ids of the elements in one of the states; all by default."""
    lines = slurm.run("squeue", "--array", "--noheader", "--format=%i %T").splitlines()
    return [line.split()[0] for line in lines if not states or line.split()[1] in states]


def training(storage: str) -> int:
    """Return the number of running trials."""
    try:
        return open_study(storage, "one").counts()["running"]
    except Exception:  # the study does not exist yet
        return 0


def checkpoints(tmp_path) -> list:
    return list(tmp_path.glob("explorer.artifacts/*/*.checkpoint"))


def test_workers_of_a_job_array_finish_a_study(search, slurm, storage, tmp_path):
    """The search ends when its study is complete; logs are linked; the password is in no file, queue or output."""
    process = search(*QUICK, "--workers", "2", "--trials", "4", "--engine-option", "time=30", "--cpus-per-trial", "1")
    wait_until(lambda: elements(slurm), PATIENCE)
    shown = slurm.run("squeue", "--format=%all") + slurm.run("scontrol", "show", "job")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "started 2 workers on SLURM" in err and "the study has its 4 trials" in out
    process = search("trials", "one", "--json")
    trials = json.loads(process.communicate(timeout=PATIENCE)[0])
    logs = {trial["log"] for trial in trials}
    assert len(trials) >= 4 and all(str(tmp_path) in log and "trial " in Path(log).read_text() for log in logs)
    assert "explorer-one-" in shown and "TimeLimit=00:30:00" in shown
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.suffix == ".pkl" for file in files) and any(file.suffix == ".sh" for file in files)
    assert not [file for file in files if PASSWORD.encode() in file.read_bytes()]
    assert PASSWORD not in shown + out + err
    assert study_status(open_study(storage, "one")).workers == ()


def test_a_worker_near_its_time_limit_is_queued_again(search, slurm, storage, tmp_path):
    """The signal before the time limit interrupts the trial without an attempt, and the element runs again and goes on
    from the checkpoint."""
    process = search(*LONG, "--workers", "1", "--trials", "1")
    wait_until(lambda: training(storage) and checkpoints(tmp_path), PATIENCE)
    (element,) = elements(slurm)
    slurm.run("scancel", "--signal=USR2", element)
    study = open_study(storage, "one")
    wait_until(lambda: study.counts()["interrupted"], PATIENCE)
    (before,) = study.trials()
    assert (before.reason, before.attempt) == ("interrupted: SIGTERM", 1) and checkpoints(tmp_path)
    wait_until(lambda: elements(slurm, "PENDING"), PATIENCE)
    time.sleep(3)  # a node refuses a job that starts again in the second in which it ended
    slurm.run("scontrol", "update", f"JobId={element}", "StartTime=now")  # SLURM waits two minutes
    wait_until(lambda: study.counts()["running"], PATIENCE)
    (after,) = study.trials()
    assert (after.number, after.attempt) == (0, 1) and after.worker != before.worker
    (log,) = tmp_path.glob("explorer.artifacts/*/slurm/*_log.out")
    assert process.poll() is None and "is queued again" in log.read_text()


def test_an_interrupted_search_cancels_its_workers(search, slurm, storage):
    """Ctrl-C ends the search with status 130 and its workers, which release their trials."""
    process = search(*LONG, "--workers", "2", "--trials", "2")
    wait_until(lambda: training(storage) == 2, PATIENCE)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    counts = open_study(storage, "one").counts()
    assert (counts["running"], counts["interrupted"], elements(slurm, "RUNNING", "PENDING")) == (0, 2, [])


def test_workers_survive_their_driver(search, slurm, storage):
    """If the driver is killed, its workers go on; the same command finds them, and ``explorer stop`` ends all."""
    process = search(*LONG, "--workers", "1", "--trials", "2")
    wait_until(lambda: training(storage) == 1, PATIENCE)
    process.kill()
    process.communicate()
    (element,) = elements(slurm, "RUNNING")
    process = search(*LONG, "--workers", "1", "--trials", "2")
    wait_until(lambda: study_status(open_study(storage, "one")).processes == 2, PATIENCE)
    assert elements(slurm, "RUNNING", "PENDING") == [element] and training(storage) == 1
    stop = search("stop", "one", "--now")
    assert "asked 2 processes to stop" in stop.communicate(timeout=PATIENCE)[0]
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "1 workers of this study are queued or run already" in err
    assert "started" not in err
    assert "stopped by 'explorer stop --now'" in out
    wait_until(lambda: not elements(slurm), PATIENCE)
    assert open_study(storage, "one").counts()["interrupted"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["partition=nope"], "sbatch: invalid partition specified: nope"),
        (["partion=main"], "sbatch: unrecognized option"),
        (["array=0-9"], "--engine-option array: give the number of workers with --workers"),
        (["signal_delay_s=soon"], "expected whole seconds"),
    ],
)
def test_a_refused_array_is_one_line(search, slurm, options, message):
    """An option that SLURM refuses ends the search with status 2 and SLURM's words."""
    process = search(*QUICK, "--trials", "1", *(word for each in options for word in ("--engine-option", each)))
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, elements(slurm)) == (2, "", [])
    assert err.count("\n") == 1 and message in err


def test_a_worker_that_fails_is_named(search):
    """If the workers fail, the search ends with status 1, the last words of a worker, and its log."""
    assert search(*QUICK, "--trials", "1", "--workers", "1").wait(PATIENCE) == 0
    process = search(*QUICK, "--trials", "2", "--engine-option", "export=PATH=/nowhere")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1 and "1 of 1 workers failed" in err and "_log.out" in err
