"""Measures the processor time of ``explorer scores --study`` beside that of other checkouts.

    python benchmarks/score_speed.py [--checkout DIR ...] [--data cluttered-digits] [--networks 120] [--rounds 3]

Each checkout makes a study of the same networks, whose accuracy a function sets without training, and then scores it:
the commands run in turn, so that all meet the same load. User and system time of the command, start-up included;
wall time is shown because the command computes on several cores. Then the same networks of a space are scored by each
checkout, and the largest relative difference from the first one is printed for each score.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from explorer.system.environment import describe_environment

HERE = Path(__file__).parents[1]
COMPARED = 12  # networks whose values are compared
MAKE_STUDY = """
import sys, explorer
from explorer.data.dataset import load_data
space, data, folder, trials, storage = sys.argv[1:]
found = load_data(data, folder or None)
explorer.search(
    explorer.load_space(space).with_input(found.shape, found.classes), study="timed", storage=storage,
    objectives={"accuracy": "max", "macs": "min"}, trials=int(trials), sampler="random", stopping="none",
    evaluate=lambda arch, *, choices, epochs, seed: {"accuracy": int(arch.digest[-6:], 16) / 16**6},
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkout", type=Path, action="append", default=[], help="another checkout; may be repeated")
    parser.add_argument("--space", default="preact_variants.yaml")
    parser.add_argument("--data", default="cluttered-digits")
    parser.add_argument("--data-dir", default=os.environ.get("EXPLORER_DATA", ""))
    parser.add_argument("--networks", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    checkouts = [each.resolve() for each in (*options.checkout, HERE)]
    environment = describe_environment("cpu", threads=1)
    print(f"{environment.device_name}, {environment.platform}, torch {environment.versions['torch']}, one thread")
    data = ["--data", options.data, *(["--data-dir", options.data_dir] if options.data_dir else [])]
    with tempfile.TemporaryDirectory() as folder:
        storages = {each: f"sqlite:///{folder}/study{number}.db" for number, each in enumerate(checkouts)}
        for checkout, storage in storages.items():
            made = [options.space, options.data, options.data_dir, str(options.networks), storage]
            run(["-c", MAKE_STUDY, *made], checkout, folder)
        spent: dict[Path, list[tuple[float, float]]] = {checkout: [] for checkout in checkouts}
        for _ in range(options.rounds):
            for checkout, storage in storages.items():
                command = ["-m", "explorer", "scores", "--study", "timed", "--storage", storage, *data, "--json"]
                _, processor, clock = run(command, checkout, folder)
                spent[checkout].append((processor, clock))
                load = f"load {os.getloadavg()[0]:.1f}"
                print(
                    f"{checkout.name}: {processor:.2f} s of processor time, {clock:.1f} s by the clock, {load}",
                    flush=True,
                )
        for checkout in checkouts[:-1]:
            ratios = [np.divide(*pair) for pair in zip(spent[checkout], spent[HERE], strict=True)]
            processor, clock = np.median(ratios, axis=0)
            low, high = np.min(ratios, axis=0)[0], np.max(ratios, axis=0)[0]
            print(f"{checkout.name} to now: {processor:.2f} ({low:.2f} to {high:.2f}), by the clock {clock:.2f}")
        command = ["-m", "explorer", "scores", options.space, "-n", str(COMPARED), *data, "--json"]
        rows = [json.loads(run(command, checkout, folder)[0])["rows"] for checkout in checkouts]
    for checkout, own in zip(checkouts[1:], rows[1:], strict=True):
        print(f"{checkout.name}: largest relative difference from {checkouts[0].name}: {differences(rows[0], own)}")


def run(arguments: list[str], checkout: Path, folder: str) -> tuple[str, float, float]:
    """Run Python with a checkout; return its output, processor time and wall time in seconds."""
    own = {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, **own, "PYTHONDONTWRITEBYTECODE": ""},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
    )  # fmt: skip
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, spent, ended - began


def differences(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> str:
    """Return the largest relative difference of each score that both have."""
    assert [row["digest"] for row in before] == [row["digest"] for row in now]
    names = [name for name, value in before[0].items() if isinstance(value, float)]
    found = []
    for name in names:
        pairs = [(a[name], b[name]) for a, b in zip(before, now, strict=True) if a[name] and b[name]]
        found.append(f"{name} {max(abs(b / a - 1) for a, b in pairs):.1e}")
    return ", ".join(found)


if __name__ == "__main__":
    main()
