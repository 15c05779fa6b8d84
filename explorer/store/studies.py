"""The studies of a storage: one by its name, all in a list, and whether they changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from explorer.errors import StoreError, did_you_mean
from explorer.records import STATES
from explorer.store.database import DEFAULT_STORAGE, Database, open_for_reading
from explorer.store.schema import LIMITS, studies, trials
from explorer.store.study import Study


@dataclass(frozen=True)
class StudySummary:
    """One line about a study. ``data``: the data set's name; ``changed``: when a trial last began or ended."""

    name: str
    space_name: str
    data: str
    objectives: Mapping[str, str]
    counts: Mapping[str, int]
    created: float
    changed: float


def open_study(storage: str = DEFAULT_STORAGE, name: str = "") -> Study:
    """The study of this name, read only; the name may be left out where there is just one.

    Raises StoreError for a storage that is absent or unreadable, and for an unknown study.
    """
    return find_study(open_for_reading(storage), name)


def find_study(database: Database, name: str) -> Study:
    """The study of this name in an open database. Raises StoreError for an unknown one."""
    query = select(studies)
    with database.read() as connection:
        row = connection.execute(query.where(studies.c.name == name)).first() if name else None
        if row is not None:
            return _to_study(row, database)
        names = list(connection.scalars(select(studies.c.name).order_by(studies.c.name)))
        if not name and len(names) == 1:
            return _to_study(connection.execute(query).one(), database)
    if not names:
        raise StoreError(f"{database.shown} holds no studies yet; 'explorer search' makes one")
    listed = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    asked = (
        f"there is no study {name!r} in {database.shown}"
        if name
        else f"{database.shown} holds several studies, name one"
    )
    raise StoreError(f"{asked}; it holds {listed}{_hint(name, names) if name else ''}")


def _hint(name: str, names: list[str]) -> str:
    """What is meant by the name of a study that is not there."""
    study, colon, _ = name.rpartition(":")
    if colon and study in names:
        return f"; name the study alone: {study!r}"
    if "://" in name or name.endswith((".db", ".sqlite", ".sqlite3")):
        return "; a storage is given by --storage, beside the name of a study"
    if name.endswith((".yaml", ".yml")):
        return "; that is the name of a space file, not of a study"
    return did_you_mean(name, names)


def study_names(database: Database) -> set[str]:
    """The names that are taken."""
    with database.read() as connection:
        return set(connection.scalars(select(studies.c.name)))


def study_revisions(storage: str = DEFAULT_STORAGE) -> dict[str, int]:
    """The studies' names and the revision of each one's last change: the cheapest way to see whether there was one.

    Raises StoreError for a storage that is absent or unreadable.
    """
    with open_for_reading(storage).read() as connection:
        return dict(iter(connection.execute(select(studies.c.name, studies.c.revision))))


def list_studies(storage: str = DEFAULT_STORAGE) -> list[StudySummary]:
    """The studies in a storage, by name. Raises StoreError for a storage that is absent or unreadable."""
    database = open_for_reading(storage)
    of_trials = select(
        trials.c.study_id, trials.c.state, func.count(), func.max(trials.c.started), func.max(trials.c.finished)
    ).group_by(trials.c.study_id, trials.c.state)
    with database.read() as connection:
        rows = connection.execute(select(studies).order_by(studies.c.name)).all()
        by_state = connection.execute(of_trials).all()
    out = []
    for study in (_to_study(row, database) for row in rows):
        own = [group for group in by_state if group[0] == study.id]
        counts = {**dict.fromkeys(STATES, 0), **{group[1]: group[2] for group in own}}
        times = [moment for group in own for moment in group[3:] if moment is not None]
        data = str(study.fingerprint.get("data") or "")
        changed = max(times, default=study.created)
        out.append(StudySummary(study.name, study.space_name, data, study.objectives, counts, study.created, changed))
    return out


def _to_study(row: Any, database: Database) -> Study:
    fingerprint = json.loads(row.fingerprint)
    limits = tuple(fingerprint.pop(LIMITS, ()))
    return Study(
        name=row.name,
        space_name=row.space_name,
        space_text=row.space_text,
        objectives=json.loads(row.objectives),
        fingerprint=fingerprint,
        seed=row.seed,
        created=row.created,
        database=database,
        id=row.id,
        limits=limits,
        revision=row.revision,
    )
