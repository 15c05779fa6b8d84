"""Measures the time and memory of one proposal of the sampler frontier in studies of many trials.

    python benchmarks/ask_time.py --trials 500,5000,20000,100000

The trials are distinct networks of a space with the accuracy of a made-up formula and noise; they are not trained. Of
them 5% were stopped early, 5% failed, and four run. Each number of trials is a process of its own. It times the first
proposal, which derives networks as after a resume, and the median of the next ones, between which one more trial ends.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

import explorer  # noqa: E402
from explorer.costs.whole_space.choices import ABSENT, ChoiceColumns  # noqa: E402
from explorer.costs.whole_space.table import cost_batches  # noqa: E402
from explorer.records import TrialRecord  # noqa: E402
from explorer.study.candidates import Candidates  # noqa: E402
from explorer.study.samplers.registry import make_sampler  # noqa: E402

SHARES = {"stopped": 0.05, "failed": 0.05}
RUNNING = 4
ASKS = 5


def made_trials(space: explorer.SearchSpace, count: int) -> list[TrialRecord]:
    """Return trials of distinct networks with made-up accuracies."""
    draw, trials = random.Random(0), []
    columns = ChoiceColumns(space)
    weights = [[draw.gauss(0, 0.3) for _ in column.options] for column in columns.columns]
    for indices, codes, costs in cost_batches(space, count, 0, columns):
        for place in np.random.default_rng(0).permutation(len(indices)).tolist():
            own = codes[:, place].tolist()
            choices = {c.name: c.options[code] for c, code in zip(columns.columns, own) if code != ABSENT}
            score = sum(weight[code] for weight, code in zip(weights, own) if code != ABSENT)
            score += 0.4 * math.log(costs["macs"][place]) + draw.gauss(0, 0.05)
            accuracy = 1 - 0.9 / (1 + math.exp((score - 6) / 2))
            number, state = len(trials), draw.random()
            kind = next((name for name, share in SHARES.items() if (state := state - share) < 0), "complete")
            kind = "running" if number >= count - RUNNING else kind
            trials.append(
                TrialRecord(
                    number=number,
                    state=kind,
                    digest=f"made-{indices[place]}",
                    choices=choices,
                    costs={name: float(values[place]) for name, values in costs.items()},
                    objectives={"accuracy": accuracy} if kind in ("complete", "stopped") else {},
                )
            )
    return trials


def measure(space_name: str, count: int) -> None:
    space = explorer.load_space(space_name)
    trials = made_trials(space, count + ASKS)
    sampler = make_sampler(Candidates(space, {}, ()), {"accuracy": "max", "macs": "min"}, "frontier", 0)
    for trial in trials[:count]:
        sampler.learn(trial, {})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    walls, times = [], []
    for number in range(count, count + ASKS):
        wall, cpu = time.perf_counter(), time.process_time()
        sampler.ask(number)
        walls.append(time.perf_counter() - wall)
        times.append(time.process_time() - cpu)
        sampler.learn(trials[number], {})
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{space_name} {count:,} trials: first {times[0]:.2f} s CPU ({walls[0]:.2f} s), then"
        f" {statistics.median(times[1:]):.2f} s CPU ({statistics.median(walls[1:]):.2f} s); peak memory"
        f" {after / 1024:.0f} MiB, of which {(after - before) / 1024:.0f} MiB for proposals",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", default="500,5000,20000,100000")
    parser.add_argument("--space", default="se_dilation_bottleneck")
    given = parser.parse_args()
    counts = [int(count) for count in given.trials.split(",")]
    if len(counts) == 1:
        measure(given.space, counts[0])
        return
    for count in counts:
        subprocess.run([sys.executable, __file__, "--trials", str(count), "--space", given.space], check=True)


if __name__ == "__main__":
    main()
