"""Between a row of the database and the values of ``explorer.records``."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, extract, func, select

from explorer.records import TrainingResult, TrialRecord, environment_from_json
from explorer.store.schema import architectures, environments, trials

# Beside the sampler's notes on a trial:
LATENCY_NOTE = "explorer:latency"  # what its latency stands on
EXPECTED = "explorer:expected"  # the objectives that a stopped one would have come to
FAILURE_NOTE = "explorer:failure"  # the kind of its failure
GIVEN_UP = "explorer:given_up"  # epochs of its trainings that were stopped before it was begun anew


def select_trials(study_id: int, full: bool) -> Select:
    """The study's trials in order of their numbers; ``full`` adds architecture, curve and environment."""
    mine = trials.c.study_id == study_id
    if not full:
        return (
            select(*(column for column in trials.c if column is not trials.c.result))
            .where(mine)
            .order_by(trials.c.number)
        )
    joined = trials.join(architectures, trials.c.digest == architectures.c.digest).outerjoin(
        environments, trials.c.environment == environments.c.digest
    )
    columns = (
        *trials.c,
        architectures.c.json.label("architecture_json"),
        environments.c.json.label("environment_json"),
    )
    return select(*columns).select_from(joined).where(mine).order_by(trials.c.number)


class DamagedRow(Exception):
    """A row that does not hold a trial: the file it comes from is damaged."""


def to_record(row: Row) -> TrialRecord:
    """The trial that a row of ``select_trials`` holds. Raises DamagedRow."""
    try:
        return _to_record(row._mapping)
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedRow(f"the row of trial {row.number} is damaged: {error}") from error


def _to_record(data: Mapping[str, Any]) -> TrialRecord:
    result, environment = data.get("result"), data.get("environment_json")
    return TrialRecord(
        number=data["number"],
        state=data["state"],
        digest=data["digest"],
        architecture=data.get("architecture_json", ""),
        choices=json.loads(data["choices"]),
        costs=json.loads(data["costs"]),
        objectives=json.loads(data["objectives"]),
        result=TrainingResult.from_json(result) if result else None,
        reason=data["reason"],
        same_as=data["same_as"],
        seed=data["seed"],
        attempt=data["attempt"],
        worker=data["worker"],
        environment=environment_from_json(environment) if environment else None,
        latency=json.loads(data["sampler"]).get(LATENCY_NOTE, {}) if LATENCY_NOTE in data["sampler"] else {},
        failure=_failure(data) if data["state"] == "failed" else "",
        weights=data["weights"],
        started=data["started"],
        finished=data["finished"],
        revision=data["revision"],
    )


def _failure(data: Mapping[str, Any]) -> str:
    """The kind of a trial's failure; empty where it was interrupted or failed with its twin. Databases of before kinds
    were kept have the reason alone."""
    reason = data["reason"]
    if data["resumable"] or data["same_as"] is not None:
        return ""
    if reason.startswith("its worker was lost"):
        return "lost"
    if FAILURE_NOTE in data["sampler"]:
        return json.loads(data["sampler"])[FAILURE_NOTE]
    if reason.startswith(("it took longer than", "it held ")):
        return "limit"
    return "network" if "not finite" in reason else "died" if reason.startswith("the trial's process") else "code"


def now(connection: Connection) -> float:
    """Seconds since the epoch by the database's clock: leases of several machines are compared on it."""
    if connection.dialect.name == "sqlite":
        return time.time()  # its users share the machine, and its own clock counts whole seconds
    return float(connection.scalar(select(extract("epoch", func.clock_timestamp()))))
