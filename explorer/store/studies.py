"""The studies of a storage: one by its name, all in a list, and whether they changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from explorer.errors import ExplorerError, StoreError, did_you_mean
from explorer.limits import parse_limit
from explorer.store.checking import MOMENT, SEEDS, TEXTS, Check, check_row, optional, read_json, shown, text, whole
from explorer.store.database import DEFAULT_STORAGE, Database, open_for_reading
from explorer.store.rows import STATE
from explorer.store.schema import DATA_PLACES, LIMITS, studies, trials
from explorer.store.study import Study, count_states


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
                check_row(f"explorer_trials, study {study.name!r}", {"started": moment}, {"started": MOMENT})
            data = str(study.fingerprint.get("data") or "")
            changed = max(times, default=study.created)
            out.append(
                StudySummary(study.name, study.space_name, data, study.objectives, counts, study.created, changed)
            )
    return out


def _to_study(row: Any, database: Database) -> Study:
    data = row._asdict()
    where = f"explorer_studies, study {shown(data['name'])}"
    check_row(where, data, _STUDY)
    fingerprint = _Fingerprint(data["name"], read_json(f"{where}, column fingerprint", data["fingerprint"], _SETTINGS))
    limits, places = tuple(fingerprint.pop(LIMITS, ())), tuple(fingerprint.pop(DATA_PLACES, ()))
    return Study(
        name=data["name"],
        space_name=data["space_name"],
        space_text=data["space_text"],
        objectives=read_json(f"{where}, column objectives", data["objectives"], _OBJECTIVES),
        fingerprint=fingerprint,
        seed=data["seed"],
        created=data["created"],
        database=database,
        id=data["id"],
        limits=limits,
        data_places=places,
        revision=data["revision"],
    )


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


def _are_settings(found: Any) -> bool:
    types = {"data": str, "evaluate": str, "split": dict, "recipe": dict, "costs": list, "objectives": dict}
    if type(found) is not dict:
        return False
    limits, places = found.get(LIMITS, []), found.get(DATA_PLACES, [])
    return (
        type(limits) is list
        and type(places) is list
        and all(type(found[name]) is kind for name, kind in types.items() if name in found)
        and optional(whole(1)).passes(found.get("epochs"))
        and all(_is_limit(each) for each in limits)
        and all(TEXTS.passes(each) for each in places)
    )


def _is_limit(each: Any) -> bool:
    try:
        return type(each) is str and bool(parse_limit(each))
    except ExplorerError:
        return False


def _are_objectives(found: Any) -> bool:
    return type(found) is dict and bool(found) and all(way in ("max", "min") for way in found.values())


_SETTINGS = Check(_are_settings, "an object of a study's settings")
_OBJECTIVES = Check(_are_objectives, 'an object of objectives, each "max" or "min"')
_STUDY = {
    "id": whole(0),
    "name": text(200, 1),
    "space_name": text(10_000),
    "space_text": text(),
    "seed": whole(*SEEDS),
    "created": MOMENT,
    "revision": whole(0),
}
