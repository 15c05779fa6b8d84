"""Breaks searches on purpose, and counts what is lost.

    python benchmarks/many_machines/faults.py restarts      # about 2 minutes
    python benchmarks/many_machines/faults.py workers       # about 4 minutes
    python benchmarks/many_machines/faults.py ray           # about 4 minutes

``restarts``: four workers on a PostgreSQL server that is restarted at once ten times. ``workers``: twenty workers
that are killed with SIGKILL, one after another, while others take their place. ``ray``: five nodes of a Ray cluster are
killed while a search runs on it. A trial sleeps, and notes its start and its end in a file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from subprocess import Popen
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from many_machines.cluster import ray_nodes  # noqa: E402
from many_machines.recording import Recorder  # noqa: E402
from many_machines.server import private_server  # noqa: E402
from many_machines.sleeper import start  # noqa: E402

import explorer  # noqa: E402
from explorer.store.lease import LEASE_SECONDS, RETRIES  # noqa: E402


def counted(storage: str, starts: Path) -> dict[str, int]:
    """Return what the study and the file of starts and ends say.

    Returns:
        Trials by state; ``unended``: trials that still run in the study; ``most starts``: of one trial;
        ``thrown away``: trials that a process has ended, but that the study has not as complete.
    """
    records = explorer.open_study(storage, "sleepers").trials(full=False)
    lines = [line.split() for line in starts.read_text().splitlines()] if starts.exists() else []
    begun, ended = (Counter(int(seed) for kind, seed, _ in lines if kind == each) for each in ("start", "end"))
    complete = {record.seed for record in records if record.state == "complete"}
    return {
        "complete": len(complete),
        "failed": sum(record.state == "failed" for record in records),
        "unended": sum(record.state in ("running", "interrupted") for record in records),
        "starts": begun.total(),
        "most starts": max(begun.values(), default=0),
        "thrown away": len(set(ended) - complete),
    }


def alive(starts: Path) -> int:
    """Return the number of processes of trials that still run; one that ended and waits for its parent does not."""
    pids = {int(line.split()[2]) for line in starts.read_text().splitlines()} if starts.exists() else set()
    return sum(state_of(pid) not in ("", "Z") for pid in pids)


def state_of(pid: int) -> str:
    """Return the state of a process as ``proc(5)`` writes it, such as "R" or "Z"; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def restarts(folder: Path, times: int, workers: int, trials: int, seconds: float) -> dict[str, Any]:
    """Restart the database under some workers."""
    starts = folder / "starts"
    with private_server() as server:
        searches = [
            start(storage=server.url, trials=trials, seconds=seconds, starts=starts, workers=1) for _ in range(workers)
        ]
        while not starts.exists():
            time.sleep(0.1)
        for _ in range(times):
            time.sleep(random.uniform(0.5, 2.0) * seconds)
            server.restart()
        statuses = [search.wait() for search in searches]
        return {"restarts": times, "workers": workers, "workers that failed": sum(map(bool, statuses))} | counted(
            server.url, starts
        )


def kill(process: Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)  # the search alone: its trial has to end by itself
    process.wait()


def workers(folder: Path, times: int, beside: int, trials: int, seconds: float) -> dict[str, Any]:
    """Kill workers; each time another one takes its place."""
    starts = folder / "starts"
    with private_server() as server:
        options = {"storage": server.url, "trials": trials, "seconds": seconds, "starts": starts, "workers": 1}
        running = [start(**options) for _ in range(beside)]
        while not starts.exists():
            time.sleep(0.1)
        for _ in range(times):
            time.sleep(random.uniform(0.5, 2.0) * seconds)
            kill(running.pop(random.randrange(len(running))))
            running.append(start(**options))
        statuses = [search.wait() for search in running]
        time.sleep(1.0)
        return {
            "killed": times,
            "workers": beside,
            "workers that failed": sum(map(bool, statuses)),
            "processes left": alive(starts),
            "retries": RETRIES,
            **counted(server.url, starts),
        }


def ray(folder: Path, times: int, beside: int, trials: int, seconds: float) -> dict[str, Any]:
    """Kill all nodes of a Ray cluster but two, one after another, while a search runs on it."""
    starts, storage = folder / "starts", f"sqlite:///{folder}/ray.db"
    with ray_nodes(times + 2, 1) as nodes:
        search = start(
            storage=storage, trials=trials, seconds=seconds, starts=starts, engine="ray", address=nodes.address,
            workers=beside,
        )  # fmt: skip
        while not starts.exists():
            time.sleep(0.1)
        for pid in nodes.pids[:times]:
            time.sleep(random.uniform(0.5, 2.0) * seconds)
            os.kill(pid, signal.SIGKILL)
        status = search.wait()
        end = time.monotonic() + 2 * LEASE_SECONDS
        while alive(starts) and time.monotonic() < end:
            time.sleep(0.5)
        return {
            "killed": times,
            "workers": beside,
            "searches that failed": int(bool(status)),
            "processes left": alive(starts),
            "retries": RETRIES,
            **counted(storage, starts),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("restarts", "workers", "ray"))
    parser.add_argument("--times", type=int, help="restarts or kills; by default 10, 20 and 5")
    parser.add_argument("--workers", type=int, default=4, help="workers at a time")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=3.0, help="time of a trial")
    parser.add_argument("--seed", type=int, default=0, help="of the times of the faults")
    parser.add_argument("--record", type=Path, help="a Markdown file, to which the result is added")
    given = parser.parse_args()
    random.seed(given.seed)
    run, usual = {"restarts": (restarts, 10), "workers": (workers, 20), "ray": (ray, 5)}[given.what]
    recorder = Recorder(given.record, sys.argv, "SQLite" if given.what == "ray" else "PostgreSQL")
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), given.times or usual, given.workers, given.trials, given.seconds)
    print(json.dumps(found))
    recorder.add(f"faults: {given.what}", [{"fault": given.what, **found}])


if __name__ == "__main__":
    main()
