"""Which trial has a network, and which worker has a trial.

The first trial of a network gets it. A later one waits while that one runs and ends with it, or is answered from it.
A trial that runs belongs to a worker by a lease; when the worker is lost, others may resume the trial. Each function is
part of a transaction that has locked the study.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from explorer.records import TrialRecord
from explorer.store import lease
from explorer.store.database import PATIENCE_SECONDS
from explorer.store.lease import RETRIES, Held, LeaseWatch
from explorer.store.rows import lock_study, next_revision, now, select_trials, short, to_record
from explorer.store.schema import claims, trials
from explorer.store.study import Study

T = TypeVar("T")


def of_trial(study_id: int, number: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The conditions on the row of one trial."""
    return trials.c.study_id == study_id, trials.c.number == number


def among(study_id: int, numbers: Sequence[int]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The conditions on the rows of several trials."""
    return trials.c.study_id == study_id, trials.c.number.in_(numbers)


def unfinished() -> ColumnElement[bool]:
    """The condition on trials that run, and on those that wait to be resumed."""
    return or_(trials.c.state == "running", and_(trials.c.state == "failed", trials.c.resumable))


def place(connection: Connection, study_id: int, digest: str, number: int, worker: str) -> dict[str, Any]:
    """Give the network ``digest`` to trial ``number`` unless another has it; return the values of the trial's columns.

    The trial runs, waits for the one that has its network, or is answered from it.
    """
    claim = {"study_id": study_id, "digest": digest, "number": number}
    holder = connection.scalar(select(claims.c.number).where(claims.c.study_id == study_id, claims.c.digest == digest))
    if holder is None:
        connection.execute(claims.insert().values(**claim))
    values: dict[str, Any] = {"worker": worker, "state": "running", "reason": "", "failure": "", "finished": None}
    values["lease_until"] = now(connection) + lease.LEASE_SECONDS
    if holder is None or holder == number:
        return values
    twin = connection.execute(select(trials).where(*of_trial(study_id, holder))).one()
    if twin.state == "running" or twin.resumable:
        return {**values, "same_as": holder}
    return {**values, **_answered(twin), "finished": now(connection), "lease_until": None}


def settle_waiting(connection: Connection, study_id: int, holder: int, revision: int) -> list[int]:
    """End the trials that waited for trial ``holder`` as that one ended, and those that failed with it in an earlier
    attempt; return their numbers."""
    unsettled = or_(trials.c.state == "running", and_(trials.c.state == "failed", ~trials.c.resumable))
    waiting = (trials.c.study_id == study_id, trials.c.same_as == holder, unsettled)
    numbers = list(connection.scalars(select(trials.c.number).where(*waiting)))
    twin = connection.execute(select(trials).where(*of_trial(study_id, holder))).one()
    values = {**_answered(twin), "finished": now(connection), "lease_until": None, "revision": revision}
    connection.execute(trials.update().where(*waiting).values(**values))
    return numbers


def fail_running(connection: Connection, study_id: int, numbers: Sequence[int], reason: str, failure: str = "") -> None:
    """Fail running trials. ``failure``: the kind, which makes it final; empty for trials to be resumed."""
    if not numbers:
        return
    revision = next_revision(connection, study_id)
    kind = case((trials.c.same_as.is_(None), failure), else_="")  # one that waits fails with its twin
    values = {"state": "failed", "reason": reason, "resumable": not failure, "failure": kind, "lease_until": None}
    values |= {"finished": now(connection), "revision": revision}
    connection.execute(trials.update().where(*among(study_id, numbers)).values(**values))
    if failure:
        for number in numbers:
            settle_waiting(connection, study_id, number, revision)


def is_total_reached(connection: Connection, study_id: int, total: int | None) -> bool:
    """Whether ``total`` trials are complete, stopped or under way. Asked within the transaction that begins another, so
    that several workers together do not pass it."""
    if total is None:
        return False
    counted = or_(
        trials.c.state.in_(("complete", "stopped")), and_(trials.c.state == "running", trials.c.same_as.is_(None))
    )
    query = select(func.count()).where(trials.c.study_id == study_id, counted)
    return connection.execute(query).scalar_one() >= total


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


@dataclass(frozen=True)
class TrialLeases:
    """The leases of one ``worker`` on trials of ``study``.

    Attributes:
        study: The study.
        worker: The worker's name.
        watch: What this process has seen of the leases of other workers.
        held: The trials that this worker runs.
    """

    study: Study
    worker: str
    watch: LeaseWatch = field(default_factory=LeaseWatch, compare=False, repr=False)
    held: set[int] = field(default_factory=set, compare=False, repr=False)

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
            rows = connection.execute(select(trials.c.number, trials.c.attempt).where(*mine)).all()
            final = [row.number for row in rows if crashed and row.attempt > RETRIES]
            again = [row.number for row in rows if row.number not in final]
            if not crashed:
                connection.execute(trials.update().where(*mine).values(in_order=True))
            ended = f"its search ended {RETRIES + 1} times: {reason}"
            fail_running(connection, self.study.id, again, f"interrupted: {reason}")
            fail_running(connection, self.study.id, final, ended, failure="code")
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
            again = [number for number, attempt in lost.items() if attempt <= RETRIES]
            final = [number for number, attempt in lost.items() if attempt > RETRIES]
            fail_running(connection, self.study.id, again, "interrupted: its worker was lost")
            fail_running(connection, self.study.id, final, f"its worker was lost {RETRIES + 1} times", failure="lost")
            return self._records(connection, list(lost))

        return self._write(work)

    def undecided(self) -> int:
        """How many networks other workers train that may live or be lost: which it is shows within a lease."""
        numbers = cast(list[int], self.watch.undecided())
        if not numbers:
            return 0
        waited_for = (*among(self.study.id, numbers), trials.c.state == "running", trials.c.same_as.is_(None))
        with self.study.database.read() as connection:
            return connection.execute(select(func.count()).where(*waited_for)).scalar_one()

    def _look(self, connection: Connection) -> dict[int, int]:
        """The running trials whose worker is lost, by what this process has seen: number -> attempt, in order."""
        c = trials.c
        running = (c.study_id == self.study.id, c.state == "running", c.worker != self.worker)
        columns = (c.number, c.worker, c.attempt, c.lease_until)
        rows = connection.execute(select(*columns).where(*running).order_by(c.number)).all()
        lost = self.watch.look(
            Held(row.number, row.worker, row.lease_until and (row.attempt, row.lease_until)) for row in rows
        )
        return {row.number: row.attempt for row in rows if row.number in lost}

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

    def _records(self, connection: Connection, numbers: list[int]) -> list[TrialRecord]:
        rows = connection.execute(select_trials(self.study.id, True).where(trials.c.number.in_(numbers)))
        found = {row.number: to_record(row) for row in rows}
        return [found[number] for number in numbers]
