"""What a search is asked for, checked and completed before anything is written or started."""

from __future__ import annotations

import itertools
import logging
import math
import numbers
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from explorer.data.catalogue import EMBEDDED, data_place
from explorer.data.dataset import load_data
from explorer.errors import StudyError, did_you_mean
from explorer.limits import Limit
from explorer.quantities import COSTS, LATENCY, TRAINED
from explorer.scoring.names import check_scores
from explorer.space.search_space import SearchSpace
from explorer.study.candidates import Candidates, OwnCost
from explorer.study.fingerprint import make_fingerprint
from explorer.study.function_code import short_name
from explorer.study.latency.limit import LatencyFilter
from explorer.study.latency.objective import LatencyObjective, make_latency_objective
from explorer.study.latency.predicted import PredictedLatency, find_predicted_latency
from explorer.study.packing import probe_side_by_side, typical
from explorer.study.samplers.registry import check_sampler
from explorer.study.stopping.rules import AUTO, choose_stopping
from explorer.study.watchdog import UNLIMITED, TrialLimits
from explorer.study.work import Evaluate, Evaluation, Training, Work
from explorer.system.cores import usable_cores
from explorer.training.recipe import Recipe, default_training, require_several_values
from explorer.training.recipe import recipe as recipe_named

DEFAULT_DATA = "cluttered-digits"
TRIED_WITH_BATCH = 20  # networks of the space that are tried with the recipe's batches before any is trained
PRECISIONS = ("auto", "float32", "bfloat16")
OBJECTIVES = {"accuracy": "max", "macs": "min"}
EXAMPLE = "{'accuracy': 'max', 'macs': 'min'}"
SEEDS = -(2**63), 2**63 - 1  # that both kinds of database keep
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A search, ready to run. ``epochs``: of a training that may be stopped early; ``reused``: a child process does
    trial after trial; ``of_caller``: the work is the caller's function; ``brief``: a training of embedded
    data, which has a default time; ``limits``: on costs known by arithmetic; ``latency_objective``: measures the
    latency where an objective or one of the ``latency_limits`` needs it; ``predicted``: a calibrated predictor, where
    the space and the environment have one; ``data_place``: where the data lie, from any working folder."""

    space: SearchSpace
    objectives: Mapping[str, str]
    work: Work
    own_costs: Mapping[str, OwnCost]
    limits: tuple[Limit, ...]
    latency_limits: tuple[Limit, ...]
    latency_objective: LatencyObjective | None
    predicted: PredictedLatency | None
    latency_filter: LatencyFilter
    fingerprint: Mapping[str, Any]
    data_place: Mapping[str, str]
    name: str
    workers: int
    stopping: str
    epochs: int
    trial_limits: TrialLimits
    reused: bool
    of_caller: bool
    brief: bool
    device: str

    @property
    def measures_latency(self) -> bool:
        """Latencies are this search's to measure: no function of the caller's tells them."""
        return LATENCY not in self.own_costs and not (self.of_caller and LATENCY in self.objectives)

    def under(self, limits: Iterable[Limit]) -> Plan:
        """This plan with these limits beside the space's own. Raises StudyError for one on what only training tells."""
        limits = (*self.space.limits, *limits)
        _check_limits(limits, known_costs(self.own_costs, self.measures_latency))
        latency_limits = tuple(limit for limit in limits if self.measures_latency and limit.cost == LATENCY)
        latency_objective = self.latency_objective or (make_latency_objective(self.device) if latency_limits else None)
        predicted = find_predicted_latency(latency_objective.environment, self.space) if latency_objective else None
        return replace(
            self,
            limits=tuple(limit for limit in limits if limit not in latency_limits),
            latency_limits=latency_limits,
            latency_objective=latency_objective,
            predicted=predicted,
            latency_filter=LatencyFilter(latency_limits, predicted),
        )

    def candidates(self) -> Candidates:
        """What makes candidates of the space."""
        predict = self.predicted or (lambda architecture: {})
        return Candidates(self.space, self.own_costs, self.limits, self.latency_filter.may_keep_limits, predict)


def known_costs(own_costs: Iterable[str], measures_latency: bool) -> list[str]:
    """The names of what is known of a network before it is trained."""
    return list(dict.fromkeys([*COSTS, *own_costs, *([LATENCY] if measures_latency else [])]))


def _check_limits(limits: Sequence[Limit], known: Sequence[str]) -> None:
    for limit in limits:
        if limit.cost not in known:
            raise StudyError(f"limit {limit}: {limit.cost!r} is not known before training; {_known(known, limit.cost)}")
    lowest, highest = ([each for each in limits if each.comparison[0] == sign] for sign in "><")
    for low, high in itertools.product(lowest, highest):
        if low.cost == high.cost and not (low.allows({low.cost: high.bound}) and high.allows({low.cost: low.bound})):
            raise StudyError(
                f"no network keeps both {low} and {high}; change one of them, or take the study's limits off with "
                "--limit none (limits='none')"
            )


def make_plan(
    space: SearchSpace,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    subset: int | None = None,
    skip_damaged: bool = False,
    evaluate: Evaluate | None = None,
    costs: Mapping[str, OwnCost] | None = None,
    objectives: Mapping[str, str] = OBJECTIVES,
    sampler: str = "frontier",
    workers: int | None = None,
    device: str = "cpu",
    recipe: Recipe | str | None = None,
    epochs: int | None = None,
    precision: str = "auto",
    workers_per_device: int | None = None,
    limits: Iterable[Limit] = (),
    study: str | None = None,
    stopping: str = AUTO,
    trial_limits: TrialLimits = UNLIMITED,
    record_gradients: bool = False,
    scores: Iterable[str] = (),
) -> Plan:
    """The search that is asked for, with the settings of ``run_search``. Raises StudyError, or the errors of what is
    asked for: DataError, TrainingError, SpaceError."""
    if not isinstance(objectives, Mapping):
        raise StudyError(f"objectives map names to 'max' or 'min', as in {EXAMPLE}; found {objectives!r}")
    own_costs = dict(costs or {})
    limits = tuple(limits)
    for name, function in [("evaluate", evaluate), *((f"the cost {name}", own) for name, own in own_costs.items())]:
        if function is not None and not callable(function):
            raise StudyError(f"{name} must be a function, found {function!r}")
    answered = LATENCY in own_costs or (evaluate is not None and LATENCY in objectives)
    known = known_costs(own_costs, not answered)
    expected = _expected(objectives, known, evaluate is not None)
    _check_limits((*space.limits, *limits), known)
    check_sampler(sampler)
    choose_stopping(stopping, 1)  # known at all
    check_counts(epochs=epochs, workers=workers, workers_per_device=workers_per_device)
    check_counts(subset=subset, trial_memory=trial_limits.memory)
    check_seconds(trial_seconds=trial_limits.seconds)
    if precision not in PRECISIONS:
        near = did_you_mean(precision, PRECISIONS)
        raise StudyError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}{near}")
    scores = tuple(scores)
    if evaluate is None:  # before the data are read
        check_scores(scores)
        default_recipe, default_epochs = default_training(data or DEFAULT_DATA)
        training_recipe = default_recipe if recipe is None else recipe_named(recipe, default_recipe)
    if evaluate is not None:
        if scores:
            raise StudyError("'evaluate' replaces training, with which scores are measured; give them as 'costs'")
        if data is not None or subset is not None or recipe is not None:
            raise StudyError(
                "'evaluate' replaces training, so data, subset and recipe are not its settings; leave them out"
            )
        if record_gradients:
            raise StudyError("'evaluate' replaces training, at whose beginning gradients are recorded; leave them out")
        workers = workers or 1
        work: Work = Evaluation(evaluate, epochs, expected)
        if workers > 1:
            _require_picklable(evaluate)
        elif trial_limits != UNLIMITED:
            _log.warning(
                "'evaluate' runs in this process, where a trial's time and memory are not limited: see 'workers'"
            )
        described, training_recipe, name = None, None, f"{space.name}-{short_name(evaluate) or 'evaluate'}"
        place: dict[str, str] = {}
    else:
        dataset = load_data(data or DEFAULT_DATA, data_dir, subset=subset, skip_damaged=skip_damaged)
        for note in (*dataset.class_lines(("train", "validation")), *dataset.notes):
            _log.warning("%s: %s", dataset.name, note)
        space = space.with_input(dataset.shape, dataset.classes)
        place = data_place(data or DEFAULT_DATA, data_dir)
        epochs = epochs or default_epochs
        batch_size = min(training_recipe.batch_size, len(dataset.train))
        for derivation in space.sample(TRIED_WITH_BATCH) if batch_size == 1 else ():
            require_several_values(space.architecture(derivation), batch_size)
        work = Training(
            data=place.get("name", data or DEFAULT_DATA),
            data_dir=place.get("data_dir"),
            subset=subset,
            recipe=training_recipe,
            epochs=epochs,
            device=device,
            threads=1,
            precision=precision,
            artifacts=None,
            gradients=record_gradients,
            scores=check_scores(scores),
            skip_damaged=skip_damaged,
        )
        workers = workers or workers_per_device or _side_by_side(space, work)
        work = replace(work, threads=max(1, usable_cores() // workers), side_by_side=workers)
        described, name = dataset.fingerprint, f"{space.name}-{dataset.name}"
    functions = {f"cost {name}": own for name, own in own_costs.items()}
    if evaluate is not None:
        functions = {"evaluate": evaluate, **functions}
    latency_objective = make_latency_objective(device) if LATENCY in objectives and not answered else None
    fingerprint = make_fingerprint(
        space,
        objectives,
        data=described,
        recipe=training_recipe,
        epochs=epochs,
        own_costs=own_costs,
        own_evaluation=evaluate is not None,
        latency=latency_objective.environment if latency_objective else None,
        functions=functions,
    )
    plan = Plan(
        space=space,
        objectives=dict(objectives),
        work=work,
        own_costs=own_costs,
        limits=(),
        latency_limits=(),
        latency_objective=latency_objective,
        predicted=None,
        latency_filter=LatencyFilter(()),
        fingerprint=fingerprint,
        data_place=place,
        name=name if study is None else study,
        workers=workers,
        stopping="none" if evaluate is not None else choose_stopping(stopping, epochs or 1),
        epochs=epochs or 1,
        trial_limits=trial_limits,
        reused=device.startswith("cuda"),
        of_caller=evaluate is not None,
        brief=evaluate is None and (data or DEFAULT_DATA) in EMBEDDED,
        device=device,
    )
    return plan.under(limits)


def check_counts(**counts: object) -> None:
    """Raises StudyError for one that is no whole number from 1 on; None is none asked for."""
    for name, count in counts.items():
        if count is not None and not _whole(count):
            raise StudyError(f"{name} must be a whole number, found {count!r}")
        if count is not None and count < 1:  # type: ignore[operator]
            raise StudyError(f"{name} must be at least 1, found {count}")


def check_seconds(**times: object) -> None:
    """Raises StudyError for one that is no time to wait for; None is none asked for."""
    for name, time in times.items():
        number = isinstance(time, numbers.Real) and not isinstance(time, bool)
        if time is not None and not (number and math.isfinite(time) and time > 0):  # type: ignore[arg-type, operator]
            raise StudyError(f"{name} must be a positive number of seconds, found {time!r}")


def checked_seed(seed: Any) -> int:
    """The seed as an int. Raises StudyError for one that a database could not keep."""
    if not (_whole(seed) and SEEDS[0] <= seed <= SEEDS[1]):
        raise StudyError(f"seed must be a whole number from {SEEDS[0]} to {SEEDS[1]}, found {seed!r}")
    return int(seed)


def _whole(number: object) -> bool:
    return isinstance(number, numbers.Integral) and not isinstance(number, bool)


def _expected(objectives: Mapping[str, str], known_costs: Iterable[str], own_evaluation: bool) -> tuple[str, ...]:
    """The objectives that are not known before the work is done."""
    if not objectives:
        raise StudyError(f"a search needs at least one objective, as in {EXAMPLE}")
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


def _require_picklable(evaluate: Evaluate) -> None:
    """Raises StudyError for a function that child processes cannot find: they go by its module and name."""
    mend = "put it into a module that you import, or leave workers at 1"
    main = sys.modules["__main__"]
    script, spec = Path(getattr(main, "__file__", None) or ""), main.__spec__
    is_importable = script.is_file() if spec is None else not spec.name.endswith("__main__")
    if getattr(evaluate, "__module__", "") == "__main__" and not is_importable:
        of = "a __main__.py" if script.name == "__main__.py" else "an interactive session"
        raise StudyError(f"with several workers 'evaluate' cannot be a function of {of}; {mend}")
    try:
        ForkingPickler.dumps(evaluate)
    except Exception as error:
        raise StudyError(f"with several workers 'evaluate' must be picklable; {mend} ({error})") from None


def _side_by_side(space: SearchSpace, work: Training) -> int:
    """How many trainings at once serve the device best: one a core on the CPU, on a GPU what a probe finds."""
    if work.device == "cpu":
        return usable_cores()
    return probe_side_by_side(typical(space), work.recipe, work.device, work.precision)
