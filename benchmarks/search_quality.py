"""Measures how much of the true frontier a sampler finds with few trainings, on published tables of trained networks.

    python benchmarks/search_quality.py --table all --samplers frontier,random,optuna:tpe-multivariate -o runs.csv

| table | networks | objectives | reference |
|---|---|---|---|
| nas-bench-macro | 6,561 | MMACs, CIFAR-10 error | 110, 30% |
| nas-bench-macro-params | 6,561 | million parameters, CIFAR-10 error | 1.05 x the largest, 30% |
| nas-bench-201 | 15,625 cells | MMACs, CIFAR-10 error | 1.05 x the largest, 20% |
| nas-bench-201-latency | 15,625 cells | ms on an edge GPU, CIFAR-10 error | 1.05 x the largest, 20% |

The share of the true hypervolume is reported: that of all networks of the table. MACs and parameters are known before a
query; latencies are measured with it. In NAS-Bench-Macro a query returns the accuracy of one of three seeds, chosen at
random, and the result is evaluated with their means. NAS-Bench-201 has one training of each cell. Only evaluated
networks count as queries. Rows are appended to the output file after each run, and runs that it contains are not
repeated. Other samplers than Optuna's run through ``explorer.search``, with all runs in this process, so that the
networks of a table are derived once. Samplers ``optuna:NAME`` are Optuna's, used without this project, so the same
network may be queried twice. The same holds for the samplers of rival_samplers.py, if their packages are installed.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import random
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from rival_samplers import RIVALS, ask_rival, why_not  # noqa: E402

import explorer  # noqa: E402
from explorer.analysis.pareto import hypervolume  # noqa: E402

MARKS = (10, 20, 50, 100, 200)
FIELDS = ("table", "sampler", "seed", "queries", "fraction", "seconds")
MACRO_DIGITS = {"id": "0", "proj": "0", "mb3": "1", "mb6": "2"}
CELL_DIGITS = {"identity": "0", "zero": "1", "conv3": "2", "conv1": "3", "avgpool3x3": "4"}
CELL_EDGES = ("e01", "e02", "e03", "e12", "e13", "e23")  # in the order of the table


class Table:
    """A published table, by the digits of a network as in ``01221120``.

    Attributes:
        cost: The objective that is minimised beside the error: ``macs`` or ``params``, known before a query, or
            ``latency``, measured with it.
        places: The number of digits of a network.
        options: The values of a digit.
        space: The networks of the table in the space language.
        reference: The cost and the error (%) of the reference point.
        true: The hypervolume of all networks.
    """

    def __init__(self, name: str, data: Path):
        self.name = name
        family, _, cost = (name, "", "") if name in FAMILIES else name.rpartition("-")
        self.cost = cost or "macs"
        self._digits = MACRO_DIGITS if family == "nas-bench-macro" else CELL_DIGITS
        with open(data / family / f"{family.replace('-', '_')}_extract.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self._costs, self._accuracies, self._means = {}, {}, {}
        for row in rows:
            network = row.get("arch") or row["cell"]
            accuracies = [float(value) for key, value in row.items() if key.startswith("acc")]
            self._accuracies[network] = accuracies
            self._means[network] = float(row.get("mean_acc") or accuracies[0])
            self._costs[network] = _cost(row, self.cost)
        self.space = explorer.load_space(str(Path(__file__).with_name(f"{family.replace('-', '_')}.yaml")))
        self.places = len(rows[0].get("arch") or rows[0]["cell"])
        self.options = sorted(set(self._digits.values()))
        error = 30.0 if self._digits is MACRO_DIGITS else 20.0
        self.reference = (110.0 if name == "nas-bench-macro" else 1.05 * max(self._costs.values()), error)
        self.true = hypervolume([self.point(network) for network in self._costs], self.reference)

    def network(self, choices: Mapping[str, str]) -> str:
        """Return the digits of a network of ``space``."""
        names = CELL_EDGES if self._digits is CELL_DIGITS else tuple(choices)
        return "".join(self._digits[choices[name]] for name in names)

    def query(self, network: str, draw: random.Random) -> float:
        return draw.choice(self._accuracies[network]) / 100

    def known_cost(self, network: str) -> float:
        return self._costs[network]

    def point(self, network: str) -> tuple[float, float]:
        return self._costs[network], 100 - self._means[network]


def _cost(row: Mapping[str, str], name: str) -> float:
    """Return a cost of a row: ms, or millions."""
    if name == "latency":
        return float(row["edgegpu_ms"])
    return float(row["mmacs"]) if "mmacs" in row else int(row[name]) / 1e6


FAMILIES = ("nas-bench-macro", "nas-bench-201")
TABLES = ("nas-bench-macro", "nas-bench-macro-params", "nas-bench-201", "nas-bench-201-latency")


def with_explorer(table: Table, sampler: str, seed: int, queries: int) -> list[str]:
    """Return the networks that ``sampler`` evaluates, in order."""
    draw, asked = random.Random(seed), []

    def evaluate(arch, *, choices, epochs, seed):
        asked.append(table.network(choices))
        metrics = {"accuracy": table.query(asked[-1], draw)}
        return {**metrics, "latency": table.known_cost(asked[-1])} if table.cost == "latency" else metrics

    explorer.search(
        table.space, objectives={"accuracy": "max", table.cost: "min"}, trials=queries, sampler=sampler, seed=seed,
        storage=None, study="search quality", evaluate=evaluate,
    )  # fmt: skip
    return asked


def with_optuna(table: Table, sampler: str, seed: int, queries: int) -> list[str]:
    """Return the same for a sampler of Optuna alone, with its defaults, on one categorical parameter a digit."""
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    made = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "tpe-multivariate": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
    }[sampler]()
    draw, asked = random.Random(seed), []

    def objective(trial) -> tuple[float, float]:
        asked.append(
            "".join(trial.suggest_categorical(f"layer{place}", table.options) for place in range(table.places))
        )
        return table.known_cost(asked[-1]), -table.query(asked[-1], draw)

    optuna.create_study(directions=["minimize"] * 2, sampler=made).optimize(objective, n_trials=queries)
    return asked


def with_rival(table: Table, sampler: str, seed: int, queries: int) -> list[str]:
    """Return the same for the sampler of another project."""
    draw, asked = random.Random(seed), []
    names = [f"layer{place}" for place in range(table.places)]

    def evaluate(choices) -> tuple[float, float]:
        asked.append("".join(choices[name] for name in names))
        return table.known_cost(asked[-1]), 100 - 100 * table.query(asked[-1], draw)

    ask_rival(sampler, names, table.options, evaluate, seed, queries)
    return asked


def run(table: Table, sampler: str, seed: int, queries: int) -> list[tuple]:
    began = time.perf_counter()
    family, _, name = sampler.rpartition(":")
    if sampler in RIVALS:
        asked = with_rival(table, sampler, seed, queries)
    elif family:
        asked = with_optuna(table, name, seed, queries)
    else:
        asked = with_explorer(table, name, seed, queries)
    seconds = time.perf_counter() - began
    points = [table.point(arch) for arch in asked]
    return [
        (
            table.name,
            sampler,
            seed,
            mark,
            f"{hypervolume(points[:mark], table.reference) / table.true:.5f}",
            f"{seconds:.1f}",
        )
        for mark in MARKS
        if mark <= queries
    ]


def summary(rows: list[dict]) -> str:
    """Return for each table, sampler and number of queries: mean, half width of its 95% interval, number of runs.

    The last line of a table has the share of the true hypervolume that ``frontier`` misses, divided by that of the best
    of Optuna's samplers on the same seeds.
    """
    lines = []
    for table in dict.fromkeys(row["table"] for row in rows):
        lines.append(f"{table:<24}" + "".join(f"{mark:>22}" for mark in MARKS))
        runs: dict[str, dict[int, dict[int, float]]] = {}  # sampler -> queries -> seed -> share
        for row in rows:
            if row["table"] == table:
                own = runs.setdefault(row["sampler"], {mark: {} for mark in MARKS})
                own[int(row["queries"])][int(row["seed"])] = float(row["fraction"])
        for sampler, own in runs.items():
            cells = []
            for found in (list(own[mark].values()) for mark in MARKS):
                error = 1.96 * statistics.stdev(found) / len(found) ** 0.5 if len(found) > 1 else float("nan")
                cells.append(f"{statistics.fmean(found):.4f} ± {error:.4f} ({len(found)})" if found else "-")
            lines.append(f"{sampler:<24}" + "".join(f"{cell:>22}" for cell in cells))
        ratios = [missing_ratio({sampler: own[mark] for sampler, own in runs.items()}) for mark in MARKS]
        if any(ratios):
            lines.append(f"{'missing':<24}" + "".join(f"{ratio or '-':>22}" for ratio in ratios))
    return "\n".join(lines)


def missing_ratio(runs: Mapping[str, Mapping[int, float]]) -> str:
    """Return what ``frontier`` misses, divided by what the best of Optuna's samplers misses; empty without both.

    Args:
        runs: Sampler -> seed -> share of the true hypervolume.
    """
    own, found = runs.get("frontier", {}), []
    for sampler, shares in runs.items():
        if sampler.startswith("optuna:") and (seeds := own.keys() & shares.keys()):
            missed, other = (1.0 - statistics.fmean(of[seed] for seed in seeds) for of in (own, shares))
            found.append((missed / max(other, 1e-9), sampler.removeprefix("optuna:")))
    return "{:.2f} {}".format(*max(found)) if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="nas-bench-macro", help=f"one or several of {','.join(TABLES)}, or all")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("EXPLORER_DATA", ".")), help="folder of the tables' folders"
    )
    parser.add_argument("--samplers", default="random,tpe,nsga2,evolution,frontier")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0, help="of the repeats, which count up from it")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after so long")
    parser.add_argument("-o", "--output", type=Path, default=Path("search_quality.csv"))
    given = parser.parse_args()
    names = TABLES if given.table == "all" else given.table.split(",")
    for name in [name for name in names if name not in TABLES]:
        parser.error(f"--table: unknown table {name!r}; expected all or some of {', '.join(TABLES)}")
    samplers = given.samplers.split(",")
    for sampler in [sampler for sampler in samplers if sampler in RIVALS and why_not(sampler)]:
        print(f"{sampler} is left out: {why_not(sampler)}")
        samplers.remove(sampler)
    began = time.monotonic()
    try:
        tables = [Table(name, given.data) for name in names]
    except FileNotFoundError as error:
        parser.error(f"there is no table {error.filename}; name the folder with --data or EXPLORER_DATA")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    if not given.output.exists():
        given.output.write_text(",".join(FIELDS) + "\n")
    last = max((mark for mark in MARKS if mark <= given.queries), default=0)
    for seed in range(given.first_seed, given.first_seed + given.repeats):
        for table, sampler in itertools.product(tables, samplers):
            done = {(r["table"], r["sampler"], int(r["seed"]), int(r["queries"])) for r in read(given.output)}
            if (table.name, sampler, seed, last) in done or time.monotonic() - began > given.seconds:
                continue
            with open(given.output, "a", newline="") as file:
                csv.writer(file).writerows(
                    row for row in run(table, sampler, seed, given.queries) if tuple(row[:4]) not in done
                )
    print(summary(read(given.output)))


def read(path: Path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
