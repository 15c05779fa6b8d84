"""Conversion between database rows and values; ``schema`` defines how each column stores its value.

A trial is read as a ``TrialRecord``. It is written as a ``Proposal`` when it begins and as an ``Ending`` when it ends.
A field of these classes is stored in the column of ``schema.trials`` that has the same name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Connection,
    Insert,
    Select,
    Table,
    and_,
    bindparam,
    case,
    extract,
    func,
    or_,
    select,
)

from explorer.records import Environment, State, TrainingResult, TrialRecord
from explorer.store.checking import DamagedRow, Stored, describe, read_environment
from explorer.store.schema import STORED, architectures, environments, studies, trials
from explorer.system.plain_text import printable, storable

REASON_LENGTH = 500  # characters of a reason that are stored; a longer one is cut
_SERVER_TIME = extract("epoch", func.clock_timestamp())
STATE = case((trials.c.resumable, "interrupted"), else_=trials.c.state)  # a resumable trial is stored as failed


@cache
def _stored(table: Table) -> dict[str, Stored]:
    return {column.name: column.info[STORED] for column in table.c if STORED in column.info}


def read_row(where: str, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a row stores, by column.

    Args:
        where: The table and the row as text, for messages.
        table: The table. Columns that are not in ``row`` were not selected and are skipped.
        row: The values by column.

    Raises:
        DamagedRow: A value is not what the explorer writes.
    """
    stored, fields_by_column = _stored(table), {}
    for name, value in row.items():
        if (how := stored.get(name)) is None:
            continue
        check, load, _ = how
        if check is not None and not check.passes(value):
            raise DamagedRow(f"{where}, column {name}: expected {check.expected}, found {describe(value)}")
        fields_by_column[name] = value if load is None else load(f"{where}, column {name}", value)
    return fields_by_column


def to_row(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the column values that store these fields.

    Args:
        table: The table.
        values: The fields by column.
    """
    stored = _stored(table)
    dumps = {name: stored[name].dump for name in values}
    return {name: value if (dump := dumps[name]) is None else dump(value) for name, value in values.items()}


def select_trials(study_id: int | BindParameter[int], full: bool) -> Select[Any]:
    """Return the query of a study's trials in order of their numbers.

    Args:
        study_id: The study's row.
        full: Whether to select architecture, training curve and environment as well.
    """
    of_study = trials.c.study_id == study_id
    if not full:
        light = (column for column in _RECORD_COLUMNS if column is not trials.c.result)
        return select(*light).where(of_study).order_by(trials.c.number)
    joined = trials.outerjoin(architectures, trials.c.digest == architectures.c.digest).outerjoin(
        environments, trials.c.environment == environments.c.digest
    )
    columns = (
        *_RECORD_COLUMNS,
        architectures.c.json.label("architecture_json"),
        environments.c.json.label("environment_json"),
    )
    return select(*columns).select_from(joined).where(of_study).order_by(trials.c.number)


def to_record(data: Mapping[str, Any]) -> TrialRecord:
    """Return the trial that a row of ``select_trials`` stores, by column. Raises DamagedRow."""
    where = trial_row(data["number"])
    values = read_row(where, trials, data)
    architecture, environment = data.get("architecture_json", ""), data.get("environment_json")
    if architecture is None:
        raise DamagedRow(
            f"explorer_architectures: there is no row of network {data['digest']} of trial {data['number']}"
        )
    digest = data.get("environment")
    if environment is None and digest is not None and "environment_json" in data:
        raise DamagedRow(f"{where}, column environment: there is no environment {digest}")
    if '"digest"' in architecture and data["digest"] not in architecture:
        raise DamagedRow(f"explorer_architectures, network {data['digest']}: the row holds another network")
    values["environment"] = read_environment(digest, environment)
    if values.pop("resumable", False):
        values["state"] = "interrupted"
    return TrialRecord(architecture_json=architecture, **values)


def inserted_record(row: Mapping[str, Any], architecture: str) -> TrialRecord:
    """Return the trial of a row that was inserted, as it would be read.

    Args:
        row: The inserted values by column. A trial with an environment has to be read.
        architecture: The JSON of its architecture.
    """
    stored = {column.name: row[column.name] for column in _RECORD_COLUMNS if column.name in row}
    texts = {**stored, "environment": None, "architecture_json": architecture}
    return to_record({name: _as_read(value) for name, value in texts.items()})


def _as_read(value: Any) -> Any:
    return printable(storable(value)) if isinstance(value, str) else value


_RECORD_FIELDS = {field.name for field in fields(TrialRecord)}
_RECORD_COLUMNS = [column for column in trials.c if column.name in _RECORD_FIELDS] + [trials.c.resumable]


def trial_row(number: Any) -> str:
    """Return the table and row of a trial as text, for messages."""
    return f"explorer_trials, trial {number if type(number) is int else describe(number)}"


def now(connection: Connection) -> float:
    """Return the seconds since the epoch by the database's clock, which is the same for all machines."""
    if connection.dialect.name == "sqlite":
        return time.time()  # its processes share one machine, and SQLite's own clock has a resolution of a second
    return float(connection.execute(select(_SERVER_TIME)).scalar_one())


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial before it begins.

    Attributes:
        digest: The network's digest.
        architecture: The JSON of its architecture.
        choices: Choice point -> the text of the chosen alternative.
        costs: The costs that are known before the evaluation.
        seed: The seed of its training.
        sampler_notes: Notes of the sampler, which are returned to it when the trial is resumed.
        latency: How the cost ``latency_ms`` was measured; empty if it was not.
        counterpart: As of ``TrialRecord``.
    """

    digest: str
    architecture: str
    choices: Mapping[str, str]
    costs: Mapping[str, float]
    seed: int
    sampler_notes: Mapping[str, Any] = field(default_factory=dict)
    latency: Mapping[str, Any] = field(default_factory=dict)
    counterpart: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """The result of a trial.

    Attributes:
        state: "complete", "stopped" or "failed".
        objectives: All measured values.
        result: The result of the training, if there was one.
        reason: Why the trial failed or was stopped.
        environment: The environment of the training.
        weights: The SHA-256 of the saved file of weights; empty if weights were not saved.
        resumable: Whether the trial was interrupted and can be resumed.
        expected: The objectives that a stopped trial is expected to reach, for samplers; empty if unknown.
        duration: The seconds that the trial took by a monotonic clock; None if not measured.
        failure: The kind of a failure, one of ``records.FAILURES``; empty means "code".
        latency: How a latency was measured after the evaluation; empty keeps what was stored before it.
        epochs_given_up: Epochs of an earlier training of the trial that this one did not continue.
    """

    state: State
    objectives: Mapping[str, float] = field(default_factory=dict)
    result: TrainingResult | None = None
    reason: str = ""
    environment: Environment | None = None
    weights: str = ""
    resumable: bool = False
    expected: Mapping[str, float] = field(default_factory=dict)
    duration: float | None = None
    failure: str = ""
    latency: Mapping[str, Any] = field(default_factory=dict)
    epochs_given_up: int = 0


def epochs_given_up(earlier: TrainingResult | None, result: TrainingResult | None) -> int:
    """Return the epochs of an earlier training of a trial that are not the first ones of its last training.

    A training that continues from a checkpoint reports the epochs before it again, with the same measured times.

    Args:
        earlier: The result of the earlier training; None if there was none.
        result: That of the last training; None if it has none, and the earlier one is kept.
    """
    if earlier is None or result is None:
        return 0
    continued = 0
    for own, other in zip(result.curve, earlier.curve):
        if own != other:
            break
        continued += 1
    return earlier.epochs - continued


def proposal_row(proposal: Proposal) -> dict[str, Any]:
    """Return the column values that store a proposal, except the architecture, which is in another table."""
    return _columns(proposal, "architecture")


def ending_row(ending: Ending) -> dict[str, Any]:
    """Return the column values that store an ending, except the environment, which is in another table."""
    row = _columns(ending, "environment")
    return row if ending.latency else {name: value for name, value in row.items() if name != "latency"}


def _columns(value: Proposal | Ending, excluded: str) -> dict[str, Any]:
    return to_row(trials, {each.name: getattr(value, each.name) for each in fields(value) if each.name != excluded})


def lock_study(connection: Connection, study_id: int) -> None:
    """Lock the study's row until the commit, so that no two transactions change its trials at the same time.

    This has no effect on SQLite, which has only one writing transaction at a time.
    """
    connection.execute(select(studies.c.id).where(studies.c.id == study_id).with_for_update())


def next_revision(connection: Connection, study_id: int) -> int:
    """Increment the study's revision and return it.

    The study's row stays locked until the commit, so revisions become visible in their order.
    """
    connection.execute(_NEXT_REVISION, {"study": study_id})
    return connection.scalar(_REVISION, {"study": study_id})  # type: ignore[return-value]


_OF_STUDY = studies.c.id == bindparam("study")
_REVISION = select(studies.c.revision).where(_OF_STUDY)
_NEXT_REVISION = studies.update().where(_OF_STUDY).values(revision=studies.c.revision + 1)
_STAMP = _NEXT_REVISION.returning(studies.c.revision, _SERVER_TIME)


class Stamp(NamedTuple):
    """When a transaction changes a study.

    Attributes:
        revision: The study's new revision.
        time: Seconds since the epoch by the database's clock.
    """

    revision: int
    time: float


def stamp(connection: Connection, study_id: int) -> Stamp:
    """Increment the study's revision, which locks the study until the commit; return it with the time.

    On PostgreSQL this is one statement, since each one costs a round trip.
    """
    if connection.dialect.name != "postgresql":
        return Stamp(next_revision(connection, study_id), now(connection))
    revision, time = connection.execute(_STAMP, {"study": study_id}).one()
    return Stamp(revision, float(time))


def insert_environment(connection: Connection, environment: Environment) -> str:
    """Insert the environment unless it exists; return its digest."""
    row = {"digest": environment.digest, "json": json.dumps(asdict(environment))}
    insert_once(connection, environments, "digest", row)
    return environment.digest


def insert_once(connection: Connection, table: Table, key: str, row: Mapping[str, Any]) -> bool:
    """Insert a row unless its key exists, also if another transaction inserts it at the same time.

    Args:
        connection: A connection of a writing transaction.
        table: The table.
        key: The name of the key column.
        row: The values by column.

    Returns:
        Whether the row was inserted.
    """
    statement = unless_present(connection.dialect.name, table, key, row)
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def unless_present(dialect: str, table: Table, key: str, row: Mapping[str, Any]) -> Insert:
    """Return the statement of ``insert_once`` in a dialect, "sqlite" or "postgresql"."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    return insert(table).values(**row).on_conflict_do_nothing(index_elements=[key])


def short(reason: str) -> str:
    """Return a reason as one line of at most REASON_LENGTH characters."""
    line = " ".join(reason.split())
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"


@dataclass
class KnownTotal:
    """The trials of a study that a worker has read, by which it need not count all trials at each beginning.

    Attributes:
        revision: The revision of the study up to which they were read; -1 before.
        count: Those that were complete, stopped or running.
    """

    revision: int = -1
    count: int = 0


def is_total_reached(
    connection: Connection, study_id: int, total: int | None, known: KnownTotal, following: int | None = None
) -> bool:
    """Return whether ``total`` trials are complete, stopped or running; False if ``total`` is None.

    The transaction that begins another trial calls this, so that several workers together do not exceed the total. All
    trials are counted only if the total might be reached with the trials that have changed since ``known``; none are
    if the number ``following`` of the next trial is below the total.
    """
    if total is None or (following is not None and following < total):
        return False
    if known.revision >= 0:
        changed = (trials.c.study_id == study_id, trials.c.revision > known.revision)
        if known.count + connection.execute(select(func.count()).where(*changed)).scalar_one() < total:
            return False
    counted = or_(
        trials.c.state.in_(("complete", "stopped")), and_(trials.c.state == "running", trials.c.same_as.is_(None))
    )
    query = select(func.count()).where(trials.c.study_id == study_id, counted)
    return connection.execute(query).scalar_one() >= total
