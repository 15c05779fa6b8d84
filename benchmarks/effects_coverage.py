"""Whether the intervals of `explorer effects` hold the true effects, in simulated studies and on tables of networks.

    python benchmarks/effects_coverage.py simulate --runs runs.csv -o answers.csv
    python benchmarks/effects_coverage.py table nas-bench-macro -o macro.csv
    python benchmarks/effects_coverage.py table nas-bench-201 -o nb201.csv

A simulated study has 120 trials of the space effects_coverage.yaml, whose costs are real MACs and whose objective is
planted: effects of five choices, interactions of two pairs in half of the studies, two choices without effect, noise of
2 to 7 points. The trials are drawn at random, or chosen by the sampler `frontier`, whose runs are kept in RUNS and are
not run again. Each answer is compared with the same quantity of all noiseless networks, and the width of its interval
with that of an oracle: least squares with the terms of the planted model and the true noise.

In a table, the answers from 200 random networks are compared with those of all its networks.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
from collections import defaultdict
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

import explorer  # noqa: E402
from explorer.analysis.effects import choice_effects, interactions  # noqa: E402
from explorer.analysis.effects.answers import Networks, codes_of, comparable, networks_of  # noqa: E402
from explorer.analysis.effects.equal_cost import STEPS, equal_cost_weights  # noqa: E402
from explorer.analysis.effects.paired import pair_weights  # noqa: E402
from explorer.analysis.effects.terms import Terms  # noqa: E402
from explorer.records import TrialRecord  # noqa: E402

SPACE = Path(__file__).with_name("effects_coverage.yaml")
TRIALS, TABLE_TRIALS = 120, 200
BASES = ("8", "12", "16", "24", "32")
WITHOUT_EFFECT = ("act", "dil")
PLANTED_PAIRS = {("order", "depth"): 0.02, ("attn", "base"): 0.015}
FIELDS = ("sampler", "space", "study", "answer", "factor", "level", "error", "half", "oracle", "null", "significant")
DATA = Path(os.environ.get("EXPLORER_DATA", "."))


class Planted:
    """The objective of one simulated study.

    Attributes:
        noise: The standard deviation of one training.
        main: Choice -> level -> its effect.
        pairs: (choice, level, other choice, its level) -> the effect of both together.
        interacting: The pairs of choices with such effects.
    """

    def __init__(self, seed: int):
        draw = np.random.default_rng([7, seed])
        self.noise = draw.uniform(0.02, 0.07)
        slope, bend = draw.uniform(0.03, 0.12), draw.uniform(0, 0.02)
        doublings = np.log2(np.array([int(base) for base in BASES]) / 8)
        self.main = {
            "base": dict(zip(BASES, slope * doublings - bend * doublings**2)),
            "depth": dict(zip("123", np.cumsum([0, draw.uniform(-0.02, 0.06), draw.uniform(-0.02, 0.04)]))),
            "order": dict(zip(["original", "full_preact", "bottleneck"], draw.normal(0, 0.03, 3))),
            "attn": dict(zip(["none", "se(r=4)", "se(r=8)"], draw.normal(0, 0.03, 3) * (draw.random() < 0.5))),
            "ratio": dict(zip(["1/4", "1/2"], draw.normal(0, 0.02, 2))),
        }
        self.pairs, self.interacting = {}, []
        for (one, other), size in PLANTED_PAIRS.items():
            present = bool(draw.random() < 0.5)
            self.interacting += [(one, other)] * present
            for level in self.main[one]:
                for other_level in self.main[other]:
                    self.pairs[one, level, other, other_level] = present * draw.normal(0, size)

    def __call__(self, choices) -> float:
        alone = sum(levels[choices[name]] for name, levels in self.main.items() if name in choices)
        together = sum(self.pairs[one, choices[one], other, choices[other]] for one, other in PLANTED_PAIRS)
        return 0.45 + alone + together


def simulated(seed: int, sampler: str, listed, runs: dict[int, list[TrialRecord]], path: Path) -> list[TrialRecord]:
    """The trials of one study."""
    planted = Planted(seed)
    if sampler == "random":
        draw = np.random.default_rng([3, seed])
        chosen = draw.choice(len(listed), TRIALS, replace=False)
        return [
            record(number, *listed[place], planted(listed[place][0]) + planted.noise * draw.normal())
            for number, place in enumerate(chosen)
        ]
    if seed not in runs:
        draw = np.random.default_rng([8, seed])
        study = explorer.search(
            explorer.load_space(str(SPACE)), objectives={"accuracy": "max", "macs": "min"}, trials=TRIALS,
            sampler="frontier", seed=seed, storage=None, study="effects coverage",
            evaluate=lambda arch, *, choices, epochs, seed: {
                "accuracy": planted(choices) + planted.noise * draw.normal()
            },
        )  # fmt: skip
        runs[seed] = [trial for trial in study.trials() if trial.state == "complete"]
        with open(path, "a", newline="") as file:
            csv.writer(file).writerows(
                (seed, t.number, ";".join(f"{k}={v}" for k, v in t.choices.items()), t.costs["macs"],
                 repr(t.objectives["accuracy"])) for t in runs[seed]
            )  # fmt: skip
    return runs[seed]


def record(number: int, choices, macs: float, accuracy: float) -> TrialRecord:
    return TrialRecord(number, "complete", choices=choices, costs={"macs": macs}, objectives={"accuracy": accuracy})


def read_runs(path: Path) -> dict[int, list[TrialRecord]]:
    runs: dict[int, list[TrialRecord]] = defaultdict(list)
    if path.exists():
        with open(path, newline="") as file:
            for seed, number, choices, macs, accuracy in csv.reader(file):
                named = dict(each.split("=", 1) for each in choices.split(";"))
                runs[int(seed)].append(record(int(number), named, float(macs), float(accuracy)))
    return runs


class Truth:
    """The true answers, from the noiseless objective of all networks of a space within the costs of the trials."""

    def __init__(self, networks: Networks, listed, values):
        kept = [
            (choices, np.log10(cost), value)
            for (choices, cost), value in zip(listed, values)
            if all(text in networks.seen.get(name, ()) for name, text in choices.items())
            and networks.cost.min() - 1e-9 <= np.log10(cost) <= networks.cost.max() + 1e-9
        ]
        self.codes = codes_of([choices for choices, _, _ in kept], networks.levels)
        self.cost, self.value = np.array([cost for _, cost, _ in kept]), np.array([value for *_, value in kept])

    def weights(self, answer: str, column: int, level: int, span) -> np.ndarray:
        if answer == "paired":
            return pair_weights(self.codes, column, level)[0]
        return equal_cost_weights(self.codes, self.cost, column, level, span)

    def frontier(self, column: int, level: int, span, values: np.ndarray) -> np.ndarray:
        """The answer on the frontier, for each column of (networks, ...) values."""
        means = []
        for code in (0, level):
            rows = np.flatnonzero(self.codes[:, column] == code)
            bests = [values[rows[self.cost[rows] <= budget + 1e-9]].max(axis=0) for budget in np.linspace(*span, STEPS)]
            means.append(np.mean(bests, axis=0))
        return means[1] - means[0]


class Oracle:
    """Least squares with the terms of the planted model and its noise."""

    def __init__(self, networks: Networks, truth: Truth, planted: Planted):
        terms = Terms(networks.counts)
        groups = terms.groups[: 1 + len(networks.counts)]
        groups += [terms.of_pair(networks.place(a), networks.place(b)) for a, b in planted.interacting]
        columns = np.concatenate([np.arange(group.start, group.stop) for group in groups])
        known, self._every = terms.of(networks.codes)[:, columns], terms.of(truth.codes)[:, columns]
        self._covariance = np.linalg.pinv(known.T @ known / planted.noise**2)
        mean = self._covariance @ (known.T @ networks.value) / planted.noise**2
        draws = np.random.default_rng(0).multivariate_normal(mean, self._covariance, 400, method="svd")
        self.values = self._every @ draws.T

    def half_width(self, weights: np.ndarray) -> float:
        wanted = weights @ self._every
        return 1.96 * float(np.sqrt(wanted @ self._covariance @ wanted))


def true_answers(effects, networks: Networks, truth: Truth):
    """Yield (effect, name of the answer, answer, true value, weights of the networks or None) of each answer."""
    for effect in effects:
        for name in ("paired", "equal_cost", "frontier"):
            answer = getattr(effect, name)
            if answer is None:
                continue
            column, level, span = place_of(networks, effect, answer)
            if name == "frontier":
                yield effect, name, answer, float(truth.frontier(column, level, span, truth.value)), None
            else:
                weights = truth.weights(name, column, level, span)
                yield effect, name, answer, float(weights @ truth.value), weights


def place_of(networks: Networks, effect, answer):
    """(column, level, range of costs in decades or None) of an answer."""
    span = np.log10([answer.low, answer.high]) if hasattr(answer, "low") else None
    return networks.place(effect.factor), networks.levels[effect.factor].index(effect.level), span


def judged(records, listed, planted: Planted, space) -> list[tuple]:
    """Of each answer: (answer, factor, level, error, half width, half width of the oracle, null, significant)."""
    networks = networks_of(comparable(records, "accuracy", "macs"), "accuracy", "macs")
    truth = Truth(networks, listed, [planted(choices) for choices, _ in listed])
    oracle, out = Oracle(networks, truth, planted), []
    for effect, name, answer, true, weights in true_answers(choice_effects(records, space=space), networks, truth):
        if weights is None:
            column, level, span = place_of(networks, effect, answer)
            low, high = np.quantile(truth.frontier(column, level, span, oracle.values), [0.025, 0.975])
            best = (high - low) / 2
        else:
            best = oracle.half_width(weights)
        null = effect.factor in WITHOUT_EFFECT
        out.append((name, effect.factor, effect.level, *compared(answer, true), best, null, answer.significant))
    for each in interactions(records):
        true = 0.0
        for one, other in PLANTED_PAIRS:
            levels = {each.factor: (each.level, each.reference), each.other: (each.other_level, each.other_reference)}
            if {one, other} == set(levels):
                first, second = levels[one], levels[other]
                true = sum(
                    (1 if i == j else -1) * planted.pairs[one, first[i], other, second[j]]
                    for i in (0, 1)
                    for j in (0, 1)
                )
        pair = f"{each.factor} x {each.other}"
        out.append(("interaction", pair, each.level, *compared(each, true), "", true == 0, each.significant))
    return out


def compared(answer, true: float) -> tuple[float, float]:
    """(error of the centre of the interval, half of its width)."""
    low, high = answer.ci95
    return (low + high) / 2 - float(true), (high - low) / 2


def simulate(given) -> None:
    space = explorer.load_space(str(SPACE))
    listed = [
        (dict(space.unrank(index).choices), explorer.cost(space.architecture(index)).macs)
        for index in range(space.count())
    ]
    runs = read_runs(given.runs)
    done = {(row["sampler"], row["space"], int(row["study"])) for row in read(given.output)}
    for seed in range(given.studies):
        for sampler in given.samplers.split(","):
            for kind, known in (("known", listed), ("inferred", None)):
                if kind in given.space.split(",") and (sampler, kind, seed) not in done:
                    records = simulated(seed, sampler, listed, runs, given.runs)
                    answers = judged(records, listed, Planted(seed), known)
                    write(given.output, [(sampler, kind, seed, *row) for row in answers])
    print(summary(read(given.output)))


def table_of(name: str):
    """The networks of a published table: [(choices, MMACs)], their accuracies by seed, their mean accuracies."""
    listed, seeds = [], []
    with open(DATA / name / f"{name.replace('-', '_')}_extract.csv", newline="") as file:
        for row in csv.DictReader(file):
            digits = row.get("arch") or row["cell"]
            cost = float(row.get("macs") or row["mmacs"])
            listed.append(({f"layer{place}": digit for place, digit in enumerate(digits, 1)}, cost))
            seeds.append([float(row[key]) / 100 for key in row if key.startswith("acc")])
    return listed, np.array(seeds)


def table(given) -> None:
    """Answers from random networks of a published table against those of all its networks."""
    listed, seeds = table_of(given.name)
    value, done = seeds.mean(axis=1), {(row["space"], int(row["study"])) for row in read(given.output)}
    for seed in range(given.studies):
        draw = np.random.default_rng(seed)
        chosen = draw.choice(len(listed), TABLE_TRIALS, replace=False)
        records = [
            record(number, *listed[place], seeds[place, draw.integers(seeds.shape[1])])
            for number, place in enumerate(chosen)
        ]
        networks = networks_of(records, "accuracy", "macs")
        truth = Truth(networks, listed, value)
        for kind, known in (("known", listed), ("inferred", None)):
            if kind in given.space.split(",") and (kind, seed) not in done:
                found = true_answers(choice_effects(records, space=known), networks, truth)
                answers = [
                    (name, effect.factor, effect.level, *compared(answer, true), "", "", answer.significant)
                    for effect, name, answer, true, _ in found
                ]
                write(given.output, [("random", kind, seed, *row) for row in answers])
    print(summary(read(given.output)))


def write(path: Path, rows: list[tuple]) -> None:
    """Append rows to a file; studies whose rows are there are not run again."""
    with open(path, "a", newline="") as file:
        csv.writer(file).writerows(rows if file.tell() else [FIELDS, *rows])


def read(path: Path) -> list[dict]:
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def summary(rows: list[dict]) -> str:
    """Coverage, false alarms and widths, by sampler, knowledge of the space, and answer."""
    lines = [
        f"{'trials':<9}{'space':<10}{'answer':<13}{'n':>6}{'covered':>9}{'± 95%':>7}{'false':>8}"
        f"{'bias':>8}{'rms error':>11}{'half width':>12}{'oracle':>8}{'ratio':>7}"
    ]
    for key in dict.fromkeys((row["sampler"], row["space"], row["answer"]) for row in rows):
        own = [row for row in rows if (row["sampler"], row["space"], row["answer"]) == key]
        held = [abs(float(row["error"])) <= float(row["half"]) for row in own]
        by_study = defaultdict(list)
        for row, inside in zip(own, held):
            by_study[row["study"]].append(inside - np.mean(held))
        error = 1.96 * float(np.sqrt(sum(sum(each) ** 2 for each in by_study.values()))) / len(own)
        null = [row["significant"] == "True" for row in own if row["null"] == "True"]
        widths = [(float(row["half"]), float(row["oracle"])) for row in own if row["oracle"]]
        errors = [100 * float(row["error"]) for row in own]
        half = 100 * statistics.median(float(row["half"]) for row in own)
        best = 100 * statistics.median(best for _, best in widths) if widths else float("nan")
        lines.append(
            f"{key[0]:<9}{key[1]:<10}{key[2]:<13}{len(own):>6}{np.mean(held):>9.3f}{error:>7.3f}"
            f"{np.mean(null) if null else float('nan'):>8.3f}{np.mean(errors):>8.2f}"
            f"{np.sqrt(np.mean(np.square(errors))):>11.2f}{half:>12.2f}{best:>8.2f}{half / best:>7.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    simulation = commands.add_parser("simulate", help="simulated studies with planted effects")
    simulation.add_argument("--samplers", default="random,frontier")
    simulation.add_argument("--studies", type=int, default=200)
    simulation.add_argument("--runs", type=Path, default=Path("effects_coverage_runs.csv"))
    simulation.set_defaults(does=simulate)
    published = commands.add_parser("table", help="a published table of trained networks")
    published.add_argument("name", choices=("nas-bench-macro", "nas-bench-201"))
    published.add_argument("--studies", type=int, default=50, help="random samples of the table")
    published.set_defaults(does=table)
    for command in (simulation, published):
        command.add_argument("--space", default="known,inferred", help="whether the costs of all networks are known")
        command.add_argument("-o", "--output", type=Path, default=Path("effects_coverage.csv"))
    given = parser.parse_args()
    given.does(given)


if __name__ == "__main__":
    main()
