"""Claims of trials on networks, and leases of workers on trials.

The first trial of a network claims it. While that trial runs, a later trial of the same network waits and ends with it;
after that, a later trial takes its result. A worker holds a lease on each trial that it runs. When the worker is lost,
other workers may resume the trial. Each function is part of a transaction that has locked the study.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import Connection, and_, case, false, func, or_, select, tuple_

from explorer.records import TrialRecord
from explorer.store import lease
from explorer.store.database import RETRY_SECONDS
from explorer.store.lease import RETRIES, HeldLease, LeaseWatch
from explorer.store.rows import (
    KnownTotal,
    Proposal,
    Stamp,
    lock_study,
    next_revision,
    now,
    proposal_row,
    select_trials,
    short,
    stamp,
    to_record,
)
from explorer.store.schema import claims, trials
from explorer.store.statements import among, insert_row, next_number, of_trial, same_network, waits_for
from explorer.store.study import Study

T = TypeVar("T")
# Columns of a trial that waits for its first worker. It is stored as one that was interrupted before it began.
WAITING = {
    "state": "failed",
    "resumable": True,
    "in_order": True,
    "reason": "waits for a worker",
    "lease_until": None,
}


def claim_network(
    connection: Connection, study_id: int, digest: str, number: int, worker: str, time: float
) -> dict[str, Any]:
    """Claim a network for a trial unless another trial has claimed it.

    Args:
        connection: A connection of a transaction that has locked the study.
        study_id: The study's row.
        digest: The network's digest.
        number: The trial's number.
        worker: The name of the worker that begins the trial.
        time: Seconds since the epoch by the database's clock.

    Returns:
        The values of the trial's columns. The trial runs, waits for the trial that has claimed its network, or takes
        the result of that trial.
    """
    holder = connection.scalar(select(claims.c.number).where(claims.c.study_id == study_id, claims.c.digest == digest))
    if holder is None:
        connection.execute(claims.insert().values(study_id=study_id, digest=digest, number=number))
    return _claimed(connection, study_id, number, holder, worker, time)


def _claimed(
    connection: Connection, study_id: int, number: int, holder: int | None, worker: str, time: float
) -> dict[str, Any]:
    """Return the values of a trial's columns. ``holder``: the trial that had claimed its network, or None."""
    values: dict[str, Any] = {"worker": worker, "state": "running", "reason": "", "failure": "", "finished": None}
    values["lease_until"] = time + lease.LEASE_SECONDS
    if holder is None or holder == number:
        return values
    holding = connection.execute(select(trials).where(*of_trial(study_id, holder))).one()
    if holding.state == "running" or holding.resumable:
        return {**values, "same_as": holder}
    return {**values, **_shared_result(holding), "finished": time, "lease_until": None}


def insert_trial(
    connection: Connection,
    study_id: int,
    number: int,
    proposal: Proposal,
    holder: int | None,
    worker: str,
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Insert a trial. It claims its network, unless it ends without evaluation.

    Args:
        connection: A connection of a transaction that has locked the study.
        study_id: The study's row.
        number: The trial's number.
        proposal: The network and its costs.
        holder: The number of the trial that has claimed the network; None if there is none.
        worker: The name of the worker.
        values: Other values of columns, ``started`` among them; with a state if the trial does not run now.

    Returns:
        The inserted values by column.
    """
    claimed: dict[str, Any] = {"worker": worker}
    if runs := "state" not in values or values.get("resumable", False):
        claimed = _claimed(connection, study_id, number, holder, worker, values["started"])
    row = {**proposal_row(proposal), "study_id": study_id, "number": number, **claimed, **values}
    insert_row(connection, row, proposal.architecture, is_claim=runs and holder is None)
    return row


def end_waiting_trials(connection: Connection, study_id: int, holder: int, made: Stamp) -> list[int]:
    """End the trials that wait for a trial of the same network, and those that failed with it in an earlier attempt.

    Args:
        connection: A connection of a transaction that has locked the study.
        study_id: The study's row.
        holder: The number of the trial that has claimed the network. It has ended; the others end in the same way.
        made: The revision and the time of this change.

    Returns:
        The numbers of the trials that were changed.
    """
    waiting = (*same_network(study_id, holder), waits_for(holder))
    numbers = list(connection.scalars(select(trials.c.number).where(*waiting)))
    if not numbers:
        return []
    holding = connection.execute(select(trials).where(*of_trial(study_id, holder))).one()
    values = {**_shared_result(holding), "finished": made.time, "lease_until": None, "revision": made.revision}
    connection.execute(trials.update().where(*waiting).values(**values))
    return numbers


class RunningTrial(NamedTuple):
    """A trial that runs.

    Attributes:
        number: Its number.
        worker: The worker that runs it.
        attempt: Its attempt.
        until: The end of its lease as it was read. A trial that was renewed since then does not fail. None: any.
    """

    number: int
    worker: str
    attempt: int
    until: float | None = None


def fail_running(
    connection: Connection, study_id: int, running: Collection[RunningTrial], reason: str, failure: str = ""
) -> None:
    """Fail running trials, unless another worker runs them now, or the same worker in another attempt or a new lease.

    Args:
        connection: A connection of a transaction that has locked the study.
        study_id: The study's row.
        running: The trials.
        reason: Why they fail.
        failure: The kind of a final failure, one of ``records.FAILURES``. Empty: the trials are interrupted and can be
            resumed.
    """
    if not running:
        return
    made = stamp(connection, study_id)
    kind = case((trials.c.same_as.is_(None), failure), else_="")  # a waiting trial fails with the one it waits for
    values = {"state": "failed", "reason": reason, "resumable": not failure, "failure": kind, "lease_until": None}
    values |= {"finished": made.time, "revision": made.revision}
    same = tuple_(trials.c.number, trials.c.worker, trials.c.attempt).in_([trial[:3] for trial in running])
    renewed = [
        and_(trials.c.number == trial.number, trials.c.lease_until != trial.until)
        for trial in running
        if trial.until is not None
    ]
    held = (trials.c.study_id == study_id, trials.c.state == "running", same, ~or_(false(), *renewed))
    connection.execute(trials.update().where(*held).values(**values))
    if failure:
        changed = (*among(study_id, [trial.number for trial in running]), trials.c.revision == made.revision)
        ended = set(connection.scalars(select(trials.c.number).where(*changed)))
        for trial in (trial for trial in running if trial.number in ended):
            end_waiting_trials(connection, study_id, trial.number, made)


def _shared_result(ended: Any) -> dict[str, Any]:
    """Return the values of a trial's columns that come from the ended trial of the same network."""
    if ended.state in ("complete", "stopped"):
        return {
            "state": "cached",
            "same_as": ended.number,
            "reason": "",
            "objectives": ended.objectives,
            "environment": ended.environment,
        }
    reason = short(f"the same network failed in trial {ended.number}: {ended.reason}")
    return {"state": "failed", "same_as": ended.number, "reason": reason}


@dataclass(frozen=True)
class TrialLeases:
    """The leases of one worker on trials of a study.

    Attributes:
        study: The study.
        worker: The worker's name.
        watch: The leases of other workers, as this process has observed them.
        held: The trials that this worker runs: number -> attempt.
        known: The trials that this worker has read.
    """

    study: Study
    worker: str
    watch: LeaseWatch = field(default_factory=LeaseWatch, compare=False, repr=False)
    held: dict[int, int] = field(default_factory=dict, compare=False, repr=False)
    known: KnownTotal = field(default_factory=KnownTotal, compare=False, repr=False)

    def queue(self, proposals: Sequence[Proposal], known: Collection[int]) -> list[TrialRecord] | None:
        """Add trials of counterparts, which wait until ``resume`` starts them.

        Args:
            proposals: Networks of which no trial has begun.
            known: The numbers of all trials of counterparts so far.

        Returns:
            The trials. None if another worker has added such trials, or has begun a trial of one of the networks.

        Raises:
            StoreError: The database cannot be written to.
        """

        def work(connection: Connection) -> list[TrialRecord] | None:
            of_study = trials.c.study_id == self.study.id
            present = connection.scalars(select(trials.c.number).where(of_study, trials.c.counterpart != "{}"))
            digests = claims.c.digest.in_([each.digest for each in proposals])
            begun = connection.execute(select(claims.c.number).where(claims.c.study_id == self.study.id, digests))
            if set(present) != set(known) or begun.first() is not None:
                return None
            first, _ = next_number(connection, self.study.id)
            started, revision = now(connection), next_revision(connection, self.study.id)
            for number, proposal in enumerate(proposals, first):
                values = {"started": started, "revision": revision, **WAITING}
                insert_trial(connection, self.study.id, number, proposal, None, self.worker, values)
            return self._records(connection, list(range(first, first + len(proposals))))

        return self._write(work)

    def interrupt(self, reason: str, crashed: bool = False) -> list[TrialRecord]:
        """Interrupt all running trials of this worker, so that any worker can resume them.

        An interruption does not count as an attempt: attempts are counted to find trials that crash their workers. A
        database that cannot be written to is retried for 10 seconds only, since the leases also expire without this.

        Args:
            reason: Why the trials are interrupted.
            crashed: The search crashed, perhaps because of one of these trials. Then the attempt counts, and the
                failure is final after RETRIES resumptions, as for trials whose worker was lost.

        Returns:
            The interrupted trials.

        Raises:
            StoreError: The database cannot be written to.
        """
        self.held.clear()

        def work(connection: Connection) -> list[TrialRecord]:
            mine = (trials.c.study_id == self.study.id, trials.c.worker == self.worker, trials.c.state == "running")
            rows = connection.execute(select(trials.c.number, trials.c.attempt).where(*mine)).all()
            running = [RunningTrial(row.number, self.worker, row.attempt) for row in rows]
            final = [trial for trial in running if crashed and trial.attempt > RETRIES]
            again = [trial for trial in running if trial not in final]
            if not crashed:
                connection.execute(trials.update().where(*mine).values(in_order=True))
            ended = f"its search ended {RETRIES + 1} times: {reason}"
            fail_running(connection, self.study.id, again, f"interrupted: {reason}")
            fail_running(connection, self.study.id, final, ended, failure="code")
            return self._records(connection, [row.number for row in rows])

        return self._write(work, retry_seconds=10.0)

    def renew(self, also: Callable[[Connection], None] = lambda connection: None) -> None:
        """Renew the leases of this worker's running trials, and observe the leases of other workers.

        A trial that still runs here but that another worker has failed as lost becomes running again.

        Args:
            also: Called in the same transaction.

        Raises:
            StoreError: The database cannot be written to within the duration of a lease.
        """

        def work(connection: Connection) -> None:
            mine = (trials.c.study_id == self.study.id, trials.c.worker == self.worker)
            until = {"lease_until": now(connection) + lease.LEASE_SECONDS}
            renewal = trials.update().where(*mine, trials.c.state == "running").values(**until)
            renewed = connection.execute(renewal, execution_options={"preserve_rowcount": True}).rowcount
            if renewed >= len(self.held):  # it holds them all, so nothing else changes and the study is not locked
                return
            lock_study(connection, self.study.id)
            held = tuple_(trials.c.number, trials.c.attempt).in_(list(self.held.items()))
            lost = (*mine, held, trials.c.state == "failed", trials.c.resumable)
            if connection.execute(select(trials.c.number).where(*lost)).first() is not None:
                again = {"state": "running", "reason": "", "resumable": False, "finished": None}
                again["revision"] = next_revision(connection, self.study.id)
                connection.execute(trials.update().where(*lost).values(**until, **again))

        def renew_and_watch(connection: Connection) -> None:
            work(connection)
            if self.watch.is_due():
                self._observe_leases(connection)
            also(connection)

        self.study.database.write(renew_and_watch, lease.LEASE_SECONDS)

    def reap(self) -> list[TrialRecord]:
        """Fail the running trials whose worker is lost (``LeaseWatch``), and return them.

        Any worker may resume such a trial. After RETRIES resumptions the failure is final, because the trial may
        be the cause.

        Raises:
            StoreError: The database cannot be written to.
        """

        if self.watch.has_no_loss:
            return []

        def work(connection: Connection) -> list[TrialRecord]:
            lost = self._observe_leases(connection)
            again = [trial for trial in lost if trial.attempt <= RETRIES]
            final = [trial for trial in lost if trial.attempt > RETRIES]
            fail_running(connection, self.study.id, again, "interrupted: its worker was lost")
            fail_running(connection, self.study.id, final, f"its worker was lost {RETRIES + 1} times", failure="lost")
            records = self._records(connection, [trial.number for trial in lost])
            return [record for record in records if record.state != "running"]

        return self._write(work)

    def uncertain(self) -> int:
        """Return the number of networks whose workers may or may not be running.

        After the duration of a lease this is known for each of these workers.
        """
        numbers = cast(list[int], self.watch.uncertain())
        if not numbers:
            return 0
        training = (*among(self.study.id, numbers), trials.c.state == "running", trials.c.same_as.is_(None))
        query = select(func.count()).where(*training)
        return self.study.database.read(lambda connection: connection.execute(query).scalar_one())

    def _observe_leases(self, connection: Connection) -> list[RunningTrial]:
        """Observe the leases of other workers; return the trials whose worker is lost."""
        c = trials.c
        running = (c.study_id == self.study.id, c.state == "running", c.worker != self.worker)
        columns = (c.number, c.worker, c.attempt, c.lease_until)
        rows = connection.execute(select(*columns).where(*running).order_by(c.number)).all()
        lost = self.watch.observe(
            HeldLease(row.number, row.worker, row.lease_until and (row.attempt, row.lease_until)) for row in rows
        )
        return [RunningTrial(*row) for row in rows if row.number in lost]

    def _write(
        self,
        work: Callable[[Connection], T],
        retry_seconds: float = RETRY_SECONDS,
        on_failure: Callable[[], None] = lambda: None,
        is_stamped: bool = False,
    ) -> T:
        """Call ``Database.write`` with the study locked, so that no other process changes what ``work`` reads.

        Args:
            work: As of ``Database.write``.
            retry_seconds: As of ``Database.write``.
            on_failure: As of ``Database.write``.
            is_stamped: Whether ``work`` begins with ``stamp``, which locks the study too.
        """

        def locked(connection: Connection) -> T:
            if not is_stamped:
                lock_study(connection, self.study.id)
            return work(connection)

        return self.study.database.write(locked, retry_seconds, on_failure)

    def _records(self, connection: Connection, numbers: list[int]) -> list[TrialRecord]:
        rows = connection.execute(select_trials(self.study.id, True).where(trials.c.number.in_(numbers)))
        found = {row.number: to_record(row._asdict()) for row in rows}
        return [found[number] for number in numbers]
