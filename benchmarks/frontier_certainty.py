"""Are the probabilities of staying on a frontier calibrated? Simulated studies on tables of trained networks.

    python benchmarks/frontier_certainty.py train -o default_task.csv --networks 60 --seeds 5 --seconds 1800
    python benchmarks/frontier_certainty.py replay default_task.csv nas-bench-macro nas-bench-201 --studies 30

``train`` trains random networks of a space on a task with several seeds; the file grows by one line a training, and the
same line goes on. ``replay`` simulates studies: ``explorer.search`` with ``repeats`` on a table, whose ``evaluate``
answers with the network's mean accuracy plus the residual of a training, drawn from those of networks of like accuracy.
Then every network of the study is trained 400 times more in the same way. It
prints for each bin of the printed probability the share of these runs in which the networks stayed.

The tables: NAS-Bench-Macro has three trainings of each network. NAS-Bench-201 has one of each cell, and cells that
compute the same were trained apart: their differences are the noise, and their mean is the accuracy of each. Both are
found below ``EXPLORER_DATA``. On a table of ``train`` each study is a random draw of two thirds of its networks. The
table ``default-task-model`` is made up, with the spread that was measured on the default task.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

import explorer  # noqa: E402
from explorer.analysis.frontier_certainty import Trainings, frontier_certainty, next_repeats  # noqa: E402
from explorer.analysis.pareto import non_dominated  # noqa: E402

DATA = Path(os.environ.get("EXPLORER_DATA", "."))
LIKE = 200  # residuals below and above a network's accuracy that stand for its noise, at most an eighth of all
RUNS = 400  # further runs of each study
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
MACRO_DIGIT = {"id": "0", "proj": "0", "mb3": "1", "mb6": "2"}
CELL_DIGIT = {"skip1": "0", "zero1": "1", "c3a": "2", "c1a": "3", "apa": "4"}
FIELDS = ("network", "macs", "seed", "accuracy", "seconds")


@dataclass(frozen=True)
class Table:
    """Trained networks.

    Attributes:
        name: The name of the table.
        costs: Network -> MACs.
        truth: Network -> mean accuracy.
        residuals: Residuals of single trainings by ascending accuracy of their network, unbiased in variance.
        levels: The accuracies of their networks.
        space: The space to search; None for a table that each study draws from.
        key: Returns the name of a network by its choices.
    """

    name: str
    costs: dict[str, float]
    truth: dict[str, float]
    residuals: np.ndarray
    levels: np.ndarray
    space: Path | None = None
    key: Callable[[dict[str, str]], str] | None = None

    def like(self, network: str) -> np.ndarray:
        """Return the residuals of trainings of networks of like accuracy."""
        half = max(1, min(LIKE, len(self.residuals) // 8))
        place = int(np.clip(np.searchsorted(self.levels, self.truth[network]), half, len(self.levels) - half))
        return self.residuals[place - half : place + half]


def table_of(
    name: str, costs: dict[str, float], groups: dict[str, list[str]], accuracy: dict[str, list[float]], **more
):
    """Return a table of networks whose trainings are those of all members of their group."""
    truth, residuals, levels = {}, [], []
    for members in groups.values():
        values = [value for member in members for value in accuracy[member]]
        mean = sum(values) / len(values)
        truth |= dict.fromkeys(members, mean)
        if len(values) > 1:
            residuals += [(value - mean) * math.sqrt(len(values) / (len(values) - 1)) for value in values]
            levels += [mean] * len(values)
    order = np.argsort(levels, kind="stable")
    return Table(name, costs, truth, np.array(residuals)[order], np.array(levels)[order], **more)


def nas_bench_macro() -> Table:
    with open(DATA / "nas-bench-macro" / "nas_bench_macro_extract.csv", newline="") as file:
        rows = {row["arch"]: row for row in csv.DictReader(file)}
    accuracy = {arch: [float(row[f"acc_seed{seed}"]) / 100 for seed in range(3)] for arch, row in rows.items()}
    return table_of(
        "NAS-Bench-Macro",
        {arch: float(row["macs"]) for arch, row in rows.items()},
        {arch: [arch] for arch in rows},
        accuracy,
        space=Path(__file__).with_name("nas_bench_macro.yaml"),
        key=lambda choices: "".join(MACRO_DIGIT[text] for text in choices.values()),
    )


def nas_bench_201() -> Table:
    folder = DATA / "nas-bench-201"
    with open(folder / "nas_bench_201_extract.csv", newline="") as file:
        rows = {row["cell"]: row for row in csv.DictReader(file)}
    groups: dict[str, list[str]] = {}
    for cell in rows:
        groups.setdefault(computed(cell), []).append(cell)
    return table_of(
        "NAS-Bench-201",
        {cell: 1e6 * float(row["mmacs"]) for cell, row in rows.items()},
        groups,
        {cell: [float(row["accuracy"]) / 100] for cell, row in rows.items()},
        space=folder / "carrier.yaml",
        key=lambda choices: "".join(CELL_DIGIT[choices[f"e{edge}"]] for edge in range(1, 7)),
    )


def computed(cell: str) -> str:
    """Return what a cell of NAS-Bench-201 computes: equal for cells that differ in names and unused edges only."""
    edges = dict(zip(((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)), cell))
    nodes = ["x"]
    for node in range(1, 4):
        terms = []
        for source in range(node):
            op = edges[source, node]
            if op != "1" and nodes[source] != "0":
                terms.append(nodes[source] if op == "0" else f"{op}({nodes[source]})")
        nodes.append("+".join(sorted(f"[{term}]" for term in terms)) or "0")
    return nodes[3]


def default_task_model() -> Table:
    """Return made-up networks that spread as the measured ones of preact_variants on cluttered-digits.

    From records/task_difficulty_cpu_2026-11-24.md: 24 networks of 0.35 to 10.13 MMACs, quartiles of the accuracy 55.8,
    72.8 and 82.9%, a rank correlation of two seeds of 0.81, and a standard deviation of one training of 7.0 points.
    The variance of a training is taken as proportional to p (1 - p).
    """
    draw, number = np.random.default_rng(0), 2_000
    place = draw.random(number)  # on the logarithmic axis of costs
    logit = 0.95 + 0.54 * (place - 0.5) * math.sqrt(12) + 0.55 * draw.standard_normal(number)
    truth = 1 / (1 + np.exp(-logit))
    spread = np.sqrt(truth * (1 - truth))
    residuals = 0.07 * spread / np.sqrt((spread**2).mean()) * draw.standard_normal((40, number))
    costs = np.exp(math.log(0.35e6) + place * math.log(10.13 / 0.35))
    names, order = [str(each) for each in range(number)], np.argsort(truth)
    return Table(
        "a model of the default task",
        dict(zip(names, costs.tolist())),
        dict(zip(names, truth.tolist())),
        residuals[:, order].T.ravel(),
        np.repeat(truth[order], 40),
    )


def trained_table(path: Path) -> Table:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    accuracy: dict[str, list[float]] = {}
    for row in rows:
        accuracy.setdefault(row["network"], []).append(float(row["accuracy"]))
    whole = {network: values for network, values in accuracy.items() if len(values) > 1}
    costs = {row["network"]: float(row["macs"]) for row in rows if row["network"] in whole}
    return table_of(path.stem, costs, {network: [network] for network in whole}, whole)


def simulate(
    table: Table, seed: int, trials: int, repeats: int, sampler: str
) -> tuple[list[float], list[float], float]:
    """Simulate one study.

    Returns:
        The printed probability of each network of the front, the share of further runs in which it stays, and the
        estimated noise.
    """
    draw = random.Random(seed)
    if table.space is None:
        networks = searched_table(table, draw, trials, repeats)
        names = [network.digest for network in networks]
        certainty = frontier_certainty(networks, "accuracy")
    else:
        names_by_digest: dict[str, str] = {}

        def evaluate(architecture, *, choices, epochs, seed):
            names_by_digest[architecture.digest] = network = table.key(choices)
            return {"accuracy": table.truth[network] + draw.choice(table.like(network))}

        space = explorer.load_space(table.space)
        study = explorer.search(
            space, evaluate=evaluate, trials=trials, repeats=repeats, sampler=sampler, seed=seed, storage=None,
            costs={"macs_of_table": lambda architecture, choices: table.costs[table.key(choices)]},
            objectives={"accuracy": "max", "macs_of_table": "min"}, study="certainty",
        )  # fmt: skip
        networks, certainty = study.trainings("macs_of_table", "accuracy"), study.frontier_certainty()
        names = [names_by_digest[network.digest] for network in networks]
    assert certainty is not None
    stays = shares(table, names, np.random.default_rng(seed))
    front = non_dominated([(network.cost, -network.values[0]) for network in networks])
    printed = [certainty.probabilities[networks[place].trial] for place in front]
    return printed, [float(stays[place]) for place in front], certainty.noise.std


def searched_table(table: Table, draw: random.Random, trials: int, repeats: int) -> list[Trainings]:
    """Return the trainings of a study of random networks, at most two thirds, repeated as a search repeats them."""

    def value(network: str) -> float:
        return table.truth[network] + float(draw.choice(table.like(network)))

    chosen = draw.sample(sorted(table.costs), min(trials, 2 * len(table.costs) // 3))
    networks = [Trainings(place, name, table.costs[name], (value(name),)) for place, name in enumerate(chosen)]
    for _ in range(repeats):
        (place,) = next_repeats(networks, "accuracy", 1, {})
        known = networks[place]
        networks[place] = known._replace(values=(*known.values, value(known.digest)))
    return networks


def shares(table: Table, names: list[str], draw: np.random.Generator) -> np.ndarray:
    """Return for each network the share of further runs in which it is non-dominated."""
    values = np.stack([table.truth[name] + draw.choice(table.like(name), RUNS) for name in names], axis=1)
    costs = np.array([table.costs[name] for name in names])
    found = np.zeros(len(names))
    for row in values:
        found[non_dominated(list(zip(costs, -row)))] += 1
    return found / RUNS


def report(name: str, printed: np.ndarray, stayed: np.ndarray, studies: np.ndarray) -> None:
    """Print the calibration; the interval of a bin is a bootstrap over studies."""
    print(f"\n{name}: {len(np.unique(studies))} studies, {len(printed)} networks on their fronts")
    error = float(((printed - stayed) ** 2).mean())
    print(f"printed {printed.mean():.3f}, stayed {stayed.mean():.3f}; mean squared difference {error:.4f}")
    print("| printed | networks | mean printed | stayed | 95% interval |\n|---|---|---|---|---|")
    for low, high in itertools.pairwise(BINS):
        inside = (printed >= low) & ((printed < high) | (high == 1.0))
        if not inside.any():
            continue
        draw, of = np.random.default_rng(0), studies[inside]
        own = {study: stayed[inside][of == study] for study in np.unique(of)}
        means = [np.concatenate([own[s] for s in draw.choice(list(own), len(own))]).mean() for _ in range(1_000)]
        ends = np.quantile(means, (0.025, 0.975))
        print(
            f"| {low:.1f}-{high:.1f} | {inside.sum()} | {printed[inside].mean():.2f} | {stayed[inside].mean():.2f} "
            f"| {ends[0]:.2f}-{ends[1]:.2f} |"
        )


def replay(options: argparse.Namespace) -> None:
    built_in = {
        "nas-bench-macro": nas_bench_macro,
        "nas-bench-201": nas_bench_201,
        "default-task-model": default_task_model,
    }
    for name in options.tables:
        table = built_in[name]() if name in built_in else trained_table(Path(name))
        printed, stayed, studies, noises, began = [], [], [], [], time.perf_counter()
        for study in range(options.studies):
            found = simulate(table, options.first_seed + study, options.trials, options.repeats, options.sampler)
            printed += found[0]
            stayed += found[1]
            studies += [study] * len(found[0])
            noises.append(found[2])
            print(f"{table.name} study {study}: {len(found[0])} on the front", file=sys.stderr, flush=True)
        report(table.name, np.array(printed), np.array(stayed), np.array(studies))
        measured = float(np.sqrt((table.residuals**2).mean()))
        print(f"estimated noise {np.mean(noises):.4f} near the fronts; of all networks {measured:.4f}; ", end="")
        print(f"{(time.perf_counter() - began) / options.studies:.1f} s a study", flush=True)


def train(options: argparse.Namespace) -> None:
    from explorer.data.dataset import load_data
    from explorer.networks.build import build_network
    from explorer.training.loop import train_network
    from explorer.training.recipe import default_training

    data = load_data(options.task)
    recipe, epochs = default_training(data.name)
    space = explorer.load_space(options.space).with_input(data.shape, data.classes)
    done = set()
    if options.output.exists():
        with open(options.output, newline="") as file:
            done = {(row["network"], int(row["seed"])) for row in csv.DictReader(file)}
    began = time.monotonic()
    with open(options.output, "a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(FIELDS)
        architectures = [space.architecture(each) for each in space.sample(options.networks, seed=0)]
        for seed in range(options.seeds):
            for architecture in architectures:
                if (architecture.digest, seed) in done:
                    continue
                if time.monotonic() - began > options.seconds:
                    return
                started = time.process_time()
                result = train_network(
                    build_network(architecture, seed), data, recipe, epochs=epochs, seed=seed, threads=1
                )
                spent = f"{time.process_time() - started:.2f}"
                writer.writerow(
                    (architecture.digest, explorer.cost(architecture).macs, seed, result.val_accuracy, spent)
                )
                file.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="train a table")
    training.add_argument("-o", "--output", type=Path, required=True, help="CSV file, which the same line goes on with")
    training.add_argument("--task", default="cluttered-digits")
    training.add_argument("--space", default="preact_variants.yaml")
    training.add_argument("--networks", type=int, default=60)
    training.add_argument("--seeds", type=int, default=5)
    training.add_argument("--seconds", type=float, default=math.inf, help="start no training after this time")
    training.set_defaults(run=train)
    replaying = commands.add_parser("replay", help="simulate studies on tables")
    replaying.add_argument(
        "tables", nargs="+", help="nas-bench-macro, nas-bench-201, default-task-model, or a file of 'train'"
    )
    replaying.add_argument("--studies", type=int, default=30)
    replaying.add_argument("--first-seed", type=int, default=0)
    replaying.add_argument("--trials", type=int, default=60)
    replaying.add_argument("--repeats", type=int, default=20)
    replaying.add_argument("--sampler", default="evolution")
    replaying.set_defaults(run=replay)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
