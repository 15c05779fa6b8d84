"""Helpers that kill, stop and starve a search in its own process, and the invariant that must hold afterwards."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from explorer.store.studies import open_study
from explorer.study.events import Event, Progress

# EXPLORER_FUZZ_SCALE=4 kills four times as often.
SCALE = int(os.environ.get("EXPLORER_FUZZ_SCALE", "1"))
SCRIPT = """
import sys
from explorer.space.search_space import parse_space
from explorer.store import database, lease
from explorer.study.search import run_search
from tests.study import evaluations
from tests.study.faults import acknowledging

if __name__ == "__main__":
    url, name, trials, workers, seconds, acknowledged = sys.argv[1:]
    database.FREE_BYTES = 0  # also on a disk as small as a test's
    lease.LEASE_SECONDS = float(seconds)

    acknowledge = acknowledging(acknowledged)

    def progress(event):
        acknowledge(event)
        print(event.kind, flush=True)

    space = parse_space(evaluations.SPACE_TEXT, "tiny.yaml")
    result = run_search(space, evaluate=getattr(evaluations, name), storage=url, study="one", sampler="random",
                        changed_code="continue", trials=int(trials), workers=int(workers), progress=progress)
    print("result", result.interrupted, result.ended, flush=True)
"""


Start = Callable[..., subprocess.Popen]


def starter(folder: Path, url: str, environment: dict[str, str], started: list[subprocess.Popen]) -> Start:
    """Start searches whose processes carry a marker in their environment, and add each one to ``started``. ``within``
    is a command that wraps the search, such as ``unshare``."""
    script = folder / "search.py"
    script.write_text(SCRIPT)

    def begin(
        evaluation: str, trials: int, workers: int, lease: float = 60.0, within: Sequence[str] = ()
    ) -> subprocess.Popen:
        settings = [evaluation, str(trials), str(workers), str(lease), folder / "acknowledged"]
        marked = {**environment, "EXPLORER_TEST_MARKER": str(folder)}
        process = subprocess.Popen(
            [*within, sys.executable, script, url, *settings],
            env=marked,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    return begin


def acknowledging(path: str | Path) -> Progress:
    """Append each result of a search to the file and sync it to disk as soon as the search reports it."""

    def acknowledge(event: Event) -> None:
        if event.kind == "ended" and event.trial is not None and event.trial.state == "complete":
            with open(path, "a") as stream:
                print(json.dumps([event.trial.number, event.trial.digest, event.trial.objectives]), file=stream)
                stream.flush()
                os.fsync(stream.fileno())

    return acknowledge


def acknowledged(tmp_path: Path) -> dict[int, tuple]:
    path = tmp_path / "acknowledged"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    assert len({number for number, *_ in rows}) == len(rows)
    return {number: (digest, objectives) for number, digest, objectives in rows}


def alive(tmp_path: Path) -> list[int]:
    """Return the processes that carry this test's marker."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and f"EXPLORER_TEST_MARKER={tmp_path}\0".encode() in (entry / "environ").read_bytes() + b"\0"
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def invariant(url: str, tmp_path: Path) -> None:
    """Check that no acknowledged result is lost, numbers are 0..n-1, nothing runs, failures have reasons, networks are
    unique and the file is intact."""
    trials = open_study(url, "one").trials()
    assert [record.number for record in trials] == list(range(len(trials)))
    records = {record.number: record for record in trials}
    for number, (digest, objectives) in acknowledged(tmp_path).items():
        assert (records[number].state, records[number].digest, records[number].objectives) == (
            "complete",
            digest,
            objectives,
        )
    assert not [record for record in trials if record.state == "running"]
    assert all(0 < len(record.reason) <= 500 for record in trials if record.state == "failed")
    evaluated = [record.digest for record in records.values() if record.same_as is None]
    assert len(evaluated) == len(set(evaluated))
    if not url.startswith("sqlite"):
        return
    connection = sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
