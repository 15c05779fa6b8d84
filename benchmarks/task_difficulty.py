"""Measures how well a task distinguishes networks: trains random networks of a space and prints their accuracies.

    python benchmarks/task_difficulty.py cluttered-digits --networks 24 --seeds 2

A task is useful for searching if the quartiles are far apart, the ranking is similar with another seed (rank
correlation near 1), and the frontier has several networks. Records of the output are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from explorer.analysis.pareto import non_dominated
from explorer.costs.analytic import count_cost
from explorer.data.dataset import load_data
from explorer.networks.build import build_network
from explorer.space.search_space import load_space
from explorer.system.environment import describe_environment
from explorer.training.loop import train_network
from explorer.training.recipe import default_training, recipe


def main() -> None:
    options = read_options()
    data = load_data(options.task, options.data_dir, subset=options.subset)
    default, epochs = default_training(data.name)
    trained_by, epochs = recipe(options.recipe or default, default), options.epochs or epochs
    space = load_space(options.space).with_input(data.shape, data.classes)
    environment = describe_environment("cpu", threads=1)
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}, one thread")
    print(f"{space.name}, {options.networks} draws (seed {options.draw}); training seeds 0..{options.seeds - 1}")
    print(f"{dict(data.fingerprint)}, {epochs} epochs of {trained_by.name}")

    macs = []
    accuracy = np.zeros((options.seeds, options.networks))
    seconds = np.zeros_like(accuracy)
    for column, derivation in enumerate(space.sample(options.networks, seed=options.draw)):
        architecture = space.architecture(derivation)
        macs.append(count_cost(architecture).macs)
        for seed in range(options.seeds):
            started = time.process_time()  # not wall time, which other work on the machine lengthens
            network = build_network(architecture, seed)
            result = train_network(network, data, trained_by, epochs=epochs, seed=seed)
            seconds[seed, column] = time.process_time() - started
            accuracy[seed, column] = result.val_accuracy
    report(np.array(macs), 100 * accuracy, seconds)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", help="a data set, as cluttered-digits")
    parser.add_argument("--space", default="preact_variants.yaml")
    parser.add_argument("--networks", type=int, default=24, help="random draws of the space")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each network")
    parser.add_argument("--draw", type=int, default=0, help="the seed of the draws")
    parser.add_argument("--recipe", help="a name or a JSON file; the task's own by default")
    parser.add_argument("--epochs", type=int, help="the task's own by default")
    parser.add_argument("--data-dir")
    parser.add_argument("--subset", type=int)
    return parser.parse_args()


def report(macs: np.ndarray, accuracy: np.ndarray, seconds: np.ndarray) -> None:
    """Print a table; ``macs``: (networks,); ``accuracy`` in percent and ``seconds``: (seeds, networks)."""
    first = accuracy[0]
    low, lower, median, upper, best = np.percentile(first, [0, 25, 50, 75, 100])
    print(f"accuracy: worst {low:.1f}, quartiles {lower:.1f} / {median:.1f} / {upper:.1f}, best {best:.1f} percent")
    print(f"CPU-seconds a network: mean {seconds.mean():.1f}, from {seconds.min():.1f} to {seconds.max():.1f}")
    front = sorted(
        non_dominated([(cost, -value) for cost, value in zip(macs, first, strict=True)]), key=macs.__getitem__
    )
    print(f"frontier: {len(front)} of {len(macs)}, {first[front[-1]] - first[front[0]]:.1f} points from end to end")
    for place in front:
        print(f"    {macs[place] / 1e6:8.2f} MMACs  {first[place]:5.1f} percent")
    for seed in range(1, len(accuracy)):
        correlation = rank_correlation(first, accuracy[seed])
        deviation = np.sqrt(np.mean((accuracy[seed] - first) ** 2) / 2)  # of one training, from the differences of two
        print(f"seed 0 against {seed}: rank correlation {correlation:.2f}, standard deviation {deviation:.1f} points")


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation; equal values have their mean rank."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        return (ends - (counts - 1) / 2)[place]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


if __name__ == "__main__":
    main()
