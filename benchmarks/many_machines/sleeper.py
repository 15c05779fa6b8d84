"""A search whose trials sleep, as a process of its own: ``python -m many_machines.sleeper --help``."""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import explorer

SPACE = "preact_variants.yaml"


def sleep(
    architecture: explorer.Architecture,
    *,
    choices: Mapping[str, str],
    epochs: Any,
    seed: int,
    seconds: float,
    starts: str,
) -> dict[str, float]:
    """Note the start and the end of the trial in a file, and sleep in between."""
    with open(starts, "a") as file:
        print("start", seed, os.getpid(), file=file, flush=True)
    time.sleep(seconds)
    with open(starts, "a") as file:
        print("end", seed, os.getpid(), file=file, flush=True)
    return {"accuracy": 0.5 + 0.4 * (seed % 1000) / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--starts", required=True)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--address")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    evaluate = functools.partial(sleep, seconds=given.seconds, starts=given.starts)
    explorer.search(
        explorer.load_space(SPACE),
        evaluate=evaluate,
        storage=given.storage,
        study="sleepers",
        trials=given.trials,
        sampler=given.sampler,
        workers=given.workers,
        engine=given.engine,
        engine_address=given.address,
    )


def start(**options: Any) -> subprocess.Popen[bytes]:
    """Start this script as a process of its own, in a new group of processes."""
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "many_machines.sleeper", *arguments]
    return subprocess.Popen(command, env=environment, start_new_session=True)


if __name__ == "__main__":
    main()
