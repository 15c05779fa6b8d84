"""What a search is asked for, checked and completed before anything is written or started."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from explorer.costing.analytic import Cost
from explorer.errors import StudyError, did_you_mean
from explorer.grammar.space import SearchSpace
from explorer.limits import Limit
from explorer.measure.cores import usable_cores
from explorer.store.study import LATENCY
from explorer.study.fingerprint import make_fingerprint
from explorer.study.packing import probe_side_by_side, typical
from explorer.study.proposals import OwnCost
from explorer.study.samplers import check_sampler
from explorer.study.screen import LatencyScreen
from explorer.study.stopping import check_stopping
from explorer.study.stopwatch import Stopwatch, make_stopwatch
from explorer.study.watchdog import TrialLimits
from explorer.study.work import Evaluate, Evaluation, Training, Work
from explorer.training.data import EMBEDDED, load_data
from explorer.training.recipe import Recipe, default_training
from explorer.training.recipe import recipe as recipe_named

DEFAULT_DATA = "cluttered-digits"
TRAINED = ("accuracy", "top5", "loss")  # what a training measures
PRECISIONS = ("auto", "float32", "bfloat16")
ANALYTIC = tuple(Cost.__dataclass_fields__)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A search, ready to run. ``epochs``: of a training that may be stopped early; ``reused``: a child process does
    trial after trial; ``of_caller``: the work is the caller's function; ``brief``: a training of embedded
    data, which has a default time; ``stopwatch``: where an objective or one of the ``latency_limits`` is a latency to
    be measured."""

    space: SearchSpace
    objectives: Mapping[str, str]
    work: Work
    own_costs: Mapping[str, OwnCost]
    limits: tuple[Limit, ...]
    latency_limits: tuple[Limit, ...]
    stopwatch: Stopwatch | None
    screen: LatencyScreen
    fingerprint: Mapping[str, Any]
    name: str
    workers: int
    stopping: str
    epochs: int
    trial_limits: TrialLimits
    reused: bool
    of_caller: bool
    brief: bool


def make_plan(
    space: SearchSpace,
    *,
    data: str | None,
    data_dir: str | Path | None,
    subset: int | None,
    evaluate: Evaluate | None,
    costs: Mapping[str, OwnCost] | None,
    objectives: Mapping[str, str],
    sampler: str,
    workers: int | None,
    device: str,
    recipe: Recipe | str | None,
    epochs: int | None,
    precision: str,
    workers_per_device: int | None,
    limits: Iterable[Limit],
    study: str | None,
    stopping: str,
    trial_limits: TrialLimits,
    record_gradients: bool,
) -> Plan:
    """Raises StudyError, or the errors of what is asked for: DataError, TrainingError, SpaceError."""
    own_costs = dict(costs or {})
    limits = (*space.limits, *limits)
    answered = LATENCY in own_costs or (evaluate is not None and LATENCY in objectives)
    timed = not answered and (LATENCY in objectives or any(limit.cost == LATENCY for limit in limits))
    known_costs = dict.fromkeys([*ANALYTIC, *own_costs, *([] if answered else [LATENCY])])
    expected = _expected(objectives, known_costs, evaluate is not None)
    for limit in limits:
        if limit.cost not in known_costs:
            raise StudyError(
                f"limit {limit}: {limit.cost!r} is not known before training; {_known(known_costs, limit.cost)}"
            )
    check_sampler(sampler)
    check_stopping(stopping)
    if epochs is not None and epochs < 1:
        raise StudyError(f"epochs must be at least 1, found {epochs}")
    for asked, number in (("workers", workers), ("workers per device", workers_per_device)):
        if number is not None and number < 1:
            raise StudyError(f"{asked} must be at least 1, found {number}")
    if precision not in PRECISIONS:
        near = did_you_mean(precision, PRECISIONS)
        raise StudyError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}{near}")
    if evaluate is not None:
        if data is not None or subset is not None or recipe is not None:
            raise StudyError(
                "'evaluate' replaces training, so data, subset and recipe are not its settings; leave them out"
            )
        if record_gradients:
            raise StudyError("'evaluate' replaces training, at whose beginning gradients are recorded; leave them out")
        workers = workers or 1
        work: Work = Evaluation(evaluate, epochs, expected)
        if workers > 1:
            _require_picklable(work)
        described, training_recipe, name = None, None, f"{space.name}-evaluate"
    else:
        dataset = load_data(data or DEFAULT_DATA, data_dir, subset=subset)
        for note in dataset.notes:
            _log.warning("%s: %s", dataset.name, note)
        space = space.with_input(dataset.shape, dataset.classes)
        default_recipe, default_epochs = default_training(dataset.name)
        training_recipe = recipe_named(recipe) if isinstance(recipe, str) else recipe or default_recipe
        epochs = epochs or default_epochs
        work = Training(
            data=data or DEFAULT_DATA,
            data_dir=str(data_dir) if data_dir is not None else None,
            subset=subset,
            recipe=training_recipe,
            epochs=epochs,
            device=device,
            threads=1,
            precision=precision,
            artifacts=None,
            gradients=record_gradients,
        )
        workers = workers or workers_per_device or _side_by_side(space, work)
        work = replace(work, threads=max(1, usable_cores() // workers))
        described, name = dataset.fingerprint, f"{space.name}-{dataset.name}"
    stopwatch = make_stopwatch(device) if timed else None
    latency_limits = tuple(limit for limit in limits if timed and limit.cost == LATENCY)
    fingerprint = make_fingerprint(
        space,
        objectives,
        data=described,
        recipe=training_recipe,
        epochs=epochs,
        own_costs=own_costs,
        own_evaluation=evaluate is not None,
        latency=stopwatch.environment if stopwatch and LATENCY in objectives else None,
    )
    return Plan(
        space=space,
        objectives=dict(objectives),
        work=work,
        own_costs=own_costs,
        limits=tuple(limit for limit in limits if limit not in latency_limits),
        latency_limits=latency_limits,
        stopwatch=stopwatch,
        screen=LatencyScreen(latency_limits),
        fingerprint=fingerprint,
        name=study or name,
        workers=workers,
        stopping="none" if evaluate is not None else stopping,
        epochs=epochs or 1,
        trial_limits=trial_limits,
        reused=device.startswith("cuda"),
        of_caller=evaluate is not None,
        brief=evaluate is None and (data or DEFAULT_DATA) in EMBEDDED,
    )


def check_budget(trials: int | None, seconds: float | None, until_stable: int | None) -> None:
    """Raises StudyError for a budget of nothing."""
    for name, number in (("trials", trials), ("until_stable", until_stable)):
        if number is not None and number < 1:
            raise StudyError(f"{name} must be at least 1, found {number}")
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise StudyError(f"the time must be a positive number of seconds, found {seconds:g}")


def _expected(objectives: Mapping[str, str], known_costs: Iterable[str], own_evaluation: bool) -> tuple[str, ...]:
    """The objectives that are not known before the work is done."""
    if not objectives:
        raise StudyError("a search needs at least one objective, as in {'accuracy': 'max', 'macs': 'min'}")
    for name, direction in objectives.items():
        if direction not in ("max", "min"):
            raise StudyError(f"objective {name!r}: a direction is 'max' or 'min', found {direction!r}")
    measured = tuple(name for name in objectives if name not in set(known_costs))
    if not measured:
        raise StudyError(
            f"the objectives {', '.join(objectives)} are known without training;"
            f" name one that it tells, as accuracy; 'explorer atlas' and 'explorer latency' tell the others"
        )
    if not own_evaluation:
        for name in measured:
            if name not in TRAINED:
                raise StudyError(f"unknown objective {name!r}; {_known([*TRAINED, *known_costs], name)}")
    return measured


def _known(names: Iterable[str], asked: str) -> str:
    return f"known: {', '.join(names)}{did_you_mean(asked, names)}"


def _require_picklable(work: Work) -> None:
    try:
        ForkingPickler.dumps(work)
    except Exception as error:
        mend = "make it a function of a module, or leave workers at 1"
        raise StudyError(f"with several workers 'evaluate' must be picklable; {mend} ({error})") from None


def _side_by_side(space: SearchSpace, work: Training) -> int:
    """How many trainings at once serve the device best: one a core on the CPU, on a GPU what a probe finds."""
    if work.device == "cpu":
        return usable_cores()
    return probe_side_by_side(typical(space), work.recipe, work.device, work.precision)
