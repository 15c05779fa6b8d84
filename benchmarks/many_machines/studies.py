"""Time and memory of a study of many trials: open it, show its frontier, resume its search, propose.

The trials are distinct networks of a space with made-up accuracies (``ask_time.py``), written to the tables as a search
writes them. Each measurement is a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ask_time import made_trials

import explorer
from explorer.records import TrialRecord
from explorer.store.database import open_for_writing
from explorer.store.rows import Ending, Proposal, ending_row, next_revision, proposal_row
from explorer.store.schema import architectures, claims, studies, trials
from explorer.store.studies import find_study
from explorer.study.search import run_search

SPACE = "se_dilation_bottleneck"
ROWS = 2_000  # in one statement
ASKS = 4


def evaluate(architecture: explorer.Architecture, *, choices: Mapping[str, str], epochs: Any, seed: int) -> Any:
    """Return a made-up accuracy."""
    return {"accuracy": 0.5}


def measure_study(storage: str, count: int) -> dict[str, Any]:
    """Measure a study.

    Args:
        storage: Database.
        count: Number of trials.
    """
    name = f"study-{count}-{time.time_ns()}"
    build_study(storage, name, count)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    found: dict[str, Any] = {"trials": count}
    for part in ("show", "resume"):
        command = [sys.executable, "-m", "many_machines.studies", part, storage, name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        found |= json.loads(answer.splitlines()[-1])
    return found


def build_study(storage: str, name: str, count: int) -> None:
    """Create a study with a search of one trial, and add trials until it has ``count``."""
    space = explorer.load_space(SPACE)
    run_search(space, storage=storage, study=name, evaluate=evaluate, trials=1, sampler="random", workers=1)
    database = open_for_writing(storage)
    study = find_study(database, name)
    made = made_trials(space, count)[1:]

    def insert(rows: list[TrialRecord]) -> None:
        def work(connection: Any) -> None:
            revision = next_revision(connection, study.id)
            each = [_row(record, study.id, revision + place) for place, record in enumerate(rows)]
            own = [{"digest": row["digest"], "json": "{}"} for row in each]
            connection.execute(architectures.insert(), own)
            connection.execute(trials.insert(), each)
            taken = [{"study_id": study.id, "digest": row["digest"], "number": row["number"]} for row in each]
            connection.execute(claims.insert(), taken)
            last = studies.update().where(studies.c.id == study.id).values(revision=revision + len(rows))
            connection.execute(last)

        database.write(work)

    for first in range(0, len(made), ROWS):
        insert(made[first : first + ROWS])
    database.close()


def _row(record: TrialRecord, study_id: int, revision: int) -> dict[str, Any]:
    """Return the columns of a trial; one that runs in ``made_trials`` has failed here, since no worker runs it."""
    state = "failed" if record.state == "running" else record.state
    digest = f"v1-{record.digest}-{study_id}"
    proposal = Proposal(digest, "{}", record.choices, record.costs, record.number)
    measured = {"accuracy": record.objectives["accuracy"], "macs": record.costs["macs"]} if record.objectives else {}
    ending = Ending(state, measured, duration=60.0, failure="network" if state == "failed" else "")
    own = {"study_id": study_id, "number": record.number, "revision": revision, "worker": "made:up:1:1:0"}
    times = {"started": 1.7e9 + record.number, "finished": 1.7e9 + record.number + 60, "attempt": 1, "same_as": None}
    blank = {"environment": None, "lease_until": None}
    return {**proposal_row(proposal), **ending_row(ending), **own, **times, **blank}


class Clock:
    """CPU and wall time since the last reading."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self, name: str) -> dict[str, float]:
        """Return both times since the last reading, and begin again."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        self.__init__()  # type: ignore[misc]
        return {f"{name} CPU s": cpu, f"{name} s": wall}


def show(storage: str, name: str) -> dict[str, float]:
    """Open a study and return its frontier, as ``explorer frontier`` does."""
    clock = Clock()
    study = explorer.open_study(storage, name)
    frontier = study.frontier()
    return {**clock.read("open and show"), "frontier": len(frontier)}


def resume(storage: str, name: str) -> dict[str, float]:
    """Resume the search until it has proposed some networks."""
    space, found = explorer.load_space(SPACE), dict[str, float]()
    counts = explorer.open_study(storage, name).counts()
    target = counts["complete"] + counts["stopped"] + ASKS
    clock, asks = Clock(), list[dict[str, float]]()

    def progress(event: explorer.Event) -> None:
        if event.kind == "begun":
            found.update(clock.read("resume"))
        elif event.kind == "started":
            asks.append(clock.read("ask"))
        elif event.kind == "ended":
            clock.read("")

    run_search(space, storage=storage, study=name, evaluate=evaluate, trials=target, workers=1, progress=progress)
    found |= {f"first {key}": value for key, value in asks[0].items()}
    found |= {key: statistics.median(each[key] for each in asks[1:]) for key in asks[0]}
    return {**found, "memory MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    print(json.dumps({"show": show, "resume": resume}[sys.argv[1]](sys.argv[2], sys.argv[3])))
