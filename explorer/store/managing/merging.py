"""Add the trials of one study to another."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, select

from explorer.store.artifacts import weights_file
from explorer.store.managing.changes import require_idle, writable
from explorer.store.managing.copies import StudyRows, insert_shared, read_rows
from explorer.store.managing.files import copy_files, write_curves
from explorer.store.remote.files import FolderFiles
from explorer.store.rows import next_revision
from explorer.store.schema import claims, confirmations, gradients, trials
from explorer.store.study import Study

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Merged:
    """What was added to a study.

    Attributes:
        added: Trials that were added.
        present: Trials that the study had: the same network, seed and state.
        unfinished: Running and interrupted trials, which were left out.
        confirmations: Confirmations that were added.
        weights: The networks whose trained weights were added.
    """

    added: int
    present: int
    unfinished: int
    confirmations: int
    weights: list[str] = field(default_factory=list)


def append_trials(study: Study, source: Study) -> Merged:
    """Add the ended trials and confirmations of ``source`` to a study. Whether they fit is not checked.

    The trials get the next numbers. One that the study has, with the same network, seed and state, is not added, so
    a repeated call adds nothing.

    Args:
        study: The study that grows.
        source: The other study; it does not change.

    Raises:
        StoreError: A worker runs a training of the study, or a database or file cannot be read or written to.
    """
    content = read_rows(source)
    with writable(study) as opened:
        kept = {name for each in (opened.files, FolderFiles(opened.artifacts)) for name in each.names()}

        def work(connection: Connection) -> Merged:
            require_idle(connection, opened, "merged into")
            insert_shared(connection, content)
            return _insert(connection, opened, content, kept)

        merged = opened.database.write(work)
        copy_files(source.files, opened.files, merged.weights)
        if opened.place:
            write_curves(opened.trials(), opened.files)
    return merged


def _insert(connection: Connection, study: Study, content: StudyRows, kept: Collection[str]) -> Merged:
    """Insert the rows that the study does not have. ``kept``: the names of the study's files."""
    revision = next_revision(connection, study.id)
    own = {"study_id": study.id, "revision": revision}
    of_study = trials.c.study_id == study.id
    query = select(trials.c.digest, trials.c.seed, trials.c.state, trials.c.number).where(of_study)
    known = {tuple(row[:3]): row.number for row in connection.execute(query)}
    first = connection.scalar(select(func.count()).where(of_study)) or 0
    numbers: dict[int, int] = {}  # number in the source -> number in the study
    added: Rows = []
    present, weights = 0, list[str]()
    for row in sorted(content.tables[trials], key=lambda row: row["number"]):
        key = (row["digest"], row["seed"], row["state"])
        if row["state"] == "running" or row["resumable"] or row["same_as"] not in (None, *numbers):
            continue
        if key in known:
            present, numbers[row["number"]] = present + 1, known[key]
            continue
        numbers[row["number"]] = known[key] = number = first + len(added)
        changed: dict[str, Any] = {"number": number, "same_as": numbers.get(row["same_as"])}
        if row["weights"] and weights_file(Path(), row["digest"]).name in kept:
            changed["weights"] = ""  # the file has the weights of another training of the network
        elif row["weights"]:
            weights.append(row["digest"])
        added.append({**row, **own, **changed, "counterpart": _counterpart(row["counterpart"], numbers)})
    insert = [row for row in content.tables[claims] if row["number"] in numbers]
    _insert_new(connection, trials, added, ())
    held = [{**row, "study_id": study.id, "number": numbers[row["number"]]} for row in insert]
    _insert_new(connection, claims, held, ("digest",))
    ended = [{**row, **own} for row in content.tables[confirmations] if row["state"] != "running"]
    confirmed = _insert_new(connection, confirmations, ended, ("digest", "epochs", "seed"))
    _insert_new(connection, gradients, [{**row, **own} for row in content.tables[gradients]], ("digest",))
    return Merged(len(added), present, len(content.tables[trials]) - len(added) - present, confirmed, weights)


def _insert_new(connection: Connection, table: Table, rows: Rows, key: tuple[str, ...]) -> int:
    """Insert the rows of a study that the table lacks by ``key``; all if it is empty. Return their number."""
    if rows and key:
        columns = [table.c[name] for name in key]
        query = select(*columns).where(table.c.study_id == rows[0]["study_id"])
        known = set(map(tuple, connection.execute(query)))
        rows = [row for row in rows if tuple(row[name] for name in key) not in known]
    if rows:
        connection.execute(table.insert(), rows)
    return len(rows)


def _counterpart(text: str, numbers: dict[int, int]) -> str:
    """Return the JSON of a trial's counterpart with its number in the study; empty if that trial was left out."""
    known = json.loads(text)
    if known and known["twin"] not in numbers:
        return "{}"
    return json.dumps({**known, "twin": numbers[known["twin"]]}) if known else text
