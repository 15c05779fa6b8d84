"""Read the trials of a study as columns of text and numbers, for readers of very many trials.

A ``TrialRecord`` costs about 50 microseconds to read and check. These rows are read in a fiftieth of that and are not
checked; who reads them must handle unexpected values.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import String, select, type_coerce

from explorer.store.database import StudyIdentity
from explorer.store.rows import STATE
from explorer.store.schema import trials


class TrialColumns(NamedTuple):
    """Trials in the order of their numbers, one tuple per column.

    Attributes:
        number: The numbers of the trials.
        state: Their states, as of ``TrialRecord``.
        digest: The digests of their networks.
        choices: JSON objects, choice point -> text of the alternative.
        costs: JSON objects, name -> value.
        objectives: JSON objects, name -> value.
        started: Start times in seconds since 1970.
        finished: End times in seconds since 1970, or None.
        duration: Measured seconds of the last attempt, or None.
        revision: The revision of the last change to each trial.
    """

    number: tuple[int, ...]
    state: tuple[str, ...]
    digest: tuple[str, ...]
    choices: tuple[str, ...]
    costs: tuple[str, ...]
    objectives: tuple[str, ...]
    started: tuple[float, ...]
    finished: tuple[float | None, ...]
    duration: tuple[float | None, ...]
    revision: tuple[int, ...]


def read_columns(study: StudyIdentity, since_revision: int = 0) -> TrialColumns:
    """Return the trials that changed after a revision.

    Args:
        study: The study.
        since_revision: The revision; 0 for all trials.

    Raises:
        StoreError: The database cannot be read.
    """
    columns: list[Any] = [
        STATE if name == "state" else type_coerce(trials.c[name], String) if name in _TEXTS else trials.c[name]
        for name in TrialColumns._fields
    ]
    query = select(*columns).where(trials.c.study_id == study.id).order_by(trials.c.number)
    if since_revision:
        query = query.where(trials.c.revision > since_revision)
    rows = study.database.read(lambda connection: connection.execute(query).all())
    return TrialColumns(*(zip(*rows) if rows else ((),) * len(TrialColumns._fields)))


_TEXTS = ("digest", "choices", "costs", "objectives")  # read without the replacement of control characters
