"""A study, to write: how a trial begins, ends, waits for its twin, is lost and is taken up again.

    (asked) --> running ------------------> complete | stopped | failed
                   |  lease passes, worker gone, Ctrl-C
                   +--> failed, resumable --(take_up)--> running, attempt + 1, same number and seed
    failed --(retry)--> running, attempt + 1, same number and seed
    stopped --(reopen)--> running, attempt + 1, same number and seed
    (asked, network finished before) -----> cached, or failed as that one did
    (asked, network running) -> running, same_as --(that one ends)--> cached or failed
    (asked, against a limit) -------------> rejected

Each arrow is one transaction. Numbers are 0, 1, 2, ... without gaps: a trial gets its number in the
transaction that gives it its lease and its network, so a worker killed at any point leaves no ghost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from explorer.records import State, TrialRecord
from explorer.store import spool
from explorer.store.checking import read_result
from explorer.store.claims import TrialLeases, claim_network, end_waiting_trials, is_total_reached, of_trial, unfinished
from explorer.store.database import UnstorableValue, open_for_writing
from explorer.store.lease import is_gone
from explorer.store.rows import (
    Ending,
    Proposal,
    ending_row,
    insert_once,
    keep_environment,
    lock_study,
    next_revision,
    now,
    proposal_row,
    read_row,
    short,
    to_row,
    trial_row,
)
from explorer.store.schema import architectures, trials
from explorer.store.studies import find_study
from explorer.system.files import remove

_log = logging.getLogger(__name__)


class NumberTaken(Exception):
    """Another worker began a trial of this number first: look at what it began, and ask again."""


def open_writer(storage: str | None, name: str, worker: str) -> StudyWriter:
    """An existing study, to write. Raises StoreError as ``open_study`` does."""
    database = open_for_writing(storage)
    return StudyWriter(find_study(database, name), worker)


@dataclass(frozen=True)
class StudyWriter(TrialLeases):
    """The writing side of ``study`` for one ``worker``."""

    def begin(self, number: int, proposal: Proposal, total: int | None = None) -> TrialRecord:
        """Begins trial ``number``, which must be the study's next, or answers it from a trial of the same network.

        The record returned is ``running`` with no ``same_as``: run it now; running with ``same_as``: it
        waits for that trial and ends with it; or it is ended already. Raises NumberTaken, also when ``total``
        trials are complete, stopped or under way.
        """
        return self._held(self._add(number, proposal, None, total))

    def refuse(self, number: int, proposal: Proposal, state: State, reason: str) -> TrialRecord:
        """Writes trial ``number`` as ended before it began: rejected by a limit, or failed for want of a cost."""
        return self._add(number, proposal, _refusal(state, reason))

    def finish(self, number: int, ending: Ending) -> list[TrialRecord]:
        """Ends a trial of this worker's, and every trial that waited for it; returns them, this one first.

        A trial that was lost, and that nobody has taken up since, is ended too: its result is valid. Empty when another
        worker has taken it up. While the database cannot be written to, the ending lies in a file (``deliver``).
        """
        kept: list[Path] = []

        def keep() -> None:
            try:
                kept.append(spool.keep(self._spool, self.worker, number, ending))
            except OSError as error:  # the disk may be what is in trouble: then this process is all there is
                _log.warning("trial %d: its result cannot be kept in a file either: %s", number, error)

        own = (*of_trial(self.study.id, number), trials.c.worker == self.worker, unfinished())
        on_trouble = keep if not self.study.database.in_memory else None
        try:
            ended = self._finish(number, ending, own, on_trouble)
        except UnstorableValue as error:  # to take the trial up again would end in the same way
            _log.warning("trial %d ended %s, which cannot be stored: %s", number, ending.state, error)
            plain = Ending("failed", reason=f"its result cannot be stored: {error}")
            ended = self._finish(number, plain, own, on_trouble)
        for path in kept:
            remove(path)
        if not ended:
            _log.warning(
                "trial %d ended %s, but it is no longer this worker's: nothing was written", number, ending.state
            )
        return ended

    def deliver(self) -> list[TrialRecord]:
        """Ends the trials whose results lost workers left in files, unless another has taken them up meanwhile.

        The file of a worker whose lease may still be valid is left for later.
        """
        delivered: list[TrialRecord] = []
        if self.study.database.in_memory:  # nobody else has written to it
            return delivered
        for path, worker, number, ending in spool.unsent(self._spool):
            theirs = (*of_trial(self.study.id, number), trials.c.worker == worker)
            running = select(trials.c.number).where(*theirs, trials.c.state == "running")
            with self.study.database.read() as connection:
                if connection.execute(running).first() is not None and not is_gone(worker):
                    continue
            delivered += self._finish(number, ending, (*theirs, unfinished()))
            remove(path)
        return delivered

    @property
    def _spool(self) -> Path:
        return self.study.artifacts / "unsent"

    def _finish(
        self,
        number: int,
        ending: Ending,
        held: tuple[ColumnElement[bool], ...],
        on_trouble: Callable[[], None] | None = None,
    ) -> list[TrialRecord]:
        def work(connection: Connection) -> list[TrialRecord]:
            self.held.discard(number)
            revision = next_revision(connection, self.study.id)
            values = ending_row(ending)
            if ending.result is None:
                del values["result"]  # that of an earlier attempt stays
            if ending.environment is not None:
                values["environment"] = keep_environment(connection, ending.environment)
            final = ending.state == "failed" and not ending.resumable
            values["failure"] = (ending.failure or "code") if final else ""
            values |= {"reason": short(ending.reason), "lease_until": None, "finished": now(connection)}
            values["revision"] = revision
            if connection.execute(trials.update().where(*held).values(**values)).rowcount == 0:
                return []
            numbers = (
                [number]
                if ending.resumable
                else [number, *end_waiting_trials(connection, self.study.id, number, revision)]
            )
            return self._records(connection, numbers)

        return self._write(work, on_trouble=on_trouble or (lambda: None))

    def take_up(self, total: int | None = None) -> TrialRecord | None:
        """The first interrupted trial, now this worker's, under its own number and seed; None when there is none,
        or when ``total`` trials are complete, stopped or under way.

        Its state is as ``begin`` says: the network may have been finished in the meantime.
        """
        waits: tuple[ColumnElement[bool], ...] = (
            trials.c.study_id == self.study.id,
            trials.c.state == "failed",
            trials.c.resumable,
        )
        if self.held:  # one of them may have been taken for lost while it runs here
            waits = (*waits, trials.c.number.not_in(self.held))
        first = select(trials).where(*waits).order_by(trials.c.number).limit(1)
        with self.study.database.read() as connection:
            if connection.execute(first).first() is None:
                return None

        taken = self._resume(first, total)
        return None if taken is None else self._held(taken)

    def retry(
        self,
        failed: TrialRecord,
        costs: Mapping[str, float],
        latency: Mapping[str, Any],
        refusal: tuple[State, str] | None,
        total: int | None = None,
    ) -> TrialRecord | None:
        """The failed trial, now this worker's, under its own number and seed, with its ``costs`` of today; None when
        another worker has retried it since ``failed`` was read, or when ``total`` trials are complete, stopped or
        under way.

        ``refusal``: the state and reason to end it with at once; ``latency``: how its latency was measured now; empty
        where that was not done again.
        """

        def work(connection: Connection) -> TrialRecord | None:
            same = (*of_trial(self.study.id, failed.number), trials.c.state == "failed", trials.c.same_as.is_(None))
            query = select(trials).where(*same, trials.c.revision == failed.revision)
            row = connection.execute(query).first()
            if row is None or is_total_reached(connection, self.study.id, total):
                return None
            moment = now(connection)
            if refusal is None:
                values = claim_network(connection, self.study.id, row.digest, row.number, self.worker)
            else:
                values = {"worker": self.worker, "finished": moment, **_refusal(*refusal)}
            measured = {"latency": latency} if latency else {}
            values |= to_row(trials, {"attempt": row.attempt + 1, "started": moment, "costs": costs, **measured})
            values["revision"] = next_revision(connection, self.study.id)
            connection.execute(trials.update().where(*of_trial(self.study.id, row.number)).values(**values))
            return self._records(connection, [row.number])[0]

        taken = self._write(work)
        return None if taken is None else self._held(taken)

    def reopen(self, number: int) -> TrialRecord | None:
        """The stopped trial, now this worker's, to be trained again from its beginning; None when another has it."""
        taken = self._resume(select(trials).where(*of_trial(self.study.id, number), trials.c.state == "stopped"))
        return None if taken is None else self._held(taken)

    def _resume(self, wanted: Select[Any], total: int | None = None) -> TrialRecord | None:
        def work(connection: Connection) -> TrialRecord | None:
            lock_study(connection, self.study.id)  # or two workers may take the same trial
            row = connection.execute(wanted).first()
            if row is None or is_total_reached(connection, self.study.id, total):
                return None
            values = claim_network(connection, self.study.id, row.digest, row.number, self.worker)
            values |= {"started": now(connection), "resumable": False, "in_order": False}
            values |= {"revision": next_revision(connection, self.study.id)}
            values["attempt"] = row.attempt + (0 if row.in_order else 1)
            if row.state == "stopped" and row.result:
                result = read_result(f"{trial_row(row.number)}, column result", row.result)
                values["epochs_given_up"] = row.epochs_given_up + (result.epochs if result else 0)
            connection.execute(trials.update().where(*of_trial(self.study.id, row.number)).values(**values))
            return self._records(connection, [row.number])[0]

        return self._write(work)

    def sampler_notes(self, numbers: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """What the sampler noted on those trials when it proposed them."""
        query = select(trials.c.number, trials.c.sampler_notes).where(trials.c.study_id == self.study.id)
        if len(numbers) == 1:
            query = query.where(trials.c.number == numbers[0])
        wanted = set(numbers)
        with self.study.database.read() as connection:
            rows = [row._asdict() for row in connection.execute(query) if row.number in wanted]
            return {row["number"]: read_row(trial_row(row["number"]), trials, row)["sampler_notes"] for row in rows}

    def _add(
        self, number: int, proposal: Proposal, refusal: dict[str, Any] | None, total: int | None = None
    ) -> TrialRecord:
        def work(connection: Connection) -> TrialRecord:
            revision = next_revision(connection, self.study.id)
            next_number = connection.scalar(select(func.count()).where(trials.c.study_id == self.study.id))
            if number != next_number:
                raise NumberTaken(f"trial {number} of study {self.study.name!r}; the next is {next_number}")
            if is_total_reached(connection, self.study.id, total):
                raise NumberTaken(f"the {total} trials of study {self.study.name!r} are under way")
            moment = now(connection)
            row = {"digest": proposal.digest, "json": proposal.architecture}
            insert_once(connection, architectures, "digest", row)
            values = proposal_row(proposal) | {"study_id": self.study.id, "number": number}
            values |= {"started": moment, "revision": revision}
            if refusal is None:
                values |= claim_network(connection, self.study.id, proposal.digest, number, self.worker)
            else:
                values |= {"worker": self.worker, "finished": moment, **refusal}
            connection.execute(trials.insert().values(**values))
            return self._records(connection, [number])[0]

        return self._write(work)

    def _held(self, record: TrialRecord) -> TrialRecord:
        """The record itself, noted as one that this worker runs."""
        if record.state == "running":
            self.held.add(record.number)
        return record


def _refusal(state: State, reason: str) -> dict[str, Any]:
    return {"state": state, "reason": short(reason), "failure": "code" if state == "failed" else ""}
