"""Processes and databases of other versions: who may migrate, and who is refused."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing

import pytest

from explorer.errors import StoreError
from explorer.store import migrations
from explorer.store.database import open_for_reading, open_for_writing
from tests.polling import PATIENCE
from tests.store.conftest import ELSEWHERE, GONE
from tests.store.migrations.earlier import (
    FACTS,
    backups,
    copy,
    everything,
    lease,
    migrate,
    old_postgresql,
    rows_of,
    url_of,
    version_of,
)


def open_and_report(storage: str, barrier, answers) -> None:
    """Open an old database for writing, in one of several concurrent processes."""
    barrier.wait(PATIENCE)
    try:
        migrate(storage)
        answers.put("ok")
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.parametrize("kind", ["file", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_one_of_two_processes_migrates(kind, request, full):
    """When two processes open an old database at once, both continue, and it is migrated and copied once."""
    storage = old_postgresql(request) if kind == "postgresql" else url_of(full)
    context = multiprocessing.get_context("forkserver")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=open_and_report, args=(storage, barrier, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=PATIENCE) for _ in processes] == ["ok", "ok"]
    for process in processes:
        process.join(PATIENCE)
    assert backups(full) == (["explorer.db.v1.bak"] if kind == "file" else [])
    assert everything(storage)["measured"] == everything(url_of(copy("version_1_full", full.parent)))["measured"]


@pytest.mark.parametrize("table", ["explorer_trials", "explorer_confirmations"])
def test_a_running_worker_of_an_earlier_version_blocks_migration(full, table):
    """While a worker of an earlier version holds a lease, writers are refused in one line and readers can read."""
    lease(full, ELSEWHERE, 50.0, table)
    content = rows_of(full)
    with pytest.raises(StoreError, match=r"a worker of an earlier version .* on host 'elsewhere'; end it") as caught:
        migrate(url_of(full))
    assert "\n" not in str(caught.value) and rows_of(full) == content and backups(full) == []
    assert len(everything(url_of(full))) == len(FACTS)


@pytest.mark.parametrize(("worker", "seconds"), [(GONE, 50.0), (ELSEWHERE, -1.0)])
def test_a_lost_worker_of_an_earlier_version_does_not_block_migration(full, worker, seconds):
    """A lease whose worker has ended on this machine, or that has expired, does not block the migration."""
    lease(full, worker, seconds)
    migrate(url_of(full))
    assert version_of(full) == migrations.SCHEMA_VERSION


def test_a_process_of_the_earlier_version_fails_after_migration(full):
    """Version 1 reads and writes a column that no longer exists, so it fails instead of storing facts in the notes."""
    with closing(sqlite3.connect(full)) as earlier:
        read = "SELECT number, state, sampler FROM explorer_trials"
        assert earlier.execute(read).fetchall()
        migrate(url_of(full))
        for statement in (read, "UPDATE explorer_trials SET sampler = '{}'"):
            with pytest.raises(sqlite3.OperationalError, match="no such column: sampler"):
                earlier.execute(statement)


def test_a_later_version_is_refused(full):
    """A database of an unknown later version is refused in one line, with advice to update."""
    later = migrations.SCHEMA_VERSION + 1
    message = f"of version {later}, this explorer reads versions 1 to {later - 1}; update the explorer"
    with closing(sqlite3.connect(full)) as connection:
        connection.execute(f"UPDATE explorer_schema SET version = {later}")
        connection.commit()
    for opening in (open_for_reading, open_for_writing):
        with pytest.raises(StoreError, match=message):
            opening(url_of(full))
