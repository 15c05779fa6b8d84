"""A new fact of trials is a field, a column and a migration step."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.migrations.earlier import (
    migrate,
    url_of,
)

ROOT = Path(__file__).parents[3]

ADDED = {
    "explorer/records.py": (
        "    duration: float | None = None\n",
        "    duration: float | None = None\n    priority: int = 0\n",
    ),
    "explorer/store/schema.py": (
        '    _column("in_order"',
        '    _column("priority", Integer, whole(0), server_default="7"),\n    _column("in_order"',
    ),
    "explorer/store/migrations.py": (
        "step_7())",
        """step_7(), [Change("explorer_trials", "priority", "7", "INTEGER DEFAULT '7' NOT NULL")])""",
    ),
}

USES_IT = """
import sys
from explorer.store.database import open_for_writing
from explorer.store.studies import open_study
from explorer.store.lease import new_worker
from explorer.store.writer import Ending, open_writer
url = sys.argv[1]
before = open_study(url, "measured").trials()
assert {record.priority for record in before} == {7}, before
open_for_writing(url).close()
assert open_study(url, "measured").trials() == before
assert open_writer(url, "interrupted", new_worker()).resume().priority == 7
open_for_writing(f"{url}.new").close()
print("kept")
"""


@pytest.mark.parametrize("migrated", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_new_column_is_a_field_a_column_and_a_step(full, tmp_path, migrated):
    """A record's field, its column and a migration step are enough to add a fact to trials, in databases of every
    version."""
    if migrated:
        migrate(url_of(full))
    shutil.copytree(ROOT / "explorer", tmp_path / "code" / "explorer")  # with its bytecode
    for path, (before, after) in ADDED.items():
        file = tmp_path / "code" / path
        text = file.read_text()
        assert text.count(before) == 1, path
        file.write_text(text.replace(before, after))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "code")}
    command = [sys.executable, "-c", USES_IT, url_of(full)]
    run = subprocess.run(command, cwd=tmp_path / "code", env=environment, capture_output=True, text=True)
    assert run.stdout == "kept\n", run.stderr
