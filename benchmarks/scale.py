"""Measures studies of many trials and of many workers. A table replaces the trainings; EXPLORER_DATA names its folder.

    python benchmarks/scale.py simulate --workers 1,8,64,256,1000             # about 10 minutes on two quiet cores
    python benchmarks/scale.py studies --trials 1000,10000,100000             # about 6 minutes
    python benchmarks/scale.py lives --workers 1,8                            # about 2 minutes

Each takes ``--storage``: sqlite, postgresql (a private server, which is started) or the URL of an empty PostgreSQL
database. ``--repeats`` repeats it; ``--record FILE`` adds the results to a record, ``--plot FILE`` draws a simulation.
The networks, accuracies and MACs are those of NAS-Bench-Macro; a training takes 60 seconds on average.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from many_machines.lives import measure_lives  # noqa: E402
from many_machines.plot import draw  # noqa: E402
from many_machines.recording import Recorder  # noqa: E402
from many_machines.server import private_server, server_version  # noqa: E402
from many_machines.simulation import simulate  # noqa: E402
from many_machines.studies import measure_study  # noqa: E402
from many_machines.table import Trials, read_table  # noqa: E402


@contextmanager
def storage_of(named: str, connections: int) -> Iterator[tuple[str, str]]:
    """Yield the URL of a storage and its description."""
    if named == "postgresql":
        with private_server(connections) as server:
            yield server.url, server_version(server.url)
    elif named == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/scale.db", "SQLite"
    else:
        yield named, server_version(named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulate", "studies", "lives"))
    parser.add_argument("--workers", default="1,8,64,256,1000", help="numbers of workers")
    parser.add_argument("--trials", default="1000,10000,100000", help="numbers of trials of a study")
    parser.add_argument("--each", type=int, default=3, help="trials of each simulated worker")
    parser.add_argument("--seconds", type=float, default=60.0, help="mean time of a simulated training; of lives: 10 s")
    parser.add_argument("--ask", type=float, default=0.3, help="seconds of a proposal in the simulation")
    parser.add_argument("--storage", default="postgresql", help="sqlite, postgresql or a URL")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--record", type=Path, help="a Markdown file, to which the results are added")
    parser.add_argument("--plot", type=Path, help="an SVG or PNG file of a simulation")
    given = parser.parse_args()
    workers = [int(number) for number in given.workers.split(",")]
    found: list[dict[str, object]] = []
    with storage_of(given.storage, connections=max(100, *workers)) as (url, shown):
        recorder = Recorder(given.record, sys.argv, shown)
        for repeat in range(given.repeats):
            if given.what == "simulate":
                trials = Trials(read_table(), seed=repeat, seconds=given.seconds)
                rows = (simulate(url, number, trials, given.each, given.ask) for number in workers)
            elif given.what == "lives":
                rows = (measure_lives(url, number, min(given.seconds, 10.0)) for number in workers)
            else:
                rows = (measure_study(url, int(number)) for number in given.trials.split(","))
            for row in rows:
                found.append(row)
                print(json.dumps(row), flush=True)
        recorder.add(given.what, found)
    if given.plot:
        draw(given.plot, found)


if __name__ == "__main__":
    main()
