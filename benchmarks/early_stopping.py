"""Measures how many epochs early stopping saves, and how much of the hypervolume it loses.

    python benchmarks/early_stopping.py record digits --networks 80 --curves digits.jsonl
    python benchmarks/early_stopping.py replay --curves digits.jsonl
    python benchmarks/early_stopping.py live digits --trials 60 --seeds 11 12 13 --rules rungs freeze_thaw

``record`` trains random networks of a space to the end, with two seeds each, and stores their learning curves.
``replay`` applies each rule to the curves as a search would, in many orders, and compares the hypervolume of the
networks that it trained to the end with that of all networks: with the same number of trials, and with more trials
in a third of the epochs. The reference is the difference between two training seeds of the same networks.
``live`` runs searches with the same seeds, one without stopping and one with each rule. Random networks are the same in
all of them. ``--curves`` stores the curves of the search without stopping for ``replay``.
Records of the output are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np

from explorer.analysis.limits import parse_limit
from explorer.analysis.pareto import hypervolume
from explorer.costs.analytic import count_cost
from explorer.data.dataset import load_data
from explorer.networks.build import build_network
from explorer.records import Epoch, TrialRecord
from explorer.space.search_space import load_space
from explorer.store.lease import RETRIES
from explorer.study.events import Event
from explorer.study.samplers.registry import SAMPLERS
from explorer.study.search import search as search_study
from explorer.study.stopping.learning_curves import MIN_LOSS, predictors_of
from explorer.study.stopping.rules import RULES as STOPPING
from explorer.study.stopping.rules import Curves, Never, Rule, Run, Rungs
from explorer.system.environment import describe_environment
from explorer.training.loop import train_network
from explorer.training.recipe import default_training

RULES: dict[str, Rule] = {
    "none": Never(),
    "rungs 1/2": Rungs(2),
    "rungs 4/9": Rungs(2.25),
    "rungs 2/5": Rungs(2.5),
    "rungs 1/3": Rungs(3),
    "rungs 1/4": Rungs(4),
    "curves, 5%": Curves(0.05),
    "curves, 30%": Curves(0.3),
}


def record(options: argparse.Namespace) -> None:
    """Append one line per training. Trainings that the file already has are skipped, so interrupting is safe."""
    data = load_data(options.data, options.data_dir, subset=options.subset)
    recipe, epochs = default_training(data.name)
    epochs = options.epochs or epochs
    space = load_space(options.space).with_input(data.shape, data.classes)
    path = Path(options.curves)
    there = {(run["network"], run["seed"]) for run in read_runs(path)} if path.exists() else set()
    limits = [parse_limit(text) for text in options.limit or ()]
    fitting = (
        derivation
        for derivation in space.draws(options.draw)
        if all(limit.allows(count_cost(space.architecture(derivation)).to_dict()) for limit in limits)
    )
    derivations = list(islice(fitting, options.networks))
    environment = describe_environment("cpu", threads=1)
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}, one thread")
    print(f"{space.name}, {options.networks} draws (seed {options.draw}), {dict(data.fingerprint)}, {epochs} epochs")
    for seed in range(options.seeds):
        for number, derivation in enumerate(derivations):
            if (number, seed) in there:
                continue
            architecture = space.architecture(derivation)
            network = build_network(architecture, seed)
            result = train_network(network, data, recipe, epochs=epochs, seed=seed)
            run = {
                "network": number,
                "seed": seed,
                "costs": count_cost(architecture).to_dict(),
                "curve": [asdict(epoch) for epoch in result.curve],
            }
            with path.open("a") as stream:
                print(json.dumps(run), file=stream)


def replay(options: argparse.Namespace) -> None:
    """Print for each rule the epochs that it used and the hypervolume of the networks that it trained to the end."""
    pools = read_pools(Path(options.curves))
    size, epochs = len(pools[0]), len(pools[0][0].metrics)
    few = size // 2  # trials of the reference search of the second comparison, which trains all to the end
    print(f"{size} networks, {len(pools)} seeds, {epochs} epochs; {options.orders} orders of each seed")
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in RULES}
    for pool in pools:
        worst = max(run.costs[0] for run in pool)
        for shuffle in range(options.orders):
            order = random.Random(shuffle).sample(range(size), size)
            runs = [pool[number] for number in order]
            whole, half = volume(runs, worst), volume(runs[:few], worst)
            for name, rule in RULES.items():
                used, finished = search(runs, rule, epochs)
                in_third = finished[: int((np.cumsum(used) <= few * epochs / 3).sum())]
                rows[name].append(
                    (
                        sum(used) / (size * epochs),
                        volume([run for run in finished if run], worst) / whole,
                        volume([run for run in in_third if run], worst) / half,
                    )
                )
    if len(pools) > 1:
        print(f"another seed, same networks: {seed_noise(pools, options.orders, few)}")
    print(f"{'rule':<18} {'epochs':>8} {'same trials':>24} {f'a third of {few} trials':>26}")
    for name, values in rows.items():
        share, same, third = np.array(values).T
        print(f"{name:<18} {share.mean():>7.1%} {shown(same):>24} {shown(third):>26}")


def live(options: argparse.Namespace) -> None:
    """Print for each study seed the epochs and results of a search without stopping and of one with each rule."""
    environment = describe_environment("cpu", threads=1)
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}")
    print(", ".join(f"{name} {value}" for name, value in vars(options).items() if name not in ("run", "data_dir")))
    space = load_space(options.space)
    for seed in options.seeds:
        found: dict[str, list[tuple[int, TrialRecord]]] = {}
        for rule in ("none", *options.rules):
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                heard = Heard()
                study = search_study(
                    space,
                    data=options.data,
                    data_dir=options.data_dir,
                    subset=options.subset,
                    epochs=options.epochs,
                    limits=options.limit,
                    trials=options.trials,
                    sampler=options.sampler,
                    seed=seed,
                    stopping=rule,
                    workers=options.workers,
                    storage=f"sqlite:///{folder}/live.db",
                    progress=heard,
                )
                found[rule] = heard.complete
                counts = ", ".join(f"{number} {state}" for state, number in study.counts().items() if number)
                if options.curves and rule == "none":
                    complete = [each for each in study.trials() if each.state == "complete"]
                    keep_curves(Path(options.curves), seed, complete)
            every = [each for _, each in found["none"]]
            if rule == "none":
                whole, before = len(heard.epochs), found_volume(every, every)
            parts = [[each for at, each in found[rule] if at <= share * whole] for share in (1 / 4, 1 / 3, 1)]
            quarter, third, end = (found_volume(complete, every) / before if complete else 0.0 for complete in parts)
            print(
                f"seed {seed}, {rule}: {counts}; {len(heard.epochs)} epochs ({len(heard.epochs) / whole:.1%}); share of"
                f" the hypervolume at 25% {quarter:.3f}, at 33% {third:.3f}, at the end {end:.3f};"
                f" {time.monotonic() - began:.0f} s",
                flush=True,
            )


class Heard:
    """The events of a search.

    Attributes:
        epochs: The trained epochs: a continued training reports its earlier ones again, with the same times.
        complete: The complete trials, each with the number of epochs that were trained when it ended.
    """

    def __init__(self) -> None:
        self.epochs: set[tuple[int, int, float]] = set()
        self.complete: list[tuple[int, TrialRecord]] = []

    def __call__(self, event: Event) -> None:
        if event.kind == "epoch" and event.trial is not None and event.epoch is not None:
            self.epochs.add((event.trial.number, event.epoch.epoch, event.epoch.seconds))
        if event.kind == "ended" and event.trial is not None and event.trial.state == "complete":
            self.complete.append((len(self.epochs), event.trial))


def keep_curves(path: Path, seed: int, complete: Sequence[TrialRecord]) -> None:
    """Append one line per training, as ``record`` does; ``seed`` is that of the study."""
    with path.open("a") as stream:
        for each in complete:
            curve = [asdict(epoch) for epoch in each.result.curve] if each.result else []
            run = {"network": each.number, "seed": seed, "costs": dict(each.costs), "curve": curve}
            print(json.dumps(run), file=stream)


def found_volume(complete: Sequence[TrialRecord], all_of_them: Sequence[TrialRecord]) -> float:
    """Return the hypervolume of error, up to 1, and the logarithm of MACs, over the range of ``all_of_them``."""
    low, high = (pick(math.log(each.costs["macs"]) for each in all_of_them) for pick in (min, max))
    places = [(math.log(each.costs["macs"]) - low) / ((high - low) or 1.0) for each in complete]
    return hypervolume([(x, 1 - each.objectives["accuracy"]) for x, each in zip(places, complete)], (1.0, 1.0))


def search(runs: Sequence[Run], rule: Rule, epochs: int) -> tuple[list[int], list[Run | None]]:
    """Replay a search with the runs in this order.

    Like a search, it trains stopped runs again if later runs show that they should have continued.

    Returns:
        The epochs of each training, and each run, or None if it was stopped.
    """
    looks = rule.decision_epochs(epochs)
    known: dict[int, Run] = {}
    trainings = [0] * len(runs)
    used: list[int] = []
    finished: list[Run | None] = []

    def train(number: int) -> bool:
        """Return whether the run was trained to the end."""
        run, others = runs[number], [other for each, other in known.items() if each != number]
        stopped = next((epoch for epoch in looks if rule.reasons(epoch, [begun(run, epoch)], others)[0]), None)
        known[number] = run if stopped is None else begun(run, stopped)
        trainings[number] += 1
        used.append(stopped or epochs)
        finished.append(run if stopped is None else None)
        return stopped is None

    for number in range(len(runs)):
        news = train(number)
        while news and (again := _reopened(known, trainings, rule, epochs)) is not None:
            train(again)
    return used, finished


def _reopened(known: Mapping[int, Run], trainings: Sequence[int], rule: Rule, epochs: int) -> int | None:
    """Return a stopped run that would continue by now, as ``LearningCurves.trial_to_reopen`` does."""
    stopped = {each: len(run.metrics) for each, run in known.items() if len(run.metrics) < epochs}
    for epoch in sorted(set(stopped.values())):
        numbers = [each for each, came in stopped.items() if came == epoch and trainings[each] <= RETRIES]
        others = [run for each, run in known.items() if each not in numbers]
        reasons = rule.reasons(epoch, [known[each] for each in numbers], others) if numbers else []
        for each, reason in zip(numbers, reasons):
            if not reason:
                return each
    return None


def begun(run: Run, epoch: int) -> Run:
    """Return the first epochs of a run."""
    return Run(run.metrics[:epoch], run.costs, run.predictors[:epoch], train_losses=run.train_losses[:epoch])


def volume(runs: Sequence[Run], worst: float) -> float:
    """Return the hypervolume of the results of the runs.

    Error counts up to 1, MACs on a logarithmic scale from ``worst / 100`` to ``worst``, so cheap networks count too.
    """
    points = [(1 + run.metrics[-1][0], max(0.0, 1 + np.log10(run.costs[0] / worst) / 2)) for run in runs]
    return hypervolume(points, (1.0, 1.0))


def seed_noise(pools: Sequence[Sequence[Run]], orders: int, few: int) -> str:
    """Return how much the hypervolumes of the same networks differ between seeds, for all or ``few`` networks."""
    worst = max(run.costs[0] for pool in pools for run in pool)
    ratios = []
    for shuffle in range(orders):
        order = random.Random(shuffle).sample(range(len(pools[0])), few)
        first, second = (volume([pool[number] for number in order], worst) for pool in pools[:2])
        ratios.append(np.log(second / first) / np.sqrt(2))
    whole = volume(pools[1], worst) / volume(pools[0], worst)
    deviation = np.sqrt(np.mean(np.square(ratios)))
    return f"{whole - 1:+.1%} on all of them; of {few}, a standard deviation of {deviation:.1%} of one search"


def shown(values: np.ndarray) -> str:
    low, high = np.quantile(values, [0.1, 0.9])
    return f"{values.mean():.3f} ({low:.3f}..{high:.3f})"


def read_runs(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_pools(path: Path) -> list[list[Run]]:
    """Return per seed the runs of the networks that all seeds have trained, with accuracy and MACs as objectives."""
    by_seed: dict[int, dict[int, Run]] = {}
    for run in read_runs(path):
        learnt = tuple((-epoch["val_accuracy"],) for epoch in run["curve"])
        signs = tuple(predictors_of(Epoch(**epoch), run["costs"]) for epoch in run["curve"])
        losses = tuple(math.log(max(epoch["train_loss"], MIN_LOSS)) for epoch in run["curve"])
        made = Run(learnt, (float(run["costs"]["macs"]),), signs, complete=True, train_losses=losses)
        by_seed.setdefault(run["seed"], {})[run["network"]] = made
    networks = sorted(set.intersection(*(set(pool) for pool in by_seed.values())))
    return [[by_seed[seed][network] for network in networks] for seed in sorted(by_seed)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    modes = parser.add_subparsers(required=True)
    recording = modes.add_parser("record", help="train networks and keep their curves")
    recording.set_defaults(run=record)
    recording.add_argument("data", help="a data set, as digits")
    recording.add_argument("--space", default="preact_variants.yaml")
    recording.add_argument("--networks", type=int, default=80, help="random draws of the space")
    recording.add_argument("--seeds", type=int, default=2, help="trainings of each network")
    recording.add_argument("--draw", type=int, default=0, help="the seed of the draws")
    recording.add_argument("--limit", action="append", help="as in macs<=3M")
    recording.add_argument("--epochs", type=int, help="the data set's own by default")
    recording.add_argument("--data-dir")
    recording.add_argument("--subset", type=int)
    replaying = modes.add_parser("replay", help="let each rule look at recorded curves")
    replaying.set_defaults(run=replay)
    replaying.add_argument("--orders", type=int, default=50, help="in which a search might meet the networks")
    living = modes.add_parser("live", help="run searches without stopping and with each rule")
    living.set_defaults(run=live)
    living.add_argument("data", help="a data set, as digits")
    living.add_argument("--space", default="preact_variants.yaml")
    living.add_argument("--rules", nargs="+", default=["rungs"], choices=[name for name in STOPPING if name != "none"])
    living.add_argument("--sampler", default="random", choices=SAMPLERS)
    living.add_argument("--workers", type=int, default=1)
    living.add_argument("--trials", type=int, default=60)
    living.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13], help="of the studies")
    living.add_argument("--limit", action="append", help="as in macs<=10M")
    living.add_argument("--epochs", type=int, help="the data set's own by default")
    living.add_argument("--data-dir")
    living.add_argument("--subset", type=int)
    for mode in (recording, replaying, living):
        about = "the curves, a JSON line a training"
        mode.add_argument("--curves", required=mode is not living, metavar="FILE", help=about)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
