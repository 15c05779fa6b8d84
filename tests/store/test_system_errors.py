"""Errors of the system on the file of a database: a full disk, an unreadable disk, another program's lock."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import tempfile

import pytest
from sqlalchemy.exc import OperationalError

from explorer.errors import StoreError
from explorer.store import sqlite_file
from explorer.store.database import open_for_reading, open_for_writing
from explorer.store.sqlite_file import check_pages, explain
from tests.store.conftest import make_study


def failing(name: str, message: str) -> OperationalError:
    """Return SQLAlchemy's error of an error of SQLite."""
    cause = sqlite3.OperationalError(message)
    cause.sqlite_errorname, cause.sqlite_errorcode = name, getattr(sqlite3, name)
    error = OperationalError("SELECT 1", {}, cause)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("code", ["SQLITE_IOERR_SHMSIZE", "SQLITE_CANTOPEN", "SQLITE_FULL"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(tmp_path, monkeypatch, code, number):
    """SQLite's errors on a full disk, or over a quota, are reported as a full disk."""

    def full(**options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    told = explain(failing(code, "disk I/O error"), tmp_path / "x.db")
    assert told.startswith(f"the disk is full ({os.strerror(number)}), and SQLite writes a file beside the database")
    assert told.endswith("; free some space and run the same command again")


def test_another_error_of_the_system_has_its_reason(tmp_path):
    """An error on a disk with free space has SQLite's name for it, and other errors are unchanged."""
    error = failing("SQLITE_IOERR_READ", "disk I/O error")
    assert explain(error, tmp_path / "x.db") == "disk I/O error (SQLITE_IOERR_READ)"
    assert explain(failing("SQLITE_BUSY", "database is locked"), tmp_path / "x.db") == "database is locked"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("SQLITE_IOERR_READ", "cannot be opened: disk I/O error"),
        ("SQLITE_CORRUPT", "is damaged"),
        ("SQLITE_NOTADB", "is damaged"),
    ],
)
def test_only_sqlite_calls_a_database_damaged(url, tmp_path, monkeypatch, code, message):
    """A database is called damaged if SQLite reports a malformed file, not if it cannot be read."""
    make_study(url).database.close()

    class Engine:
        def connect(self):
            raise failing(code, "disk I/O error")

        def dispose(self):
            pass

    monkeypatch.setattr(sqlite_file, "reading_engine", lambda file: Engine())
    with pytest.raises(StoreError, match=message):
        check_pages(tmp_path / "explorer.db", url)


def test_a_database_on_a_full_disk_is_not_called_damaged(tmp_path):
    """Readers and writers of a database on a really full disk name the full disk, and the database stays readable."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk of its own can be mounted by root alone")
    url = f"sqlite:///{disk}/explorer.db"
    try:
        make_study(url).database.close()
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as stream:
            while os.statvfs(disk).f_bavail:
                stream.write(bytes(4096))
        for opening in (open_for_reading, open_for_writing):
            with pytest.raises(StoreError, match=r"the disk is full \(No space left on device\)") as caught:
                opening(url)
            assert "damaged" not in str(caught.value) and "\n" not in str(caught.value)
        ballast.unlink()
        open_for_reading(url).close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
