"""Files of results that could not be written to the database yet, in the study's artifacts folder.

A training may take hours, and the database may be unavailable for minutes. If the first attempt to write a result
fails, the result is saved to a file. If its process is then lost, the next worker of the study writes it to the
database.
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

MAX_BYTES = 64 << 20  # size of a result's file that is read; a curve of 100,000 epochs takes 20 MB
_log = logging.getLogger(__name__)


_STATES = {"state": one_of("complete", "stopped", "failed")}
_RENAMED = {"seconds": "duration"}  # entries of files of earlier versions, in which JSON columns are dicts


class Unsent(NamedTuple):
    """A result in a file.

    Attributes:
        path: The file.
        worker: The worker that ran the trial.
        number: The trial's number.
        ending: The trial's result.
    """

    path: Path
    worker: str
    number: int
    ending: Ending


def keep(folder: Path, worker: str, number: int, ending: Ending) -> Path:
    """Write a result to a file.

    Args:
        folder: The folder of such files.
        worker: The worker that ran the trial.
        number: The trial's number.
        ending: The trial's result.

    Returns:
        The path of the file.

    Raises:
        OSError: The file cannot be written.
    """
    entries = ending_row(ending) | {"reason": short(ending.reason), "environment": None}
    if ending.environment is not None:
        entries["environment"] = json.dumps(asdict(ending.environment))
    path = folder / f"{number}-{worker.rpartition(':')[2]}.json"
    write_atomically(path, json.dumps({"worker": worker, "number": number, "ending": entries}).encode())
    return path


def unsent(folder: Path) -> Iterator[Unsent]:
    """Yield the results in the files of ``folder``. A file that cannot be read is logged and skipped."""
    for path in sorted(folder.glob("*.json")):
        try:
            yield _read(path)
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, DamagedRow) as error:
            _log.warning("%s: an unsent result cannot be read: %s", path, error)


def _read(path: Path) -> Unsent:
    content = json.loads(read_regular(path, MAX_BYTES, follow_links=False))
    entries = {_RENAMED.get(name, name): entry for name, entry in content["ending"].items()}
    entries = {name: json.dumps(entry) if type(entry) is dict else entry for name, entry in entries.items()}
    environment = entries.pop("environment")
    entries["reason"] = short(entries["reason"])
    check_row("the result", entries, _STATES)
    values = read_row("the result", trials, {"worker": content["worker"], "number": content["number"], **entries})
    values["environment"] = None if environment is None else environment_from_json(environment)
    return Unsent(path, values.pop("worker"), values.pop("number"), Ending(**values))
