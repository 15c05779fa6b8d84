"""Between a row of the database and the values of ``explorer.records``."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, case, extract, func, select

from explorer.records import FAILURES, STATES, Environment, Epoch, TrainingResult, TrialRecord, environment_from_json
from explorer.store.checking import (
    LONGEST_REASON,
    MOMENT,
    NETWORK,
    NUMBERS,
    OBJECT,
    SEEDS,
    SHA256,
    TEXTS,
    Check,
    DamagedRow,
    check_row,
    damage_at,
    is_number,
    matching,
    one_of,
    optional,
    read_json,
    shown,
    text,
    whole,
)
from explorer.store.schema import architectures, environments, trials

# Beside the sampler's notes on a trial:
LATENCY_NOTE = "explorer:latency"  # what its latency stands on
EXPECTED = "explorer:expected"  # the objectives that a stopped one would have come to
SECONDS = "explorer:seconds"  # how long it took, by a clock that nobody sets
FAILURE_NOTE = "explorer:failure"  # the kind of its failure
IN_ORDER = "explorer:in_order"  # that its search interrupted it, so that the next attempt has the same number
GIVEN_UP = "explorer:given_up"  # epochs of its trainings that were stopped before it was begun anew


STATE = case((trials.c.resumable, "interrupted"), else_=trials.c.state)  # a resumable trial is stored as failed


def select_trials(study_id: int, full: bool) -> Select:
    """The study's trials in order of their numbers; ``full`` adds architecture, curve and environment."""
    mine = trials.c.study_id == study_id
    if not full:
        return (
            select(*(column for column in trials.c if column is not trials.c.result))
            .where(mine)
            .order_by(trials.c.number)
        )
    joined = trials.outerjoin(architectures, trials.c.digest == architectures.c.digest).outerjoin(
        environments, trials.c.environment == environments.c.digest
    )
    columns = (
        *trials.c,
        architectures.c.json.label("architecture_json"),
        environments.c.json.label("environment_json"),
    )
    return select(*columns).select_from(joined).where(mine).order_by(trials.c.number)


def to_record(row: Row) -> TrialRecord:
    """The trial that a row of ``select_trials`` holds. Raises DamagedRow."""
    data = row._asdict()
    where = trial_row(data["number"])
    check_row(where, data, _TRIAL)
    choices = read_json(f"{where}, column choices", data["choices"], TEXTS)
    costs = read_json(f"{where}, column costs", data["costs"], NUMBERS)
    objectives = read_json(f"{where}, column objectives", data["objectives"], NUMBERS)
    notes = read_notes(where, data["sampler"])
    architecture, environment = data.get("architecture_json", ""), data.get("environment_json")
    if architecture is None:
        raise DamagedRow(
            f"explorer_architectures: there is no row of network {data['digest']} of trial {data['number']}"
        )
    if environment is None and data["environment"] is not None and "environment_json" in data:
        raise DamagedRow(f"{where}, column environment: there is no environment {data['environment']}")
    if '"digest"' in architecture and data["digest"] not in architecture:
        raise DamagedRow(f"explorer_architectures, network {data['digest']}: the row holds another network")
    state = "interrupted" if data["resumable"] else data["state"]
    failed = state == "failed" and data["same_as"] is None
    return TrialRecord(
        number=data["number"],
        state=state,
        digest=data["digest"],
        architecture=architecture,
        choices=choices,
        costs=costs,
        objectives=objectives,
        result=read_result(where, data.get("result")),
        reason=data["reason"],
        same_as=data["same_as"],
        seed=data["seed"],
        attempt=data["attempt"],
        worker=data["worker"],
        environment=read_environment(data["environment"], environment),
        latency=notes.get(LATENCY_NOTE, {}),
        failure=_failure(data["reason"], notes) if failed else "",
        weights=data["weights"],
        started=data["started"],
        finished=data["finished"],
        duration=notes.get(SECONDS),
        revision=data["revision"],
    )


def _failure(reason: str, notes: Mapping[str, Any]) -> str:
    """Return the kind of a trial's failure. Databases written before kinds were kept have only the reason."""
    if reason.startswith("its worker was lost"):
        return "lost"
    if FAILURE_NOTE in notes:
        return notes[FAILURE_NOTE]
    if reason.startswith(("it took longer than", "it held ")):
        return "limit"
    return "network" if "not finite" in reason else "died" if reason.startswith("the trial's process") else "code"


def trial_row(number: Any) -> str:
    """The row of a trial, in words."""
    return f"explorer_trials, trial {number if type(number) is int else shown(number)}"


def read_notes(where: str, notes: Any) -> dict[str, Any]:
    """The notes on a trial: the sampler's own, and those that are named above."""
    if notes == "{}":
        return {}
    return read_json(f"{where}, column sampler", notes, _NOTES)


def read_result(where: str, kept: Any) -> TrainingResult | None:
    """The training in a column ``result``. Raises DamagedRow."""
    if kept is None:
        return None
    with damage_at(f"{where}, column result"):
        result = TrainingResult.from_json(kept)
        figures = [getattr(result, name) for name in _FIGURES]
        curve = [getattr(epoch, name) for epoch in result.curve for name in Epoch.__dataclass_fields__]
        if not all(type(each) in (int, float) for each in (*figures, *curve)) or not whole(0).passes(result.epochs):
            raise ValueError("a figure that is no number")
        if type(result.precision) is not str:
            raise ValueError("a precision that is no text")
    return result


def read_environment(digest: Any, kept: Any) -> Environment | None:
    """The environment in a row of ``explorer_environments``. Raises DamagedRow."""
    if kept is None:
        return None
    where = f"explorer_environments, row {digest if type(digest) is str else shown(digest)}"
    with damage_at(where):
        found = environment_from_json(json.dumps(read_json(where, kept, OBJECT)))
        texts = (found.device, found.device_name, found.platform, found.python, found.commit)
        if not (all(type(each) is str for each in texts) and TEXTS.passes(found.versions)):
            raise ValueError("a field that is no text")
        if not whole(0).passes(found.threads):
            raise ValueError("a number of threads that is none")
    return found


def _is_latency(note: Any) -> bool:
    """Whether it is what a latency among a trial's costs stands on; empty where the measurement failed."""
    if note == {}:
        return True
    if type(note) is not dict or type(note.get("environment")) is not dict:
        return False
    environment, state = note["environment"], note.get("device_state")
    lists = state.values() if type(state) is dict else ()
    return (
        type(environment.get("digest")) is str
        and type(environment.get("device", "")) is str
        and TEXTS.passes(environment.get("versions", {}))
        and NUMBERS.passes(environment.get("limits", {}))
        and (state is None or type(state) is dict)
        and all(type(each) is list and each and all(map(is_number, each)) for each in lists)
    )


def _are_notes(notes: Any) -> bool:
    return (
        type(notes) is dict
        and (LATENCY_NOTE not in notes or _is_latency(notes[LATENCY_NOTE]))
        and (SECONDS not in notes or (is_number(notes[SECONDS]) and notes[SECONDS] >= 0))
        and NUMBERS.passes(notes.get(EXPECTED, {}))
        and whole(0).passes(notes.get(GIVEN_UP, 0))
        and notes.get(FAILURE_NOTE, "code") in FAILURES
    )


_NOTES = Check(_are_notes, "an object of notes on a trial")
_FIGURES = ("val_accuracy", "val_loss", "val_top5", "epochs", "seconds", "images_per_second")
_TRIAL = {
    "number": whole(0),
    "state": one_of(*(state for state in STATES if state != "interrupted")),
    "reason": text(LONGEST_REASON),
    "digest": NETWORK,
    "same_as": optional(whole(0)),
    "seed": whole(*SEEDS),
    "attempt": whole(1),
    "worker": text(1_000),
    "weights": Check(lambda value: value == "" or matching(SHA256, "").passes(value), "a SHA-256, or an empty text"),
    "environment": optional(text(80)),
    "started": MOMENT,
    "finished": optional(MOMENT),
    "revision": whole(0),
}


def now(connection: Connection) -> float:
    """Seconds since the epoch by the database's clock: leases of several machines are compared on it."""
    if connection.dialect.name == "sqlite":
        return time.time()  # its users share the machine, and its own clock counts whole seconds
    return float(connection.scalar(select(extract("epoch", func.clock_timestamp()))))
