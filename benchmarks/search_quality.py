"""Measures how much of the true frontier a sampler finds with few trainings, on the 6,561 networks of NAS-Bench-Macro.

    python benchmarks/search_quality.py --table nas_bench_macro_extract.csv --samplers frontier,random -o runs.csv

The objectives are MACs and CIFAR-10 error, with the reference point 110 MMACs and 30% error; the hypervolume of all
networks is 2015.397. A query returns the accuracy of one of the three seeds, chosen at random. The result is evaluated
with the means of the three seeds. Only evaluated networks count as queries. Rows are appended to the output file after
each run, and runs that it contains are not repeated. Samplers ``optuna:NAME`` are Optuna's, used without this project,
so the same network may be queried twice. The same holds for the samplers of rival_samplers.py, if their packages are
installed.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from rival_samplers import RIVALS, ask_rival, why_not  # noqa: E402

import explorer  # noqa: E402
from explorer.analysis.pareto import hypervolume  # noqa: E402

SPACE = Path(__file__).with_name("nas_bench_macro.yaml")
REFERENCE = (110.0, 30.0)
TRUE = 2015.397
MARKS = (10, 20, 50, 100, 200)
DIGIT = {"id": "0", "proj": "0", "mb3": "1", "mb6": "2"}
FIELDS = ("sampler", "seed", "queries", "fraction", "seconds")


class Table:
    """The published results, by the layers of a network as in ``01221120``."""

    def __init__(self, path: Path):
        with open(path, newline="") as file:
            self.rows = {row["arch"]: row for row in csv.DictReader(file)}

    def query(self, arch: str, draw: random.Random) -> float:
        return float(self.rows[arch][f"acc_seed{draw.randrange(3)}"]) / 100

    def point(self, arch: str) -> tuple[float, float]:
        row = self.rows[arch]
        return int(row["macs"]) / 1e6, 100 - float(row["mean_acc"])


def with_explorer(table: Table, space, sampler: str, seed: int, queries: int) -> list[str]:
    """Return the networks that ``sampler`` evaluates, in order."""
    draw, asked = random.Random(seed), []

    def evaluate(arch, *, choices, epochs, seed):
        asked.append("".join(DIGIT[text] for text in choices.values()))
        return {"accuracy": table.query(asked[-1], draw)}

    explorer.search(
        space, objectives={"accuracy": "max", "macs": "min"}, trials=queries, sampler=sampler, seed=seed,
        storage=None, study="search quality", evaluate=evaluate,
    )  # fmt: skip
    return asked


def with_optuna(table: Table, sampler: str, seed: int, queries: int) -> list[str]:
    """Return the same for a sampler of Optuna alone, with its defaults, on eight categorical parameters."""
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
        asked.append("".join(trial.suggest_categorical(f"layer{place}", ["0", "1", "2"]) for place in range(8)))
        return table.point(asked[-1])[0], -table.query(asked[-1], draw)

    optuna.create_study(directions=["minimize"] * 2, sampler=made).optimize(objective, n_trials=queries)
    return asked


def with_rival(table: Table, sampler: str, seed: int, queries: int) -> list[str]:
    """Return the same for the sampler of another project."""
    draw, asked = random.Random(seed), []
    names = [f"layer{place}" for place in range(8)]

    def evaluate(choices) -> tuple[float, float]:
        asked.append("".join(choices[name] for name in names))
        return table.point(asked[-1])[0], 100 - 100 * table.query(asked[-1], draw)

    ask_rival(sampler, names, ["0", "1", "2"], evaluate, seed, queries)
    return asked


def run(table: Table, space, sampler: str, seed: int, queries: int) -> list[tuple]:
    began = time.perf_counter()
    family, _, name = sampler.rpartition(":")
    if sampler in RIVALS:
        asked = with_rival(table, sampler, seed, queries)
    elif family:
        asked = with_optuna(table, name, seed, queries)
    else:
        asked = with_explorer(table, space, name, seed, queries)
    seconds = time.perf_counter() - began
    points = [table.point(arch) for arch in asked]
    return [
        (sampler, seed, mark, f"{hypervolume(points[:mark], REFERENCE) / TRUE:.5f}", f"{seconds:.1f}")
        for mark in MARKS
        if mark <= queries
    ]


def summary(rows: list[dict]) -> str:
    """Return for each sampler and number of queries: mean, half width of its 95% interval, number of repeats."""
    lines = [f"{'sampler':<24}" + "".join(f"{mark:>22}" for mark in MARKS)]
    for sampler in dict.fromkeys(row["sampler"] for row in rows):
        cells = []
        for mark in MARKS:
            found = [float(r["fraction"]) for r in rows if r["sampler"] == sampler and int(r["queries"]) == mark]
            error = 1.96 * statistics.stdev(found) / len(found) ** 0.5 if len(found) > 1 else float("nan")
            cells.append(f"{statistics.fmean(found):.4f} ± {error:.4f} ({len(found)})" if found else "-")
        lines.append(f"{sampler:<24}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("EXPLORER_DATA", ".")) / "nas-bench-macro" / "nas_bench_macro_extract.csv"
    parser.add_argument("--table", type=Path, default=default)
    parser.add_argument("--samplers", default="random,tpe,nsga2,evolution,frontier")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0, help="of the repeats, which count up from it")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after so long")
    parser.add_argument("-o", "--output", type=Path, default=Path("search_quality.csv"))
    given = parser.parse_args()
    if not given.table.is_file():
        parser.error(f"there is no table {given.table}; name it with --table, or its folder's parent in EXPLORER_DATA")
    samplers = given.samplers.split(",")
    for sampler in [sampler for sampler in samplers if sampler in RIVALS and why_not(sampler)]:
        print(f"{sampler} is left out: {why_not(sampler)}")
        samplers.remove(sampler)
    table, space, began = Table(given.table), explorer.load_space(str(SPACE)), time.monotonic()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    if not given.output.exists():
        given.output.write_text(",".join(FIELDS) + "\n")
    for seed in range(given.first_seed, given.first_seed + given.repeats):
        for sampler in samplers:
            done = {(r["sampler"], int(r["seed"]), int(r["queries"])) for r in read(given.output)}
            last = max((mark for mark in MARKS if mark <= given.queries), default=0)
            if (sampler, seed, last) in done or time.monotonic() - began > given.seconds:
                continue
            with open(given.output, "a", newline="") as file:
                csv.writer(file).writerows(
                    row for row in run(table, space, sampler, seed, given.queries) if tuple(row[:3]) not in done
                )
    print(summary(read(given.output)))


def read(path: Path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
