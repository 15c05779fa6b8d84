"""Confirmation retrains the networks of the Pareto front from new seeds and never repeats a finished run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import pytest

from explorer.analysis.limits import parse_limit
from explorer.errors import StoreError, StudyError
from explorer.networks.architecture import Architecture
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.studies import find_study, open_study
from explorer.study.confirm import run as confirmation
from explorer.study.confirm.loop import ConfirmationLoop
from explorer.study.confirm.run import confirm, run_confirmation
from explorer.study.search import run_search
from explorer.study.workers.jobs import Outcome, Retraining
from explorer.study.workers.local import InProcess
from explorer.study.workers.pool import ProcessPool
from explorer.study.workers.train_job import perform
from explorer.training.run import train_architecture
from tests.polling import PATIENCE, wait_until
from tests.study.evaluations import good

EXPLORER = [sys.executable, "-c", "from explorer.cli import main; main()"]


@pytest.fixture(scope="module")
def folder(space, tmp_path_factory):
    """The folder of a study with six small networks trained on digits for one epoch."""
    made = tmp_path_factory.mktemp("searched")
    limits = (parse_limit("macs<=700k"),)
    settings = {"data": "digits", "recipe": "quick", "epochs": 1, "sampler": "random", "stopping": "none"}
    url = f"sqlite:///{made}/explorer.db"
    run_search(space, storage=url, study="one", trials=6, workers=2, limits=limits, **settings)
    return made


@pytest.fixture
def searched(folder, tmp_path, url):
    """A copy of that study to confirm."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return open_study(url, "one")


def test_fresh_seeds_on_the_test_split_and_none_twice(searched, url):
    """Each network on the front is trained once per seed, more seeds add runs, and the metrics equal those of
    ``train``."""
    first = run_confirmation(url, "one", seeds=1, workers=2)
    front = searched.frontier(searched=True)
    assert [each.trial for each in first.networks] == [trial.number for trial in front]
    assert all((each.seeds, each.frontier_probability) == (1, None) for each in first.networks)
    events = []
    second = run_confirmation(url, "one", seeds=2, workers=2, progress=events.append)
    assert second.ended == f"all {2 * len(front)} trainings are done" and not second.missing and not second.failed
    assert sum(event.kind == "started" for event in events) == len(front)
    assert (events[0].kind, events[-1].kind, events[-1].done) == ("begun", "finished", 2 * len(front))
    records = searched.confirmations()
    assert len(records) == 2 * len(front) and {record.attempt for record in records} == {1}
    assert {record.seed for record in records}.isdisjoint(trial.seed for trial in searched.trials())
    assert {record.result.precision for record in records} <= {trial.result.precision for trial in front}
    assert not list(searched.artifacts.glob("*.checkpoint"))
    for each in second.networks:
        own = [record for record in records if record.digest == each.digest]
        assert each.test_mean == pytest.approx(mean(record.test["accuracy"] for record in own))
        assert 0 <= each.frontier_probability <= 1
    assert second.networks[0].frontier_probability == 1
    record = records[0]
    again = train_architecture(
        Architecture.from_json(searched.trial(first.networks[-1].trial).architecture),
        "digits",
        recipe="quick",
        epochs=1,
        seed=next(r.seed for r in records if r.digest == first.networks[-1].digest),
        threads=1,
        precision=record.result.precision,
    )
    own = next(r for r in records if r.digest == first.networks[-1].digest)
    assert again.test._asdict() == own.test and again.result.val_accuracy == own.result.val_accuracy
    assert confirm(url, "one", seeds=2, workers=1) == second.networks
    assert searched.frontier_probabilities().keys() == {trial.number for trial in searched.trials()}


def start(url: str, *more: str) -> subprocess.Popen:
    """Start ``explorer confirm`` in its own process."""
    line = [*EXPLORER, "confirm", "one", "--storage", url, "--workers", "2", "--json", *more]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.slow
def test_confirmation_resumes_after_sigkill_and_ctrl_c(searched, url):
    """After SIGKILL or Ctrl-C the same command resumes: it keeps finished runs and trains each remaining run once."""
    seeds = 10  # many runs, so that some are left after each kill however fast they are
    wanted = seeds * len(searched.frontier(searched=True))
    ended: set[tuple] = set()
    for number in (signal.SIGKILL, signal.SIGINT):
        before = len(ended)
        process = start(url, "--seeds", str(seeds))
        wait_until(lambda before=before: len(complete(url)) > before)
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == (-9 if number == signal.SIGKILL else 130), err
        ended = complete(url)
        assert before < len(ended) < wanted
    assert err.count("interrupted; the same command resumes the confirmation") == 1
    process = start(url, "--seeds", str(seeds))
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert [row["seeds"] for row in json.loads(out)] == [seeds] * len(searched.frontier(searched=True))
    records = open_study(url, "one").confirmations()
    assert len(records) == wanted and {record.state for record in records} == {"complete"}
    assert err.count("test accuracy") == wanted - len(ended)


@dataclass(frozen=True)
class DiesAtFirst:
    """Work whose process dies on its first ``times`` starts, which are counted in the file ``marks``."""

    work: Retraining
    marks: Path
    number: int
    times: int

    def __call__(self, job, report):
        with self.marks.open("a+") as file:
            file.write("x")
            file.seek(0)
            begun = len(file.read())
        if begun <= self.times:
            os.kill(os.getpid(), self.number)
        return perform(self.work, job, report)


@pytest.mark.slow
@pytest.mark.parametrize("number, failed", [(signal.SIGTERM, 0), (signal.SIGSEGV, 1)])
def test_a_run_whose_process_dies_does_not_affect_other_runs(searched, url, tmp_path, monkeypatch, number, failed):
    """A run killed by an external signal restarts, a run that crashes fails with the reason, and the other runs
    finish."""
    marks = tmp_path / "marks"

    def children(work, *rest, **more):
        return ProcessPool(DiesAtFirst(work, marks, number, 1), *rest, **more)

    monkeypatch.setattr(confirmation, "ProcessPool", children)
    found = run_confirmation(url, "one", seeds=1, workers=1)
    wanted = len(searched.frontier(searched=True))
    assert len(complete(url)) == wanted - failed and len(marks.read_text()) == wanted + 1 - failed
    assert found.failed == ["the trial's process died of SIGSEGV"] * failed


def complete(url: str) -> set[tuple[str, int]]:
    """Return the finished runs."""
    records = open_study(url, "one").confirmations()
    return {(record.digest, record.seed) for record in records if record.state == "complete"}


@pytest.mark.slow
def test_two_processes_that_confirm_one_study_share_the_runs(searched, url):
    """Two concurrent processes train each network once per seed, and both report all runs."""
    both = [start(url, "--seeds", "2"), start(url, "--seeds", "2")]
    said = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    first, second = (json.loads(out) for out, _ in said)
    assert first == second and all(row["seeds"] == 2 for row in first)
    assert {record.attempt for record in open_study(url, "one").confirmations()} == {1}
    assert sum(err.count("test accuracy") for _, err in said) == 2 * len(first)


def test_a_failed_run_is_reported_and_retried_by_the_next_call(searched, url):
    """A failed run keeps its reason and is retried by the next call, not by the same one."""
    database = open_for_writing(url)
    study = find_study(database, "one")
    front = study.frontier(searched=True)
    wanted = {Wanted(trial.digest, 1, seed): trial for seed in (1, 2) for trial in front}

    def work(job, report):
        if job.seed == 2 and broken:
            raise ValueError("no luck")
        return Outcome({"accuracy": 0.5, "top5": 0.6, "loss": 1.0})

    def run() -> ConfirmationLoop:
        writer = ConfirmationWriter(study, new_worker())
        loop = ConfirmationLoop(wanted, writer, InProcess(work), 1, lambda event: None)
        loop.ended = loop.run()
        return loop

    broken = True
    first = run()
    count = len(front)
    assert first.ended.startswith(f"{count} of {2 * count} trainings failed, the last with: ValueError: no luck")
    assert len(first.failures) == count
    assert [(each.seeds, each.failed) for each in study.confirmed()] == [(1, 1)] * count
    broken = False
    second = run()
    assert second.ended == f"all {2 * count} trainings are done"
    assert [(each.seeds, each.failed) for each in study.confirmed()] == [(2, 0)] * count
    assert {record.attempt for record in study.confirmations() if record.seed == 2} == {2}
    database.close()


def test_invalid_confirmations_are_rejected_before_training(space, url, searched):
    """Confirmation rejects a study of a caller's function, an empty study, unknown quantities and numbers out of
    range."""
    run_search(space, storage=url, study="own", evaluate=good, trials=2)
    for name, settings, message in (
        ("own", {}, "evaluated by a function of the caller's.*repeats=K of explorer.search"),
        ("one", {"seeds": 0}, "seeds must be in 1..1000, found 0"),
        ("one", {"epochs": 0}, "epochs must be in 1..100000, found 0"),
        ("one", {"y": "macs"}, "not for 'macs'"),
        ("one", {"x": "mac"}, "did you mean 'macs'"),
        ("two", {}, "there is no study 'two'"),
    ):
        with pytest.raises((StudyError, StoreError), match=message):
            run_confirmation(url, name, **settings)
    assert searched.confirmations() == []
