"""Between the rows of the database and values: ``schema`` says how each column is kept.

A trial is read as a ``TrialRecord``; it is written as a ``Proposal`` when it begins and an ``Ending`` when it ends. The
field of any of them that has the name of a column of ``schema.trials`` is kept in that column.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, case, extract, func, select

from explorer.records import Environment, State, TrainingResult, TrialRecord
from explorer.store.checking import DamagedRow, Stored, describe, read_environment
from explorer.store.schema import STORED, architectures, environments, studies, trials

REASON_LENGTH = 500
STATE = case((trials.c.resumable, "interrupted"), else_=trials.c.state)  # a resumable trial is stored as failed


@cache
def _stored(table: Table) -> dict[str, Stored]:
    return {column.name: column.info[STORED] for column in table.c if STORED in column.info}


def read_row(where: str, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a row holds, by column.

    Args:
        where: The row in words, for messages.
        table: The table; a column that is no part of ``row`` was not selected.
        row: The values by column.

    Raises:
        DamagedRow: A value is not what the explorer writes.
    """
    found = {}
    for name, (check, load, _) in _stored(table).items():
        if name in row:
            value = row[name]
            if check is not None and not check.passes(value):
                raise DamagedRow(f"{where}, column {name}: expected {check.expected}, found {describe(value)}")
            found[name] = value if load is None else load(f"{where}, column {name}", value)
    return found


def to_row(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the columns that hold these fields."""
    stored = _stored(table)
    dumps = {name: stored[name].dump for name in values}
    return {name: value if (dump := dumps[name]) is None else dump(value) for name, value in values.items()}


def select_trials(study_id: int, full: bool) -> Select[Any]:
    """The study's trials in order of their numbers; ``full`` adds architecture, curve and environment."""
    mine = trials.c.study_id == study_id
    if not full:
        light = (column for column in _RECORD_COLUMNS if column is not trials.c.result)
        return select(*light).where(mine).order_by(trials.c.number)
    joined = trials.outerjoin(architectures, trials.c.digest == architectures.c.digest).outerjoin(
        environments, trials.c.environment == environments.c.digest
    )
    columns = (
        *_RECORD_COLUMNS,
        architectures.c.json.label("architecture_json"),
        environments.c.json.label("environment_json"),
    )
    return select(*columns).select_from(joined).where(mine).order_by(trials.c.number)


def to_record(row: Row[Any]) -> TrialRecord:
    """The trial that a row of ``select_trials`` holds. Raises DamagedRow."""
    data = row._asdict()
    where = trial_row(data["number"])
    values = read_row(where, trials, data)
    architecture, environment = data.get("architecture_json", ""), data.get("environment_json")
    if architecture is None:
        raise DamagedRow(
            f"explorer_architectures: there is no row of network {data['digest']} of trial {data['number']}"
        )
    if environment is None and data["environment"] is not None and "environment_json" in data:
        raise DamagedRow(f"{where}, column environment: there is no environment {data['environment']}")
    if '"digest"' in architecture and data["digest"] not in architecture:
        raise DamagedRow(f"explorer_architectures, network {data['digest']}: the row holds another network")
    values["environment"] = read_environment(data["environment"], environment)
    if values.pop("resumable"):
        values["state"] = "interrupted"
    return TrialRecord(architecture=architecture, **values)


_RECORD_FIELDS = {field.name for field in fields(TrialRecord)}
_RECORD_COLUMNS = [column for column in trials.c if column.name in _RECORD_FIELDS] + [trials.c.resumable]


def trial_row(number: Any) -> str:
    """The row of a trial, in words."""
    return f"explorer_trials, trial {number if type(number) is int else describe(number)}"


def now(connection: Connection) -> float:
    """Seconds since the epoch by the database's clock: leases of several machines are compared on it."""
    if connection.dialect.name == "sqlite":
        return time.time()  # its users share the machine, and its own clock counts whole seconds
    return float(connection.execute(select(extract("epoch", func.clock_timestamp()))).scalar_one())


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial before it begins.

    Attributes:
        digest: The network's digest.
        architecture: The JSON of its architecture.
        choices: Choice point -> the chosen alternative's text.
        costs: The costs that are known before the evaluation.
        seed: The seed of its training.
        sampler_notes: The sampler's own notes, given back when the trial resumes.
        latency: How ``latency_ms`` among the costs was measured; empty where it was not.
    """

    digest: str
    architecture: str
    choices: Mapping[str, str]
    costs: Mapping[str, float]
    seed: int
    sampler_notes: Mapping[str, Any] = field(default_factory=dict)
    latency: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trial ended.

    Attributes:
        state: complete, stopped or failed.
        objectives: All that was measured.
        result: The training, if there was one.
        reason: Why it failed or was stopped.
        environment: Where it was trained.
        weights: SHA-256 of the file of weights that is kept; empty where none is.
        resumable: It failed through no fault of its own, and is to be taken up again.
        expected: The objectives that a stopped trial would have come to, for samplers; empty where that cannot be told.
        duration: Seconds that it took by a monotonic clock; None where that was not measured.
        failure: The kind of a failure, one of ``records.FAILURES``; "code" where it is left out.
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


def proposal_row(proposal: Proposal) -> dict[str, Any]:
    """Return the values of the columns that a proposal gives."""
    return _columns(proposal, "architecture")


def ending_row(ending: Ending) -> dict[str, Any]:
    """Return the values of the columns that an ending gives, all but the environment's."""
    return _columns(ending, "environment")


def _columns(value: Proposal | Ending, left_out: str) -> dict[str, Any]:
    return to_row(trials, {each.name: getattr(value, each.name) for each in fields(value) if each.name != left_out})


def lock_study(connection: Connection, study_id: int) -> None:
    """Locks the study's row until the commit, so that two transactions never change its trials at once. SQLite has one
    writing transaction at a time anyway."""
    connection.execute(select(studies.c.id).where(studies.c.id == study_id).with_for_update())


def next_revision(connection: Connection, study_id: int) -> int:
    """One more than the study's last. Its row stays locked until the commit, so revisions appear in their order."""
    mine = studies.c.id == study_id
    connection.execute(studies.update().where(mine).values(revision=studies.c.revision + 1))
    return connection.scalar(select(studies.c.revision).where(mine))  # type: ignore[return-value]


def keep_environment(connection: Connection, environment: Environment) -> str:
    """Writes the environment unless it is there; returns its digest."""
    row = {"digest": environment.digest, "json": json.dumps(asdict(environment))}
    insert_once(connection, environments, "digest", row)
    return environment.digest


def insert_once(connection: Connection, table: Table, key: str, row: Mapping[str, Any]) -> bool:
    """Inserts a row unless its key is there; returns whether it did. On PostgreSQL another transaction may insert it in
    between."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    statement = insert(table).values(**row).on_conflict_do_nothing(index_elements=[key])
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def short(reason: str) -> str:
    """One line of at most REASON_LENGTH characters."""
    line = " ".join(reason.split())
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"
