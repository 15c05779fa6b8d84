"""Measures how well zero-cost scores, params, MACs and activations rank the trained networks of NAS-Bench-Macro.

    python benchmarks/zero_cost.py --table nas_bench_macro_extract.csv --data-dir DIR --networks 120

Samples networks of the table's 6,561, scores each once on a batch of CIFAR-10 (noise without the data) and prints
Spearman's rank correlation with the published mean accuracy, with its 95% interval, and at equal MACs. The costs are
also ranked on all networks. Records of the output are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import time
from pathlib import Path
from statistics import median

import torch

import explorer
from explorer.analysis.ranking import Correlation, rank_correlations
from explorer.data.dataset import load_data
from explorer.errors import DataError
from explorer.scoring.names import NAMES
from explorer.scoring.space import SUMMED_COSTS
from explorer.system.environment import describe_environment

SPACE = Path(__file__).with_name("nas_bench_macro.yaml")


def main() -> None:
    options = read_options()
    with open(options.table, newline="") as file:
        rows = list(csv.DictReader(file))
    torch.set_num_threads(1)
    space = explorer.load_space(str(SPACE))
    try:
        data = load_data("cifar10", options.data_dir)
    except DataError:
        data = None
    environment = describe_environment("cpu", 1)
    images = "noise" if data is None else "CIFAR-10"
    print(f"{environment.device_name}, torch {environment.versions['torch']}, one thread; {images}")

    costs = [explorer.cost(space.architecture(index)).to_dict() for index in range(len(rows))]
    accuracy = [float(row["mean_acc"]) for row in rows]
    macs = [cost["macs"] for cost in costs]
    plain = {name: [cost[name] for cost in costs] for name in SUMMED_COSTS}
    show(f"all {len(rows):,} networks", rank_correlations(plain, accuracy, macs))

    drawn = random.Random(options.seed).sample(range(len(rows)), options.networks)
    scores: dict[str, list[float | None]] = {name: [] for name in NAMES}
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for count, index in enumerate(drawn, 1):
        for name in NAMES:
            began = time.process_time()
            found = explorer.score(space.architecture(index), [name], data=data, batch=options.batch, seed=options.seed)
            scores[name].append(found[name])
            seconds[name].append(time.process_time() - began)
        print(f"{count} of {options.networks}", end="\r", flush=True)
    numbers = {**scores, **{name: [values[index] for index in drawn] for name, values in plain.items()}}
    chosen = [accuracy[index] for index in drawn], [macs[index] for index in drawn]
    show(f"{options.networks} networks, seed {options.seed}", rank_correlations(numbers, *chosen))
    print("CPU-seconds a network, median: ", ", ".join(f"{name} {median(seconds[name]):.2f}" for name in NAMES))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = Path(os.environ.get("EXPLORER_DATA", ".")) / "nas-bench-macro" / "nas_bench_macro_extract.csv"
    parser.add_argument("--table", type=Path, default=default)
    parser.add_argument("--data-dir", default=os.environ.get("EXPLORER_DATA"))
    parser.add_argument("--networks", type=int, default=120)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if not given.table.is_file():
        parser.error(f"there is no table {given.table}; name it with --table, or its folder's parent in EXPLORER_DATA")
    return given


def show(title: str, found: list[Correlation]) -> None:
    print(f"\n| {title} | rank correlation | 95% interval | at equal MACs |\n|---|---|---|---|")
    for each in found:
        interval = "" if each.ci95 is None else f"{each.ci95[0]:.3f} to {each.ci95[1]:.3f}"
        print(f"| {each.name} | {shown(each.rho)} | {interval} | {shown(each.at_equal_macs)} |")


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
