"""A database in a folder without write permission."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.errors import StoreError
from explorer.store import list_studies, open_study
from tests.dashboards.conftest import COMPLETE, write_study

NOBODY = 65534

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork and owners of files")


@pytest.fixture
def folder():
    """A folder that everyone may read."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


def as_anyone(ask: Callable[[], object]) -> str:
    """Return the result or error of ``ask`` in a process that lacks the write access of root."""
    answers, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setuid(NOBODY)
            said = str(ask())
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        os.write(told, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(told)
    with os.fdopen(answers) as stream:
        return stream.read()


def test_a_database_in_a_read_only_folder_is_read(folder):
    """A read-only database without a log is readable, and reading leaves no file beside it."""
    file = folder / "explorer.db"
    write_study(f"sqlite:///{file}", "kept").database.close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    file.chmod(0o444)
    folder.chmod(0o555)

    def ask() -> tuple:
        (summary,) = list_studies(f"sqlite:///{file}")
        return summary.name, len(open_study(f"sqlite:///{file}", "kept").trials())

    assert as_anyone(ask) == str(("kept", COMPLETE + 4))
    assert [each.name for each in folder.iterdir()] == ["explorer.db"]


def test_an_unreadable_log_is_an_error(folder):
    """If the last writes are in a log that cannot be read, reading fails instead of returning an older state."""
    source = folder / "source.db"
    study = write_study(f"sqlite:///{source}", "kept")
    held = sqlite3.connect(source)  # a reader keeps the log from being merged
    held.execute("SELECT count(*) FROM explorer_trials").fetchone()
    study.database.close()
    for name in ("", "-wal"):
        shutil.copy(f"{source}{name}", f"{folder}/explorer.db{name}")
        Path(f"{folder}/explorer.db{name}").chmod(0o444)
    held.close()
    assert Path(f"{folder}/explorer.db-wal").stat().st_size
    folder.chmod(0o555)
    said = as_anyone(lambda: list_studies(f"sqlite:///{folder}/explorer.db"))
    assert said.startswith(StoreError.__name__) and "cannot read this database" in said
