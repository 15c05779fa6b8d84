"""Write the trials of a study: begin, end, interrupt, resume and retry them.

    (proposal) --> running ---------------> complete | stopped | failed
                      |  lease expired, worker lost, Ctrl-C
                      +--> failed, resumable --(resume)--> running, attempt + 1, same number and seed
    failed --(retry)--> running, attempt + 1, same number and seed
    stopped --(reopen)--> running, same number and seed; attempt + 1 unless it was paused
    (proposal, network has ended in another trial) --> cached, or failed for the same reason
    (proposal, network runs in another trial) --> running, same_as --(that trial ends)--> cached or failed
    (proposal, a limit is exceeded) --> rejected
    (proposals of counterparts) --> failed, resumable: they wait for a worker

Each arrow is one transaction, which locks the study before it reads. If it runs again because the answer to its commit
was lost, it finds what it has written (``unanswered``). Trials are numbered 0, 1, 2, ... without gaps. One transaction
gives a trial its number, its lease and its claim, so a worker that is killed at any time leaves no incomplete trial.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

from explorer.errors import StoreError
from explorer.records import State, TrainingResult, TrialRecord
from explorer.store import spool
from explorer.store.claims import TrialLeases, claim_network, end_waiting_trials, insert_trial
from explorer.store.database import UnstorableValue, open_for_writing
from explorer.store.lease import is_gone
from explorer.store.rows import (
    Ending,
    Proposal,
    ending_row,
    epochs_given_up,
    insert_environment,
    inserted_record,
    is_total_reached,
    short,
    stamp,
    to_record,
    to_row,
)
from explorer.store.schema import trials
from explorer.store.server.unanswered import added_before, begun_before, ended_before
from explorer.store.statements import END_TRIAL, ENDED_TRIALS, next_number, of_trial
from explorer.store.studies import find_study, open_study
from explorer.system.files import remove

_log = logging.getLogger(__name__)


class NumberTaken(Exception):
    """Another worker has started the trial with this number; read its trials, then propose again."""


def open_writer(storage: str | os.PathLike[str], name: str, worker: str) -> StudyWriter:
    """Open an existing study for writing.

    Args:
        storage: A URL or a path.
        name: The study's name. Empty: the only study of the storage.
        worker: The name of the worker, from ``new_worker``.

    Raises:
        StoreError: The storage cannot be written to, or has no study of this name.
    """
    found = open_study(storage, name)  # a study that does not exist is refused before a database is migrated
    return StudyWriter(find_study(open_for_writing(storage), found.name), worker)


@dataclass(frozen=True)
class StudyWriter(TrialLeases):
    """Writes the trials of a study on behalf of one worker."""

    environments: set[str] = field(default_factory=set, compare=False, repr=False)  # digests of those that it stored
    earlier: dict[int, TrainingResult | None] = field(default_factory=dict, compare=False, repr=False)  # of those held

    def begin(
        self,
        number: int,
        proposal: Proposal,
        total: int | None = None,
        renumbered: Callable[[int], Proposal] | None = None,
    ) -> TrialRecord:
        """Begin a trial, or give it the result of a trial of the same network.

        Args:
            number: The trial's number, which must be the study's next.
            proposal: The network and its costs.
            total: The most trials that are complete, stopped or running. None: no limit.
            renumbered: Returns the proposal with the next number if another worker has used this one, but has not
                begun a trial of the network. None: NumberTaken is raised.

        Returns:
            The trial. If it is running without ``same_as``, the worker evaluates it. If it is running with ``same_as``,
            it waits for that trial and ends with it. Otherwise it has ended.

        Raises:
            NumberTaken: Another worker has started the trial with this number, or ``total`` is reached.
            StoreError: The database cannot be written to.
        """
        return self._with_lease(self._add(number, proposal, None, total, renumbered))

    def refuse(self, number: int, proposal: Proposal, state: State, reason: str) -> TrialRecord:
        """Write a trial that is not evaluated.

        Args:
            number: The trial's number, which must be the study's next.
            proposal: The network and its costs.
            state: "rejected" by a limit, or "failed" if a cost cannot be computed.
            reason: Why it is not evaluated.

        Raises:
            NumberTaken: Another worker has started the trial with this number.
            StoreError: The database cannot be written to.
        """
        return self._add(number, proposal, _refusal(state, reason))

    def finish(self, number: int, ending: Ending) -> list[TrialRecord]:
        """Write the result of a trial of this worker, and of all trials that wait for it.

        The result also counts if the trial was failed as lost and no worker has resumed it. While the database cannot
        be written to, and if it stays so, the result is saved to a file (``deliver``).

        Args:
            number: The trial's number.
            ending: The trial's result.

        Returns:
            The trials that ended, this one first. Empty if another worker has resumed the trial.

        Raises:
            StoreError: The database cannot be written to, even after retries.
        """
        saved: list[Path] = []

        def save_to_file() -> None:
            if saved or self.study.database.in_memory:
                return
            try:
                saved.append(spool.keep(self._spool, self.worker, number, ending))
            except OSError as error:  # the disk itself may fail: then only this process has the result
                _log.warning("trial %d: its result cannot be saved to a file either: %s", number, error)

        attempt, earlier = self.held.pop(number, None), self.earlier.pop(number, None)
        ending = replace(ending, epochs_given_up=epochs_given_up(earlier, ending.result))
        try:
            try:
                ended = self._finish(number, ending, self.worker, attempt, save_to_file)
            except UnstorableValue as error:  # if the trial were resumed, it would end in the same way
                _log.warning("trial %d ended %s, which cannot be stored: %s", number, ending.state, error)
                ending = Ending("failed", reason=f"its result cannot be stored: {error}")
                ended = self._finish(number, ending, self.worker, attempt, save_to_file)
        except StoreError:
            save_to_file()
            raise
        for path in saved:
            remove(path)
        ended = ended or self.study.database.read(
            lambda connection: self._records(
                connection, ended_before(connection, self.study.id, number, self.worker, attempt, ending.state)
            )
        )
        if not ended:
            _log.warning(
                "trial %d ended %s, but this worker no longer holds its lease: nothing was written",
                number,
                ending.state,
            )
        return ended

    def deliver(self) -> list[TrialRecord]:
        """Write the results that lost workers saved to files, except of trials that another worker has resumed.

        Files of workers whose lease may still be valid are skipped.

        Returns:
            The trials that ended.

        Raises:
            StoreError: The database cannot be written to.
        """
        delivered: list[TrialRecord] = []
        if self.study.database.in_memory:  # no other worker can have written to it
            return delivered
        for path, worker, number, ending in spool.unsent(self._spool):
            theirs = (*of_trial(self.study.id, number), trials.c.worker == worker)
            running = select(trials.c.number).where(*theirs, trials.c.state == "running")
            if not is_gone(worker) and self._exists(running):
                continue
            delivered += self._finish(number, ending, worker, None)
            remove(path)
        return delivered

    @property
    def _spool(self) -> Path:
        return self.study.artifacts / "unsent"

    def _finish(
        self,
        number: int,
        ending: Ending,
        worker: str,
        attempt: int | None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> list[TrialRecord]:
        """Write the result of an unfinished trial of a worker (``attempt``: or None for any); end those that wait."""
        run = {"study": self.study.id, "trial": number, "by": worker, "in_attempt": attempt}

        def work(connection: Connection) -> list[TrialRecord]:
            made = stamp(connection, self.study.id)
            values = ending_row(ending)
            if ending.result is None:
                del values["result"]  # the result of an earlier attempt is kept
            if ending.environment is not None:
                values["environment"] = ending.environment.digest
                if ending.environment.digest not in self.environments:
                    insert_environment(connection, ending.environment)
            final = ending.state == "failed" and not ending.resumable
            values["failure"] = (ending.failure or "code") if final else ""
            values |= {"reason": short(ending.reason), "lease_until": None, "finished": made.time}
            values |= {"revision": made.revision, "given_up": values.pop("epochs_given_up")}
            if connection.execute(END_TRIAL, {**run, **values}).rowcount == 0:
                return []
            ended = [to_record(row._asdict()) for row in connection.execute(ENDED_TRIALS, run)]
            if len(ended) == 1:
                return ended
            waiting = [] if ending.resumable else end_waiting_trials(connection, self.study.id, number, made)
            return self._records(connection, [number, *waiting])

        ended = self._write(work, on_failure=on_failure, is_stamped=True)
        if ended and ending.environment is not None:
            self.environments.add(ending.environment.digest)
        return ended

    def resume(self, total: int | None = None, among: Collection[int] | None = None) -> TrialRecord | None:
        """Resume the first interrupted trial, with its number and seed.

        Args:
            total: The most trials that are complete, stopped or running. None: no limit.
            among: The numbers of the trials that may be resumed. None: all.

        Returns:
            The trial, in a state as returned by ``begin``: another trial of the network may have ended in the meantime.
            None if no trial is interrupted, or if ``total`` is reached.

        Raises:
            StoreError: The database cannot be written to.
        """
        interrupted: tuple[ColumnElement[bool], ...] = (
            trials.c.study_id == self.study.id,
            trials.c.state == "failed",
            trials.c.resumable,
        )
        if among is not None:
            interrupted = (*interrupted, trials.c.number.in_(among))
        if self.held:  # another worker may have failed one of them as lost although it runs here
            interrupted = (*interrupted, trials.c.number.not_in(list(self.held)))
        first = select(trials).where(*interrupted).order_by(trials.c.number).limit(1)
        resumed = self._restart(first, total)
        return None if resumed is None else self._with_lease(resumed)

    def retry(
        self,
        failed: TrialRecord,
        costs: Mapping[str, float],
        latency: Mapping[str, Any],
        refusal: tuple[State, str] | None,
        total: int | None = None,
    ) -> TrialRecord | None:
        """Retry a failed trial, with its number and seed.

        Args:
            failed: The failed trial.
            costs: The costs of its network, computed again.
            latency: How its latency was measured again; empty if it was not.
            refusal: The state and reason with which the trial ends without evaluation; None to evaluate it.
            total: The most trials that are complete, stopped or running. None: no limit.

        Returns:
            The trial. None if another worker has retried it since ``failed`` was read, or if ``total`` is reached.

        Raises:
            StoreError: The database cannot be written to.
        """

        def work(connection: Connection) -> TrialRecord | None:
            same = (*of_trial(self.study.id, failed.number), trials.c.state == "failed", trials.c.same_as.is_(None))
            query = select(trials).where(*same, trials.c.revision == failed.revision)
            row = connection.execute(query).first()
            if row is None and self._begun_before(connection, trials.c.number == failed.number) is not None:
                return self._records(connection, [failed.number])[0]
            if row is None or is_total_reached(connection, self.study.id, total, self.known):
                return None
            revision, started = stamp(connection, self.study.id)
            if refusal is None:
                values = claim_network(connection, self.study.id, row.digest, row.number, self.worker, started)
            else:
                values = {"worker": self.worker, "finished": started, **_refusal(*refusal)}
            measured = {"latency": latency} if latency else {}
            values |= to_row(trials, {"attempt": row.attempt + 1, "started": started, "costs": costs, **measured})
            values["revision"] = revision
            connection.execute(trials.update().where(*same).values(**values))
            return self._records(connection, [row.number])[0]

        retried = self._write(work)
        return None if retried is None else self._with_lease(retried)

    def reopen(self, number: int, counts: bool = True) -> TrialRecord | None:
        """Train a trial that was stopped early again, from its checkpoint if there is one, else from its first epoch.

        Args:
            number: The trial's number.
            counts: Whether it counts as an attempt, of which a trial has few.

        Returns:
            The trial. None if another worker has reopened it.

        Raises:
            StoreError: The database cannot be written to.
        """
        query = select(trials).where(*of_trial(self.study.id, number), trials.c.state == "stopped")
        reopened = self._restart(query, counts=counts)
        return None if reopened is None else self._with_lease(reopened)

    def _restart(self, query: Select[Any], total: int | None = None, counts: bool = True) -> TrialRecord | None:
        """Resume the first trial that ``query`` selects. None if there is none or ``total`` is reached."""

        def work(connection: Connection) -> TrialRecord | None:
            if (begun := self._begun_before(connection)) is not None:
                return self._records(connection, [begun])[0]
            row = connection.execute(query).first()
            if row is None or is_total_reached(connection, self.study.id, total, self.known):
                return None
            revision, started = stamp(connection, self.study.id)
            values = claim_network(connection, self.study.id, row.digest, row.number, self.worker, started)
            values |= {"started": started, "resumable": False, "in_order": False, "revision": revision}
            values["attempt"] = row.attempt + (0 if row.in_order or not counts else 1)
            same = (*of_trial(self.study.id, row.number), trials.c.attempt == row.attempt, trials.c.state == row.state)
            connection.execute(trials.update().where(*same).values(**values))
            return self._records(connection, [row.number])[0]

        return self._write(work)

    def _begun_before(self, connection: Connection, *conditions: ColumnElement[bool]) -> int | None:
        return begun_before(connection, self.study.id, self.worker, self.held, *conditions)

    def _exists(self, query: Select[Any]) -> bool:
        return self.study.database.read(lambda connection: connection.execute(query).first() is not None)

    def _add(
        self,
        wanted: int,
        proposed: Proposal,
        refusal: dict[str, Any] | None,
        total: int | None = None,
        renumbered: Callable[[int], Proposal] | None = None,
    ) -> TrialRecord:
        """Write a new trial. ``refusal``: the values of its columns if it is not evaluated."""
        calls = count(1)

        def work(connection: Connection) -> TrialRecord:
            number, proposal, call = wanted, proposed, next(calls)
            revision, started = stamp(connection, self.study.id)
            following, holder = next_number(connection, self.study.id, proposal.digest)
            if number < following:
                begun = (self.study.id, self.worker, self.held, number, proposal.digest)
                # The answer to the commit of an earlier call may have been lost.
                if call > 1 and (own := added_before(connection, *begun)) is not None:
                    return self._records(connection, [own])[0]
                if renumbered and holder is None:
                    number, proposal = following, renumbered(following)
            if number != following:
                raise NumberTaken(f"trial {number} of study {self.study.name!r}; the next is {following}")
            if is_total_reached(connection, self.study.id, total, self.known, following):
                raise NumberTaken(f"the {total} trials of study {self.study.name!r} have all been started")
            values = {"started": started, "revision": revision}
            values |= {} if refusal is None else {"finished": started, **refusal}
            row = insert_trial(connection, self.study.id, number, proposal, holder, self.worker, values)
            is_known = row.get("environment") is None  # that of another trial of the network has to be read
            return inserted_record(row, proposal.architecture) if is_known else self._records(connection, [number])[0]

        return self._write(work, is_stamped=True)

    def _with_lease(self, record: TrialRecord) -> TrialRecord:
        """Add the trial to ``held`` if it is running; return it."""
        if record.state == "running":
            self.held[record.number], self.earlier[record.number] = record.attempt, record.result
        return record


def _refusal(state: State, reason: str) -> dict[str, Any]:
    """Return the values of the columns of a trial that ends without evaluation."""
    return {"state": state, "reason": short(reason), "failure": "code" if state == "failed" else ""}
