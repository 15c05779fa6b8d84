"""Confirmation: the networks of the Pareto front are trained again from fresh seeds and tested on the test split.

A search selects networks by validation metrics of one training each, so the metrics of selected networks are biased
upwards. A confirmation trains them from seeds that the search did not use, and reports only the test metrics of these
trainings.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from explorer.errors import SearchFailed, StoreError, StudyError
from explorer.records import ConfirmationRecord, Confirmed, Epoch, GradientFlow, TrialRecord
from explorer.store.artifacts import confirmation_checkpoint
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import DEFAULT_STORAGE, check_storage, open_for_writing
from explorer.store.lease import RETRIES, new_worker
from explorer.store.studies import find_study, open_study
from explorer.store.study import Study
from explorer.study.recorded_training import find_data, training_data, training_recipe
from explorer.study.seeds import seed_for
from explorer.study.signals import interruptions, leases_kept
from explorer.study.workers.jobs import Failure, Job, Outcome, Retraining, Training
from explorer.study.workers.pool import ProcessPool, Workplace
from explorer.study.workers.watchdog import usual_limits
from explorer.system.cores import usable_cores
from explorer.system.files import ABANDONED_SECONDS, remove, sweep
from explorer.system.signals import interruption
from explorer.training.settings import ResolvedTraining

POLL_SECONDS = 0.2  # that the loop waits for messages; a signal is handled between two waits
RETRY_SECONDS = 2.0  # until the database is asked again for a training, after it had none
MAX_SEEDS = 1_000  # per network

EventKind = Literal["begun", "started", "epoch", "ended", "finished"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a confirmation.

    Attributes:
        kind: "begun" and "finished" concern the confirmation, the others one training.
        done: Trainings that have ended.
        total: Trainings in total.
        seconds_left: Estimated time to the end, or None.
        training: The training, for "started", "epoch" and "ended".
        epoch: The epoch, for "epoch".
        why: Why the confirmation ended, for "finished".
        label: Name of the training's network; empty for its digest.
    """

    kind: EventKind
    done: int
    total: int
    seconds_left: float | None = None
    training: ConfirmationRecord | None = None
    epoch: Epoch | None = None
    why: str = ""
    label: str = ""


@dataclass(frozen=True)
class Confirmation:
    """The result of a confirmation.

    Attributes:
        study: The study.
        x: Quantity on the horizontal axis.
        y: Quantity on the vertical axis.
        networks: The confirmed networks of the Pareto front, by ascending ``x``.
        frontier: The trials of the Pareto front.
        ended: Why the confirmation ended.
        failed: Reasons of the failed trainings.
        missing: Number of trainings that were not done.
        interrupted: Whether a signal ended it.
        seconds: Its duration.
        signal: Number of that signal, or 0.
    """

    study: Study
    x: str
    y: str
    networks: list[Confirmed]
    frontier: list[TrialRecord]
    ended: str
    failed: list[str]
    missing: int
    interrupted: bool
    seconds: float
    signal: int = 0


def run_confirmation(
    storage: str = DEFAULT_STORAGE,
    name: str = "",
    *,
    seeds: int = 5,
    epochs: int | None = None,
    x: str | None = None,
    y: str | None = None,
    mix_environments: bool = False,
    data_dir: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    progress: Callable[[Event], None] | None = None,
) -> Confirmation:
    """Train each network of the Pareto front from fresh seeds, and test each training.

    Data, split, recipe and each network's precision are the study's. The seeds follow from the study's seed and are the
    same for every network. Each training is stored when it ends: the same call again continues, a call with more seeds
    adds trainings, and failed trainings are tried again.

    Args:
        storage: Database URL or file.
        name: Name of the study; empty if the database has just one.
        seeds: Trainings per network, 1 to 1,000.
        epochs: Epochs of each training; the study's by default.
        x: Cost on the horizontal axis; that of the study's ``plane`` by default.
        y: Objective: accuracy, top5 or loss; that of the study's ``plane`` by default.
        mix_environments: Whether latencies of different environments may be on one front.
        data_dir: Folder of the data; the place recorded in the study by default.
        device: "cpu", "cuda" or "cuda:N".
        workers: Parallel trainings; by default one per core on a CPU, and one on a GPU.
        progress: Called with each event.

    Raises:
        StoreError: The storage, study or quantity does not exist.
        StudyError: The study cannot be trained again, or a number is out of range.
        DataError: The data are missing.
    """
    began = time.monotonic()
    for what, number, most in (("seeds", seeds, MAX_SEEDS), ("epochs", epochs, 100_000), ("workers", workers, 1_024)):
        if number is not None and not 1 <= number <= most:
            raise StudyError(f"{what} must lie in 1..{most}, found {number}")
    check_storage(storage)
    study = open_study(storage, name)
    recipe = training_recipe(study)
    x, y = study.axes(x, y)
    epochs = epochs or study.fingerprint["epochs"]
    study.confirmed(x, y, mix_environments=mix_environments)  # reports wrong names before hours of training
    frontier = study.frontier(x, y, mix_environments=mix_environments)
    if not frontier:
        raise StudyError(f"study {study.name!r} has no complete trial yet, so there is no frontier to confirm")
    place = find_data(study, data_dir)
    data = training_data(study, data_dir)
    len(data.test)  # reads the test split now, for the same reason
    workers = workers or (usable_cores() if device == "cpu" else 1)
    workers = min(workers, seeds * len(frontier))
    settings = ResolvedTraining(
        data=place["name"],
        data_dir=place.get("data_dir"),
        subset=study.fingerprint["split"]["subset"],
        skip_damaged=study.fingerprint["split"].get("damaged", 0) > 0,
        recipe=recipe,
        epochs=epochs,
        device=device,
    )
    threads = max(1, usable_cores() // workers)
    work = Training(settings, threads, study.artifacts, side_by_side=workers)
    precisions = {trial.digest: trial.result.precision if trial.result else "float32" for trial in frontier}
    # The largest networks come first within a seed: the last trainings are short, so no core idles for long.
    largest_first = sorted(frontier, key=lambda trial: -trial.costs.get("macs", 0.0))
    drawn = [seed_for("confirm", study.seed, number) for number in range(seeds)]
    wanted = {Wanted(trial.digest, epochs, seed): trial for seed in drawn for trial in largest_first}
    database = open_for_writing(storage)
    try:
        database.require_space()
        sweep(study.artifacts, older_than=time.time() - ABANDONED_SECONDS)
        writer = ConfirmationWriter(find_study(database, study.name), new_worker())
        workplace = ProcessPool(Retraining(work, precisions), workers, reused=device.startswith("cuda"))
        loop = ConfirmationLoop(wanted, writer, workplace, workers, progress or (lambda event: None))
        with interruptions(loop), leases_kept(writer):
            ended = loop.run()
    finally:
        database.close()
    kept = {each.digest: each for each in study.confirmed(x, y, epochs=epochs, mix_environments=mix_environments)}
    return Confirmation(
        study,
        x,
        y,
        [kept[trial.digest] for trial in frontier if trial.digest in kept],
        frontier,
        ended,
        list(loop.failures.values()),
        len(wanted) - loop.done,
        loop.interrupted,
        time.monotonic() - began,
        loop.signal,
    )


def confirm(storage: str = DEFAULT_STORAGE, name: str = "", **settings: Any) -> list[Confirmed]:
    """Run a confirmation and return its networks, for scripts.

    Takes the arguments of ``run_confirmation``. Both exceptions have the study, with all finished trainings, as their
    attribute ``study``.

    Raises:
        SearchFailed: A training failed.
        KeyboardInterrupt: A signal interrupted the confirmation.
    """
    found = run_confirmation(storage, name, **settings)
    if found.interrupted:
        raise interruption(found.signal, found.study)
    if found.missing or found.failed:
        raise SearchFailed(f"some trainings failed or were not done: {found.ended}", found.study)
    return found.networks


class ConfirmationLoop:
    """Runs trainings until all wanted ones have ended, here or in another process.

    Attributes:
        interrupted: Set by a signal handler to end the loop.
        signal: Number of that signal, or 0.
        busy: Always False: its child processes compute.
        failures: Trainings that failed since this call began, in any process, to their reasons; they are not retried.
        done: Number of trainings that are complete or have failed since this call began.
    """

    def __init__(
        self,
        wanted: Mapping[Wanted, TrialRecord],
        writer: ConfirmationWriter,
        workplace: Workplace,
        workers: int,
        progress: Callable[[Event], None],
    ):
        """Prepare a loop.

        Args:
            wanted: The trainings, in the order in which they start, and the trial of each one's network.
            writer: Writes the trainings of this worker.
            workplace: Runs the trainings.
            workers: Number of parallel trainings.
            progress: Called with each event.
        """
        self.wanted = wanted
        self.writer = writer
        self.workplace = workplace
        self.interrupted = False
        self.busy = False
        self.signal = 0
        self.failures: dict[Wanted, str] = {}
        self.done = 0
        self._workers = workers
        self._progress = progress
        self._numbers = list(wanted)
        self._running: dict[int, ConfirmationRecord] = {}
        self._lost: Counter[int] = Counter()  # processes of each training that died of a cause from outside
        self._times: list[float] = []
        self._study = find_study(writer.study.database, writer.study.name)
        self._first_revision = self._study.revision  # later failures belong to this call, and are not retried by it
        self._none_wanted = -RETRY_SECONDS  # time when the database last had no training to start

    def run(self) -> str:
        """Run trainings until all have ended; return why the loop ended."""
        self._count()
        self._report("begun")
        try:
            why = self._loop()
        except KeyboardInterrupt:
            self.interrupted, self.signal = True, self.signal or signal.SIGINT
            why = ""
        except StoreError as error:
            why = f"the record cannot be kept: {error}"
        finally:
            self.workplace.stop()
            try:
                self.writer.release()
            except StoreError:  # their leases expire by themselves
                pass
        why = "interrupted; the same line goes on" if self.interrupted else why
        self._report("finished", why=why)
        return why

    def _loop(self) -> str:
        while not self.interrupted:
            while self.workplace.room and not self.interrupted and self._start():
                pass
            if not self._running:
                self._count()  # another process may train what is left
                if self.done == len(self.wanted):
                    return self._summary()
                time.sleep(POLL_SECONDS)
            for number, message in self.workplace.messages(POLL_SECONDS):
                self._handle(number, message)
        return ""

    def _start(self) -> bool:
        """Start the next training; return False if there is none to start now."""
        if time.monotonic() < self._none_wanted + RETRY_SECONDS:
            return False
        wanted = (each for each in self._numbers if each not in self.failures)
        training = self.writer.claim(wanted, since=self._first_revision)
        if training is None:
            self._none_wanted = time.monotonic()
            return False
        number = self._numbers.index(Wanted.of(training))
        self._running[number] = training
        self._start_job(number)
        self._report("started", training)
        return True

    def _start_job(self, number: int) -> None:
        """Start the process of a training, which resumes from its checkpoint if it has one."""
        trial = self.wanted[self._numbers[number]]
        job = Job(number, trial.digest, trial.architecture, trial.choices, self._running[number].seed)
        self.workplace.start(job, usual_limits(self._workers, self._usual_seconds()))

    def _handle(self, number: int, message: Epoch | GradientFlow | Outcome | Failure) -> None:
        """Handle a message of a training: report an epoch, or store how the training ended."""
        training, wanted = self._running[number], self._numbers[number]
        if isinstance(message, Epoch):
            self._report("epoch", training, message)
        if not isinstance(message, (Outcome, Failure)):
            return
        if isinstance(message, Failure) and message.resumable and self._lost[number] < RETRIES:
            self._lost[number] += 1
            if not self.interrupted:
                self._start_job(number)
            return
        del self._running[number]
        if isinstance(message, Failure):
            self.failures[wanted] = message.reason
            ended = self.writer.finish(wanted, reason=message.reason)
        else:
            ended = self.writer.finish(
                wanted, test=message.measured, result=message.result, environment=message.environment
            )
        if ended is None:  # its lease expired, and another process runs it now
            return
        self._times.append(ended.seconds or 0.0)
        remove(confirmation_checkpoint(self._study.artifacts, ended.digest, ended.epochs, ended.seed))
        self._count()
        self._report("ended", ended)

    def _count(self) -> None:
        """Read from the database which trainings have ended."""
        kept = {Wanted.of(record): record for record in self._study.confirmations()}
        ended = {each: kept[each] for each in self._numbers if each in kept}
        for each, record in ended.items():
            if record.state == "failed" and record.revision > self._first_revision:
                self.failures.setdefault(each, record.reason)
        self.done = sum(record.state == "complete" or each in self.failures for each, record in ended.items())

    def _summary(self) -> str:
        if not self.failures:
            return f"all {len(self.wanted)} trainings are done"
        last = list(self.failures.values())[-1]
        return f"{len(self.failures)} of {len(self.wanted)} trainings failed, the last with: {last}"

    def _usual_seconds(self) -> float | None:
        return sum(self._times) / len(self._times) if self._times else None

    def _report(
        self,
        kind: EventKind,
        training: ConfirmationRecord | None = None,
        epoch: Epoch | None = None,
        why: str = "",
    ) -> None:
        usual, total = self._usual_seconds(), len(self.wanted)
        left = None if usual is None else usual * (total - self.done) / self._workers
        self._progress(Event(kind, self.done, total, left, training, epoch, why))
