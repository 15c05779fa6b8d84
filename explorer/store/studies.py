"""The studies of a storage: one by its name, all in a list, and whether they changed since; how one is made.

Of several processes that make a study at once, one does. Later its limits, the places of its data and, where the caller
says so, the code of its functions may change, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from sqlalchemy import Connection, Row, func, select

from explorer.errors import StoreError, did_you_mean
from explorer.store.checking import TIMESTAMP, check_row, describe
from explorer.store.database import DEFAULT_STORAGE, Database, open_for_reading
from explorer.store.rows import STATE, insert_once, now, read_row, to_row
from explorer.store.schema import studies, trials
from explorer.store.study import Study
from explorer.store.trials import count_states

NAME_LENGTH = 200


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
    listed = ", ".join(repr(each[:60]) for each in names[:20]) + (
        f" and {len(names) - 20} more" if len(names) > 20 else ""
    )
    asked = (
        f"there is no study {name!r} in {database.shown}"
        if name
        else f"{database.shown} holds several studies, name one"
    )
    raise StoreError(f"{asked}; it holds {listed}{_hint(name, names) if name else ''}")


def _hint(name: str, names: list[str]) -> str:
    """Return a hint for a study name that is not in the storage."""
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
        trials.c.study_id, STATE, func.count(), func.max(trials.c.started), func.max(trials.c.finished)
    ).group_by(trials.c.study_id, STATE)
    out = []
    with database.read() as connection:
        by_state = connection.execute(of_trials).all()
        for row in connection.execute(select(studies).order_by(studies.c.name)):
            study = _to_study(row, database)
            own = [group for group in by_state if group[0] == study.id]
            counts = count_states((group[1], group[2]) for group in own)
            times = [moment for group in own for moment in group[3:] if moment is not None]
            for moment in times:
                check_row(f"explorer_trials, study {study.name!r}", {"started": moment}, {"started": TIMESTAMP})
            data = str(study.fingerprint.get("data") or "")
            changed = max(times, default=study.created)
            out.append(
                StudySummary(study.name, study.space_name, data, study.objectives, counts, study.created, changed)
            )
    return out


def check_name(name: str) -> str:
    """The name itself. Raises StoreError unless it is printable text of 1 to 200 characters."""
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
    beside: bool = False,
) -> Study:
    """The study of this name, made now unless it is there already: of several who make it at once, one does.

    ``beside``: a new study in any case, under the first free name of NAME, NAME-2, NAME-3 and so on; of several who ask
    for one at once each gets its own.
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
        row["created"] = now(connection)
        for tried in chain([name], (f"{name}-{number}" for number in count(2)) if beside else ()):
            if insert_once(connection, studies, "name", {**row, "name": check_name(tried)}):
                return tried
        return name

    return find_study(database, database.write(work))


def change_study(
    study: Study, *, fingerprint: Mapping[str, Any], limits: Sequence[str], data_places: Sequence[Mapping[str, str]]
) -> Study:
    """The study with these in place of its own, from now on and for all who join it."""
    values = to_row(studies, {"fingerprint": fingerprint, "limits": limits, "data_places": data_places})
    study.database.write(
        lambda connection: connection.execute(studies.update().where(studies.c.id == study.id).values(**values))
    )
    return find_study(study.database, study.name)


def _to_study(row: Row[Any], database: Database) -> Study:
    data = row._asdict()
    values = read_row(f"explorer_studies, study {describe(data['name'])}", studies, data)
    values["fingerprint"] = _Fingerprint(data["name"], values["fingerprint"])
    return Study(database=database, **values)


class _Fingerprint(dict[str, Any]):
    """What must not differ when a study is taken up again. An entry that is missing is damage, not a bug."""

    def __init__(self, study: str, entries: Mapping[str, Any]):
        super().__init__(entries)
        self._study = study

    def __missing__(self, entry: str) -> Any:
        raise StoreError(
            f"study {self._study!r} does not say its {entry!r} (explorer_studies, column fingerprint); "
            "put back a copy of the database"
        )
