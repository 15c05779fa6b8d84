"""Results that wait in files until the database can be written to."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from explorer.records import Environment
from explorer.store import spool
from explorer.store.rows import Ending

FULL = Ending(
    "failed",
    objectives={"accuracy": 0.5},
    reason="RuntimeError: a bug",
    weights="a" * 64,
    expected={"accuracy": 0.6},
    duration=2.5,
    failure="code",
)


def kept(folder, ending: Ending = FULL):
    return spool.keep(folder, "host:space:1:2:ab", 3, ending)


def test_every_field_of_an_ending_is_read_back(tmp_path):
    """A spooled result is read back with its fields, its worker and its trial."""
    kept(tmp_path)
    (found,) = spool.unsent(tmp_path)
    assert (found.ending, found.worker, found.number) == (FULL, "host:space:1:2:ab", 3)


def test_a_file_of_an_earlier_version_is_read(tmp_path):
    """A file with the entries and names of earlier versions is read as a result."""
    environment = {"device": "cpu", "device_name": "AMD", "threads": 1, "platform": "Linux", "python": "3.11.7",
                   "versions": {"torch": "2.13.0"}, "commit": "80da549"}  # fmt: skip
    early = {"state": "complete", "objectives": {"accuracy": 0.5}, "result": None, "reason": "", "weights": "",
             "environment": None, "resumable": False, "expected": {}}  # fmt: skip
    later = {**early, "environment": json.dumps(environment), "seconds": 2.5, "failure": ""}
    for number, ending in enumerate((early, later)):
        content = {"worker": "host:space:1:2:ab", "number": number, "ending": ending}
        (tmp_path / f"{number}-ab.json").write_text(json.dumps(content))
    found = [each.ending for each in spool.unsent(tmp_path)]
    complete = Ending("complete", objectives={"accuracy": 0.5})
    assert found == [complete, replace(complete, environment=Environment(**environment), duration=2.5)]


def test_irregular_files_are_ignored(tmp_path, caplog):
    """Pipes, links and folders are ignored without waiting, and the results beside them are read."""
    kept(tmp_path)
    os.mkfifo(tmp_path / "0-a.json")
    (tmp_path / "1-b.json").symlink_to("/dev/zero")
    (tmp_path / "2-c.json").mkdir()
    (found,) = spool.unsent(tmp_path)
    assert found.number == 3
    assert [record.getMessage().count("cannot be read") for record in caplog.records] == [1, 1, 1]
