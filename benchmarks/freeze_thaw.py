"""Measures what freezing and thawing trainings would save, on recorded learning curves.

    python benchmarks/early_stopping.py record digits --networks 48 --curves digits.jsonl
    python benchmarks/freeze_thaw.py --curves digits.jsonl [--orders 20]

A model of learning curves predicts the final accuracy of every network. ``gain`` is a stopping rule: a stopped network
is trained again from its first epoch, as a search does. ``freeze-thaw`` pauses networks and continues them where they
were, which a search does not do. Both compare the expected hypervolume per epoch of a network with that of a new one.
Beside them the rules of the explorer and the pruners of Optuna, which know the accuracy alone, see the same orders.
The decision is in ``docs/explanation/decisions``, the figures are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from early_stopping import read_pools, read_runs, search, volume
from scipy.special import ndtr

from explorer.analysis.expected_hypervolume import expected_hypervolume_improvement
from explorer.study.stopping.rules import Curves, Rule, Run, Rungs

Array = np.ndarray
SHARES = (0.2, 0.25, 1 / 3, 0.5, 1.0)  # of all epochs, after which the hypervolume is printed
SHARE = 1 / 3  # of all epochs, that freeze-thaw spends
STEP = 1.5  # factor between two decision epochs
WEIGHT_SD = 0.5  # prior standard deviation of a weight, in standard deviations of its target
NOISE_SD = 0.5  # prior standard deviation of the noise of a step, in standard deviations of its target
RUNS_OF_PRIOR = 3.0  # the priors of noise and of a target's scale weigh as much as this number of runs
MIN_SCALE = 1e-3  # so that equal values do not divide by zero


class Scale(NamedTuple):
    """Mean and standard deviation of the runs at one epoch, (K,) each."""

    mean: Array
    sd: Array


@dataclass(frozen=True)
class Step:
    """The regression from one decision epoch to the next, of standardised values.

    Attributes:
        before: The scale of the inputs.
        after: The scale of the targets.
        weights: (1 + K + F, K) for the constant, the values before and the features.
        uncertainty: (1 + K + F, 1 + K + F) covariance of the weights of one target, over its noise variance.
        noise: (K, K) covariance of the noise.
    """

    before: Scale
    after: Scale
    weights: Array
    uncertainty: Array
    noise: Array

    def take(self, mean: Array, covariance: Array, features: Array) -> tuple[Array, Array]:
        """Return mean (N, K) and covariance (N, K, K) after the step, from those before it."""
        known = np.hstack([np.ones((len(mean), 1)), (mean - self.before.mean) / self.before.sd, features])
        slope = self.weights[1 : 1 + mean.shape[1]].T
        spread = 1 + np.einsum("ij,jk,ik->i", known, self.uncertainty, known)
        carried = slope @ (covariance / np.outer(self.before.sd, self.before.sd)) @ slope.T
        after = known @ self.weights * self.after.sd + self.after.mean
        return after, (carried + spread[:, None, None] * self.noise) * np.outer(self.after.sd, self.after.sd)


def predict_last(values: Array, reached: Array, features: Array) -> tuple[Array, Array]:
    """Predict the values of runs after the last epoch.

    Args:
        values: (N, S, K) values of each run after S decision epochs; those that it has not reached are ignored.
        reached: (N,) number of decision epochs that each run has reached, 0..S.
        features: (N, F) what is known of each run before training.

    Returns:
        Mean and standard deviation, both (N, K). The deviation of a run that has reached all epochs is 0.
    """
    begun = reached > 0
    features = (features - features[begun].mean(0)) / (features[begun].std(0) + MIN_SCALE)
    count, steps, width = values.shape
    mean, covariance = np.zeros((count, width)), np.zeros((count, width, width))
    before = Scale(np.zeros(width), np.ones(width))
    for step in range(steps):
        fitted = _fit(values, reached, features, step, before)
        open_ = reached <= step
        mean[open_], covariance[open_] = fitted.take(mean[open_], covariance[open_], features[open_])
        mean[~open_] = values[~open_, step]
        before = fitted.after
    return mean, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))


def _fit(values: Array, reached: Array, features: Array, step: int, before: Scale) -> Step:
    """Fit the regression that ends at decision epoch ``step``, counted from 0. The first one has features alone.

    The prior expects that a run keeps its place among the runs.
    """
    there = reached > step
    runs, width = int(there.sum()), values.shape[2]
    targets = values[there, step]
    if step:
        inputs = values[there, step - 1]
        if (reached >= step).sum() > 1:
            before = _scale(values[reached >= step, step - 1])
        growth = (_scale(targets).sd / _scale(inputs).sd).clip(0.2, 3.0) if runs > 1 else np.ones(width)
        shift = (targets - inputs).mean(0) if runs else 0.0
        after = Scale(before.mean + shift, before.sd * (RUNS_OF_PRIOR + runs * growth) / (RUNS_OF_PRIOR + runs))
    else:
        inputs, after = np.zeros((runs, width)), _scale(targets)
    known = np.hstack([np.ones((runs, 1)), (inputs - before.mean) / before.sd, features[there]])
    expected = np.zeros((known.shape[1], width))
    expected[1 : 1 + width] = np.eye(width) if step else 0.0
    penalty = np.full(known.shape[1], WEIGHT_SD**-2)
    penalty[0] = 0.1  # the constant is nearly free
    uncertainty = np.linalg.inv(known.T @ known + np.diag(penalty))
    wanted = (targets - after.mean) / after.sd - known @ expected
    change = uncertainty @ known.T @ wanted
    residuals = wanted - known @ change
    noise_sd = NOISE_SD if step else 1.0
    prior = change.T @ (penalty[:, None] * change) + RUNS_OF_PRIOR * noise_sd**2 * np.eye(width)
    noise = (residuals.T @ residuals + prior) / (RUNS_OF_PRIOR + runs)
    return Step(before, after, expected + change, uncertainty, noise)


def _scale(values: Array) -> Scale:
    """Return the scale of values (N, K); the deviation of a single value is unknown and set to 0.1."""
    sd = values.std(0, ddof=1) if len(values) > 1 else np.full(values.shape[1], 0.1)
    return Scale(values.mean(0), sd + MIN_SCALE)


@dataclass(frozen=True)
class Normal:
    """Normal distribution of one objective of N candidates, with mean and deviation (N,)."""

    mean: Array
    sd: Array

    def shortfall(self, bounds: Array) -> Array:
        """Return E[max(0, bound - value)], (N, B), for ``bounds`` (B,): Jones et al. 1998, eq. 15."""
        sd = np.maximum(self.sd, 1e-9)[:, None]
        z = (bounds[None, :] - self.mean[:, None]) / sd
        return np.asarray(np.maximum(0.0, sd * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))))


@dataclass(frozen=True)
class Gains:
    """Expected gains of hypervolume, from error and the logarithm of MACs.

    Attributes:
        states: Accuracy and log losses, (N, E, 3), after each epoch of all networks.
        features: (N, F) log MACs and log depth.
        looks: The decision epochs; the last one ends a training.
    """

    states: Array
    features: Array
    looks: tuple[int, ...]

    def of(self, numbers: Array, epochs: Array) -> tuple[Array, float]:
        """Return the expected gain of each network and that of a new one.

        Args:
            numbers: The networks that were begun.
            epochs: The epochs that each of them has trained.
        """
        looks = np.array(self.looks)
        values = np.tile(self.states[numbers][:, looks - 1], (2, 1, 1))
        reached = np.concatenate([(looks <= epochs[:, None]).sum(1), np.zeros(len(numbers), int)])
        mean, sd = predict_last(values, reached, np.tile(self.features[numbers], (2, 1)))
        costs, done = self.features[numbers, 0], epochs == looks[-1]
        reference = (0.0, costs.max() + 0.1 * np.ptp(costs) + 1e-9)
        front = np.column_stack([-self.states[numbers[done], -1, 0], costs[done]])
        uncertain = Normal(-mean[:, 0], sd[:, 0])
        gains = expected_hypervolume_improvement(front, reference, [uncertain, np.tile(costs, 2)])
        return gains[: len(numbers)], float(gains[len(numbers) :].mean())


def read_gains(path: Path) -> Gains:
    """Return the curves of the first seed of a file."""
    runs = read_runs(path)
    kept = sorted((run for run in runs if run["seed"] == runs[0]["seed"]), key=lambda run: run["network"])
    states = [
        [(e["val_accuracy"], math.log(e["val_loss"] + 1e-9), math.log(e["train_loss"] + 1e-9)) for e in run["curve"]]
        for run in kept
    ]
    features = [(math.log(run["costs"]["macs"]), math.log1p(run["costs"]["weight_layers"])) for run in kept]
    epochs = len(states[0])
    return Gains(np.array(states), np.array(features), (*Curves(step=STEP).decision_epochs(epochs), epochs))


@dataclass
class Gain:
    """The stopping rule: a run continues while an epoch of it gains ``ratio`` times as much as one of a new run.

    ``places`` finds a run by its predictors after the first epoch. The first run is never stopped.
    """

    gains: Gains
    places: dict[tuple[float, ...], int]
    ratio: float

    def decision_epochs(self, epochs: int) -> tuple[int, ...]:
        return self.gains.looks[:-1]

    def reasons(self, epoch: int, judged: Sequence[Run], runs: Sequence[Run]) -> list[str]:
        if not judged or not any(run.complete for run in runs):
            return [""] * len(judged)
        every = [*judged, *runs]
        numbers = np.array([self.places[run.predictors[0]] for run in every])
        found, new = self.gains.of(numbers, np.array([len(run.metrics) for run in every]))
        total = self.gains.looks[-1]
        return [
            "" if gain / (total - epoch) >= self.ratio * new / total else "gains less" for gain in found[: len(judged)]
        ]


Ended = list[tuple[int, int]]  # epochs spent, and the network that was trained to the end with them


def freeze_thaw(gains: Gains, order: Sequence[int]) -> tuple[int, Ended]:
    """Continue the paused network that gains most per epoch, or begin a new one if that gains more.

    A new network is expected to cost ``SHARE`` of its epochs. One epoch is reserved for each that is not begun yet.

    Returns:
        The epochs spent, and when each network was trained to the end.
    """
    total, count = gains.looks[-1], len(order)
    following = dict(zip((0, *gains.looks), gains.looks))
    budget, spent, begun = SHARE * total * count, 0, 0
    epochs = np.zeros(count, int)
    ended: Ended = []
    while True:
        chosen = None
        if begun:
            numbers = np.array(order[:begun])
            found, new = gains.of(numbers, epochs[numbers])
            left = total - epochs[numbers]
            rate = np.where(left > 0, found / np.maximum(left, 1), -1.0)
            if begun == count:
                rate = np.where(spent + left <= budget, rate, -1.0)
            best = int(rate.argmax())
            step = following.get(int(epochs[numbers[best]]), total) - epochs[numbers[best]]
            pays = begun == count or (rate[best] >= new / (SHARE * total) and spent + step + count - begun <= budget)
            chosen = numbers[best] if rate[best] > 0 and pays else None
        if chosen is None:
            if begun == count:
                return spent, ended
            chosen, begun = order[begun], begun + 1
        before = epochs[chosen]
        epochs[chosen] = following[int(before)]
        spent += int(epochs[chosen] - before)
        if epochs[chosen] == total:
            ended.append((spent, int(chosen)))


def follow_rule(rule: Rule, pool: Sequence[Run], order: Sequence[int]) -> tuple[int, Ended]:
    """Replay a search with a stopping rule."""
    number_of = {id(pool[number]): number for number in order}
    used, finished = search([pool[number] for number in order], rule, len(pool[0].metrics))
    spent = np.cumsum(used)
    return int(spent[-1]), [(int(at), number_of[id(run)]) for at, run in zip(spent, finished) if run is not None]


def follow_pruner(pruner: optuna.pruners.BasePruner, pool: Sequence[Run], order: Sequence[int]) -> tuple[int, Ended]:
    """Replay a search with a pruner of Optuna, which takes one objective."""
    study = optuna.create_study(direction="minimize", study_name="replay", pruner=pruner)  # its name seeds Hyperband
    spent, ended = 0, []
    for number in order:
        trial, metrics = study.ask(), pool[number].metrics
        for epoch, (value,) in enumerate(metrics, 1):
            trial.report(value, epoch)
            spent += 1
            if epoch < len(metrics) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, metrics[-1][0])
            ended.append((spent, number))
    return spent, ended


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--curves", type=Path, required=True, metavar="FILE", help="of early_stopping.py record")
    parser.add_argument("--orders", type=int, default=20, help="in which a search might meet the networks")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pool, gains = read_pools(options.curves)[0], read_gains(options.curves)
    count, epochs, worst = len(pool), len(pool[0].metrics), max(run.costs[0] for run in pool)
    places = {run.predictors[0]: number for number, run in enumerate(pool)}
    pruners = optuna.pruners
    methods: dict[str, Callable[[list[int]], tuple[int, Ended]]] = {
        "hyperband": lambda order: follow_pruner(pruners.HyperbandPruner(1, epochs, 3), pool, order),
        "median": lambda order: follow_pruner(pruners.MedianPruner(), pool, order),
        "rungs 1/2.25": lambda order: follow_rule(Rungs(2.25), pool, order),
        "rungs 1/3": lambda order: follow_rule(Rungs(3), pool, order),
        "gain 1.5": lambda order: follow_rule(Gain(gains, places, 1.5), pool, order),
        "freeze-thaw": lambda order: freeze_thaw(gains, order),
    }
    whole = volume(pool, worst)
    print(f"{count} networks, {epochs} epochs, {options.orders} orders; the share of the hypervolume of all networks")
    print(
        "rule          epochs  "
        + "  ".join(f"at {share:.0%}" for share in SHARES)
        + "  10th..90th percentile at the end"
    )
    for name, method in methods.items():
        rows = []
        for shuffle in range(options.orders):
            spent, ended = method(random.Random(shuffle).sample(range(count), count))
            kept = [[pool[number] for at, number in ended if at <= share * count * epochs] for share in SHARES]
            rows.append([spent / (count * epochs), *(volume(runs, worst) / whole if runs else 0.0 for runs in kept)])
        mean, (low, high) = np.mean(rows, axis=0), np.quantile(np.array(rows)[:, -1], [0.1, 0.9])
        print(
            f"{name:<13} {mean[0]:>6.1%}  "
            + "  ".join(f"{value:.3f}" for value in mean[1:])
            + f"  {low:.3f}..{high:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
