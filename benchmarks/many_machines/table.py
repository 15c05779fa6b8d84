"""Networks, accuracies and training times of NAS-Bench-Macro, which replace trainings."""

from __future__ import annotations

import csv
import os
import random
from pathlib import Path
from typing import NamedTuple

from explorer.records import Environment, Epoch, TrainingResult
from explorer.store.rows import Ending, Proposal

SPREAD = 0.1  # standard deviation of the logarithm of a training's time, beside the part that its MACs explain
ENVIRONMENT = Environment("cpu", "simulated", 1, "Linux", "3", {}, "")
OBJECTIVES = {"accuracy": "max", "macs": "min"}


class Network(NamedTuple):
    """A row of the table.

    Attributes:
        name: Its eight digits.
        accuracy: Mean accuracy on CIFAR-10, in 0..1.
        costs: MACs and parameters.
    """

    name: str
    accuracy: float
    costs: dict[str, float]


def read_table() -> list[Network]:
    """Return the networks of NAS-Bench-Macro."""
    folder = os.environ.get("EXPLORER_DATA")
    if not folder:
        raise SystemExit("EXPLORER_DATA names no folder with nas-bench-macro/nas_bench_macro_extract.csv")
    with open(Path(folder) / "nas-bench-macro" / "nas_bench_macro_extract.csv", newline="") as file:
        return [
            Network(
                row["arch"],
                float(row["mean_acc"]) / 100,
                {"macs": float(row["macs"]), "params": float(row["params"]), "weight_layers": 20.0},
            )
            for row in csv.DictReader(file)
        ]


class Trials:
    """Proposals and results of trials, each of another network.

    Args:
        networks: The table. If there are more trials than rows, a row is used again under another digest.
        seed: Seed of the order and of the times.
        seconds: Mean time of a training.
    """

    def __init__(self, networks: list[Network], seed: int = 0, seconds: float = 60.0):
        self._networks = networks
        self._draw = random.Random(seed)
        self._order = self._draw.sample(range(len(networks)), len(networks))
        self._seconds = seconds
        self._mean_macs = sum(network.costs["macs"] for network in networks) / len(networks)

    def proposal(self, number: int, of: int | None = None) -> Proposal:
        """Return the proposal of trial ``number``.

        Args:
            number: Number of the trial.
            of: Number that determines the network; by default the number of the trial.
        """
        place = number if of is None else of
        network = self._network(place)
        choices = {f"layer{position}": digit for position, digit in enumerate(network.name)}
        digest = f"v1-{network.name}{place // len(self._networks):05d}"
        return Proposal(digest, f'{{"network": "{network.name}"}}', choices, network.costs, number)

    def ending(self, number: int, epochs: int = 10) -> Ending:
        """Return the result of the network of ``proposal(number)``."""
        network = self._network(number)
        each = self._seconds / epochs
        curve = tuple(
            Epoch(epoch, 1.0, 1.0, network.accuracy * epoch / epochs, 1.0, 0.1, each) for epoch in range(1, epochs + 1)
        )
        result = TrainingResult(network.accuracy, 1.0, 1.0, epochs, self._seconds, 1000.0, curve)
        objectives = {"accuracy": network.accuracy, "macs": network.costs["macs"]}
        return Ending("complete", objectives, result, environment=ENVIRONMENT, duration=self._seconds)

    def duration(self, number: int) -> float:
        """Draw the time of a training: half of it grows with the MACs, and times of equal networks differ."""
        share = 0.5 + 0.5 * self._network(number).costs["macs"] / self._mean_macs
        return self._seconds * share * self._draw.lognormvariate(-(SPREAD**2) / 2, SPREAD)

    def _network(self, number: int) -> Network:
        return self._networks[self._order[number % len(self._order)]]
