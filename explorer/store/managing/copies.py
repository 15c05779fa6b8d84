"""Copy a study to another name or database."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from explorer.errors import StoreError
from explorer.store.claims import WAITING
from explorer.store.database import ONCE_SECONDS, Database, open_for_writing, open_if_present
from explorer.store.managing.changes import OF_STUDY, require_free_name, writable
from explorer.store.managing.files import copy_files, write_curves
from explorer.store.remote.place import PLACE
from explorer.store.rows import insert_once, now
from explorer.store.schema import architectures, claims, confirmations, environments, gradients, studies, trials
from explorer.store.storage_url import database_file
from explorer.store.studies import check_name, find_study, open_study
from explorer.store.study import Study
from explorer.store.views.study_files import files_of, require_writable_place

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StudyRows:
    """The rows of a study, as the database stores them.

    Attributes:
        study: The row of ``explorer_studies``.
        tables: Table -> its rows of this study, without ``study_id``.
        networks: The rows of the architectures of its trials and confirmations.
        machines: The rows of their environments.
    """

    study: Row
    tables: Mapping[Table, list[dict[str, Any]]]
    networks: list[dict[str, Any]]
    machines: list[dict[str, Any]]


def read_rows(study: Study) -> StudyRows:
    """Read all rows of a study in one transaction. Raises StoreError if a trial or confirmation is damaged."""
    study.trials()
    study.confirmations()

    def work(connection: Connection) -> StudyRows:
        def rows(query: Select[Any]) -> list[dict[str, Any]]:
            return [dict(row._mapping) for row in connection.execute(query)]

        own = {table: rows(select(table).where(table.c.study_id == study.id)) for table in OF_STUDY}
        digests = [select(table.c.digest).where(table.c.study_id == study.id) for table in OF_STUDY]
        machines = [select(t.c.environment).where(t.c.study_id == study.id) for t in (trials, confirmations)]
        return StudyRows(
            rows(select(studies).where(studies.c.id == study.id))[0],
            {table: [{k: v for k, v in row.items() if k != "study_id"} for row in own[table]] for table in OF_STUDY},
            rows(select(architectures).where(architectures.c.digest.in_(digests[0].union(*digests[1:])))),
            rows(select(environments).where(environments.c.digest.in_(machines[0].union(machines[1])))),
        )

    return study.database.read(work)


def copy_study(
    study: Study, storage: str | os.PathLike[str] | None = None, name: str = "", artifacts: str = ""
) -> Study:
    """Copy a study with its trials, confirmations, weights and checkpoints. It may run meanwhile.

    A training that runs is interrupted in the copy: a search of the copy resumes it.

    Args:
        study: The study; it may be in memory.
        storage: URL or path of the database of the copy, which is created if it is missing; None for the same database.
        name: The name of the copy; by default that of the study.
        artifacts: The place of the files of the copy, as ``parse_place`` returns it; by default that of the study.

    Returns:
        The copy.

    Raises:
        StoreError: The name is taken or invalid, a row of the study is damaged, or the database or a file cannot be
            written to.
    """
    name = check_name(name or study.name)
    if storage is None:
        with writable(study) as opened:
            opened.database.read(lambda connection: require_free_name(connection, name, study.storage))
            require_writable_place(opened.database.file, artifacts or study.place)
            _insert_copy(study, read_rows(study), opened.database, name, artifacts)
        return find_study(study.database, name)
    present = open_if_present(storage)
    if present is not None:
        present.read(lambda connection: require_free_name(connection, name, present.shown))
    content = read_rows(study)  # a study that cannot be read creates no database
    require_writable_place(database_file(storage), artifacts or study.place)  # nor does a wrong place
    target = open_for_writing(storage, ONCE_SECONDS)
    try:
        _insert_copy(study, content, target, name, artifacts)
    finally:
        target.close()
    return open_study(storage, name)


def _insert_copy(study: Study, content: StudyRows, target: Database, name: str, artifacts: str) -> None:
    """Copy the files of a study, then insert its rows into a database under the given name."""
    created = target.read(now)
    place = artifacts or study.place
    files = files_of(target.file, name, created, place)
    fingerprint = {**json.loads(content.study["fingerprint"]), **({PLACE: place} if place else {})}

    def work(connection: Connection) -> None:
        mine = select(studies.c.id).where(studies.c.name == name, studies.c.created == created)
        if connection.execute(mine).first() is not None:
            return  # the answer to the commit was lost
        require_free_name(connection, name, target.shown)
        row = {key: value for key, value in content.study.items() if key != "id"}
        connection.execute(
            studies.insert().values({**row, "name": name, "created": created, "fingerprint": json.dumps(fingerprint)})
        )
        study_id = connection.execute(mine).scalar_one()
        insert_shared(connection, content)
        for table in (trials, claims, confirmations, gradients):
            rows = content.tables[table]
            if table is trials:
                rows = [_interrupted(each) if each["state"] == "running" else each for each in rows]
            elif table is confirmations:
                rows = [each for each in rows if each["state"] != "running"]
            if rows:
                connection.execute(table.insert(), [{**each, "study_id": study_id} for each in rows])

    try:
        copy_files(study.files, files)
        if place:
            write_curves(study.trials(), files)
        target.write(work)
    except BaseException:
        with suppress(OSError, StoreError):
            files.remove_all()
        raise


def _interrupted(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a running trial as that of an interrupted one."""
    return {**row, **WAITING, "reason": "interrupted: the study was copied while it ran"}


def insert_shared(connection: Connection, content: StudyRows) -> None:
    """Insert the networks and environments that the database does not have."""
    for table, rows in ((architectures, content.networks), (environments, content.machines)):
        for row in rows:
            insert_once(connection, table, "digest", row)
