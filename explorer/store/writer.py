"""A study, to write: how a trial begins, ends, waits for its twin, is lost and is taken up again.

    (asked) --> running ------------------> complete | stopped | failed
                   |  lease passes, worker gone, Ctrl-C
                   +--> failed, resumable --(take_up)--> running, attempt + 1, same number and seed
    stopped --(reopen)--> running, attempt + 1, same number and seed
    (asked, network finished before) -----> cached, or failed as that one did
    (asked, network running) -> running, same_as --(that one ends)--> cached or failed
    (asked, against a limit) -------------> rejected

Each arrow is one transaction. Numbers are 0, 1, 2, ... without gaps: a trial gets its number in the
transaction that gives it its lease and its network, so a worker killed at any point leaves no ghost.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select

from explorer.files import remove
from explorer.records import Environment, State, TrainingResult, TrialRecord
from explorer.store import spool
from explorer.store.database import open_for_writing
from explorer.store.lease import LEASE_SECONDS, RETRIES, is_gone
from explorer.store.rows import EXPECTED, GIVEN_UP, IN_ORDER, now, select_trials, to_record
from explorer.store.schema import architectures, claims, trials
from explorer.store.studies import find_study
from explorer.store.study import Study
from explorer.store.writing import insert_once, keep_environment, next_revision, short

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial before it begins. ``sampler``: the sampler's own notes, given back when it resumes."""

    digest: str
    architecture: str
    choices: Mapping[str, str]
    costs: Mapping[str, float]
    seed: int
    sampler: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trial ended. ``objectives``: all that was measured; ``weights``: SHA-256 of the file kept.
    ``resumable``: a failure through no fault of its own, to be taken up again. ``expected``: the objectives that
    a stopped trial would have come to, for samplers; none where that cannot be told."""

    state: State
    objectives: Mapping[str, float] = field(default_factory=dict)
    result: TrainingResult | None = None
    reason: str = ""
    environment: Environment | None = None
    weights: str = ""
    resumable: bool = False
    expected: Mapping[str, float] = field(default_factory=dict)


class NumberTaken(Exception):
    """Another worker began a trial of this number first: look at what it began, and ask again."""


def open_writer(storage: str | None, name: str, worker: str) -> StudyWriter:
    """An existing study, to write. Raises StoreError as ``open_study`` does."""
    database = open_for_writing(storage)
    return StudyWriter(find_study(database, name), worker)


@dataclass(frozen=True)
class StudyWriter:
    """The writing side of ``study`` for one ``worker``."""

    study: Study
    worker: str

    def begin(self, number: int, proposal: Proposal, total: int | None = None) -> TrialRecord:
        """Begins trial ``number``, which must be the study's next, or answers it from a trial of the same network.

        The record returned is ``running`` with no ``same_as``: run it now; running with ``same_as``: it
        waits for that trial and ends with it; or it is ended already. Raises NumberTaken, also when ``total``
        trials are complete, stopped or under way.
        """
        return self._add(number, proposal, None, total)

    def refuse(self, number: int, proposal: Proposal, state: State, reason: str) -> TrialRecord:
        """Writes trial ``number`` as ended before it began: rejected by a limit, or failed for want of a cost."""
        return self._add(number, proposal, {"state": state, "reason": short(reason)})

    def finish(self, number: int, ending: Ending) -> list[TrialRecord]:
        """Ends a trial of this worker's, and every trial that waited for it; returns them, this one first.

        Empty when the trial is this worker's no longer: its lease passed and another took it up. While the
        database cannot be written to, the ending lies in a file (``deliver``).
        """
        kept: list[Path] = []

        def keep() -> None:
            try:
                kept.append(spool.keep(self._spool, self.worker, number, _fields(ending)))
            except OSError as error:  # the disk may be what is in trouble: then this process is all there is
                _log.warning("trial %d: its result cannot be kept in a file either: %s", number, error)

        ended = self._finish(number, ending, self._own(number), keep if not self.study.database.in_memory else None)
        for path in kept:
            remove(path)
        if not ended:
            _log.warning(
                "trial %d ended %s, but it is no longer this worker's: nothing was written", number, ending.state
            )
        return ended

    def deliver(self) -> list[TrialRecord]:
        """Ends the trials whose results lost workers left in files, unless another has taken them up meanwhile."""
        delivered: list[TrialRecord] = []
        if self.study.database.in_memory:  # nobody else has written to it
            return delivered
        for path, worker, number, kept in spool.unsent(self._spool):
            if not is_gone(worker):
                continue
            left = or_(trials.c.state == "running", and_(trials.c.state == "failed", trials.c.resumable))
            held = (*_is(self.study.id, number), trials.c.worker == worker, left)
            delivered += self._finish(number, Ending(**kept), held)
            remove(path)
        return delivered

    @property
    def _spool(self) -> Path:
        return self.study.artifacts / "unsent"

    def _finish(
        self, number: int, ending: Ending, held: tuple, on_trouble: Callable[[], None] | None = None
    ) -> list[TrialRecord]:
        def work(connection: Connection) -> list[TrialRecord]:
            revision = next_revision(connection, self.study.id)
            values: dict[str, Any] = {
                "state": ending.state,
                "objectives": json.dumps(dict(ending.objectives)),
                "reason": short(ending.reason),
                "resumable": ending.resumable,
                "weights": ending.weights,
                "lease_until": None,
                "finished": now(connection),
                "revision": revision,
            }
            if ending.result is not None:
                values["result"] = ending.result.to_json()
            if ending.environment is not None:
                values["environment"] = keep_environment(connection, ending.environment)
            if ending.expected:
                notes = connection.scalar(select(trials.c.sampler).where(*held))
                values["sampler"] = json.dumps({**json.loads(notes or "{}"), EXPECTED: dict(ending.expected)})
            if connection.execute(trials.update().where(*held).values(**values)).rowcount == 0:
                return []
            numbers = [number] if ending.resumable else [number, *self._settle_waiting(connection, number, revision)]
            return self._records(connection, numbers)

        return self.study.database.write(work, on_trouble=on_trouble or (lambda: None))

    def interrupt(self, reason: str) -> list[TrialRecord]:
        """Ends all of this worker's running trials as failed, to be taken up again by who comes next. This is in order,
        so it uses up no attempt: attempts are counted to find trials that end their workers.

        A database that is away is not waited for long: without this, the leases pass by themselves.
        """

        def work(connection: Connection) -> list[TrialRecord]:
            mine = (trials.c.study_id == self.study.id, trials.c.worker == self.worker, trials.c.state == "running")
            rows = connection.execute(select(trials).where(*mine)).all()
            numbers = [row.number for row in rows]
            for row in rows:
                notes = json.dumps({**json.loads(row.sampler), IN_ORDER: True})
                connection.execute(trials.update().where(*_is(self.study.id, row.number)).values(sampler=notes))
            self._lose(connection, numbers, f"interrupted: {reason}", resumable=True)
            return self._records(connection, numbers)

        return self.study.database.write(work, patience=10.0)

    def renew(self) -> None:
        """Extends the leases of this worker's running trials."""

        def work(connection: Connection) -> None:
            mine = (trials.c.study_id == self.study.id, trials.c.worker == self.worker, trials.c.state == "running")
            connection.execute(trials.update().where(*mine).values(lease_until=now(connection) + LEASE_SECONDS))

        self.study.database.write(work, patience=LEASE_SECONDS)

    def reap(self) -> list[TrialRecord]:
        """Fails the running trials that are nobody's any more, and returns them.

        They may be taken up again, RETRIES times; after that the failure is final: such a trial may
        well be what kills its workers.
        """

        def work(connection: Connection) -> list[TrialRecord]:
            moment = now(connection)
            columns = (trials.c.number, trials.c.worker, trials.c.attempt, trials.c.lease_until)
            running = connection.execute(
                select(*columns).where(trials.c.study_id == self.study.id, trials.c.state == "running")
            ).all()
            others = [row for row in running if row.worker != self.worker]
            lost = [row for row in others if row.lease_until is None or row.lease_until < moment or is_gone(row.worker)]
            again = [row.number for row in lost if row.attempt <= RETRIES]
            final = [row.number for row in lost if row.attempt > RETRIES]
            self._lose(connection, again, "interrupted: its worker was lost", resumable=True)
            self._lose(connection, final, f"its worker was lost {RETRIES + 1} times", resumable=False)
            return self._records(connection, [row.number for row in lost])

        return self.study.database.write(work)

    def take_up(self, total: int | None = None) -> TrialRecord | None:
        """The first interrupted trial, now this worker's, under its own number and seed; None when there is none,
        or when ``total`` trials are complete, stopped or under way.

        Its state is as ``begin`` says: the network may have been finished in the meantime.
        """
        waits = (trials.c.study_id == self.study.id, trials.c.state == "failed", trials.c.resumable)
        first = select(trials).where(*waits).order_by(trials.c.number).limit(1)
        with self.study.database.read() as connection:
            if connection.execute(first).first() is None:
                return None

        return self._resume(first, total)

    def reopen(self, number: int) -> TrialRecord | None:
        """The stopped trial, now this worker's, to be trained again from its beginning; None when another has it."""
        return self._resume(select(trials).where(*_is(self.study.id, number), trials.c.state == "stopped"))

    def _resume(self, wanted: Select, total: int | None = None) -> TrialRecord | None:
        def work(connection: Connection) -> TrialRecord | None:
            row = connection.execute(wanted).first()
            if row is None or self._reached(connection, total):
                return None
            values = self._placed(connection, row.digest, row.number)
            values |= {"started": now(connection), "resumable": False}
            values["revision"] = next_revision(connection, self.study.id)
            notes = json.loads(row.sampler)
            values["attempt"] = row.attempt + (0 if notes.pop(IN_ORDER, False) else 1)
            if row.state == "stopped" and row.result:
                epochs = TrainingResult.from_json(row.result).epochs
                notes[GIVEN_UP] = notes.get(GIVEN_UP, 0) + epochs
            values["sampler"] = json.dumps(notes)
            connection.execute(trials.update().where(*_is(self.study.id, row.number)).values(**values))
            return self._records(connection, [row.number])[0]

        return self.study.database.write(work)

    def sampler_notes(self, numbers: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """What the sampler noted on those trials when it proposed them; under EXPECTED what a stopped one would
        have come to."""
        query = select(trials.c.number, trials.c.sampler).where(trials.c.study_id == self.study.id)
        if len(numbers) == 1:
            query = query.where(trials.c.number == numbers[0])
        wanted = set(numbers)
        with self.study.database.read() as connection:
            return {number: json.loads(notes) for number, notes in connection.execute(query) if number in wanted}

    def _add(
        self, number: int, proposal: Proposal, refusal: dict[str, Any] | None, total: int | None = None
    ) -> TrialRecord:
        def work(connection: Connection) -> TrialRecord:
            revision = next_revision(connection, self.study.id)
            next_number = connection.scalar(select(func.count()).where(trials.c.study_id == self.study.id))
            if number != next_number:
                raise NumberTaken(f"trial {number} of study {self.study.name!r}; the next is {next_number}")
            if self._reached(connection, total):
                raise NumberTaken(f"the {total} trials of study {self.study.name!r} are under way")
            moment = now(connection)
            row = {"digest": proposal.digest, "json": proposal.architecture}
            insert_once(connection, architectures, "digest", row)
            values: dict[str, Any] = {
                "study_id": self.study.id,
                "number": number,
                "digest": proposal.digest,
                "choices": json.dumps(dict(proposal.choices)),
                "costs": json.dumps(dict(proposal.costs)),
                "sampler": json.dumps(dict(proposal.sampler)),
                "seed": proposal.seed,
                "started": moment,
                "revision": revision,
            }
            if refusal is None:
                values |= self._placed(connection, proposal.digest, number)
            else:
                values |= {"worker": self.worker, "finished": moment, **refusal}
            connection.execute(trials.insert().values(**values))
            return self._records(connection, [number])[0]

        return self.study.database.write(work)

    def _placed(self, connection: Connection, digest: str, number: int) -> dict[str, Any]:
        """Where a trial of this network stands now: it gets the network, waits for its twin, or is answered."""
        claim = {"study_id": self.study.id, "digest": digest, "number": number}
        holder = connection.scalar(
            select(claims.c.number).where(claims.c.study_id == self.study.id, claims.c.digest == digest)
        )
        if holder is None:
            connection.execute(claims.insert().values(**claim))
        values: dict[str, Any] = {"worker": self.worker, "state": "running", "reason": "", "finished": None}
        values["lease_until"] = now(connection) + LEASE_SECONDS
        if holder is None or holder == number:
            return values
        twin = connection.execute(select(trials).where(*_is(self.study.id, holder))).one()
        if twin.state == "running" or twin.resumable:
            return {**values, "same_as": holder}
        return {**values, **_answered(twin), "finished": now(connection), "lease_until": None}

    def _settle_waiting(self, connection: Connection, holder: int, revision: int) -> list[int]:
        """Ends what waited for trial ``holder`` with what that came to; returns the numbers."""
        waiting = (trials.c.study_id == self.study.id, trials.c.same_as == holder, trials.c.state == "running")
        numbers = list(connection.scalars(select(trials.c.number).where(*waiting)))
        twin = connection.execute(select(trials).where(*_is(self.study.id, holder))).one()
        values = {**_answered(twin), "finished": now(connection), "lease_until": None, "revision": revision}
        connection.execute(trials.update().where(*waiting).values(**values))
        return numbers

    def _lose(self, connection: Connection, numbers: list[int], reason: str, resumable: bool) -> None:
        if not numbers:
            return
        revision = next_revision(connection, self.study.id)
        values = {"state": "failed", "reason": reason, "resumable": resumable, "lease_until": None}
        values |= {"finished": now(connection), "revision": revision}
        lost = (trials.c.study_id == self.study.id, trials.c.number.in_(numbers))
        connection.execute(trials.update().where(*lost).values(**values))
        if not resumable:
            for number in numbers:
                self._settle_waiting(connection, number, revision)

    def _reached(self, connection: Connection, total: int | None) -> bool:
        """Whether ``total`` trials are complete, stopped or under way. Asked within the transaction that begins
        another, so that several workers together do not pass it."""
        if total is None:
            return False
        counted = or_(
            trials.c.state.in_(("complete", "stopped")), and_(trials.c.state == "running", trials.c.same_as.is_(None))
        )
        query = select(func.count()).where(trials.c.study_id == self.study.id, counted)
        return connection.scalar(query) >= total  # type: ignore[operator]

    def _own(self, number: int) -> tuple:
        return (*_is(self.study.id, number), trials.c.worker == self.worker, trials.c.state == "running")

    def _records(self, connection: Connection, numbers: list[int]) -> list[TrialRecord]:
        rows = connection.execute(select_trials(self.study.id, True).where(trials.c.number.in_(numbers)))
        found = {row.number: to_record(row) for row in rows}
        return [found[number] for number in numbers]


def _answered(twin: Any) -> dict[str, Any]:
    """What a trial of the same network as the ended trial ``twin`` is given."""
    if twin.state in ("complete", "stopped"):
        return {
            "state": "cached",
            "same_as": twin.number,
            "objectives": twin.objectives,
            "environment": twin.environment,
        }
    reason = short(f"the same network failed in trial {twin.number}: {twin.reason}")
    return {"state": "failed", "same_as": twin.number, "reason": reason}


def _fields(ending: Ending) -> dict[str, Any]:
    return {each.name: getattr(ending, each.name) for each in fields(ending)}


def _is(study_id: int, number: int) -> tuple:
    return trials.c.study_id == study_id, trials.c.number == number
