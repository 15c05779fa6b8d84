"""A database is copied before its migration, and stays unchanged if the migration fails."""

from __future__ import annotations

import errno
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from explorer.errors import StoreError
from explorer.store import migrations, sqlite_file
from explorer.store.studies import open_study
from tests.store.migrations.earlier import (
    backups,
    everything,
    migrate,
    rows_of,
    url_of,
    version_of,
)


def test_one_backup_is_made(full, caplog):
    """Before the first write the database is copied with its mode and its log, and the message names the copy; the next
    opening makes none."""
    full.chmod(0o640)
    unchanged = rows_of(full)
    held = sqlite3.connect(full)  # a reader keeps the log from being merged
    held.execute("SELECT count(*) FROM explorer_trials").fetchone()
    with closing(sqlite3.connect(full)) as connection:
        connection.execute("UPDATE explorer_trials SET weights = ? WHERE study_id = 1 AND number = 0", ("a" * 64,))
        connection.commit()
    before = rows_of(full)
    migrate(url_of(full))
    held.close()
    assert backups(full) == ["explorer.db.v1.bak"] and f"{full}.v1.bak" in caplog.text
    kept = full.with_name("explorer.db.v1.bak")
    assert rows_of(kept) == before and stat.S_IMODE(kept.stat().st_mode) == 0o640
    assert before["explorer_trials"] != unchanged["explorer_trials"]
    caplog.clear()
    migrate(url_of(full))
    assert backups(full) == ["explorer.db.v1.bak"] and caplog.text == ""
    assert everything(url_of(kept)) == everything(url_of(full))


def test_no_file_is_overwritten(full):
    """An existing copy stays, and the new one gets the next free name."""
    earlier = full.with_name("explorer.db.v1.bak")
    earlier.write_bytes(b"mine")
    migrate(url_of(full))
    assert earlier.read_bytes() == b"mine" and backups(full) == ["explorer.db.v1-2.bak", "explorer.db.v1.bak"]
    assert version_of(full.with_name("explorer.db.v1-2.bak")) == 1


def test_a_full_disk_is_reported_before_any_change(full, monkeypatch):
    """If the copy cannot be written, one line says so and the database stays unchanged."""
    content = full.read_bytes()
    usage = shutil.disk_usage(full.parent)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=100_000))
        with pytest.raises(StoreError, match=r"is copied to explorer.db.v1.bak, for which 0.4 MiB are needed"):
            migrate(url_of(full))

    def full_disk(path, write):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_file, "write_whole", full_disk)
        with pytest.raises(StoreError, match=r"the copy .*v1.bak .* cannot be written: .*No space left") as caught:
            migrate(url_of(full))
    assert "\n" not in str(caught.value) and full.read_bytes() == content and backups(full) == []


def test_a_damaged_database_is_not_migrated(full):
    """Notes that are not JSON give readers and writers a one-line error, and nothing is changed."""
    with closing(sqlite3.connect(full)) as connection:
        connection.execute("UPDATE explorer_trials SET sampler = '{' WHERE study_id = 1 AND number = 2")
        connection.commit()
    before = rows_of(full)
    for ask in (lambda: open_study(url_of(full), "measured").trials(), lambda: migrate(url_of(full))):
        with pytest.raises(StoreError, match="malformed JSON") as caught:
            ask()
        assert "\n" not in str(caught.value)
    assert rows_of(full) == before and backups(full) == []


ROOT = Path(__file__).parents[3]
KILLED = """
import os, signal, sys
from sqlalchemy import Connection
from explorer.store import migrations
from explorer.store.database import open_for_writing
done, execute = [], Connection.execute
def counted(self, statement, *args, **kwargs):
    if str(statement).startswith(("ALTER", "UPDATE explorer_")):
        done.append(statement)
        if len(done) > int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
    return execute(self, statement, *args, **kwargs)
Connection.execute = counted
open_for_writing(sys.argv[1])
"""


@pytest.mark.parametrize("statements", [*(pytest.param(few, marks=pytest.mark.slow) for few in (0, 4)), 9])
def test_a_killed_migration_changes_nothing(full, statements):
    """A process killed during the migration leaves the tables of version 1, and the next opening migrates them."""
    before = everything(url_of(full))
    killed = subprocess.run([sys.executable, "-c", KILLED, url_of(full), str(statements)], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL and version_of(full) == 1
    assert everything(url_of(full)) == before and backups(full) == ["explorer.db.v1.bak"]
    migrate(url_of(full))
    assert everything(url_of(full)) == before and version_of(full) == migrations.SCHEMA_VERSION


def test_a_trigger_in_an_old_database_blocks_migration(full):
    """A database with a trigger is not migrated, because the trigger could discard the moved rows."""
    with closing(sqlite3.connect(full)) as connection:
        connection.execute("CREATE TRIGGER lost BEFORE UPDATE ON explorer_trials BEGIN SELECT raise(IGNORE); END")
    with pytest.raises(StoreError, match="has a trigger, 'lost'"):
        migrate(url_of(full))
    assert version_of(full) == 1 and backups(full) == []
