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
from typing import Any, NamedTuple

from explorer.records import FAILURES, TrainingResult, environment_from_json
from explorer.store.checking import FLAG, NUMBER, NUMBERS, Check, DamagedRow, check_row, one_of, optional, text, whole
from explorer.system.files import read_regular, write_atomically

MAX_BYTES = 64 << 20  # of a result's file; a curve of 100,000 epochs takes 20 MB
_log = logging.getLogger(__name__)


_ANY = Check(lambda value: True, "anything")
_UNSENT = {
    "worker": text(1_000),
    "number": whole(0),
    "state": one_of("complete", "stopped", "failed"),
    "objectives": NUMBERS,
    "expected": NUMBERS,
    "reason": text(),
    "weights": text(64),
    "resumable": FLAG,
    "result": _ANY,
    "environment": _ANY,
    "seconds": optional(NUMBER),
    "failure": one_of("", *FAILURES),
}
_ADDED = {"seconds": None, "failure": ""}  # entries that files of earlier versions lack, and their values


class Unsent(NamedTuple):
    """A result in a file: whose it is, and the fields of its ``Ending``."""

    path: Path
    worker: str
    number: int
    ending: dict[str, Any]


def keep(folder: Path, worker: str, number: int, ending: dict[str, Any]) -> Path:
    """Writes a result to a file of ``folder``; returns its path. Raises OSError where that cannot be."""
    result, environment = ending["result"], ending["environment"]
    fields = {
        **ending,
        "objectives": dict(ending["objectives"]),
        "expected": dict(ending["expected"]),
        "result": result.to_json() if result is not None else None,
        "environment": json.dumps(asdict(environment)) if environment is not None else None,
    }
    path = folder / f"{number}-{worker.rpartition(':')[2]}.json"
    write_atomically(path, json.dumps({"worker": worker, "number": number, "ending": fields}).encode())
    return path


def unsent(folder: Path) -> Iterator[Unsent]:
    """The results in the files of ``folder``; one that cannot be read is named in the log and left alone."""
    for path in sorted(folder.glob("*.json")):
        try:
            kept = json.loads(read_regular(path, MAX_BYTES, follow_links=False))
            ending = {**_ADDED, **kept["ending"]}
            if ending["result"] is not None:
                ending["result"] = TrainingResult.from_json(ending["result"])
            if ending["environment"] is not None:
                ending["environment"] = environment_from_json(ending["environment"])
            check_row("the result", {"worker": kept["worker"], "number": kept["number"], **ending}, _UNSENT)
            if unknown := set(ending) - set(_UNSENT):
                raise DamagedRow(f"unknown entries {', '.join(sorted(unknown))}")
            yield Unsent(path, kept["worker"], kept["number"], ending)
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, DamagedRow) as error:
            _log.warning("%s: a result that waits to be written cannot be read: %s", path, error)
