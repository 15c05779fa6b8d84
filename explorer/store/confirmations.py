"""Read and write confirmations: further trainings of a study's networks from fresh seeds.

``explorer confirm`` makes them, and so does a search with ``repeats``. Both use the same seeds, so that neither trains
what the other has trained.

    (wanted) --claim--> running --finish--> complete | failed
                           |  worker lost, lease expired, Ctrl-C
                           +--> claimed by the next worker, attempt + 1

Each arrow is one transaction. The key of the table is network, epochs and seed. So several processes can confirm one
study at the same time, and no training runs twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from explorer.records import ConfirmationRecord, Environment, TrainingResult
from explorer.store import lease
from explorer.store.checking import DamagedRow, describe, read_environment
from explorer.store.database import StudyIdentity
from explorer.store.lease import HeldLease, LeaseWatch
from explorer.store.rows import insert_environment, insert_once, lock_study, next_revision, now, read_row, short, to_row
from explorer.store.schema import architectures, confirmations, environments

_FIELDS = {each.name for each in fields(ConfirmationRecord)}


def read_confirmations(study: StudyIdentity, since_revision: int = 0) -> list[ConfirmationRecord]:
    """Return the confirmations of a study in the order of their start.

    Args:
        study: The study.
        since_revision: Only confirmations that changed after this revision; 0 for all.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    joined = confirmations.outerjoin(environments, confirmations.c.environment == environments.c.digest)
    mine = (confirmations.c.study_id == study.id, confirmations.c.revision > since_revision)
    query = select(*confirmations.c, environments.c.json.label("environment_json")).select_from(joined).where(*mine)
    query = query.order_by(confirmations.c.started, confirmations.c.digest, confirmations.c.seed)
    return study.database.read(lambda connection: [_to_record(row) for row in connection.execute(query)])


def _to_record(row: Row[*tuple[Any, ...]]) -> ConfirmationRecord:
    """Return the confirmation that a row stores. Raises DamagedRow."""
    data = row._asdict()
    where = f"explorer_confirmations, network {describe(data['digest'])}, seed {describe(data['seed'])}"
    values = {name: value for name, value in read_row(where, confirmations, data).items() if name in _FIELDS}
    if values["state"] == "complete" and "accuracy" not in values["test"] and not values["measured"]:
        raise DamagedRow(f"{where}, column test: a complete training has an accuracy, found {describe(data['test'])}")
    values["environment"] = read_environment(data["environment"], data.get("environment_json"))
    return ConfirmationRecord(**values)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A requested confirmation.

    Attributes:
        digest: The network's digest.
        epochs: The number of epochs.
        seed: The seed of the training.
    """

    digest: str
    epochs: int
    seed: int

    @classmethod
    def of(cls, record: ConfirmationRecord) -> Wanted:
        """Return the request of a record."""
        return cls(record.digest, record.epochs, record.seed)


@dataclass(frozen=True)
class ConfirmationWriter:
    """Writes the confirmations of a study on behalf of one worker.

    Attributes:
        study: The study.
        worker: The worker's name.
        watch: The leases of other workers, as this process has observed them.
        held: The trainings that this worker runs.
    """

    study: StudyIdentity
    worker: str
    watch: LeaseWatch = field(default_factory=LeaseWatch, compare=False, repr=False)
    held: set[Wanted] = field(default_factory=set, compare=False, repr=False)

    def keep_networks(self, networks: Mapping[str, str]) -> None:
        """Store networks that are no trials of the study, so that their trainings can be claimed.

        Args:
            networks: Digest -> architecture as JSON text.

        Raises:
            StoreError: The database cannot be written to.
        """

        def work(connection: Connection) -> None:
            for digest, text in networks.items():
                insert_once(connection, architectures, "digest", {"digest": digest, "json": text})

        self.study.database.write(work)

    def claim(self, wanted: Iterable[Wanted], since: int | None = None) -> ConfirmationRecord | None:
        """Claim the first of the wanted trainings that is neither complete nor running.

        Args:
            wanted: The requested trainings, in order of preference.
            since: A revision of the study: trainings that failed after it are not claimed. None: all failed trainings
                can be claimed again, since the cause of the failure may be fixed.

        Returns:
            The training, which now belongs to this worker; None if there is none to claim.

        Raises:
            StoreError: The database cannot be written to.
        """
        requested = list(wanted)

        def work(connection: Connection) -> ConfirmationRecord | None:
            lock_study(connection, self.study.id)
            started, lost = now(connection), self._observe_leases(connection)

            def failed_before(row: Any) -> bool:
                return row.state == "failed" and (since is None or row.revision <= since)

            columns = [column for column in confirmations.c if column is not confirmations.c.result]
            rows = connection.execute(select(*columns).where(confirmations.c.study_id == self.study.id))
            known = {Wanted(row.digest, row.epochs, row.seed): row for row in rows}
            for each in requested:
                row = known.get(each)
                mine = row is not None and row.state == "running" and row.worker == self.worker
                if mine and each not in self.held:  # the answer to the commit that claimed it was lost
                    return self._record(connection, each)
                if row is None or failed_before(row) or each in lost:
                    return self._start(connection, each, row, started)
            return None

        claimed = self.study.database.write(work) if requested else None
        if claimed is not None:
            self.held.add(Wanted.of(claimed))
        return claimed

    def finish(
        self,
        training: Wanted,
        *,
        test: Mapping[str, float] | None = None,
        result: TrainingResult | None = None,
        environment: Environment | None = None,
        measured: Mapping[str, float] | None = None,
        reason: str = "",
    ) -> ConfirmationRecord | None:
        """Write the result of a training that this worker runs.

        Args:
            training: The training.
            test: Metric -> value on the test split. None without ``measured``: the training failed.
            result: The result of the training, if there is one.
            environment: The environment of the training.
            measured: The values that a caller's ``evaluate`` returned.
            reason: Why the training failed.

        Returns:
            The confirmation, or None if it no longer belongs to this worker.

        Raises:
            StoreError: The database cannot be written to, even after retries.
        """

        def work(connection: Connection) -> ConfirmationRecord | None:
            changed = {
                "state": "failed" if test is None and measured is None else "complete",
                "reason": short(reason),
                "test": test or {},
                "measured": measured or {},
                "result": result,
                "lease_until": None,
                "finished": now(connection),
                "revision": next_revision(connection, self.study.id),
            }
            values = to_row(confirmations, changed)
            if environment is not None:
                values["environment"] = insert_environment(connection, environment)
            own = (*self._is(training), confirmations.c.worker == self.worker)
            held = (*own, confirmations.c.state == "running")
            # If the answer to the commit was lost, the result is stored already.
            stored = select(confirmations.c.state).where(*own, confirmations.c.state == changed["state"])
            changes = connection.execute(confirmations.update().where(*held).values(**values)).rowcount
            if changes == 0 and connection.execute(stored).first() is None:
                return None
            return self._record(connection, training)

        ended = self.study.database.write(work)
        self.held.discard(training)
        return ended

    def renew(self, also: Callable[[Connection], None] = lambda connection: None) -> None:
        """Renew the leases of this worker's running trainings, and observe the leases of other workers.

        Args:
            also: Called in the same transaction.

        Raises:
            StoreError: The database cannot be written to within the duration of a lease.
        """

        def work(connection: Connection) -> None:
            lock_study(connection, self.study.id)
            until = now(connection) + lease.LEASE_SECONDS
            connection.execute(confirmations.update().where(*self._mine()).values(lease_until=until))
            self._observe_leases(connection)
            also(connection)

        self.study.database.write(work, retry_seconds=lease.LEASE_SECONDS)

    def release(self) -> None:
        """Release this worker's running trainings, so that other workers can claim them.

        Raises:
            StoreError: The database cannot be written to within 10 seconds.
        """

        def work(connection: Connection) -> None:
            connection.execute(confirmations.update().where(*self._mine()).values(lease_until=None))

        self.study.database.write(work, retry_seconds=10.0)

    def _observe_leases(self, connection: Connection) -> set[Any]:
        """Observe the leases of other workers; return the running trainings whose worker is lost."""
        c = confirmations.c
        columns = (c.digest, c.epochs, c.seed, c.worker, c.attempt, c.lease_until)
        running = (c.study_id == self.study.id, c.state == "running", c.worker != self.worker)
        return self.watch.observe(
            HeldLease(
                Wanted(row.digest, row.epochs, row.seed),
                row.worker,
                row.lease_until and (row.attempt, row.lease_until),
            )
            for row in connection.execute(select(*columns).where(*running))
        )

    def _start(self, connection: Connection, training: Wanted, row: Any, started: float) -> ConfirmationRecord:
        """Write a training as running on this worker. ``row``: its row of an earlier attempt, or None."""
        begun: dict[str, Any] = {
            "state": "running",
            "reason": "",
            "test": {},
            "measured": {},
            "result": None,
            "attempt": 1 if row is None else row.attempt + 1,
            "worker": self.worker,
            "lease_until": started + lease.LEASE_SECONDS,
            "started": started,
            "finished": None,
            "revision": next_revision(connection, self.study.id),
        }
        values = to_row(confirmations, begun)
        if row is None:
            key = {"study_id": self.study.id, **asdict(training)}
            connection.execute(confirmations.insert().values(**key, **values))
        else:
            same = (*self._is(training), confirmations.c.attempt == row.attempt, confirmations.c.state == row.state)
            connection.execute(confirmations.update().where(*same).values(**values))
        return self._record(connection, training)

    def _record(self, connection: Connection, training: Wanted) -> ConfirmationRecord:
        return _to_record(connection.execute(select(confirmations).where(*self._is(training))).one())

    def _is(self, training: Wanted) -> tuple[ColumnElement[bool], ...]:
        return (
            confirmations.c.study_id == self.study.id,
            confirmations.c.digest == training.digest,
            confirmations.c.epochs == training.epochs,
            confirmations.c.seed == training.seed,
        )

    def _mine(self) -> tuple[ColumnElement[bool], ...]:
        running = confirmations.c.state == "running"
        return confirmations.c.study_id == self.study.id, confirmations.c.worker == self.worker, running
