"""Measures the trials per second of many workers whose trials sleep, against the ideal without any other work.

    python benchmarks/many_machines/engine_throughput.py            # about 4 minutes
    python benchmarks/many_machines/engine_throughput.py --engines ray --sampler frontier --record FILE

``ray``: one search on a Ray cluster of two nodes. ``postgresql``: a process for each worker on a private PostgreSQL
server. The rate is that between the first and the last ``--workers`` ended trials, when all workers are busy. All
processes run on this machine, so it also does the work of the machines that the workers would have.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from many_machines.cluster import ray_nodes  # noqa: E402
from many_machines.recording import Recorder  # noqa: E402
from many_machines.server import private_server  # noqa: E402
from many_machines.sleeper import start  # noqa: E402

import explorer  # noqa: E402


def rate(storage: str, workers: int) -> float:
    """Return the trials per second of a study between its first and its last ``workers`` ended trials."""
    ends = sorted(record.finished for record in explorer.open_study(storage, "sleepers").trials(full=False))
    first, last = ends[workers - 1], ends[-workers]
    return (len(ends) - 2 * workers + 1) / (last - first)


def measure(engine: str, workers: int, trials: int, seconds: float, sampler: str, folder: Path) -> dict[str, object]:
    """Run the trials on an engine, and return the rate as a share of the ideal."""
    options = {"trials": trials, "seconds": seconds, "sampler": sampler, "starts": folder / "starts"}
    cpu = os.times()
    if engine == "ray":
        storage = f"sqlite:///{folder}/ray.db"
        with ray_nodes(2, workers // 2) as nodes:
            search = start(**options, storage=storage, engine="ray", address=nodes.address, workers=workers)
            status = search.wait()
        found = rate(storage, workers)
    else:
        with private_server() as server:
            searches = [start(**options, storage=server.url) for _ in range(workers)]
            status = max(search.wait() for search in searches)
            found = rate(server.url, workers)
    if status:
        raise SystemExit(f"a search ended with status {status}")
    used = os.times()
    spent = used.children_user + used.children_system - cpu.children_user - cpu.children_system
    ideal = workers / seconds
    return {
        "engine": engine,
        "sampler": sampler,
        "workers": workers,
        "trials": trials,
        "trials/s": found,
        "of ideal": found / ideal,
        "CPU s a trial": spent / trials,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="ray,postgresql")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=2.0, help="time of a trial")
    parser.add_argument("--sampler", default="random,frontier")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--record", type=Path, help="a Markdown file, to which the results are added")
    given = parser.parse_args()
    recorder, found = Recorder(given.record, sys.argv, "SQLite (ray) and PostgreSQL"), []
    for _ in range(given.repeats):
        for engine in given.engines.split(","):
            for sampler in given.sampler.split(","):
                with tempfile.TemporaryDirectory() as folder:
                    row = measure(engine, given.workers, given.trials, given.seconds, sampler, Path(folder))
                found.append({"engine and sampler": f"{engine}, {sampler}", **row})
                print(json.dumps(row), flush=True)
    recorder.add("engine throughput", found)


if __name__ == "__main__":
    main()
