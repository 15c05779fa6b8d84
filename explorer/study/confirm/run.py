"""Confirmation: the networks of the Pareto front are trained again from fresh seeds and tested on the test split.

A search selects networks by validation metrics of one training each, so the metrics of selected networks are biased
upwards. A confirmation trains them from seeds that the search did not use, and reports only the test metrics of these
trainings.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from textwrap import dedent
from typing import ParamSpec

from explorer.analysis.estimates import searched
from explorer.errors import SearchFailed, StudyError
from explorer.records import Confirmed, TrialRecord
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import DEFAULT_STORAGE, check_storage, open_for_writing
from explorer.store.lease import new_worker
from explorer.store.presence.processes import Role
from explorer.store.studies import find_study, open_study
from explorer.store.study import Study
from explorer.study.confirm.loop import ConfirmationLoop, Event
from explorer.study.presence.attend import attend
from explorer.study.recorded_training import find_data, training_data, training_recipe
from explorer.study.seeds import seed_for
from explorer.study.workers.jobs import Retraining, Training
from explorer.study.workers.pool import ProcessPool
from explorer.system.core_shares import CoreShare
from explorer.system.cores import usable_cores
from explorer.system.files import ABANDONED_SECONDS, sweep
from explorer.system.signals import interruption
from explorer.training.settings import ResolvedTraining

MAX_SEEDS = 1_000  # per network

P = ParamSpec("P")


@dataclass(frozen=True)
class Confirmation:
    """The result of a confirmation.

    Attributes:
        study: The study.
        x: Quantity on the horizontal axis.
        y: Quantity on the vertical axis.
        networks: The confirmed networks of the Pareto front, by ascending ``x``.
        frontier: The trials of the Pareto front.
        ended: Why the confirmation ended.
        failed: Reasons of the failed trainings.
        missing: Number of trainings that were not run.
        interrupted: Whether a signal ended it.
        seconds: Its duration.
        signal: Number of that signal, or 0.
        stopped: Whether a request to stop ended it.
    """

    study: Study
    x: str
    y: str
    networks: list[Confirmed]
    frontier: list[TrialRecord]
    ended: str
    failed: list[str]
    missing: int
    interrupted: bool
    seconds: float
    signal: int = 0
    stopped: bool = False


def run_confirmation(
    storage: str | PathLike[str] = DEFAULT_STORAGE,
    name: str = "",
    *,
    seeds: int = 5,
    epochs: int | None = None,
    x: str | None = None,
    y: str | None = None,
    estimated: bool = False,
    mix_environments: bool = False,
    data_dir: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    progress: Callable[[Event], object] | None = None,
) -> Confirmation:
    """Train each network of the Pareto front from fresh seeds, and test each training.

    Data, split, recipe and each network's precision are the study's. The seeds follow from the study's seed and are the
    same for every network. Each training is stored when it ends: the same call resumes, a call with more seeds
    adds trainings, and failed trainings are tried again.

    Args:
        storage: Database URL or file.
        name: Name of the study; empty if the database has just one.
        seeds: Trainings per network, 1 to 1,000.
        epochs: Epochs of each training; the study's by default.
        x: Cost on the horizontal axis; that of the study's ``plane`` by default.
        y: Objective: accuracy, top5 or loss; that of the study's ``plane`` by default.
        estimated: Whether to train the front of the best estimates, which fresh seeds change, instead of the front
            that the search found.
        mix_environments: Whether latencies of different environments may be on one front.
        data_dir: Folder of the data; the place recorded in the study by default.
        device: "cpu", "cuda" or "cuda:N".
        workers: Parallel trainings; by default one per core on a CPU, and one on a GPU.
        progress: Called with each event.

    Raises:
        StoreError: The storage, study or quantity does not exist.
        StudyError: The study cannot be trained again, or a number is out of range.
        DataError: The data are missing.
    """
    began = time.monotonic()
    for what, number, most in (("seeds", seeds, MAX_SEEDS), ("epochs", epochs, 100_000), ("workers", workers, 1_024)):
        if number is not None and not 1 <= number <= most:
            raise StudyError(f"{what} must be in 1..{most}, found {number}")
    check_storage(storage)
    study = open_study(storage, name)
    recipe = training_recipe(study)
    x, y = study.axes(x, y)
    epochs = epochs or study.fingerprint["epochs"]
    study.confirmed(x, y, mix_environments=mix_environments)  # reports wrong names before hours of training
    frontier = study.frontier(x, y, mix_environments=mix_environments, searched=not estimated)
    if not frontier:
        raise StudyError(f"study {study.name!r} has no complete trial yet, so there is no frontier to confirm")
    place = find_data(study, data_dir)
    data = training_data(study, data_dir)
    len(data.test)  # reads the test split now, for the same reason
    is_fixed = workers is not None
    workers = workers or (usable_cores() if device == "cpu" else 1)
    workers = min(workers, seeds * len(frontier))
    settings = ResolvedTraining(
        data=place["name"],
        data_dir=place.get("data_dir"),
        subset=study.fingerprint["split"]["subset"],
        skip_damaged=study.fingerprint["split"].get("damaged", 0) > 0,
        recipe=recipe,
        epochs=epochs,
        device=device,
    )
    threads = max(1, usable_cores() // workers)
    work = Training(settings, threads, study.artifacts, side_by_side=workers)
    precisions = {trial.digest: trial.result.precision if trial.result else "float32" for trial in frontier}
    # The largest networks come first within a seed: the last trainings are short, so no core idles for long.
    largest_first = sorted(frontier, key=lambda trial: -trial.costs.get("macs", 0.0))
    drawn = [seed_for("confirm", study.seed, number) for number in range(seeds)]
    wanted = {Wanted(trial.digest, epochs, seed): trial for seed in drawn for trial in largest_first}
    study.require_writable_place()
    database = open_for_writing(storage)
    try:
        sweep(study.artifacts, older_than=time.time() - ABANDONED_SECONDS)
        writer = ConfirmationWriter(find_study(database, study.name), new_worker())
        share, reused = CoreShare(device), device.startswith("cuda")
        executor = ProcessPool(Retraining(work, precisions), workers, reused=reused, share=share, is_fixed=is_fixed)
        loop = ConfirmationLoop(wanted, writer, executor, workers, progress or (lambda event: None))
        with attend(loop, Role("confirm"), device=device):
            ended = loop.run()
    finally:
        database.close()
    kept = {each.digest: each for each in study.confirmed(x, y, epochs=epochs, mix_environments=mix_environments)}
    return Confirmation(
        study,
        x,
        y,
        [kept[trial.digest] for trial in frontier if trial.digest in kept],
        list(map(searched, frontier)),
        ended,
        list(loop.failures.values()),
        len(wanted) - loop.done,
        loop.interrupted,
        time.monotonic() - began,
        loop.signal,
        loop.stop is not None,
    )


def _for_scripts(run: Callable[P, Confirmation]) -> Callable[P, list[Confirmed]]:
    """Return ``confirm``: it has the arguments of ``run_confirmation``, and explains them in the same words."""

    def confirm(*args: P.args, **settings: P.kwargs) -> list[Confirmed]:
        """Train each network of the Pareto front again from fresh seeds, for scripts. The same call again continues.

        {arguments}
        Returns:
            The networks of the front, each with its trainings.

        Raises:
            SearchFailed: A training failed; the attribute ``study`` has all finished trainings.
            KeyboardInterrupt: A signal interrupted the confirmation; with the same attribute.
            ExplorerError: The confirmation is not possible.
        """
        found = run(*args, **settings)
        if found.interrupted:
            raise interruption(found.signal, found.study)
        if found.missing or found.failed:
            raise SearchFailed(f"some trainings failed or were not run: {found.ended}", found.study)
        return found.networks

    returned = "list[Confirmed]"
    confirm.__qualname__ = confirm.__name__
    confirm.__annotations__ = {**run.__annotations__, "return": returned}
    confirm.__signature__ = inspect.signature(run).replace(return_annotation=returned)  # type: ignore[attr-defined]
    if run.__doc__ and confirm.__doc__:  # python -OO removes docstrings
        arguments = run.__doc__[run.__doc__.index("    Args:") : run.__doc__.index("    Raises:")]
        confirm.__doc__ = inspect.cleandoc(confirm.__doc__).replace("{arguments}\n", dedent(arguments))
    return confirm


confirm = _for_scripts(run_confirmation)
