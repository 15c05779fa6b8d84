"""The plan of a search: its settings, checked and completed before anything is written or started."""

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
from explorer.errors import StudyError
from explorer.extensions.files import require_sendable
from explorer.extensions.lookup import find, names, unknown_hint
from explorer.space.search_space import SearchSpace
from explorer.store.studies import check_name
from explorer.study.candidates import Candidates, OwnCost
from explorer.study.fingerprint.extensions import used_extensions
from explorer.study.fingerprint.fingerprint import make_fingerprint
from explorer.study.fingerprint.function_code import short_name
from explorer.study.latency.limit import LatencyFilter
from explorer.study.latency.objective import LatencyAfterwards, LatencyObjective, make_latency_objective
from explorer.study.latency.predicted import PredictedLatency, find_predicted_latency
from explorer.study.settings import SearchSettings
from explorer.study.stopping.rules import choose_stopping
from explorer.study.workers.engines import LAUNCHED, LOCAL, check_engine, start_executor
from explorer.study.workers.executor import Executor, Needs
from explorer.study.workers.gpu_sharing import median_network, probe_side_by_side
from explorer.study.workers.isolation import importable_script, needs_script, why_in_process
from explorer.study.workers.jobs import Evaluate, Evaluation, Training, Work
from explorer.study.workers.watchdog import UNLIMITED, TrialLimits
from explorer.system.cores import usable_cores
from explorer.system.environment import find_device
from explorer.training.recipe import require_several_values
from explorer.training.settings import ResolvedTraining

DEFAULT_DATA = "cluttered-digits"
BATCH_SIZE_SAMPLES = 20  # random networks that are checked before training if batches have one image
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A search, ready to run.

    Attributes:
        settings: The settings, with all defaults of the training resolved.
        space: The space with the input shape and classes of the data.
        name: Name of the study, unless the database has another study of that name.
        work: The work for a proposed network.
        fingerprint: The settings and data that must not differ between runs of the study.
        data_place: Name and folder of the data, valid in any working folder; empty for a caller's evaluation.
        workers: Number of parallel trials.
        stopping: Name of the rule that stops unpromising trials early.
        limits: Limits on costs that are computed.
        latency_limits: Limits on latencies, which are measured.
        latency_objective: Measures latencies; None if no objective or limit needs them.
        predicted: Latencies of a calibrated predictor; None if there is no predictor for space and environment.
        latency_filter: Rejects networks that are unlikely to satisfy ``latency_limits``.
        in_process: Whether the work runs in this process, since a child process cannot find the caller's function.
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
    in_process: bool = False

    @property
    def objectives(self) -> Mapping[str, str]:
        """The objectives: name to "max" or "min"."""
        return self.settings.objectives

    @property
    def own_costs(self) -> Mapping[str, OwnCost]:
        """The caller's cost functions by name."""
        return self.settings.costs or {}

    @property
    def trial_limits(self) -> TrialLimits:
        """The limits on one trial's time and memory."""
        return self.settings.trial_limits

    @property
    def epochs(self) -> int:
        """The epochs of a training without early stopping."""
        return self.settings.training.epochs or 1

    @property
    def is_user_function(self) -> bool:
        """Whether the caller's function ``evaluate`` replaces training."""
        return self.settings.evaluate is not None

    @property
    def is_launched(self) -> bool:
        """Whether trials run in ``explorer worker`` processes that a scheduler starts."""
        return self.settings.engine in LAUNCHED

    @property
    def is_remote(self) -> bool:
        """Whether trials run on other machines."""
        return self.settings.engine != LOCAL

    def start_executor(self, work: Work | None = None, job: str = "trial") -> Executor:
        """Start what runs the jobs of this search.

        Args:
            work: The work of each job; by default that of a trial.
            job: The word for a job in messages.

        Raises:
            StudyError: The engine cannot be reached.
        """
        settings, evaluate = self.settings, self.settings.evaluate
        by_default = evaluate is not None and settings.workers is None
        is_sent = not self.in_process and not self.is_remote
        needs = Needs(
            self.workers,
            is_fixed=bool(settings.workers or (settings.workers_per_device and not self.is_remote)),
            device=settings.training.device,
            cpus=settings.cpus_per_trial or 1,
            per_gpu=settings.workers_per_device or 1,
            address=settings.engine_address or "",
            job=job,
            in_process=self.in_process,
            imports_script=evaluate is not None and is_sent and (not by_default or needs_script(evaluate)),
            by_default=by_default,
        )
        return start_executor(settings.engine, work or self.work, needs)

    @property
    def has_time_limit(self) -> bool:
        """Whether the search has a default time limit, since trainings on embedded data are short."""
        is_short = (self.settings.training.data or DEFAULT_DATA) in EMBEDDED
        return is_short and not (self.is_user_function or self.is_launched)

    def under(self, limits: Iterable[Limit]) -> Plan:
        """Return this plan with limits in addition to those of the space.

        Args:
            limits: The limits of the study.

        Raises:
            StudyError: A quantity is not known before training, or two limits exclude all networks.
        """
        limits = (*self.space.limits, *limits)
        measured = _measures_latency(self.settings, limits)
        _check_limits(limits, known_costs(self.own_costs, measured))
        latency_limits = tuple(limit for limit in limits if measured and limit.cost == LATENCY)
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
        """Return the source of the space's candidates, with their costs and limits."""
        predict = (self.predicted,) if self.predicted else ()
        may_satisfy_limits = self.latency_filter.may_satisfy_limits if self.latency_limits else None
        return Candidates(self.space, self.own_costs, self.limits, may_satisfy_limits, *predict)


def known_costs(own_costs: Iterable[str], measures_latency: bool) -> list[str]:
    """Return the names of all costs that are known before training.

    Args:
        own_costs: Names of the caller's cost functions.
        measures_latency: Whether latencies are measured.
    """
    return list(dict.fromkeys([*COSTS, *own_costs, *([LATENCY] if measures_latency else [])]))


def _check_limits(limits: Sequence[Limit], known: Sequence[str]) -> None:
    """Raise StudyError for an unknown cost, and for two limits that exclude all networks."""
    for limit in limits:
        if limit.cost not in known:
            raise StudyError(f"limit {limit}: {limit.cost!r} is not known before training; {_known(known, limit.cost)}")
    lowest, highest = ([each for each in limits if each.comparison[0] == sign] for sign in "><")
    for low, high in itertools.product(lowest, highest):
        if low.cost == high.cost and not (low.allows({low.cost: high.bound}) and high.allows({low.cost: low.bound})):
            raise StudyError(
                f"no network keeps both {low} and {high}; change one of them, or remove the study's limits with "
                "--limit none (limits='none')"
            )


def check_settings(settings: SearchSettings) -> None:
    """Raise ExplorerError for settings of a training search that are invalid with every space and on every machine.

    Args:
        settings: The settings, without ``evaluate``.
    """
    if settings.study is not None:
        check_name(settings.study)
    settings = _with_registered_costs(settings)
    known = known_costs(settings.costs or {}, _measures_latency(settings, settings.limits or ()))
    _expected(settings.objectives, known, own_evaluation=False)
    _check_limits(settings.limits or (), known)
    settings.training.resolved(settings.training.data or DEFAULT_DATA)


def make_plan(space: SearchSpace, settings: SearchSettings) -> Plan:
    """Check and complete the settings of a search. Nothing is written or started, except a probe on a GPU.

    Args:
        space: The space.
        settings: The settings.

    Raises:
        ExplorerError: StudyError for settings that do not fit together, or DataError, TrainingError or SpaceError.
    """
    functions = [name for name in ("evaluate", "costs") if getattr(settings, name)]
    options = settings.engine_options
    check_engine(settings.engine, settings.engine_address, settings.cpus_per_trial, options, functions)
    settings = _with_registered_costs(settings, space.limits)
    if settings.engine == LOCAL:
        training = replace(settings.training, device=find_device(settings.training.device))
        settings = replace(settings, training=training)
    limits = (*space.limits, *(settings.limits or ()))
    known = known_costs(settings.costs or {}, _measures_latency(settings, limits))
    expected = _expected(settings.objectives, known, settings.evaluate is not None)
    _check_limits(limits, known)
    if settings.evaluate is None:
        plan = _plan_of_training(space, settings)
    else:
        plan = _plan_of_caller(space, settings, settings.evaluate, expected)
    return plan.under(settings.limits or ())


def _with_registered_costs(settings: SearchSettings, limits: Iterable[Limit] = ()) -> SearchSettings:
    """Return the settings with the costs of extensions that are objectives or that a limit bounds.

    Args:
        settings: The settings.
        limits: The limits of the space.
    """
    used = {*settings.objectives, *(limit.cost for limit in (*limits, *(settings.limits or ())))}
    registered = {name: find("cost", name) for name in names("cost") if name in used}
    own = {name: each.value for name, each in registered.items() if each is not None}
    return replace(settings, costs={**own, **(settings.costs or {})}) if own else settings


def _measures_latency(settings: SearchSettings, limits: Iterable[Limit]) -> bool:
    """Return whether latencies are measured before an evaluation.

    A caller's ``evaluate`` may return them; if it does not, they are measured after it. A limit has to be checked
    before it, and a function in ``costs`` replaces the measurement.
    """
    after = settings.evaluate is not None and LATENCY in settings.objectives
    needed_before = any(limit.cost == LATENCY for limit in limits)
    return LATENCY not in (settings.costs or {}) and (not after or needed_before)


def _plan_of_caller(
    space: SearchSpace, settings: SearchSettings, evaluate: Evaluate, expected: tuple[str, ...]
) -> Plan:
    """Return the plan of a search that evaluates networks with the caller's function."""
    training, workers = settings.training, settings.workers or 1
    if settings.scores:
        raise StudyError("'evaluate' replaces training, so no scores are computed; compute them in 'costs'")
    if training.data is not None or training.subset is not None or training.recipe is not None:
        raise StudyError("'evaluate' replaces training, so data, subset and recipe have no effect; leave them out")
    if settings.record_gradients:
        raise StudyError("'evaluate' replaces training, so no gradients are recorded; leave out record_gradients")
    in_process = workers == 1 and settings.engine == LOCAL
    if settings.engine != LOCAL:
        pass  # the engine sends the function's code
    elif workers > 1:
        _require_picklable(evaluate)
    elif settings.workers is None:
        why = why_in_process(evaluate)
        in_process = bool(why)
        if why:
            _log.warning("'evaluate' runs in this process, since %s: a crash of it ends the search", why)
    if in_process and settings.trial_limits != UNLIMITED:
        _log.warning("'evaluate' runs in this process, where a trial's time and memory are not limited: see 'workers'")
    after = LATENCY in settings.objectives and LATENCY not in (settings.costs or {})
    return Plan(
        settings=settings,
        space=space,
        name=settings.study or f"{space.name}-{short_name(evaluate) or 'evaluate'}",
        work=Evaluation(
            evaluate,
            training.epochs,
            tuple(name for name in expected if name != LATENCY),
            LatencyAfterwards(training.device) if after else None,
        ),
        fingerprint=make_fingerprint(space, settings),
        data_place={},
        workers=workers,
        stopping="none",
        in_process=in_process,
    )


def _plan_of_training(space: SearchSpace, settings: SearchSettings) -> Plan:
    """Read the data and return the plan of a search that trains networks."""
    named = settings.training.data or DEFAULT_DATA
    training = settings.training.resolved(named)
    settings = replace(settings, training=training)
    require_sendable([each for each in used_extensions(space, settings) if each.kind in ("op", "data")])
    dataset = load_data(named, training.data_dir, subset=training.subset, skip_damaged=training.skip_damaged)
    for note in (*dataset.class_lines(("train", "validation")), *dataset.notes):
        _log.warning("%s: %s", dataset.name, note)
    space = space.with_input(dataset.shape, dataset.classes)
    place = data_place(named, training.data_dir)
    batch_size = min(training.recipe.batch_size, len(dataset.train))
    for derivation in space.sample(BATCH_SIZE_SAMPLES) if batch_size == 1 else ():
        require_several_values(space.architecture(derivation), batch_size)
    is_local, per_gpu = settings.engine == LOCAL, settings.workers_per_device
    workers = settings.workers or (per_gpu or _side_by_side(space, training) if is_local else 1)
    work = Training(
        replace(training, data=place.get("name", named), data_dir=place.get("data_dir")),
        threads=max(1, usable_cores() // workers) if is_local else settings.cpus_per_trial or 1,
        record_gradients=settings.record_gradients,
        scores=settings.scores,
        side_by_side=workers if is_local else per_gpu or 1,
        data_sha256="" if is_local else dataset.fingerprint["sha256"],
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
    """Return the latency objective; None if latency is not a measured objective."""
    needed = LATENCY in settings.objectives and LATENCY not in (settings.costs or {})
    return make_latency_objective(settings.training.device) if needed else None


def _expected(objectives: Mapping[str, str], known_costs: Iterable[str], own_evaluation: bool) -> tuple[str, ...]:
    """Return the objectives that training or ``evaluate`` measures. Raises StudyError for none or an unknown one."""
    measured = tuple(name for name in objectives if name not in set(known_costs))
    if not measured:
        raise StudyError(
            f"the objectives {', '.join(objectives)} are known without training; add one that is measured, such as"
            " accuracy; 'explorer atlas' and 'explorer latency' compute the others without a search"
        )
    if not own_evaluation:
        for name in measured:
            if name not in TRAINED:
                raise StudyError(f"unknown objective {name!r}; {_known([*TRAINED, *known_costs], name)}")
    return measured


def _known(names: Iterable[str], asked: str) -> str:
    """Return the known names and what may be wrong with the asked one, for a message."""
    return f"known: {', '.join(names)}{unknown_hint('cost', asked, names)}"


def _require_picklable(evaluate: Evaluate) -> None:
    """Raise StudyError for a function that child processes cannot import by its module and name."""
    fix = "put it into a module that you import, or leave workers at 1"
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    if getattr(evaluate, "__module__", "") == "__main__" and not importable_script():
        of = "a __main__.py" if script.name == "__main__.py" else "an interactive session"
        raise StudyError(f"with several workers 'evaluate' cannot be a function of {of}; {fix}")
    try:
        ForkingPickler.dumps(evaluate)
    except Exception as error:
        raise StudyError(f"with several workers 'evaluate' must be picklable; {fix} ({error})") from None


def _side_by_side(space: SearchSpace, training: ResolvedTraining) -> int:
    """Return the number of parallel trainings: one per core on a CPU, the result of a probe on a GPU."""
    if training.device == "cpu":
        return usable_cores()
    return probe_side_by_side(median_network(space), training.recipe, training.device, training.precision)
