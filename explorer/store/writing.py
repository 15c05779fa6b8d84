"""What all that writes to a study's tables has in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Table, select

from explorer.records import Environment
from explorer.store.schema import environments, studies

REASON_LENGTH = 500


def lock_study(connection: Connection, study_id: int) -> None:
    """Locks the study's row until the commit, so that two transactions never change its trials at once. SQLite has one
    writing transaction at a time anyway."""
    connection.execute(select(studies.c.id).where(studies.c.id == study_id).with_for_update())


def next_revision(connection: Connection, study_id: int) -> int:
    """One more than the study's last. Its row stays locked until the commit, so revisions appear in their order."""
    mine = studies.c.id == study_id
    connection.execute(studies.update().where(mine).values(revision=studies.c.revision + 1))
    return connection.scalar(select(studies.c.revision).where(mine))  # type: ignore[return-value]


def keep_environment(connection: Connection, environment: Environment) -> str:
    """Writes the environment unless it is there; returns its digest."""
    row = {"digest": environment.digest, "json": json.dumps(asdict(environment))}
    insert_once(connection, environments, "digest", row)
    return environment.digest


def insert_once(connection: Connection, table: Table, key: str, row: Mapping[str, Any]) -> bool:
    """Inserts a row unless its key is there; returns whether it did. On PostgreSQL another transaction may insert it in
    between."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    statement = insert(table).values(**row).on_conflict_do_nothing(index_elements=[key])
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def short(reason: str) -> str:
    """One line of at most REASON_LENGTH characters."""
    line = " ".join(reason.split())
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"
