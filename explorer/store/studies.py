"""Open, list, create and change the studies of a storage.

If several processes create the same study at the same time, one creates it and the others open it. Later only its
limits, the places of its data and, on request, the recorded code of the user's functions can change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from sqlalchemy import Connection, Row, func, select

from explorer.errors import StoreError, did_you_mean
from explorer.extensions.registry import need
from explorer.store.checking import TIMESTAMP, check_row, describe
from explorer.store.database import DEFAULT_STORAGE, Database, open_for_reading
from explorer.store.rows import STATE, insert_once, now, read_row, to_row
from explorer.store.schema import studies, trials
from explorer.store.study import Study
from explorer.store.trials import count_states

NAME_LENGTH = 200  # characters at most, the length of the column


@dataclass(frozen=True)
class StudySummary:
    """A study in a list of studies.

    Attributes:
        name: The study's name.
        space_name: The name of the search space.
        data: The name of the data set; empty if there is none.
        objectives: Objective -> "max" or "min".
        counts: State -> number of trials.
        created: When the study was created, in seconds since the epoch.
        changed: When a trial last began or ended, in seconds since the epoch.
        note: What a user wrote down about it.
        tags: Words by which a user groups studies.
    """

    name: str
    space_name: str
    data: str
    objectives: Mapping[str, str]
    counts: Mapping[str, int]
    created: float
    changed: float
    note: str = ""
    tags: tuple[str, ...] = ()


def open_study(storage: str | os.PathLike[str] = DEFAULT_STORAGE, name: str = "") -> Study:
    """Open a study for reading.

    Args:
        storage: A URL (``sqlite:///FILE``, ``postgresql://USER@HOST/DATABASE``) or the path of an SQLite file.
        name: The study's name. May be empty if the storage has only one study.

    Returns:
        The study; it can only be read.

    Raises:
        StoreError: The storage does not exist or cannot be read, or it has no study of this name.
    """
    return find_study(open_for_reading(storage), name)


def find_study(database: Database, name: str) -> Study:
    """Return a study of an open database.

    Args:
        database: The database.
        name: The study's name. May be empty if the database has only one study.

    Raises:
        StoreError: The database has no study of this name.
    """
    query = select(studies).order_by(studies.c.name)

    def work(connection: Connection) -> Study | list[str]:
        row = connection.execute(query.where(studies.c.name == name)).first() if name else None
        if row is not None:
            return _to_study(row, database)
        names = list(connection.scalars(select(studies.c.name).order_by(studies.c.name)))
        return _to_study(connection.execute(query).one(), database) if not name and len(names) == 1 else names

    names = database.read(work)
    if isinstance(names, Study):
        return names
    if not names:
        raise StoreError(f"{database.shown} holds no studies yet; 'explorer search' creates one")
    listed = ", ".join(repr(each[:60]) for each in names[:20]) + (
        f" and {len(names) - 20} more" if len(names) > 20 else ""
    )
    fault = (
        f"there is no study {name!r} in {database.shown}"
        if name
        else f"{database.shown} holds several studies, name one"
    )
    raise StoreError(f"{fault}; it holds {listed}{_hint(name, names) if name else ''}")


def _hint(name: str, names: list[str]) -> str:
    """Return a suggested fix for a study name that is not in the storage."""
    study, colon, _ = name.rpartition(":")
    if colon and study in names:
        return f"; name the study alone: {study!r}"
    if "://" in name or name.endswith((".db", ".sqlite", ".sqlite3")):
        return "; give the storage with --storage, and the name of a study"
    if name.endswith((".yaml", ".yml")):
        return "; that is the name of a space file, not of a study"
    return did_you_mean(name, names)


def study_names(database: Database) -> set[str]:
    """Return the names of the database's studies."""
    return database.read(lambda connection: set(connection.scalars(select(studies.c.name))))


def study_revisions(storage: str | os.PathLike[str] = DEFAULT_STORAGE) -> dict[str, int]:
    """Return the revision of each study by its name: the cheapest way to detect a change.

    Args:
        storage: A URL or a path, as for ``open_study``.

    Raises:
        StoreError: The storage does not exist or cannot be read.
    """
    return revisions_in(open_for_reading(storage))


def revisions_in(database: Database) -> dict[str, int]:
    """Return the revision of each study of an open database by its name."""
    query = select(studies.c.name, studies.c.revision)
    return database.read(lambda connection: dict(iter(connection.execute(query))))


def list_studies(storage: str | os.PathLike[str] = DEFAULT_STORAGE) -> list[StudySummary]:
    """Return the studies of a storage, sorted by name.

    Args:
        storage: A URL or a path, as for ``open_study``.

    Raises:
        StoreError: The storage does not exist or cannot be read, or a row is damaged.
    """
    return summaries_in(open_for_reading(storage))


def summaries_in(database: Database) -> list[StudySummary]:
    """Return the studies of an open database, sorted by name. Raises StoreError."""
    of_trials = select(
        trials.c.study_id, STATE, func.count(), func.max(trials.c.started), func.max(trials.c.finished)
    ).group_by(trials.c.study_id, STATE)

    def work(connection: Connection) -> list[StudySummary]:
        summaries = []
        by_state = connection.execute(of_trials).all()
        for row in connection.execute(select(studies).order_by(studies.c.name)):
            study = _to_study(row, database)
            own = [group for group in by_state if group[0] == study.id]
            counts = count_states((group[1], group[2]) for group in own)
            times = [time for group in own for time in group[3:] if time is not None]
            for time in times:
                check_row(f"explorer_trials, study {study.name!r}", {"started": time}, {"started": TIMESTAMP})
            data = str(study.fingerprint.get("data") or "")
            changed = max(times, default=study.created)
            summaries.append(
                StudySummary(
                    *(study.name, study.space_name, data, study.objectives, counts, study.created, changed),
                    *(study.note, study.tags),
                )
            )
        return summaries

    return database.read(work)


def check_name(name: str) -> str:
    """Return the name. Raises StoreError unless it is printable text of 1 to 200 characters."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH:
        raise StoreError(f"study name {str(name)[:60]!r}: a name is printable text of 1 to {NAME_LENGTH} characters")
    return name


def create_study(
    database: Database,
    name: str,
    *,
    space_name: str,
    space_text: str,
    fingerprint: Mapping[str, Any],
    objectives: Mapping[str, str],
    seed: int,
    limits: Sequence[str] = (),
    data_places: Sequence[Mapping[str, str]] = (),
    always_new: bool = False,
) -> Study:
    """Create a study unless one of this name exists; return the study of this name.

    Args:
        database: The database, opened for writing.
        name: The study's name.
        space_name: The name of the search space.
        space_text: The text of the space file.
        fingerprint: The settings that must be the same when the study is resumed.
        objectives: Objective -> "max" or "min".
        seed: The seed of the sampler.
        limits: Limits on the costs of its networks, as "macs<=4M".
        data_places: Where its data were found, the latest place first.
        always_new: Whether to create a new study in any case, with the first free name of NAME, NAME-2, NAME-3, ...
            Several processes that do so at the same time create one study each.

    Raises:
        StoreError: The name is invalid, or the database cannot be written to.
    """
    check_name(name)
    values = {
        "space_name": space_name,
        "space_text": space_text,
        "fingerprint": fingerprint,
        "objectives": objectives,
        "seed": seed,
        "revision": 0,
        "limits": limits,
        "data_places": data_places,
    }
    row = to_row(studies, values)

    def work(connection: Connection) -> str:
        if "created" in row:  # the first answer to the commit may have been lost
            mine = connection.scalars(select(studies.c.name).where(*(studies.c[key] == row[key] for key in row)))
            created = [each for each in mine if each == name or each.startswith(f"{name}-")]
            if created:
                return str(created[0])
        row["created"] = now(connection)
        for candidate in chain([name], (f"{name}-{number}" for number in count(2)) if always_new else ()):
            if insert_once(connection, studies, "name", {**row, "name": check_name(candidate)}):
                return candidate
        return name

    return find_study(database, database.write(work))


def change_study(
    study: Study, *, fingerprint: Mapping[str, Any], limits: Sequence[str], data_places: Sequence[Mapping[str, str]]
) -> Study:
    """Change the settings of a study that may change, also for workers that join it later.

    Args:
        study: The study, opened for writing.
        fingerprint: The settings that must be the same when the study is resumed.
        limits: Limits on the costs of its networks, as "macs<=4M".
        data_places: Where its data were found, the latest place first.

    Returns:
        The study as changed.

    Raises:
        StoreError: The database cannot be written to.
    """
    values = to_row(studies, {"fingerprint": fingerprint, "limits": limits, "data_places": data_places})
    study.database.write(
        lambda connection: connection.execute(studies.update().where(studies.c.id == study.id).values(**values))
    )
    return find_study(study.database, study.name)


def _to_study(row: Row[Any], database: Database) -> Study:
    """Return the study that a row stores. Raises DamagedRow."""
    data = row._asdict()
    values = read_row(f"explorer_studies, study {describe(data['name'])}", studies, data)
    values["fingerprint"] = _Fingerprint(data["name"], values["fingerprint"])
    if isinstance(used := values["fingerprint"].get("extensions"), Mapping):
        need(used)
    return Study(database=database, **values)


class _Fingerprint(dict[str, Any]):
    """The settings of a study that must be the same when it is resumed. A missing entry raises StoreError."""

    def __init__(self, study: str, entries: Mapping[str, Any]):
        super().__init__(entries)
        self._study = study

    def __missing__(self, entry: str) -> Any:
        raise StoreError(
            f"study {self._study!r} has no entry {entry!r} in its settings (explorer_studies, column fingerprint); "
            "restore a backup of the database"
        )
