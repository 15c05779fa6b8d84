"""The trainings of a study's networks from fresh seeds: how they are read, and how one is claimed and ends.

    (wanted) --claim--> running --finish--> complete | failed
                           |  its worker gone, its lease passed, Ctrl-C
                           +--> claimed by whoever comes next, attempt + 1

Each arrow is one transaction, and the table's key is network, epochs and seed: of two who confirm one study at once
each trains what the other has not claimed, and nothing is trained twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from explorer.records import ConfirmationRecord, Environment, TrainingResult
from explorer.store import lease
from explorer.store.checking import DamagedRow, describe, read_environment
from explorer.store.database import StudyIdentity
from explorer.store.lease import Held, LeaseWatch
from explorer.store.rows import keep_environment, lock_study, next_revision, now, read_row, short, to_row
from explorer.store.schema import confirmations, environments

_FIELDS = {each.name for each in fields(ConfirmationRecord)}


def read_confirmations(study: StudyIdentity, since_revision: int = 0) -> list[ConfirmationRecord]:
    """Every training of ``explorer confirm``, in the order in which they began."""
    joined = confirmations.outerjoin(environments, confirmations.c.environment == environments.c.digest)
    mine = (confirmations.c.study_id == study.id, confirmations.c.revision > since_revision)
    query = select(*confirmations.c, environments.c.json.label("environment_json")).select_from(joined).where(*mine)
    query = query.order_by(confirmations.c.started, confirmations.c.digest, confirmations.c.seed)
    with study.database.read() as connection:
        return [_to_record(row) for row in connection.execute(query)]


def _to_record(row: Row[*tuple[Any, ...]]) -> ConfirmationRecord:
    """The training that a row holds. Raises DamagedRow."""
    data = row._asdict()
    where = f"explorer_confirmations, network {describe(data['digest'])}, seed {describe(data['seed'])}"
    values = {name: value for name, value in read_row(where, confirmations, data).items() if name in _FIELDS}
    if values["state"] == "complete" and "accuracy" not in values["test"]:
        raise DamagedRow(f"{where}, column test: a complete training has an accuracy, found {describe(data['test'])}")
    values["environment"] = read_environment(data["environment"], data.get("environment_json"))
    return ConfirmationRecord(**values)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A training that is asked for: which network, how many epochs, from which seed."""

    digest: str
    epochs: int
    seed: int

    @classmethod
    def of(cls, record: ConfirmationRecord) -> Wanted:
        return cls(record.digest, record.epochs, record.seed)


@dataclass(frozen=True)
class ConfirmationWriter:
    """The writing side of ``study``'s confirmations for one ``worker``. ``watch``: what this process has seen of the
    leases of other workers."""

    study: StudyIdentity
    worker: str
    watch: LeaseWatch = field(default_factory=LeaseWatch, compare=False, repr=False)

    def claim(self, wanted: Iterable[Wanted], since: int | None = None) -> ConfirmationRecord | None:
        """The first of the wanted trainings that nobody has done or is doing, now this worker's; None when there is
        none. One that failed is done again, what failed it may have passed; with ``since``, a revision of the
        study, unless it failed after that."""
        asked = list(wanted)

        def work(connection: Connection) -> ConfirmationRecord | None:
            lock_study(connection, self.study.id)
            moment, lost = now(connection), self._look(connection)

            def failed_before(row: Any) -> bool:
                return row.state == "failed" and (since is None or row.revision <= since)

            columns = [column for column in confirmations.c if column is not confirmations.c.result]
            rows = connection.execute(select(*columns).where(confirmations.c.study_id == self.study.id))
            kept = {(row.digest, row.epochs, row.seed): row for row in rows}
            for each in asked:
                row = kept.get((each.digest, each.epochs, each.seed))
                if row is None or failed_before(row) or each in lost:
                    return self._take(connection, each, row, moment)
            return None

        return self.study.database.write(work) if asked else None

    def finish(
        self,
        training: Wanted,
        *,
        test: Mapping[str, float] | None = None,
        result: TrainingResult | None = None,
        environment: Environment | None = None,
        reason: str = "",
    ) -> ConfirmationRecord | None:
        """Ends a training of this worker's: complete with ``test``, else failed with ``reason``. None when it is this
        worker's no longer. Raises StoreError when the database cannot be written to, however long that is tried."""

        def work(connection: Connection) -> ConfirmationRecord | None:
            changed = {
                "state": "failed" if test is None else "complete",
                "reason": short(reason),
                "test": test or {},
                "result": result,
                "lease_until": None,
                "finished": now(connection),
                "revision": next_revision(connection, self.study.id),
            }
            values = to_row(confirmations, changed)
            if environment is not None:
                values["environment"] = keep_environment(connection, environment)
            own = (*self._is(training), confirmations.c.worker == self.worker, confirmations.c.state == "running")
            if connection.execute(confirmations.update().where(*own).values(**values)).rowcount == 0:
                return None
            return self._record(connection, training)

        return self.study.database.write(work)

    def renew(self) -> None:
        """Extends the leases of this worker's running trainings, and looks at those of the others."""

        def work(connection: Connection) -> None:
            lock_study(connection, self.study.id)
            until = now(connection) + lease.LEASE_SECONDS
            connection.execute(confirmations.update().where(*self._mine()).values(lease_until=until))
            self._look(connection)

        self.study.database.write(work, patience=lease.LEASE_SECONDS)

    def release(self) -> None:
        """Leaves this worker's running trainings to whoever comes next."""

        def work(connection: Connection) -> None:
            connection.execute(confirmations.update().where(*self._mine()).values(lease_until=None))

        self.study.database.write(work, patience=10.0)

    def _look(self, connection: Connection) -> set[Any]:
        """The running trainings whose worker is lost, by what this process has seen."""
        c = confirmations.c
        columns = (c.digest, c.epochs, c.seed, c.worker, c.attempt, c.lease_until)
        running = (c.study_id == self.study.id, c.state == "running", c.worker != self.worker)
        return self.watch.look(
            Held(
                Wanted(row.digest, row.epochs, row.seed),
                row.worker,
                row.lease_until and (row.attempt, row.lease_until),
            )
            for row in connection.execute(select(*columns).where(*running))
        )

    def _take(self, connection: Connection, training: Wanted, row: Any, moment: float) -> ConfirmationRecord:
        begun: dict[str, Any] = {
            "state": "running",
            "reason": "",
            "test": {},
            "result": None,
            "attempt": 1 if row is None else row.attempt + 1,
            "worker": self.worker,
            "lease_until": moment + lease.LEASE_SECONDS,
            "started": moment,
            "finished": None,
            "revision": next_revision(connection, self.study.id),
        }
        values = to_row(confirmations, begun)
        if row is None:
            key = {"study_id": self.study.id, **asdict(training)}
            connection.execute(confirmations.insert().values(**key, **values))
        else:
            connection.execute(confirmations.update().where(*self._is(training)).values(**values))
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
