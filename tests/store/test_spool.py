"""Results that wait in files until the database can be written to."""

from __future__ import annotations

import json
import os
from dataclasses import fields

from explorer.store import spool
from explorer.store.writer import Ending

FULL = Ending(
    "failed",
    objectives={"accuracy": 0.5},
    reason="RuntimeError: a bug",
    weights="a" * 64,
    expected={"accuracy": 0.6},
    seconds=2.5,
    failure="code",
)


def kept(folder, ending: Ending = FULL):
    values = {each.name: getattr(ending, each.name) for each in fields(ending)}
    return spool.keep(folder, "host:space:1:2:ab", 3, values)


def test_every_field_of_an_ending_is_read_back(tmp_path):
    """What was kept is the ending itself, whose it is and of which trial."""
    kept(tmp_path)
    (found,) = spool.unsent(tmp_path)
    assert (Ending(**found.ending), found.worker, found.number) == (FULL, "host:space:1:2:ab", 3)


def test_a_file_of_an_earlier_version_is_read(tmp_path):
    """A file that lacks the entries added since is a result all the same."""
    path = kept(tmp_path, Ending("complete", objectives={"accuracy": 0.5}))
    content = json.loads(path.read_text())
    for added in ("seconds", "failure"):
        del content["ending"][added]
    path.write_text(json.dumps(content))
    (found,) = spool.unsent(tmp_path)
    assert Ending(**found.ending) == Ending("complete", objectives={"accuracy": 0.5})


def test_what_is_no_regular_file_is_left_alone(tmp_path, caplog):
    """A pipe is not waited for, a link is not followed, a folder is no result; the results beside them are read."""
    kept(tmp_path)
    os.mkfifo(tmp_path / "0-a.json")
    (tmp_path / "1-b.json").symlink_to("/dev/zero")
    (tmp_path / "2-c.json").mkdir()
    (found,) = spool.unsent(tmp_path)
    assert found.number == 3
    assert [record.getMessage().count("cannot be read") for record in caplog.records] == [1, 1, 1]
