"""Databases of earlier versions, and what is read in them.

``version_1_full.db`` was written by commit 2dbbf87, and ``version_1_full.json`` says what that commit read in it. Its
studies: ``measured`` has latencies, a limit, gradient flows and trainings from fresh seeds; ``stopped`` has trials that
a rule stopped, one after it was begun again; ``folder`` was trained on a folder of images; trials of ``simulated`` and
``slow`` failed; ``limited`` has a cached and a rejected trial; ``interrupted`` was ended by SIGINT.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import sqlalchemy

from explorer.store import migrations
from explorer.store.database import open_for_writing
from explorer.store.schema import metadata
from explorer.store.studies import list_studies, open_study

DATABASES = Path(__file__).parents[1] / "databases"
FACTS = json.loads((DATABASES / "version_1_full.json").read_text())


def copy(name: str, folder: Path) -> Path:
    """Copy a database of an earlier version into ``folder`` as ``explorer.db``."""
    return Path(shutil.copy(DATABASES / f"{name}.db", folder / "explorer.db"))


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


def everything(storage: str) -> dict[str, list]:
    """Return all that can be read of each study."""
    found = {}
    for summary in list_studies(storage):
        study = open_study(storage, summary.name)
        records = study.trials()
        flows = [study.gradient_flow(record.digest) for record in records]
        own = [study.limits, study.data_places, dict(study.fingerprint), study.revision, study.savings()]
        found[study.name] = [records, study.confirmations(), study.leases(), study.curves(), flows, own]
    return found


def rows_of(file: Path) -> dict[str, list]:
    """Return the rows of every table, read without the explorer."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def connect_unchanging(file: Path) -> sqlite3.Connection:
    """Open one of ``DATABASES`` where it lies: SQLite writes no ``-wal`` and ``-shm`` file beside it."""
    return sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)


def version_of(file: Path) -> int:
    """Return the version of the tables."""
    return rows_of(file)["explorer_schema"][0][0]


def migrate(storage: str) -> None:
    """Migrate a database as the first opening for writing does."""
    open_for_writing(storage).close()


def backups(file: Path) -> list[str]:
    """Return the names of the copies beside the file."""
    return sorted(each.name for each in file.parent.glob("*.bak"))


def lease(file: Path, worker: str, seconds: float, table: str = "explorer_trials") -> None:
    """Let ``worker`` hold a row of the table for ``seconds`` from now, written without the explorer."""
    with closing(sqlite3.connect(file)) as connection:
        values = (worker, time.time() + seconds)
        row = f"rowid IN (SELECT rowid FROM {table} LIMIT 1)"
        connection.execute(f"UPDATE {table} SET state = 'running', worker = ?, lease_until = ? WHERE {row}", values)
        connection.commit()


def old_postgresql(request) -> str:
    """A PostgreSQL storage with the rows of ``version_1_full.db`` in tables of version 1."""
    storage = request.getfixturevalue("postgresql_url")
    engine = sqlalchemy.create_engine(storage)
    migrate(storage)
    with engine.begin() as connection:
        for step in reversed(migrations.STEPS):
            for change in step:
                if change.kind:
                    connection.exec_driver_sql(f"ALTER TABLE {change.table} DROP COLUMN {change.column}")
                elif change.renamed_from:
                    renamed = f"{change.column} TO {change.renamed_from}"
                    connection.exec_driver_sql(f"ALTER TABLE {change.table} RENAME COLUMN {renamed}")
        connection.exec_driver_sql("UPDATE explorer_schema SET version = 1")
        with closing(connect_unchanging(DATABASES / "version_1_full.db")) as source:
            source.row_factory = sqlite3.Row
            known = {name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in (table for table in metadata.sorted_tables if table.name != "explorer_schema"):
                if table.name not in known:  # a later version added it
                    connection.exec_driver_sql(f"DROP TABLE {table.name}")
                    continue
                for row in map(dict, source.execute(f"SELECT * FROM {table.name}")):
                    if "resumable" in row:
                        row["resumable"] = bool(row["resumable"])
                    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
                    insert = sqlalchemy.text(f"INSERT INTO {table.name} ({names}) VALUES ({values})")
                    connection.execute(insert, row)
    engine.dispose()
    return storage
