"""Measures the overhead of a search beside the trainings: proposing, costing, starting and storing trials, on SQLite.

    python benchmarks/search_overhead.py --trials 400 --sampler tpe

The trials only sleep, several in parallel. The overhead is the time in which workers did not sleep, and the
CPU-seconds of the searching process. Records of the output are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time

from explorer.space.search_space import load_space
from explorer.study.search import run_search
from explorer.system.environment import describe_environment

SLEEP = 1.0  # seconds a trial
TRAINING = 5.0  # seconds of the training that the overhead is held against


def evaluate(architecture, *, choices, epochs, seed) -> dict[str, float]:
    time.sleep(SLEEP)
    return {"accuracy": 1.0 - 1.0 / (1 + seed % 97)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--space", default="preact_variants.yaml")
    options = parser.parse_args()
    environment = describe_environment("cpu", threads=1)
    print(f"{environment.device_name}, {environment.platform}, Python {environment.python}")
    print(f"{options.space}, {options.sampler}, {options.workers} workers, trials of {SLEEP:g} s on SQLite")
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "evaluate": evaluate,
            "storage": f"sqlite:///{folder}/explorer.db",
            "sampler": options.sampler,
            "workers": options.workers,
        }
        space = load_space(options.space)
        run_search(space, trials=options.workers, **settings)  # the children's server is up, all is imported
        wall, cpu = time.monotonic(), cpu_seconds()
        result = run_search(space, trials=options.trials, **settings)
        wall, cpu = time.monotonic() - wall, cpu_seconds() - cpu
        records = [record for record in result.study.trials(full=False) if record.state == "complete"]
    records = sorted(records, key=lambda record: record.finished)[options.workers :]
    report("all", wall, cpu, len(records), options.workers)
    quarter = len(records) // 4
    for name, part in (("first quarter", records[:quarter]), ("last quarter", records[-quarter:])):
        report(name, part[-1].finished - part[0].finished, None, quarter - 1, options.workers)


def report(name: str, wall: float, cpu: float | None, trials: int, workers: int) -> None:
    lost = wall * workers / trials - SLEEP
    line = (
        f"{name}: {1000 * lost:.0f} ms of a place's time a trial, {lost / TRAINING:.1%} of a training of {TRAINING:g} s"
    )
    print(line + (f"; {1000 * cpu / trials:.0f} ms CPU of the searching process" if cpu is not None else ""))


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
