"""Measures what pausing and continuing trainings saves, on recorded learning curves.

    python benchmarks/early_stopping.py record digits --networks 48 --curves digits.jsonl
    python benchmarks/freeze_thaw.py --curves digits.jsonl [--orders 20]

``freeze_thaw`` is the rule of the explorer: a model of learning curves predicts the final values of every network, and
the network that gains most per epoch is trained next. Beside it ``rungs`` and the pruners of Optuna, which know the
accuracy alone, see the same networks in the same orders. The decision is in ``docs/explanation/decisions``, the figures
are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import optuna
from early_stopping import begun, read_pools, search, volume

from explorer.study.stopping.rules import Allowance, FreezeThaw, Rule, Run, Rungs

SHARES = (0.2, 0.25, 1 / 3, 0.5, 1.0)  # of all epochs, after which the hypervolume is printed
Ended = list[tuple[int, int]]  # epochs spent, and the network that was trained to the end with them


def freeze_thaw(rule: FreezeThaw, pool: Sequence[Run], order: Sequence[int]) -> tuple[int, Ended]:
    """Replay a search with one worker that pauses and continues trials.

    Returns:
        The epochs spent, and when each network was trained to the end.
    """
    total = len(pool[0].metrics)
    looks = (*rule.decision_epochs(total), total)
    known: dict[int, Run] = {}
    spent, ended, waiting = 0, Ended(), list(reversed(order))
    while True:
        paused = [number for number, run in known.items() if not run.complete]
        complete = [run for run in known.values() if run.complete]
        allowance = Allowance(new=len(waiting), trials=len(order))
        place = rule.choose([known[number] for number in paused], complete, total, allowance)
        if place is None and not waiting:
            return spent, ended
        chosen = waiting.pop() if place is None else paused[place]
        epochs = len(known[chosen].metrics) if chosen in known else 0
        following = next(look for look in looks if look > epochs)
        known[chosen] = pool[chosen] if following == total else begun(pool[chosen], following)
        spent += following - epochs
        if following == total:
            ended.append((spent, chosen))


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
    pool = read_pools(options.curves)[0]
    count, epochs, worst = len(pool), len(pool[0].metrics), max(run.costs[0] for run in pool)
    pruners = optuna.pruners
    methods: dict[str, Callable[[list[int]], tuple[int, Ended]]] = {
        "hyperband": lambda order: follow_pruner(pruners.HyperbandPruner(1, epochs, 3), pool, order),
        "median": lambda order: follow_pruner(pruners.MedianPruner(), pool, order),
        "rungs 1/2.25": lambda order: follow_rule(Rungs(2.25), pool, order),
        "rungs 1/3": lambda order: follow_rule(Rungs(3), pool, order),
        "freeze_thaw": lambda order: freeze_thaw(FreezeThaw(), pool, order),
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
