"""A study, to make: of several who make it at once, one does. Later its limits, the places of its data and, where the
caller says so, the code of its functions may change, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import Any

from sqlalchemy import Connection

from explorer.errors import StoreError
from explorer.store.database import Database
from explorer.store.rows import now
from explorer.store.schema import DATA_PLACES, LIMITS, studies
from explorer.store.studies import find_study
from explorer.store.study import Study
from explorer.store.writing import insert_once

NAME_LENGTH = 200


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
    row = {
        "space_name": space_name,
        "space_text": space_text,
        "fingerprint": _fingerprint_column(fingerprint, limits, data_places),
        "objectives": json.dumps(dict(objectives)),
        "seed": seed,
        "revision": 0,
    }

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
    values = {"fingerprint": _fingerprint_column(fingerprint, limits, data_places)}
    study.database.write(
        lambda connection: connection.execute(studies.update().where(studies.c.id == study.id).values(**values))
    )
    return find_study(study.database, study.name)


def _fingerprint_column(
    fingerprint: Mapping[str, Any], limits: Sequence[str], data_places: Sequence[Mapping[str, str]]
) -> str:
    beside = {LIMITS: list(limits), DATA_PLACES: list(data_places)}
    return json.dumps({**fingerprint, **{name: value for name, value in beside.items() if value}})
