"""A search from beginning to end: what is asked for is checked, the study is entered, the loop runs under
its lease and under the hand of whoever presses Ctrl-C."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from explorer.errors import StoreError, StudyError
from explorer.files import sweep
from explorer.grammar.space import SearchSpace
from explorer.limits import Limit, parse_limit
from explorer.measure.environment import find_device
from explorer.store.creating import check_name, create_study, set_limits
from explorer.store.database import DEFAULT_STORAGE, Database, open_for_writing
from explorer.store.lease import LEASE_SECONDS, new_worker
from explorer.store.studies import open_study, study_names
from explorer.store.study import Study
from explorer.store.writer import StudyWriter
from explorer.study.budget import DEFAULT_SECONDS, DEFAULT_TRIALS, Budget
from explorer.study.children import Children, InProcess, leave_the_search_to_the_parent
from explorer.study.curves import Curves
from explorer.study.events import Progress
from explorer.study.fingerprint import require_same
from explorer.study.guarding import interruptions, leases_kept
from explorer.study.loop import SearchLoop
from explorer.study.memory import make_memory
from explorer.study.plan import Plan, check_counts, check_seconds, checked_seed, make_plan
from explorer.study.proposals import OwnCost
from explorer.study.stopping import AUTO, RULES
from explorer.study.watchdog import TrialLimits
from explorer.study.work import Evaluate, Training
from explorer.training.recipe import Recipe

_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class RecordLost(StoreError):
    """The study cannot be read any more at the end of a search that could not write to it."""


@dataclass(frozen=True)
class SearchResult:
    """What a search came to. ``ended``: why it ended, in words; ``failed``: it gave up, since trial after
    trial failed or the store could not be written to, or its study has nothing but failures; ``interrupted``: by
    Ctrl-C; ``seconds``: of this search alone."""

    study: Study
    ended: str
    failed: bool
    interrupted: bool
    seconds: float


def run_search(
    space: SearchSpace,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    subset: int | None = None,
    evaluate: Evaluate | None = None,
    costs: Mapping[str, OwnCost] | None = None,
    objectives: Mapping[str, str] = {"accuracy": "max", "macs": "min"},
    trials: int | None = None,
    seconds: float | None = None,
    sampler: str = "frontier",
    seed: int = 0,
    workers: int | None = None,
    device: str = "cpu",
    recipe: Recipe | str | Mapping[str, Any] | None = None,
    epochs: int | None = None,
    precision: str = "auto",
    workers_per_device: int | None = None,
    limits: Iterable[Limit | str] | Limit | str | None = None,
    storage: str | None = DEFAULT_STORAGE,
    study: str | None = None,
    new_study: bool = False,
    stopping: str = AUTO,
    trial_seconds: float | None = None,
    trial_memory: int | None = None,
    until_stable: int | None = None,
    record_gradients: bool = False,
    scores: Iterable[str] = (),
    progress: Progress | None = None,
) -> SearchResult:
    """Searches ``space`` for the frontier of ``objectives``; the same call again goes on with the study.

    ``objectives``: name -> "max" or "min", of what training tells (accuracy, top5, loss), of costs, ``latency_ms``, or
    of what ``evaluate`` answers. ``data``: the name of a data set or a folder of images, looked for in ``data_dir``;
    ``subset``: so many images of it; ``recipe``: as ``training.recipe.recipe`` takes it; ``epochs``: of each training.
    Left out they are the explorer's own choice. ``sampler``: frontier, evolution, random, tpe, nsga2 or gp. ``seed``:
    what all randomness of a new study comes from. ``device``: cpu, cuda, cuda:1 or auto. ``study``: its name, made of
    the space's and the data's by default; ``new_study``: begin another beside the one of that name. ``progress``:
    called with each Event.

    ``trials``: the study's total of complete and stopped trials; ``seconds``: the time of this search,
    in which no trial is begun that would end too late. Without either, DEFAULT_TRIALS more than
    there are, and on embedded data no longer than DEFAULT_SECONDS. ``until_stable``: the search ends when so
    many trials in a row, of the study, have not enlarged the frontier's hypervolume. ``storage`` None keeps
    the study in memory.

    ``limits``: bounds on costs that every network trained keeps, as "macs<=50M", beside the space's own. They belong
    to the study: None are those that it has, others take their place and a warning says so.

    ``stopping``: the rule that ends trainings early, one of ``stopping.RULES`` or auto; ``trial_seconds`` and
    ``trial_memory`` (bytes of its process and all that it starts): limits on one trial, beyond which it
    fails; by default such as only a trial gone wrong meets.

    ``record_gradients``: of each network that is trained the gradient flow at its initialisation is stored
    (``Study.gradient_flow``, ``training/gradient_flow.py``). ``scores``: zero-cost scores, by name, that are stored
    with what a complete training measured (``scoring/zero_cost.py``).

    ``evaluate(architecture, *, choices, epochs, seed)`` replaces training and answers with the objectives
    that are no costs; it runs in this process unless ``workers`` is above 1. Where latencies are measured beside it,
    it does well to call an ``explorer.Pause`` between its steps, as this project's trainings do. ``costs``: name ->
    ``f(architecture, choices)``, known before evaluation, beside the analytic ones or in their stead.
    Of a network that was ever on the frontier the trained weights are kept.

    ``workers``: trainings side by side, one a core of the CPU when left out; on a GPU ``workers_per_device``,
    or as many as a short probe finds worthwhile. ``precision``: float32, bfloat16, or auto for what is measured
    to be faster.

    Raises ExplorerError: StudyError, StoreError, DataError, TrainingError or SpaceError; RecordLost when the database
    went away while it was in use.
    """
    leave_the_search_to_the_parent()
    began = time.monotonic()
    if not isinstance(space, SearchSpace):
        raise StudyError(f"a search takes a space, as explorer.load_space(...) gives it; found {space!r}")
    check_counts(trials=trials, until_stable=until_stable)
    check_seconds(seconds=seconds)
    seed, device = checked_seed(seed), find_device(device)
    limits = (limits,) if isinstance(limits, (str, Limit)) else limits
    asked = None if limits is None else tuple(parse_limit(each) if isinstance(each, str) else each for each in limits)
    plan = make_plan(
        space,
        data=data,
        data_dir=data_dir,
        subset=subset,
        evaluate=evaluate,
        costs=costs,
        objectives=objectives,
        sampler=sampler,
        workers=workers,
        device=device,
        recipe=recipe,
        epochs=epochs,
        precision=precision,
        workers_per_device=workers_per_device,
        limits=asked or (),
        study=study,
        stopping=stopping,
        trial_limits=TrialLimits(trial_seconds, trial_memory),
        record_gradients=record_gradients,
        scores=scores,
    )
    database = open_for_writing(storage)
    try:
        database.require_space()
        found = _enter_study(plan, database, seed, new_study, asked)
        plan = plan.under(map(parse_limit, found.limits))
        loop = _make_loop(plan, found, sampler, _budget(plan, found, trials, seconds, until_stable, began), progress)
        with interruptions(loop), leases_kept(loop.writer):
            ended = loop.run()
    finally:
        if storage is not None:
            database.close()
    try:
        kept = open_study(storage, found.name) if storage is not None else found
    except StoreError as error:
        if not loop.broken:
            raise
        raise RecordLost(f"the search gave up: {ended}") from error
    failed = loop.broken or loop.barren or loop.budget.hopeless()
    return SearchResult(kept, ended, failed, loop.interrupted, time.monotonic() - began)


def _described_as(model: Callable[P, object]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Gives a function that passes its arguments on to ``model`` the signature of that, and its words on them."""

    def describe(function):
        function.__signature__ = inspect.signature(model).replace(return_annotation=function.__annotations__["return"])
        function.__doc__ = "\n\n".join(map(inspect.cleandoc, (function.__doc__, model.__doc__)))
        return function

    return describe


@_described_as(run_search)
def search(space: SearchSpace, **settings) -> Study:
    """The study that a search fills, for scripts. Raises StudyError when the search gave up, and
    KeyboardInterrupt when it was interrupted; what had ended is in the study either way."""
    result = run_search(space, **settings)
    if result.failed:
        raise StudyError(f"the search gave up: {result.ended}")
    if result.interrupted:
        raise KeyboardInterrupt
    return result.study


def _enter_study(plan: Plan, database: Database, seed: int, new_study: bool, limits: tuple[Limit, ...] | None) -> Study:
    """The study to go on with, or a new one, under these limits. Raises StoreError when it was begun otherwise."""
    asked = tuple(sorted({str(limit) for limit in limits or ()}))
    name = check_name(plan.name)
    if new_study:
        taken, number = study_names(database), 1
        while name in taken:
            number += 1
            name = f"{plan.name}-{number}"
    study = create_study(
        database,
        name,
        space_name=plan.space.name,
        space_text=plan.space.text,
        fingerprint=plan.fingerprint,
        objectives=plan.objectives,
        seed=seed,
        limits=asked,
    )
    require_same(study, plan.fingerprint, plan.space.text)
    if limits is None or study.limits == asked:
        return study
    before, now = (", ".join(each) or "none" for each in (study.limits, asked))
    _log.warning("study %r: its limits were %s, from now on they are %s", study.name, before, now)
    return set_limits(study, asked)


def _budget(
    plan: Plan, study: Study, trials: int | None, seconds: float | None, until_stable: int | None, began: float
) -> Budget:
    if trials is None and seconds is None and until_stable is None:
        counts = study.counts()
        trials = counts["complete"] + counts["stopped"] + DEFAULT_TRIALS
        seconds = DEFAULT_SECONDS if plan.brief else None
    return Budget(trials, seconds, until_stable, began)


def _make_loop(plan: Plan, study: Study, sampler: str, budget: Budget, progress: Progress | None) -> SearchLoop:
    if isinstance(plan.work, Training) and not study.database.in_memory:
        plan = dataclasses.replace(plan, work=dataclasses.replace(plan.work, artifacts=study.artifacts))
        sweep(study.artifacts, older_than=time.time() - LEASE_SECONDS)
    in_process = plan.of_caller and plan.workers == 1
    workplace = InProcess(plan.work) if in_process else Children(plan.work, plan.workers, plan.of_caller, plan.reused)
    candidates = plan.candidates()
    memory = make_memory(candidates, plan.objectives, sampler, study.seed)
    writer = StudyWriter(study, new_worker())
    curves = Curves(study, RULES[plan.stopping], plan.epochs)
    return SearchLoop(plan, candidates, writer, memory, workplace, curves, budget, progress or (lambda event: None))
