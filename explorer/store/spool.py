"""Results that could not be written at once, kept in files beside the study's artifacts until they are.

A training may be hours of work, a database away for minutes. What has ended is flushed to the disk when its
first writing fails; whoever writes to the study next delivers what a lost process left there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from explorer.records import environment_from_json
from explorer.store.checking import DamagedRow, check_row, one_of
from explorer.store.rows import Ending, ending_row, read_row, short
from explorer.store.schema import trials
from explorer.system.files import read_regular, write_atomically

MAX_BYTES = 64 << 20  # of a result's file; a curve of 100,000 epochs takes 20 MB
_log = logging.getLogger(__name__)


_STATES = {"state": one_of("complete", "stopped", "failed")}
_RENAMED = {"seconds": "duration"}  # entries of files of earlier versions, which held dicts where columns hold JSON


class Unsent(NamedTuple):
    """A result in a file, and whose it is."""

    path: Path
    worker: str
    number: int
    ending: Ending


def keep(folder: Path, worker: str, number: int, ending: Ending) -> Path:
    """Write a result to a file of ``folder``; return its path. Raises OSError where that cannot be."""
    entries = ending_row(ending) | {"reason": short(ending.reason), "environment": None}
    if ending.environment is not None:
        entries["environment"] = json.dumps(asdict(ending.environment))
    path = folder / f"{number}-{worker.rpartition(':')[2]}.json"
    write_atomically(path, json.dumps({"worker": worker, "number": number, "ending": entries}).encode())
    return path


def unsent(folder: Path) -> Iterator[Unsent]:
    """The results in the files of ``folder``; one that cannot be read is named in the log and left alone."""
    for path in sorted(folder.glob("*.json")):
        try:
            yield _read(path)
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, DamagedRow) as error:
            _log.warning("%s: a result that waits to be written cannot be read: %s", path, error)


def _read(path: Path) -> Unsent:
    kept = json.loads(read_regular(path, MAX_BYTES, follow_links=False))
    entries = {_RENAMED.get(name, name): entry for name, entry in kept["ending"].items()}
    entries = {name: json.dumps(entry) if type(entry) is dict else entry for name, entry in entries.items()}
    environment = entries.pop("environment")
    entries["reason"] = short(entries["reason"])
    check_row("the result", entries, _STATES)
    values = read_row("the result", trials, {"worker": kept["worker"], "number": kept["number"], **entries})
    values["environment"] = None if environment is None else environment_from_json(environment)
    return Unsent(path, values.pop("worker"), values.pop("number"), Ending(**values))
