"""Read the trials of a study: records, training curves, environments, leases, counts, and a data frame."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from explorer.records import STATES, Curve, Environment, Lease, TrialRecord
from explorer.store.checking import DamagedRow, check_row, damage_at, describe, one_of, read_environment
from explorer.store.database import StudyIdentity
from explorer.store.rows import STATE, read_row, select_trials, to_record, trial_row
from explorer.store.schema import environments, trials
from explorer.store.statements import CHANGED, CHANGED_FULL
from explorer.system.lazy_module import LazyModule

if TYPE_CHECKING:
    import pandas
else:
    pandas = LazyModule("pandas")

_MEASURED = [trials.c[name] for name in ("number", "state", "digest", "costs", "objectives", "latency")]
MAX_NUMBERS = 500  # of trials that a query names; for more of them all are read


def read_trials(
    study: StudyIdentity, objectives: Iterable[str], *conditions: ColumnElement[bool], full: bool
) -> list[TrialRecord]:
    """Return the trials that fulfil all conditions, in order of their numbers.

    Args:
        study: The study.
        objectives: The names of its objectives. A complete trial has a value of each.
        *conditions: Conditions on the columns of ``schema.trials``.
        full: Whether to read architecture, training curve and environment as well.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    return _read(study, objectives, select_trials(study.id, full).where(*conditions), {})


def read_changed(study: StudyIdentity, objectives: Iterable[str], revision: int, *, full: bool) -> list[TrialRecord]:
    """Return the trials that changed after a revision (0: all), in order of their numbers; else as ``read_trials``."""
    if not revision:
        return read_trials(study, objectives, full=full)
    return _read(study, objectives, CHANGED_FULL if full else CHANGED, {"study": study.id, "after": revision})


def read_measured(study: StudyIdentity, objectives: Iterable[str]) -> list[TrialRecord]:
    """Return the complete trials with only their digests, costs, objectives and latencies, in half the time."""
    query = select(*_MEASURED).where(trials.c.study_id == study.id, trials.c.state == "complete")
    return _read(study, objectives, query.order_by(trials.c.number), {})


def _read(
    study: StudyIdentity, objectives: Iterable[str], query: Select[Any], values: Mapping[str, Any]
) -> list[TrialRecord]:
    names = list(objectives)

    def read(connection: Connection) -> list[TrialRecord]:
        found = connection.execute(query, values)
        columns = list(found.keys())  # once: a study may have 100,000 rows
        with _no_collection():
            return [_checked(dict(zip(columns, row)), names) for row in found]

    return study.database.read(read)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collection, which would look again and again at records that are all kept.

    Two threads that overlap leave it as the first one found it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _checked(row: Mapping[str, Any], objectives: list[str]) -> TrialRecord:
    """Return the trial that a row stores. Raises DamagedRow, also if a complete trial lacks an objective."""
    record = to_record(row)
    if record.state == "complete":
        missing = [name for name in objectives if name not in record.objectives and name not in record.costs]
        if missing:
            raise DamagedRow(f"{trial_row(record.number)}, column objectives: {', '.join(missing)} is missing")
    return record


def read_curves(study: StudyIdentity, since_revision: int) -> dict[int, Curve]:
    """Return the training curves of the trials that have one, by the trials' numbers.

    Args:
        study: The study.
        since_revision: Only trials that changed after this revision; 0 for all.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    with_curve = (trials.c.study_id == study.id, trials.c.result.is_not(None), trials.c.revision > since_revision)
    query = select(trials.c.number, trials.c.result).where(*with_curve)
    return study.database.read(
        lambda connection: {number: _curve(number, result) for number, result in connection.execute(query)}
    )


def _curve(number: int, result: Any) -> Curve:
    with damage_at(f"{trial_row(number)}, column result"):
        curve = Curve.from_json(result)
        if not all(type(value) in (int, float) for column in curve for value in column):
            raise ValueError("a value is not a number")
        return curve


def read_environments(study: StudyIdentity) -> dict[int, Environment]:
    """Return the environments in which trials were trained, by the trials' numbers; only of trials that have one.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    query = select(trials.c.number, trials.c.environment).where(
        trials.c.study_id == study.id, trials.c.environment.is_not(None)
    )

    def work(connection: Connection) -> dict[int, Environment]:
        rows = connection.execute(select(environments)).all()
        known = {digest: read_environment(digest, content) for digest, content in rows}
        by_number: dict[int, Environment] = {}
        for number, digest in connection.execute(query):
            environment = known.get(digest)
            if environment is None:
                raise DamagedRow(f"{trial_row(number)}: there is no environment {describe(digest)}")
            by_number[number] = environment
        return by_number

    return study.database.read(work)


def read_leases(study: StudyIdentity) -> list[Lease]:
    """Return the leases of running and interrupted trials, in order of the trials' numbers.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    held = trials.c.state == "running"
    columns = (trials.c.number, trials.c.worker, trials.c.attempt, trials.c.lease_until, held.label("held"))
    query = select(*columns).where(trials.c.study_id == study.id, held | trials.c.resumable)

    def work(connection: Connection) -> list[Lease]:
        rows = [row._asdict() for row in connection.execute(query.order_by(trials.c.number))]
        for row in rows:
            read_row(trial_row(row["number"]), trials, row)
        return [
            Lease(row["number"], row["worker"], row["attempt"], row["lease_until"] if row["held"] else None)
            for row in rows
        ]

    return study.database.read(work)


def read_counts(study: StudyIdentity) -> dict[str, int]:
    """Return the number of trials in each state, for all states.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    query = select(STATE, func.count()).where(trials.c.study_id == study.id).group_by(STATE)
    return study.database.read(lambda connection: count_states(iter(connection.execute(query))))


def read_sampler_notes(study: StudyIdentity, numbers: Collection[int]) -> dict[int, Mapping[str, Any]]:
    """Return the notes of the sampler on its proposals, by the trials' numbers.

    Args:
        study: The study.
        numbers: The numbers of the trials.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    query = select(trials.c.number, trials.c.sampler_notes).where(trials.c.study_id == study.id)
    if len(numbers) <= MAX_NUMBERS:
        query = query.where(trials.c.number.in_(numbers))
    wanted = set(numbers)

    def work(connection: Connection) -> dict[int, Mapping[str, Any]]:
        rows = [row._asdict() for row in connection.execute(query) if row.number in wanted]
        return {row["number"]: read_row(trial_row(row["number"]), trials, row)["sampler_notes"] for row in rows}

    return study.database.read(work)


def count_states(rows: Iterable[Any]) -> dict[str, int]:
    """Return the number of trials in each state, for all states.

    Args:
        rows: Pairs of a state and a number of trials.

    Raises:
        DamagedRow: A state is unknown.
    """
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    for state, number in rows:
        check_row("explorer_trials", {"state": state}, {"state": one_of(*STATES)})
        counts[state] += number
    return counts


def read_savings(study: StudyIdentity, objectives: Iterable[str], epochs: int) -> dict[str, int]:
    """Return the trainings and epochs that the study saved, as described at ``Study.savings``.

    Args:
        study: The study.
        objectives: The names of its objectives.
        epochs: The number of epochs of a training that is not stopped.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    counts = read_counts(study)
    stopped = read_trials(study, objectives, trials.c.state == "stopped", full=True)
    given_up = read_epochs_given_up(study)
    trained = sum(record.result.epochs for record in stopped if record.result is not None)
    return {
        "trainings_saved": counts["cached"],
        "epochs_trained": counts["complete"] * epochs + trained + given_up,
        "epochs_saved": len(stopped) * epochs - trained - given_up,
    }


def read_epochs_given_up(study: StudyIdentity) -> int:
    """Return the epochs of trainings that were stopped and later restarted, in trials that have ended."""
    ended = (trials.c.study_id == study.id, trials.c.state.in_(("complete", "stopped")))
    query = select(trials.c.number, trials.c.epochs_given_up).where(*ended, trials.c.epochs_given_up != 0)

    def work(connection: Connection) -> int:
        rows = [row._asdict() for row in connection.execute(query)]
        return sum(read_row(trial_row(row["number"]), trials, row)["epochs_given_up"] for row in rows)

    return study.database.read(work)


def trials_frame(records: Sequence[TrialRecord], objectives: Iterable[str]) -> pandas.DataFrame:
    """Return a data frame with one row per trial and the columns described at ``Study.to_frame``.

    Args:
        records: The trials.
        objectives: The names of the study's objectives.
    """
    choices = dict.fromkeys(name for record in records for name in record.choices)
    measured = dict.fromkeys([*objectives, *(name for record in records for name in record.objectives)])
    numbers = dict.fromkeys([*measured, *(name for record in records for name in record.costs)])
    first, last = ("number", "state", "digest"), ("seconds", "reason")
    columns: dict[str, list[Any]] = {name: [getattr(record, name) for record in records] for name in first}
    for name in choices:
        header = f"choice.{name}" if name in (*first, *last, *numbers) else name
        columns[header] = [record.choices.get(name) for record in records]
    for name in numbers:
        header = f"value.{name}" if name in (*first, *last) else name
        columns[header] = [record.value(name) for record in records]
    columns |= {name: [getattr(record, name) for record in records] for name in last}
    return pandas.DataFrame(columns)
