"""The trials of a study, to read: whole records, curves, environments, leases, counts, and all as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Row, func, select

from explorer.records import STATES, Curve, Environment, Lease, TrialRecord
from explorer.store.checking import DamagedRow, check_row, damage_at, describe, one_of, read_environment
from explorer.store.database import StudyIdentity
from explorer.store.rows import STATE, read_row, select_trials, to_record, trial_row
from explorer.store.schema import environments, trials

if TYPE_CHECKING:
    import pandas


def read_trials(
    study: StudyIdentity, objectives: Iterable[str], *wanted: ColumnElement[bool], full: bool
) -> list[TrialRecord]:
    """Return the trials that fulfil the conditions ``wanted``, in order of their numbers.

    Args:
        study: The study.
        objectives: Its objectives, of which a complete trial has a value each.
        *wanted: Conditions on the columns of ``schema.trials``.
        full: Whether architecture, training curve and environment are read as well.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    names = list(objectives)
    with study.database.read() as connection:
        return [_checked(row, names) for row in connection.execute(select_trials(study.id, full).where(*wanted))]


def _checked(row: Row[Any], objectives: list[str]) -> TrialRecord:
    record = to_record(row)
    if record.state == "complete":
        missing = [name for name in objectives if name not in record.objectives and name not in record.costs]
        if missing:
            raise DamagedRow(f"{trial_row(record.number)}, column objectives: {', '.join(missing)} is missing")
    return record


def read_curves(study: StudyIdentity, since_revision: int) -> dict[int, Curve]:
    """Return the curve of each training that has one and changed after that revision, by the trial's number."""
    kept = (trials.c.study_id == study.id, trials.c.result.is_not(None), trials.c.revision > since_revision)
    with study.database.read() as connection:
        rows = connection.execute(select(trials.c.number, trials.c.result).where(*kept))
        return {number: _curve(number, result) for number, result in rows}


def _curve(number: int, result: Any) -> Curve:
    with damage_at(f"{trial_row(number)}, column result"):
        curve = Curve.from_json(result)
        if not all(type(value) in (int, float) for column in curve for value in column):
            raise ValueError("a figure that is no number")
        return curve


def read_environments(study: StudyIdentity) -> dict[int, Environment]:
    """Return where each trial was trained, by its number, where that is known."""
    made_on = select(trials.c.number, trials.c.environment).where(
        trials.c.study_id == study.id, trials.c.environment.is_not(None)
    )
    with study.database.read() as connection:
        rows = connection.execute(select(environments)).all()
        known = {digest: read_environment(digest, content) for digest, content in rows}
        found: dict[int, Environment] = {}
        for number, digest in connection.execute(made_on):
            environment = known.get(digest)
            if environment is None:
                raise DamagedRow(f"{trial_row(number)}: there is no environment {describe(digest)}")
            found[number] = environment
        return found


def read_leases(study: StudyIdentity) -> list[Lease]:
    """Return who holds the trials that run, and the trials that wait to be resumed, in order of their numbers."""
    held = trials.c.state == "running"
    columns = (trials.c.number, trials.c.worker, trials.c.attempt, trials.c.lease_until, held.label("held"))
    query = select(*columns).where(trials.c.study_id == study.id, held | trials.c.resumable)
    with study.database.read() as connection:
        rows = [row._asdict() for row in connection.execute(query.order_by(trials.c.number))]
        for row in rows:
            read_row(trial_row(row["number"]), trials, row)
        return [
            Lease(row["number"], row["worker"], row["attempt"], row["lease_until"] if row["held"] else None)
            for row in rows
        ]


def read_counts(study: StudyIdentity) -> dict[str, int]:
    """Return how many trials are in each state; every state is named."""
    query = select(STATE, func.count()).where(trials.c.study_id == study.id).group_by(STATE)
    with study.database.read() as connection:
        return count_states(iter(connection.execute(query)))


def count_states(rows: Iterable[Any]) -> dict[str, int]:
    """Return how many trials are in each state, of rows of a state and a number. Raises DamagedRow."""
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    for state, number in rows:
        check_row("explorer_trials", {"state": state}, {"state": one_of(*STATES)})
        counts[state] += number
    return counts


def read_savings(study: StudyIdentity, objectives: Iterable[str], epochs: int) -> dict[str, int]:
    """Return what ``Study.savings`` does. ``epochs``: of a training that is not stopped."""
    counts = read_counts(study)
    stopped = read_trials(study, objectives, trials.c.state == "stopped", full=True)
    given_up = _epochs_given_up(study)
    trained = sum(record.result.epochs for record in stopped if record.result is not None)
    return {
        "trainings_saved": counts["cached"],
        "epochs_trained": counts["complete"] * epochs + trained + given_up,
        "epochs_saved": len(stopped) * epochs - trained - given_up,
    }


def _epochs_given_up(study: StudyIdentity) -> int:
    """The epochs of trainings that were stopped and begun again later, of trials that have ended."""
    ended = (trials.c.study_id == study.id, trials.c.state.in_(("complete", "stopped")))
    query = select(trials.c.number, trials.c.epochs_given_up).where(*ended, trials.c.epochs_given_up != 0)
    with study.database.read() as connection:
        rows = [row._asdict() for row in connection.execute(query)]
        return sum(read_row(trial_row(row["number"]), trials, row)["epochs_given_up"] for row in rows)


def trials_frame(records: Sequence[TrialRecord], objectives: Iterable[str]) -> pandas.DataFrame:
    """Return one row a trial, as ``Study.to_frame`` describes it. ``objectives``: those of the study."""
    import pandas

    choices = dict.fromkeys(name for record in records for name in record.choices)
    measured = dict.fromkeys([*objectives, *(name for record in records for name in record.objectives)])
    numbers = dict.fromkeys([*measured, *(name for record in records for name in record.costs)])
    first, last = ("number", "state", "digest"), ("seconds", "reason")
    columns: dict[str, list[Any]] = {name: [getattr(record, name) for record in records] for name in first}
    for name in choices:
        shown = f"choice.{name}" if name in (*first, *last, *numbers) else name
        columns[shown] = [record.choices.get(name) for record in records]
    for name in numbers:
        shown = f"value.{name}" if name in (*first, *last) else name
        columns[shown] = [record.value(name) for record in records]
    columns |= {name: [getattr(record, name) for record in records] for name in last}
    return pandas.DataFrame(columns)
