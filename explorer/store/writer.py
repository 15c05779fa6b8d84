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

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from explorer.records import Environment, State, TrainingResult, TrialRecord
from explorer.store import lease, spool
from explorer.store.database import PATIENCE_SECONDS, UnstorableValue, open_for_writing
from explorer.store.lease import RETRIES, Held, LeaseWatch, is_gone
from explorer.store.rows import (
    EXPECTED,
    FAILURE_NOTE,
    GIVEN_UP,
    IN_ORDER,
    SECONDS,
    now,
    read_notes,
    read_result,
    select_trials,
    to_record,
    trial_row,
)
from explorer.store.schema import architectures, claims, trials
from explorer.store.studies import find_study
from explorer.store.study import Study
from explorer.store.writing import insert_once, keep_environment, lock_study, next_revision, short
from explorer.system.files import remove

_log = logging.getLogger(__name__)
T = TypeVar("T")


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
    a stopped trial would have come to, for samplers; none where that cannot be told. ``seconds``: how long it took by a
    monotonic clock, None where that was not measured. ``failure``: the kind of a failure, one of
    ``records.FAILURES``."""

    state: State
    objectives: Mapping[str, float] = field(default_factory=dict)
    result: TrainingResult | None = None
    reason: str = ""
    environment: Environment | None = None
    weights: str = ""
    resumable: bool = False
    expected: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    failure: str = ""


class NumberTaken(Exception):
    """Another worker began a trial of this number first: look at what it began, and ask again."""


def open_writer(storage: str | None, name: str, worker: str) -> StudyWriter:
    """An existing study, to write. Raises StoreError as ``open_study`` does."""
    database = open_for_writing(storage)
    return StudyWriter(find_study(database, name), worker)


@dataclass(frozen=True)
class StudyWriter:
    """The writing side of ``study`` for one ``worker``.

    Attributes:
        watch: What this process has seen of the leases of other workers.
        held: The trials that this worker runs.
    """

    study: Study
    worker: str
    watch: LeaseWatch = field(default_factory=LeaseWatch, compare=False, repr=False)
    held: set[int] = field(default_factory=set, compare=False, repr=False)

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
                kept.append(spool.keep(self._spool, self.worker, number, _fields(ending)))
            except OSError as error:  # the disk may be what is in trouble: then this process is all there is
                _log.warning("trial %d: its result cannot be kept in a file either: %s", number, error)

        own = (*_is(self.study.id, number), trials.c.worker == self.worker, _unfinished())
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
        for path, worker, number, kept in spool.unsent(self._spool):
            theirs = (*_is(self.study.id, number), trials.c.worker == worker)
            running = select(trials.c.number).where(*theirs, trials.c.state == "running")
            with self.study.database.read() as connection:
                if connection.execute(running).first() is not None and not is_gone(worker):
                    continue
            delivered += self._finish(number, Ending(**kept), (*theirs, _unfinished()))
            remove(path)
        return delivered

    @property
    def _spool(self) -> Path:
        return self.study.artifacts / "unsent"

    def _finish(
        self, number: int, ending: Ending, held: tuple, on_trouble: Callable[[], None] | None = None
    ) -> list[TrialRecord]:
        def work(connection: Connection) -> list[TrialRecord]:
            self.held.discard(number)
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
            added = {EXPECTED: dict(ending.expected), FAILURE_NOTE: ending.failure, SECONDS: ending.seconds}
            if added := {name: note for name, note in added.items() if note not in (None, "", {})}:
                notes = connection.scalar(select(trials.c.sampler).where(*held))
                values["sampler"] = json.dumps({**read_notes(trial_row(number), notes or "{}"), **added})
            if connection.execute(trials.update().where(*held).values(**values)).rowcount == 0:
                return []
            numbers = [number] if ending.resumable else [number, *self._settle_waiting(connection, number, revision)]
            return self._records(connection, numbers)

        return self._write(work, on_trouble=on_trouble or (lambda: None))

    def interrupt(self, reason: str, crashed: bool = False) -> list[TrialRecord]:
        """Ends all of this worker's running trials as failed, to be taken up again by who comes next. This is in order,
        so it uses up no attempt: attempts are counted to find trials that end their workers.

        A database that is away is not waited for long: without this, the leases pass by themselves.
        ``crashed``: the search could not go on, perhaps because of one of these trials: as for trials whose worker was
        lost, the failure is final after RETRIES times.
        """
        self.held.clear()

        def work(connection: Connection) -> list[TrialRecord]:
            mine = (trials.c.study_id == self.study.id, trials.c.worker == self.worker, trials.c.state == "running")
            rows = connection.execute(select(trials).where(*mine)).all()
            final = [row for row in rows if crashed and row.attempt > RETRIES]
            again = [row for row in rows if row not in final]
            for row in rows if not crashed else ():
                notes = json.dumps({**read_notes(trial_row(row.number), row.sampler), IN_ORDER: True})
                connection.execute(trials.update().where(*_is(self.study.id, row.number)).values(sampler=notes))
            self._lose(connection, again, f"interrupted: {reason}", resumable=True)
            self._lose(connection, final, f"its search ended {RETRIES + 1} times: {reason}", resumable=False)
            return self._records(connection, [row.number for row in rows])

        return self._write(work, patience=10.0)

    def renew(self) -> None:
        """Extends the leases of this worker's running trials, takes back those that it runs and that were taken for
        lost, and looks at the leases of the others."""

        def work(connection: Connection) -> None:
            mine = (trials.c.study_id == self.study.id, trials.c.worker == self.worker)
            until = {"lease_until": now(connection) + lease.LEASE_SECONDS}
            connection.execute(trials.update().where(*mine, trials.c.state == "running").values(**until))
            lost = (*mine, trials.c.number.in_(list(self.held)), trials.c.state == "failed", trials.c.resumable)
            if connection.execute(select(trials.c.number).where(*lost)).first() is not None:
                again = {"state": "running", "reason": "", "resumable": False, "finished": None}
                again["revision"] = next_revision(connection, self.study.id)
                connection.execute(trials.update().where(*lost).values(**until, **again))
            self._look(connection)

        self._write(work, patience=lease.LEASE_SECONDS)

    def reap(self) -> list[TrialRecord]:
        """Fails the running trials whose worker is lost (``LeaseWatch``), and returns them.

        They may be taken up again, RETRIES times; after that the failure is final: such a trial may
        well be what kills its workers.
        """

        def work(connection: Connection) -> list[TrialRecord]:
            lost = self._look(connection)
            self._lose(
                connection,
                [row for row in lost if row.attempt <= RETRIES],
                "interrupted: its worker was lost",
                resumable=True,
            )
            self._lose(
                connection,
                [row for row in lost if row.attempt > RETRIES],
                f"its worker was lost {RETRIES + 1} times",
                resumable=False,
            )
            return self._records(connection, [row.number for row in lost])

        return self._write(work)

    def undecided(self) -> int:
        """How many networks other workers train that may live or be lost: which it is shows within a lease."""
        numbers = self.watch.undecided()
        if not numbers:
            return 0
        waited_for = (*self._among(numbers), trials.c.state == "running", trials.c.same_as.is_(None))
        with self.study.database.read() as connection:
            return connection.scalar(select(func.count()).where(*waited_for))  # type: ignore[return-value]

    def _look(self, connection: Connection) -> list[Any]:
        """The rows of running trials whose worker is lost, by what this process has seen."""
        running = (trials.c.study_id == self.study.id, trials.c.state == "running", trials.c.worker != self.worker)
        rows = {row.number: row for row in connection.execute(select(trials).where(*running))}
        marks = {row.number: row.lease_until and (row.attempt, row.lease_until) for row in rows.values()}
        lost = self.watch.look(Held(number, row.worker, marks[number]) for number, row in rows.items())
        return [rows[number] for number in sorted(lost)]

    def take_up(self, total: int | None = None) -> TrialRecord | None:
        """The first interrupted trial, now this worker's, under its own number and seed; None when there is none,
        or when ``total`` trials are complete, stopped or under way.

        Its state is as ``begin`` says: the network may have been finished in the meantime.
        """
        waits = (trials.c.study_id == self.study.id, trials.c.state == "failed", trials.c.resumable)
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
        notes: Mapping[str, Any],
        refusal: tuple[State, str] | None,
        total: int | None = None,
    ) -> TrialRecord | None:
        """The failed trial, now this worker's, under its own number and seed, with its ``costs`` of today; None when
        another worker has retried it since ``failed`` was read, or when ``total`` trials are complete, stopped or
        under way.

        ``refusal``: the state and reason to end it with at once; ``notes``: added to those on the trial.
        """

        def work(connection: Connection) -> TrialRecord | None:
            same = (*_is(self.study.id, failed.number), trials.c.state == "failed", trials.c.same_as.is_(None))
            query = select(trials).where(*same, trials.c.revision == failed.revision)
            row = connection.execute(query).first()
            if row is None or self._reached(connection, total):
                return None
            moment = now(connection)
            if refusal is None:
                values = self._placed(connection, row.digest, row.number)
            else:
                values = {"worker": self.worker, "finished": moment, **_refusal(*refusal)}
            kept = read_notes(trial_row(row.number), row.sampler)
            kept.pop(FAILURE_NOTE, None)
            values["sampler"] = json.dumps({**kept, **notes})
            values |= {"attempt": row.attempt + 1, "started": moment, "costs": json.dumps(dict(costs))}
            values["revision"] = next_revision(connection, self.study.id)
            connection.execute(trials.update().where(*_is(self.study.id, row.number)).values(**values))
            return self._records(connection, [row.number])[0]

        taken = self._write(work)
        return None if taken is None else self._held(taken)

    def reopen(self, number: int) -> TrialRecord | None:
        """The stopped trial, now this worker's, to be trained again from its beginning; None when another has it."""
        taken = self._resume(select(trials).where(*_is(self.study.id, number), trials.c.state == "stopped"))
        return None if taken is None else self._held(taken)

    def _resume(self, wanted: Select, total: int | None = None) -> TrialRecord | None:
        def work(connection: Connection) -> TrialRecord | None:
            lock_study(connection, self.study.id)  # or two workers may take the same trial
            row = connection.execute(wanted).first()
            if row is None or self._reached(connection, total):
                return None
            values = self._placed(connection, row.digest, row.number)
            values |= {"started": now(connection), "resumable": False}
            values["revision"] = next_revision(connection, self.study.id)
            notes = read_notes(trial_row(row.number), row.sampler)
            values["attempt"] = row.attempt + (0 if notes.pop(IN_ORDER, False) else 1)
            if row.state == "stopped" and row.result:
                result = read_result(trial_row(row.number), row.result)
                notes[GIVEN_UP] = notes.get(GIVEN_UP, 0) + (result.epochs if result else 0)
            values["sampler"] = json.dumps(notes)
            connection.execute(trials.update().where(*_is(self.study.id, row.number)).values(**values))
            return self._records(connection, [row.number])[0]

        return self._write(work)

    def sampler_notes(self, numbers: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """What the sampler noted on those trials when it proposed them; under EXPECTED what a stopped one would
        have come to."""
        query = select(trials.c.number, trials.c.sampler).where(trials.c.study_id == self.study.id)
        if len(numbers) == 1:
            query = query.where(trials.c.number == numbers[0])
        wanted = set(numbers)
        with self.study.database.read() as connection:
            return {
                number: read_notes(trial_row(number), notes)
                for number, notes in connection.execute(query)
                if number in wanted
            }

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

        return self._write(work)

    def _placed(self, connection: Connection, digest: str, number: int) -> dict[str, Any]:
        """Where a trial of this network stands now: it gets the network, waits for its twin, or is answered."""
        claim = {"study_id": self.study.id, "digest": digest, "number": number}
        holder = connection.scalar(
            select(claims.c.number).where(claims.c.study_id == self.study.id, claims.c.digest == digest)
        )
        if holder is None:
            connection.execute(claims.insert().values(**claim))
        values: dict[str, Any] = {"worker": self.worker, "state": "running", "reason": "", "finished": None}
        values["lease_until"] = now(connection) + lease.LEASE_SECONDS
        if holder is None or holder == number:
            return values
        twin = connection.execute(select(trials).where(*_is(self.study.id, holder))).one()
        if twin.state == "running" or twin.resumable:
            return {**values, "same_as": holder}
        return {**values, **_answered(twin), "finished": now(connection), "lease_until": None}

    def _settle_waiting(self, connection: Connection, holder: int, revision: int) -> list[int]:
        """Ends what waited for trial ``holder`` with what that came to, and what failed with it in an earlier attempt;
        returns the numbers."""
        unsettled = or_(trials.c.state == "running", and_(trials.c.state == "failed", ~trials.c.resumable))
        waiting = (trials.c.study_id == self.study.id, trials.c.same_as == holder, unsettled)
        numbers = list(connection.scalars(select(trials.c.number).where(*waiting)))
        twin = connection.execute(select(trials).where(*_is(self.study.id, holder))).one()
        values = {**_answered(twin), "finished": now(connection), "lease_until": None, "revision": revision}
        connection.execute(trials.update().where(*waiting).values(**values))
        return numbers

    def _lose(self, connection: Connection, rows: Sequence[Any], reason: str, resumable: bool) -> None:
        """Fails running trials, as ``rows`` of this transaction show them."""
        if not rows:
            return
        revision = next_revision(connection, self.study.id)
        values = {"state": "failed", "reason": reason, "resumable": resumable, "lease_until": None}
        values |= {"finished": now(connection), "revision": revision}
        numbers = [row.number for row in rows]
        connection.execute(trials.update().where(*self._among(numbers)).values(**values))
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

    def _write(
        self,
        work: Callable[[Connection], T],
        patience: float = PATIENCE_SECONDS,
        on_trouble: Callable[[], None] = lambda: None,
    ) -> T:
        """``Database.write``, with the study locked first: what ``work`` reads stays so until it has written."""

        def locked(connection: Connection) -> T:
            lock_study(connection, self.study.id)
            return work(connection)

        return self.study.database.write(locked, patience, on_trouble)

    def _held(self, record: TrialRecord) -> TrialRecord:
        """The record itself, noted as one that this worker runs."""
        if record.state == "running":
            self.held.add(record.number)
        return record

    def _among(self, numbers: Sequence[int]) -> tuple:
        return trials.c.study_id == self.study.id, trials.c.number.in_(numbers)

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
            "reason": "",
            "objectives": twin.objectives,
            "environment": twin.environment,
        }
    reason = short(f"the same network failed in trial {twin.number}: {twin.reason}")
    return {"state": "failed", "same_as": twin.number, "reason": reason}


def _refusal(state: State, reason: str) -> dict[str, Any]:
    return {"state": state, "reason": short(reason)}


def _fields(ending: Ending) -> dict[str, Any]:
    return {each.name: getattr(ending, each.name) for each in fields(ending)}


def _unfinished() -> ColumnElement[bool]:
    """Trials that run, and those that wait to be taken up again."""
    return or_(trials.c.state == "running", and_(trials.c.state == "failed", trials.c.resumable))


def _is(study_id: int, number: int) -> tuple:
    return trials.c.study_id == study_id, trials.c.number == number
