"""Find what a worker has written in a transaction whose answer was lost with the connection.

If the connection is lost during a commit, the transaction may have been applied, and it runs again. A worker's name is
unique, so its name in the rows shows whether it was. Otherwise a trial would run that no worker knows of.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, or_, select

from explorer.store.schema import trials
from explorer.store.statements import HELD


def begun_before(
    connection: Connection, study_id: int, worker: str, held: Collection[int], *conditions: ColumnElement[bool]
) -> int | None:
    """Return the number of a trial that a worker has begun without knowing it; None if there is none.

    Args:
        connection: A connection of a transaction that has locked the study.
        study_id: The study's row.
        worker: The worker.
        held: The numbers of the trials that the worker knows to run.
        *conditions: Conditions on the trial.
    """
    mine = (trials.c.study_id == study_id, trials.c.worker == worker, trials.c.state == "running")
    unknown = (*mine, trials.c.same_as.is_(None), trials.c.number.not_in(list(held)), *conditions)
    return connection.scalar(select(trials.c.number).where(*unknown).order_by(trials.c.number).limit(1))


def added_before(
    connection: Connection, study_id: int, worker: str, held: Collection[int], number: int, digest: str
) -> int | None:
    """Return the number of the trial of this network that a worker has added without knowing it, or None.

    It has the number ``number``, or if another worker had used that a later one, and it runs.

    Args:
        connection: A connection of a transaction that has locked the study.
        study_id: The study's row.
        worker: The worker.
        held: The numbers of the trials that the worker knows to run.
        number: The number that the trial was to have.
        digest: The network's digest.
    """
    if (begun := begun_before(connection, study_id, worker, held, trials.c.digest == digest)) is not None:
        return begun
    mine = (trials.c.study_id == study_id, trials.c.number == number, trials.c.worker == worker)
    if number in held:
        return None
    return connection.scalar(select(trials.c.number).where(*mine, trials.c.digest == digest))


def ended_before(
    connection: Connection, study_id: int, number: int, worker: str, attempt: int | None, state: str
) -> list[int]:
    """Return the numbers of a trial and of those that ended with it; empty unless it has ended in this state.

    Args:
        connection: A connection.
        study_id: The study's row.
        number: The trial's number.
        worker: The worker.
        attempt: The attempt that the worker ended; None: any.
        state: The state in which the worker ended it.
    """
    query = select(trials.c.revision).where(*HELD, trials.c.state == state, ~trials.c.resumable)
    run = {"study": study_id, "trial": number, "by": worker, "in_attempt": attempt}
    revision = connection.scalar(query, run)
    with_it = or_(trials.c.number == number, trials.c.same_as == number)
    same = (trials.c.study_id == study_id, with_it, trials.c.revision == revision)
    found = list(connection.scalars(select(trials.c.number).where(*same).order_by(trials.c.number)))
    return sorted(found, key=lambda each: each != number)
