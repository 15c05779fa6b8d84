"""The number of trials that several processes begin, read and end per second in one study, without training."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from many_machines.table import OBJECTIVES, Trials, read_table

from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.studies import create_study, find_study
from explorer.store.writer import StudyWriter

START_SECONDS = 10.0  # that the processes have to start
READY = "ready\n"


def measure_lives(storage: str, workers: int, seconds: float) -> dict[str, Any]:
    """Measure trial lives per second.

    Args:
        storage: Database.
        workers: Number of processes.
        seconds: Time in which lives are counted.
    """
    database, name = open_for_writing(storage), f"lives-{workers}-{time.time_ns()}"
    create_study(database, name, space_name="macro", space_text="", fingerprint={}, objectives=OBJECTIVES, seed=0)
    database.close()
    arguments = [sys.executable, "-m", "many_machines.lives", storage, name, str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    children = [
        subprocess.Popen(
            [*arguments, str(number), str(workers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(workers)
    ]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == READY
    began = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    lives = [int(child.communicate()[0]) for child in children]
    took = time.perf_counter() - began
    return {"workers": workers, "lives": sum(lives), "seconds": took, "lives_per_second": sum(lives) / took}


def live(storage: str, name: str, seconds: float, number: int, workers: int) -> int:
    """Begin, read and end trials of a study for some seconds; return their number."""
    database, trials = open_for_writing(storage), Trials(read_table())
    writer = StudyWriter(find_study(database, name), new_worker())
    print(READY, end="", flush=True)
    sys.stdin.readline()
    end, done, revision, read = time.perf_counter() + seconds, 0, 0, 0
    while time.perf_counter() < end:
        network = number + done * workers

        def numbered(trial: int, network: int = network) -> Any:
            return trials.proposal(trial, of=network)

        record = writer.begin(read, numbered(read), 10**9, numbered)
        for _ in range(2):  # as a search does after the beginning and after the end of a trial
            changed = writer.study.trials(revision, full=False)
            revision = max([revision, *(each.revision for each in changed)])
            read = max([read, *(each.number + 1 for each in changed)])
            writer.known.revision, writer.known.count = revision, read
            if record.number in writer.held:
                writer.finish(record.number, trials.ending(network))
        done += 1
    database.close()
    return done


if __name__ == "__main__":
    url, study, duration, first, step = sys.argv[1:]
    print(live(url, study, float(duration), int(first), int(step)))
