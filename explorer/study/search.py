"""A search from beginning to end: what is asked for is checked, the study is entered, the loop runs under
its lease and under the hand of whoever presses Ctrl-C."""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from explorer.errors import SearchFailed, StoreError, StudyError, did_you_mean
from explorer.files import ABANDONED_SECONDS, sweep
from explorer.grammar.space import SearchSpace
from explorer.limits import Limit, parse_limit
from explorer.measure.environment import find_device
from explorer.records import TrialRecord
from explorer.signals import interruption
from explorer.store.database import DEFAULT_STORAGE, Database, check_storage, open_for_writing
from explorer.store.lease import is_gone, new_worker
from explorer.store.studies import change_study, check_name, create_study, find_study, open_study, study_names
from explorer.store.study import Study
from explorer.store.writer import StudyWriter
from explorer.study.budget import DEFAULT_SECONDS, DEFAULT_TRIALS, Budget
from explorer.study.children import Children, InProcess, leave_the_search_to_the_parent
from explorer.study.curves import Curves
from explorer.study.events import Progress
from explorer.study.fingerprint import code_differences, require_same
from explorer.study.guarding import interruptions, leases_kept
from explorer.study.loop import SearchLoop
from explorer.study.memory import make_memory
from explorer.study.plan import OBJECTIVES, Plan, check_counts, check_seconds, checked_seed, make_plan
from explorer.study.proposals import OwnCost
from explorer.study.stopping import AUTO, RULES
from explorer.study.watchdog import TrialLimits
from explorer.study.work import Evaluate, Training
from explorer.training.recipe import Recipe

CHANGED_CODE = ("refuse", "continue")
MOST_PLACES = 8  # where a study's data lay that are remembered
_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class RecordLost(StoreError):
    """The study cannot be read any more at the end of a search that could not write to it.

    Attributes:
        trials: The trials of the study as the search last knew them, without curves and architectures.
    """

    def __init__(self, message: str, trials: Sequence[TrialRecord] = ()):
        super().__init__(message)
        self.trials = trials


@dataclass(frozen=True)
class SearchResult:
    """What a search came to. ``ended``: why it ended, in words; ``failed``: it gave up, since trial after
    trial failed or the store could not be written to, or its study has nothing but failures; ``interrupted``: by
    Ctrl-C or another signal, whose number is ``signal``; ``seconds``: of this search alone."""

    study: Study
    ended: str
    failed: bool
    interrupted: bool
    seconds: float
    signal: int = 0


def run_search(
    space: SearchSpace,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    subset: int | None = None,
    skip_damaged: bool = False,
    evaluate: Evaluate | None = None,
    costs: Mapping[str, OwnCost] | None = None,
    objectives: Mapping[str, str] = OBJECTIVES,
    trials: int | None = None,
    seconds: float | None = None,
    sampler: str = "frontier",
    seed: int | None = None,
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
    changed_code: str = "refuse",
    retry_failed: bool = False,
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
    Left out they are the explorer's own choice. ``sampler``: frontier, evolution, random, tpe, nsga2 or gp.
    ``device``: cpu, cuda, cuda:1 or auto. ``study``: its name, by default the space's with the data's or with that of
    the function ``evaluate``; ``new_study``: begin another beside the one of that name. ``progress``: called with each
    Event.

    ``seed``: of all random numbers of the study. Left out it is the study's own, 0 for a new study. A study that was
    begun with another seed is refused; where ``study`` is left out, the study ``<default name>-seed<seed>`` is taken.

    ``changed_code``: what to do with a study whose trials were evaluated by other code of ``evaluate`` or ``costs``,
    "refuse" (default) or "continue", which keeps its trials and goes on. A study without results always goes on.
    ``retry_failed``: each run retries once the trials that failed in an earlier run because of code, disk or a dead
    process; True: also those that broke a limit on time or memory, and those whose training diverged.

    ``trials``: the study's total of complete and stopped trials; ``seconds``: the time of this search,
    in which no trial is begun that would end too late. Without either, DEFAULT_TRIALS more than
    there are, and on embedded data no longer than DEFAULT_SECONDS. ``until_stable``: the search ends when so
    many trials in a row, of the study, have not enlarged the frontier's hypervolume. ``storage`` None keeps
    the study in memory.

    ``skip_damaged``: leave out images of a folder that cannot be decoded. Their number is kept with the study, and its
    later workers leave them out too.

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
    went away while it was in use. What ``progress`` raises ends the search; that exception is given the attribute
    ``study``.
    """
    leave_the_search_to_the_parent()
    began = time.monotonic()
    if not isinstance(space, SearchSpace):
        raise StudyError(f"a search takes a space, as explorer.load_space(...) gives it; found {space!r}")
    check_counts(trials=trials, until_stable=until_stable)
    check_seconds(seconds=seconds)
    if changed_code not in CHANGED_CODE:
        near = did_you_mean(str(changed_code), CHANGED_CODE)
        raise StudyError(f"changed_code must be one of {', '.join(CHANGED_CODE)}, found {changed_code!r}{near}")
    check_storage(storage)
    if study is not None:
        check_name(study)
    seed, device = None if seed is None else checked_seed(seed), find_device(device)
    limits = (limits,) if isinstance(limits, (str, Limit)) else limits
    asked = None if limits is None else tuple(parse_limit(each) if isinstance(each, str) else each for each in limits)
    plan = make_plan(
        space,
        data=data,
        data_dir=data_dir,
        subset=subset,
        skip_damaged=skip_damaged,
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
        plan = _named(plan, database, seed, study is not None, new_study)
        found = _enter_study(plan, database, seed, new_study, asked, changed_code)
        plan = plan.under(map(parse_limit, found.limits))
        budget = _budget(plan, found, trials, seconds, until_stable, began)
        loop = _make_loop(plan, found, sampler, budget, progress, retry_failed)
        try:
            with interruptions(loop), leases_kept(loop.writer):
                ended = loop.run()
        except BaseException as error:  # from ``progress``, or a second Ctrl-C; the study keeps finished trials
            BaseException.__setattr__(error, "study", found)
            raise
    finally:
        if storage is not None:
            database.close()
    try:
        kept = _opened_again(database, storage, found.name) if storage is not None else found
    except StoreError as error:
        if not loop.broken:
            raise
        raise RecordLost(f"the search gave up: {ended}", list(loop.ledger.records.values())) from error
    failed = loop.broken or loop.barren or loop.budget.hopeless()
    return SearchResult(kept, ended, failed, loop.interrupted, time.monotonic() - began, loop.signal)


def _opened_again(database: Database, storage: str, name: str) -> Study:
    """The study, to read, wherever the working folder is by now."""
    if database.file is None:
        return open_study(storage, name)
    kept = open_study(f"sqlite:///{database.file}", name)
    return dataclasses.replace(kept, database=dataclasses.replace(kept.database, shown=database.shown))


def _described_as(model: Callable[P, object]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Gives a function that passes its arguments on to ``model`` the signature of that, and its words on them."""

    def describe(function):
        function.__signature__ = inspect.signature(model).replace(return_annotation=function.__annotations__["return"])
        words = filter(None, (function.__doc__, model.__doc__))  # python -OO leaves none
        function.__doc__ = "\n\n".join(map(inspect.cleandoc, words))
        return function

    return describe


@_described_as(run_search)
def search(space: SearchSpace, **settings) -> Study:
    """The study that a search fills, for scripts.

    When the search gave up, SearchFailed (a StudyError) is raised; when it was interrupted, KeyboardInterrupt. Both
    have the study, with all that had ended, as their attribute ``study``, also one in memory.
    In a notebook or another interactive session an interrupted search returns the study instead, with a warning."""
    result = run_search(space, **settings)
    if result.failed:
        raise SearchFailed(f"the search gave up: {result.ended}", result.study)
    if result.interrupted:
        if not _interactive():
            raise interruption(result.signal, result.study)
        goes_on = "" if result.study.database.in_memory else ", and the same call goes on with it"
        _log.warning("the search was interrupted; this is the study so far%s", goes_on)
    return result.study


def _interactive() -> bool:
    """Whether somebody types at this process: a Python prompt, IPython or a notebook."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive) or hasattr(builtins, "__IPYTHON__")


def _named(plan: Plan, database: Database, seed: int | None, named: bool, new_study: bool) -> Plan:
    """The plan with the name of the study that it enters. ``named``: the caller gave it, so another is not taken."""
    taken, name = study_names(database), check_name(plan.name)
    if not named and plan.of_caller:
        before = f"{plan.space.name}-evaluate"  # the default name of before it had the function's
        if name not in taken and before in taken and "code" not in find_study(database, before).fingerprint:
            name = before
    if not named and not new_study and seed is not None and name in taken:
        kept = find_study(database, name).seed
        if kept != seed:
            other = f"{name}-seed{seed}"
            _log.warning("study %r was begun with seed %d; with seed %d it is study %r", name, kept, seed, other)
            name = other
    return dataclasses.replace(plan, name=name)


def _enter_study(
    plan: Plan,
    database: Database,
    seed: int | None,
    new_study: bool,
    limits: tuple[Limit, ...] | None,
    changed_code: str,
) -> Study:
    """The study to go on with, or a new one, under these limits. Raises StoreError when it was begun otherwise."""
    asked = tuple(sorted({str(limit) for limit in limits or ()}))
    study = create_study(
        database,
        plan.name,
        space_name=plan.space.name,
        space_text=plan.space.text,
        fingerprint=plan.fingerprint,
        objectives=plan.objectives,
        seed=seed or 0,
        limits=asked,
        data_places=[plan.data_place] if plan.data_place else (),
        beside=new_study,
    )
    require_same(study, plan.fingerprint, plan.space.text)
    if seed is not None and study.seed != seed:
        raise StoreError(
            f"study {study.name!r} in {study.storage} was begun with seed {study.seed}, found seed {seed}; leave the "
            "seed out to go on with it, or begin another with --study NAME or --new-study"
        )
    fingerprint = _with_code(study, plan.fingerprint, changed_code)
    bounds = study.limits if limits is None else asked
    places = study.data_places
    if plan.data_place:  # of several machines each has its own
        places = (plan.data_place, *(place for place in places if place != plan.data_place))[:MOST_PLACES]
    if (dict(study.fingerprint), study.limits, study.data_places) == (fingerprint, bounds, places):
        return study
    if study.limits != bounds:
        before, now = (", ".join(each) or "none" for each in (study.limits, bounds))
        _log.warning("study %r: its limits were %s, from now on they are %s", study.name, before, now)
    return change_study(study, fingerprint=fingerprint, limits=bounds, data_places=places)


def _with_code(study: Study, found: Mapping[str, Any], changed_code: str) -> dict[str, Any]:
    """The study's fingerprint with the code of the functions that it is searched with now. Raises StoreError where
    results were computed by other code, unless they are to be kept."""
    if "code" not in found:
        return dict(study.fingerprint)
    differences = "; ".join(code_differences(study.fingerprint, found))
    counts = study.counts()
    results = counts["complete"] + counts["stopped"]
    if differences:
        held = (each for each in study.leases() if each.until is not None and each.until > time.time())
        running = any(not is_gone(each.worker) for each in held)
        if changed_code != "continue" and (running or (results and not _corrects_errors(study, found))):
            told = f"{results} of its trials have results" if results else "another process is searching it"
            raise StoreError(
                f"study {study.name!r} in {study.storage} was begun with other code ({differences}), and {told}; "
                "changed_code='continue' keeps them and goes on, new_study=True or another name (study='NAME') begins "
                "another study"
            )
        _log.warning(
            "study %r goes on with other code (%s); trials with results keep them: %d", study.name, differences, results
        )
    elif "code" not in study.fingerprint and results:
        _log.warning(
            "study %r was begun before studies kept the code of functions; its trials count as evaluated by this code",
            study.name,
        )
    return {**study.fingerprint, "code": found["code"]}


def _corrects_errors(study: Study, found: Mapping[str, Any]) -> bool:
    """Whether other code is likely a correction: the functions have the names that the study knows, and some trial
    failed because the earlier code raised an error."""
    kept = study.fingerprint.get("code", {})
    same = all(role in kept and kept[role]["name"] == now["name"] for role, now in found["code"].items())
    return same and any(record.failure == "code" for record in study.trials(full=False))


def _budget(
    plan: Plan, study: Study, trials: int | None, seconds: float | None, until_stable: int | None, began: float
) -> Budget:
    if trials is None and seconds is None and until_stable is None:
        counts = study.counts()
        trials = counts["complete"] + counts["stopped"] + DEFAULT_TRIALS
        seconds = DEFAULT_SECONDS if plan.brief else None
    return Budget(trials, seconds, until_stable, began)


def _make_loop(
    plan: Plan, study: Study, sampler: str, budget: Budget, progress: Progress | None, retry_failed: bool
) -> SearchLoop:
    if isinstance(plan.work, Training) and not study.database.in_memory:
        plan = dataclasses.replace(plan, work=dataclasses.replace(plan.work, artifacts=study.artifacts))
        sweep(study.artifacts, older_than=time.time() - ABANDONED_SECONDS)
    in_process = plan.of_caller and plan.workers == 1
    workplace = InProcess(plan.work) if in_process else Children(plan.work, plan.workers, plan.of_caller, plan.reused)
    candidates = plan.candidates()
    memory = make_memory(candidates, plan.objectives, sampler, study.seed)
    writer = StudyWriter(study, new_worker())
    curves = Curves(study, RULES[plan.stopping], plan.epochs)
    watch = progress or (lambda event: None)
    return SearchLoop(plan, candidates, writer, memory, workplace, curves, budget, watch, retry_failed)
