"""What a search is asked for, checked and completed before anything is written or started."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from explorer.analysis.limits import Limit
from explorer.analysis.quantities import COSTS, LATENCY, TRAINED
from explorer.data.catalogue import EMBEDDED, data_place
from explorer.data.dataset import load_data
from explorer.errors import StudyError, did_you_mean
from explorer.space.search_space import SearchSpace
from explorer.study.candidates import Candidates, OwnCost
from explorer.study.fingerprint import make_fingerprint
from explorer.study.function_code import short_name
from explorer.study.latency.limit import LatencyFilter
from explorer.study.latency.objective import LatencyObjective, make_latency_objective
from explorer.study.latency.predicted import PredictedLatency, find_predicted_latency
from explorer.study.settings import SearchSettings
from explorer.study.stopping.rules import choose_stopping
from explorer.study.workers.gpu_sharing import median_network, probe_side_by_side
from explorer.study.workers.jobs import Evaluate, Evaluation, Training, Work
from explorer.study.workers.watchdog import UNLIMITED, TrialLimits
from explorer.system.cores import usable_cores
from explorer.system.environment import find_device
from explorer.training.recipe import require_several_values
from explorer.training.settings import ResolvedTraining

DEFAULT_DATA = "cluttered-digits"
TRIED_WITH_BATCH = 20  # networks of the space that are tried with the recipe's batches before any is trained
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A search, ready to run.

    Attributes:
        settings: The settings, nothing of the training left open.
        space: The space with the data's input.
        name: The name of the study.
        work: What is done with a proposed network.
        fingerprint: What must not differ between runs of the study.
        data_place: Where the data are, from any working folder.
        workers: Networks evaluated side by side.
        stopping: The rule that stops trials early.
        limits: Limits on costs known by arithmetic.
        latency_limits: Limits on latencies that must be measured.
        latency_objective: Measures latencies; None where no objective or limit needs them.
        predicted: A calibrated predictor's latencies; None where there is no predictor for space and environment.
        latency_filter: Refuses networks that are unlikely to keep ``latency_limits``.
    """

    settings: SearchSettings
    space: SearchSpace
    name: str
    work: Work
    fingerprint: Mapping[str, Any]
    data_place: Mapping[str, str]
    workers: int
    stopping: str
    limits: tuple[Limit, ...] = ()
    latency_limits: tuple[Limit, ...] = ()
    latency_objective: LatencyObjective | None = None
    predicted: PredictedLatency | None = None
    latency_filter: LatencyFilter = field(default_factory=lambda: LatencyFilter(()))

    @property
    def objectives(self) -> Mapping[str, str]:
        """Objective name -> "max" or "min"."""
        return self.settings.objectives

    @property
    def own_costs(self) -> Mapping[str, OwnCost]:
        """The caller's costs."""
        return self.settings.costs or {}

    @property
    def trial_limits(self) -> TrialLimits:
        """The limits on one trial's time and memory."""
        return self.settings.trial_limits

    @property
    def epochs(self) -> int:
        """The epochs of a training, which may be stopped early."""
        return self.settings.training.epochs or 1

    @property
    def of_caller(self) -> bool:
        """Whether a function of the caller's replaces training."""
        return self.settings.evaluate is not None

    @property
    def reused(self) -> bool:
        """Whether a child process does trial after trial."""
        return self.settings.training.device.startswith("cuda")

    @property
    def brief(self) -> bool:
        """Whether the search has a default time: trainings on embedded data are short."""
        return not self.of_caller and (self.settings.training.data or DEFAULT_DATA) in EMBEDDED

    @property
    def measures_latency(self) -> bool:
        """Whether the search measures latencies: no function of the caller's returns them."""
        return _measures_latency(self.settings)

    def under(self, limits: Iterable[Limit]) -> Plan:
        """This plan with these limits beside the space's own. Raises StudyError for one on what only training tells."""
        limits = (*self.space.limits, *limits)
        _check_limits(limits, known_costs(self.own_costs, self.measures_latency))
        latency_limits = tuple(limit for limit in limits if self.measures_latency and limit.cost == LATENCY)
        latency_objective = self.latency_objective
        if latency_objective is None and latency_limits:
            latency_objective = make_latency_objective(self.settings.training.device)
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
        predict = (self.predicted,) if self.predicted else ()
        return Candidates(self.space, self.own_costs, self.limits, self.latency_filter.may_keep_limits, *predict)


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


def make_plan(space: SearchSpace, settings: SearchSettings) -> Plan:
    """Return the search that ``settings`` describe, checked and completed. Nothing is written or started.

    Raises:
        ExplorerError: StudyError, or the errors of what is asked for: DataError, TrainingError, SpaceError.
    """
    training = replace(settings.training, device=find_device(settings.training.device))
    settings = replace(settings, training=training)
    known = known_costs(settings.costs or {}, _measures_latency(settings))
    expected = _expected(settings.objectives, known, settings.evaluate is not None)
    _check_limits((*space.limits, *(settings.limits or ())), known)
    if settings.evaluate is None:
        plan = _plan_of_training(space, settings)
    else:
        plan = _plan_of_caller(space, settings, settings.evaluate, expected)
    return plan.under(settings.limits or ())


def _measures_latency(settings: SearchSettings) -> bool:
    answered = settings.evaluate is not None and LATENCY in settings.objectives
    return LATENCY not in (settings.costs or {}) and not answered


def _plan_of_caller(
    space: SearchSpace, settings: SearchSettings, evaluate: Evaluate, expected: tuple[str, ...]
) -> Plan:
    """Return the plan of a search whose networks the caller's function evaluates."""
    training, workers = settings.training, settings.workers or 1
    if settings.scores:
        raise StudyError("'evaluate' replaces training, with which scores are measured; give them as 'costs'")
    if training.data is not None or training.subset is not None or training.recipe is not None:
        raise StudyError(
            "'evaluate' replaces training, so data, subset and recipe are not its settings; leave them out"
        )
    if settings.record_gradients:
        raise StudyError("'evaluate' replaces training, at whose beginning gradients are recorded; leave them out")
    if workers > 1:
        _require_picklable(evaluate)
    elif settings.trial_limits != UNLIMITED:
        _log.warning("'evaluate' runs in this process, where a trial's time and memory are not limited: see 'workers'")
    latency_objective = _latency_objective(settings)
    environment = latency_objective.environment if latency_objective else None
    return Plan(
        settings=settings,
        space=space,
        name=settings.study or f"{space.name}-{short_name(evaluate) or 'evaluate'}",
        work=Evaluation(evaluate, training.epochs, expected),
        fingerprint=make_fingerprint(space, settings, latency=environment),
        data_place={},
        workers=workers,
        stopping="none",
        latency_objective=latency_objective,
    )


def _plan_of_training(space: SearchSpace, settings: SearchSettings) -> Plan:
    """Return the plan of a search that trains networks, the data read."""
    named = settings.training.data or DEFAULT_DATA
    training = settings.training.resolved(named)
    settings = replace(settings, training=training)
    dataset = load_data(named, training.data_dir, subset=training.subset, skip_damaged=training.skip_damaged)
    for note in (*dataset.class_lines(("train", "validation")), *dataset.notes):
        _log.warning("%s: %s", dataset.name, note)
    space = space.with_input(dataset.shape, dataset.classes)
    place = data_place(named, training.data_dir)
    batch_size = min(training.recipe.batch_size, len(dataset.train))
    for derivation in space.sample(TRIED_WITH_BATCH) if batch_size == 1 else ():
        require_several_values(space.architecture(derivation), batch_size)
    workers = settings.workers or settings.workers_per_device or _side_by_side(space, training)
    work = Training(
        replace(training, data=place.get("name", named), data_dir=place.get("data_dir")),
        threads=max(1, usable_cores() // workers),
        record_gradients=settings.record_gradients,
        scores=settings.scores,
        side_by_side=workers,
    )
    latency_objective = _latency_objective(settings)
    environment = latency_objective.environment if latency_objective else None
    return Plan(
        settings=settings,
        space=space,
        name=settings.study or f"{space.name}-{dataset.name}",
        work=work,
        fingerprint=make_fingerprint(space, settings, data=dataset.fingerprint, latency=environment),
        data_place=place,
        workers=workers,
        stopping=choose_stopping(settings.stopping, training.epochs),
        latency_objective=latency_objective,
    )


def _latency_objective(settings: SearchSettings) -> LatencyObjective | None:
    """Return what measures latencies, if one is an objective."""
    needed = LATENCY in settings.objectives and _measures_latency(settings)
    return make_latency_objective(settings.training.device) if needed else None


def _expected(objectives: Mapping[str, str], known_costs: Iterable[str], own_evaluation: bool) -> tuple[str, ...]:
    """The objectives that are not known before the work is done."""
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


def _side_by_side(space: SearchSpace, training: ResolvedTraining) -> int:
    """How many trainings at once serve the device best: one a core on the CPU, on a GPU what a probe finds."""
    if training.device == "cpu":
        return usable_cores()
    return probe_side_by_side(median_network(space), training.recipe, training.device, training.precision)
