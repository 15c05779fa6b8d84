"""Conditions on trials, and the statements that each trial needs.

These statements are built once: SQLAlchemy takes longer to build one than a server to execute it. Their values are
given when they are executed, by the names of their parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Integer, and_, bindparam, func, or_, select

from explorer.store.rows import select_trials, unless_present
from explorer.store.schema import architectures, claims, trials

_STUDY: Any = bindparam("study")
_TRIAL: Any = bindparam("trial")
_WORKER: Any = bindparam("by")
_ATTEMPT: Any = bindparam("in_attempt", type_=Integer)
# SQLAlchemy leaves the defaults of columns out of an insert that has other inserts as its parts.
_DEFAULTS = {column.name: column.default.arg for column in trials.c if column.default}  # type: ignore[attr-defined]


def of_trial(study_id: int, number: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions that select the row of one trial."""
    return trials.c.study_id == study_id, trials.c.number == number


def among(study_id: int, numbers: Sequence[int]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions that select the rows of several trials."""
    return trials.c.study_id == study_id, trials.c.number.in_(numbers)


def same_network(study_id: int, number: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions that select the trials of the network of one trial, for which there is an index."""
    digest = select(trials.c.digest).where(*of_trial(study_id, number)).scalar_subquery()
    return trials.c.study_id == study_id, trials.c.digest == digest


def unfinished() -> ColumnElement[bool]:
    """Return the condition that selects running and interrupted trials."""
    return or_(trials.c.state == "running", and_(trials.c.state == "failed", trials.c.resumable))


def waits_for(holder: int) -> ColumnElement[bool]:
    """Return the condition that selects the trials that end with the trial that has claimed their network."""
    can_change = or_(trials.c.state == "running", and_(trials.c.state == "failed", ~trials.c.resumable))
    return and_(trials.c.same_as == holder, can_change)


# A trial that a worker runs or ran last. Parameters: study, trial, by (the worker), in_attempt (None: any).
HELD = (
    *of_trial(_STUDY, _TRIAL),
    trials.c.worker == _WORKER,
    or_(_ATTEMPT.is_(None), trials.c.attempt == _ATTEMPT),
)
# Further parameters: the new values by column, and given_up, the epochs that are added to those that were given up.
END_TRIAL = (
    trials.update()
    .where(*HELD, unfinished())
    .values(epochs_given_up=trials.c.epochs_given_up + bindparam("given_up", type_=Integer))
)
# The trial and those that end with it. Parameters: study, trial.
ENDED_TRIALS = select_trials(_STUDY, full=True).where(
    *same_network(_STUDY, _TRIAL), or_(trials.c.number == _TRIAL, waits_for(_TRIAL))
)
# The trials that changed after a revision. Parameters: study, after.
CHANGED, CHANGED_FULL = (
    select_trials(_STUDY, full).where(trials.c.revision > bindparam("after")) for full in (False, True)
)
_HOLDER = select(claims.c.number).where(claims.c.study_id == _STUDY, claims.c.digest == bindparam("network"))
_LAST = select(func.max(trials.c.number)).where(trials.c.study_id == _STUDY)
_NEXT = select(_LAST.scalar_subquery(), _HOLDER.scalar_subquery())


def next_number(connection: Connection, study_id: int, digest: str = "") -> tuple[int, int | None]:
    """Return the number of the study's next trial, and the trial that has claimed a network; None if there is none.

    Trials are numbered without gaps.

    Args:
        connection: A connection of a transaction that has locked the study.
        study_id: The study's row.
        digest: The network's digest.
    """
    last, holder = connection.execute(_NEXT, {"study": study_id, "network": digest}).one()
    return (0 if last is None else last + 1), holder


def insert_row(connection: Connection, row: Mapping[str, Any], architecture: str, is_claim: bool) -> None:
    """Insert the row of a trial, and its network unless it exists.

    Args:
        connection: A connection of a transaction that has locked the study.
        row: The values of the trial by column.
        architecture: The JSON of its architecture.
        is_claim: Whether the trial claims the network.
    """
    values = {f"trial_{name}": value for name, value in {**_DEFAULTS, **row}.items()}
    values |= {"network_digest": row["digest"], "network_json": architecture}
    for statement in _insertion(connection.dialect.name, tuple({**_DEFAULTS, **row}), is_claim):
        connection.execute(statement, values)


@cache
def _insertion(dialect: str, columns: Sequence[str], is_claim: bool) -> list[Insert]:
    """Return the statements of ``insert_row``: one on PostgreSQL, since each one costs a round trip."""
    network = unless_present(dialect, architectures, "digest", _parameters("network", ("digest", "json")))
    claim = claims.insert().values(_parameters("trial", claims.c.keys()))
    trial = trials.insert().values(_parameters("trial", columns))
    before = [network, claim] if is_claim else [network]
    if dialect == "postgresql":
        return [trial.add_cte(*(each.cte(f"new_{each.table.name}") for each in before))]
    return [*before, trial]


def _parameters(prefix: str, columns: Sequence[str]) -> dict[str, Any]:
    return {name: bindparam(f"{prefix}_{name}") for name in columns}
