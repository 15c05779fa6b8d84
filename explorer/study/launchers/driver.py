"""The loop of a search whose trials run in ``explorer worker`` processes that a scheduler starts.

The workers share the study's database and need no driver: if this process is killed, they go on, and the same command
finds them. It submits the workers, shows their progress, and cancels them when it is interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from explorer.errors import StoreError, StudyError
from explorer.records import TrialRecord
from explorer.store.artifacts import artifacts_folder
from explorer.store.presence.processes import Task
from explorer.store.presence.stops import StopRequest, last_number, newer_than
from explorer.store.server.engine import portable_storage
from explorer.store.storage_url import parse_storage, sqlite_file
from explorer.store.study import Study
from explorer.store.writer import StudyWriter
from explorer.study.budget import Budget
from explorer.study.events import Event, EventKind, Progress, Status
from explorer.study.launchers.arguments import job_name, spelled
from explorer.study.launchers.element import Element
from explorer.study.launchers.slurm import Array, Batch, State, check_options, is_on_this_machine, submitted_before
from explorer.study.plan import Plan
from explorer.study.settings import SearchSettings
from explorer.study.trial_index import TrialIndex, status_of

POLL_SECONDS = 2.0  # between two questions for the workers and the trials
END_SECONDS = 120.0  # that cancelled workers have to release their trials
_log = logging.getLogger(__name__)


class Driver:
    """Submits workers and waits until they have ended. Its attributes are those of ``SearchLoop``.

    Args:
        plan: The search.
        writer: Writes to the study.
        budget: When the workers end.
        progress: Called with each event.
    """

    busy = False
    all_failed = False
    slots = 0
    tasks: Sequence[Task] = ()

    def __init__(self, plan: Plan, writer: StudyWriter, budget: Budget, progress: Progress):
        self.plan, self.writer, self.budget, self.progress = plan, writer, budget, progress
        self.trial_index = TrialIndex(writer.study, (*plan.limits, *plan.latency_limits))
        self.interrupted, self.signal, self.broken = False, 0, False
        self.stop: StopRequest | None = None
        self.batch = make_batch(plan, writer.study.name, writer.study, budget)

    def run(self) -> str:
        """Submit the workers that are missing, and wait; return why the search ended."""
        self._learn(silent=True)
        if self.budget.spent(self.trial_index.done, 0, None):
            return self.budget.spent(self.trial_index.done, 0, None)
        array = self._submit()
        self.report("begun")
        try:
            why = self._wait(array)
        except KeyboardInterrupt:
            self.interrupted, self.signal, why = True, self.signal or signal.SIGINT, ""
        except StoreError as error:
            self.broken, why = True, f"the study cannot be read: {error}; the workers go on"
            return why
        if self.interrupted or self.budget.overdue():
            self._end(array)
        if self.stop is not None and self.stop.explains(self, why):
            self.interrupted, self.signal, why = False, 0, f"{self.stop.reason} the study"
        return "interrupted; the same command resumes the study" if self.interrupted else why

    def _submit(self) -> Array:
        """Submit workers, less those that run since an earlier call."""
        batch = self.batch
        before = [] if batch.is_local else submitted_before(batch.name)
        if before:
            _log.warning("%d workers of this study are queued or run already", len(before))
        missing = max(0, batch.number - len(before))
        array = replace(batch, number=missing).submit() if missing else Array(batch.folder, {})
        if array.ids:
            where = "this machine" if batch.is_local else f"SLURM as job {array.ids[0].partition('_')[0]}"
            _log.warning("started %d workers on %s; logs: %s", missing, where, batch.folder)
        array.adopt(before)
        return array

    def _wait(self, array: Array) -> str:
        """Wait until all workers have ended; return why the search ended."""
        shown: Mapping[str, State] = {}
        while not self.interrupted:
            states = array.states()
            self._learn()
            self._show(array, states, shown)
            shown = states
            if all(state.name == "ended" for state in states.values()):
                self._learn()
                self.stop = self.stop or self._last_request()
                return self._summary(array)
            if self.stop is not None:  # those that run obey it themselves
                array.cancel([each for each, state in states.items() if state.name == "queued"])
            if self.budget.overdue():
                return f"the time of {self.budget.seconds:g} s is used"
            time.sleep(POLL_SECONDS)
        return ""

    def _last_request(self) -> StopRequest | None:
        """Return the last request to stop since the search began: the workers may have obeyed it before this process
        reads it with its next renewal."""
        study, seen = self.writer.study, self.batch.element.stop_seen
        requests = study.database.read(lambda connection: newer_than(connection, study.id, seen))
        return requests[-1] if requests else None

    def _show(self, array: Array, states: Mapping[str, State], before: Mapping[str, State]) -> None:
        """Log how many workers are queued and run, if this has changed, and those that failed."""
        counts, earlier = (Counter(state.name for state in each.values()) for each in (states, before))
        reasons = Counter(state.reason for state in states.values() if state.name == "queued" and state.reason)
        known = Counter(state.reason for state in before.values() if state.name == "queued" and state.reason)
        if counts["queued"] and (counts != earlier or reasons != known):
            why = f" ({', '.join(reasons)})" if reasons else ""
            _log.warning("workers: %d run, %d are queued%s", counts["running"], counts["queued"], why)

    def _summary(self, array: Array) -> str:
        """Return why the search ended, after all workers have."""
        if why := self.budget.spent(self.trial_index.done, 0, None, self.trial_index.unchanged):
            return why
        if self.stop is not None:
            return self.stop.reason
        words = {each: array.last_words(each) for each in array.ids}
        failed = [each for each in array.ids if not array.has_succeeded(each)]
        if not failed:
            return "all workers have ended"
        self.broken = True
        last = failed[-1]
        said = f": {words[last]}" if words[last] else ""
        return f"{len(failed)} of {len(words)} workers failed{said} (log: {array.log(last)})"

    def _end(self, array: Array) -> None:
        """Cancel all workers, and wait until they have released their trials."""
        array.cancel([each for each, state in array.states().items() if state.name != "ended"])
        end = time.monotonic() + END_SECONDS
        while time.monotonic() < end and any(state.name == "running" for state in array.states().values()):
            time.sleep(min(0.5, POLL_SECONDS))

    def _learn(self, silent: bool = False) -> None:
        """Read the changes in the store, and report each trial that has ended since the last call."""
        for record in self.trial_index.update():
            if not silent and record.finished is not None and record.state != "interrupted":
                self.report("ended", record)

    def report(self, kind: EventKind, trial: TrialRecord | None = None, why: str = "") -> None:
        self.progress(Event(kind, self.status(), trial, why=why))

    def status(self) -> Status:
        return status_of(self.trial_index, self.plan, self.budget, self.writer.study.name)


def check_launch(settings: SearchSettings) -> None:
    """Raise StudyError if an option is not valid, or if several machines cannot share the storage."""
    check_options(settings.engine_options)
    if settings.storage is None:
        raise StudyError("engine slurm: a study in memory has no workers; give a storage")
    file = sqlite_file(parse_storage(settings.storage))
    if file is not None and not is_on_this_machine(settings.engine_options):
        raise StudyError(
            f"engine slurm: the workers share the database, and an SQLite file such as {file} is safe on one machine "
            "only; give a PostgreSQL database, as in --storage postgresql://USER@HOST/DATABASE"
        )


def make_batch(plan: Plan, name: str, study: Study | None, budget: Budget) -> Batch:
    """Return the job array of a search.

    Args:
        plan: The search.
        name: The name of its study.
        study: Its study; None if it does not exist yet.
        budget: Its budget.

    Raises:
        StudyError: As ``check_launch``.
    """
    settings = plan.settings
    check_launch(settings)
    url = parse_storage(settings.storage or "")
    file, is_local = sqlite_file(url), is_on_this_machine(settings.engine_options)
    storage = portable_storage(url) if file is None else f"sqlite:///{file.resolve()}"
    seen, files = 0, artifacts_folder(file, name, 0.0)
    if study is not None:
        number = study.id
        seen, files = study.database.read(lambda connection: last_number(connection, number)), study.artifacts
    folder = files.absolute() / settings.engine
    visible = ("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES"))
    element = Element(tuple(_arguments(plan, name, budget)), storage, seen, (visible,) if is_local else ())
    return Batch(
        element, plan.workers, folder, job_name(name, storage), settings.cpus_per_trial, settings.engine_options
    )


def _arguments(plan: Plan, study: str, budget: Budget) -> list[str]:
    """Return the arguments of ``explorer worker`` for the settings of a search."""
    words = ["--study", study]
    words += ["--workers", str(plan.settings.workers_per_device or 1)]
    words += [] if budget.target is None else ["--trials", str(budget.target)]
    words += [] if budget.seconds is None else ["--time", f"{budget.seconds:.0f}s"]
    return words + spelled(plan.settings.values())
