"""A search from beginning to end: check the settings, open or create the study, and run the loop.

While the loop runs, the leases of its trials are renewed and SIGINT and SIGTERM are handled.
"""

from __future__ import annotations

import builtins
import dataclasses
import logging
import math
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Unpack

from explorer.analysis.limits import parse_limit
from explorer.analysis.noise import repeats_of
from explorer.errors import SearchFailed, StoreError, StudyError
from explorer.records import ConfirmationRecord, TrialRecord
from explorer.settings.settings import takes_settings
from explorer.space.search_space import SearchSpace, load_space
from explorer.store.database import Database, check_storage, open_for_writing, open_if_present
from explorer.store.lease import new_worker
from explorer.store.presence.processes import Role
from explorer.store.studies import check_name, find_study, open_study, study_names
from explorer.store.study import Study
from explorer.store.writer import StudyWriter
from explorer.study.budget import DEFAULT_SECONDS, DEFAULT_TRIALS, Budget
from explorer.study.confirm.repeats import Repeats
from explorer.study.display import progress_of, shows_by_default
from explorer.study.events import Event, Progress
from explorer.study.loop import SearchLoop
from explorer.study.options import SearchOptions
from explorer.study.plan import Plan
from explorer.study.presence.attend import attend
from explorer.study.resuming import check_place, open_or_create_study, plan_search
from explorer.study.samplers.registry import make_sampler
from explorer.study.settings import SearchSettings
from explorer.study.stopping.learning_curves import LearningCurves
from explorer.study.stopping.rules import rule_of
from explorer.study.trackers.tracking import start_trackers
from explorer.study.workers.child import exit_while_importing
from explorer.study.workers.jobs import Training
from explorer.system.files import ABANDONED_SECONDS, sweep
from explorer.system.signals import interruption

if TYPE_CHECKING:  # needs submitit
    from explorer.study.launchers.driver import Driver

_log = logging.getLogger(__name__)


class RecordLost(StoreError):
    """The database could not be written during a search, and cannot be read at its end.

    Attributes:
        trials: The trials of the study as last read by the search, without curves and architectures.
    """

    def __init__(self, message: str, trials: Sequence[TrialRecord] = ()):
        super().__init__(message)
        self.trials = trials


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        study: The study, with all finished trials.
        ended: The reason why the search ended.
        failed: Whether the search gave up because too many trials failed or the store could not be written, or the
            study has failed trials only.
        interrupted: Whether a signal, such as that of Ctrl-C, ended the search.
        seconds: Duration of this search, without earlier runs of the study.
        signal: Number of that signal, or 0.
    """

    study: Study
    ended: str
    failed: bool
    interrupted: bool
    seconds: float
    signal: int = 0


@takes_settings(SearchSettings)
def run_search(
    space: SearchSpace | str | PathLike[str],
    settings: SearchSettings | None = None,
    *,
    progress: Progress | bool | None = None,
    **options: Unpack[SearchOptions],
) -> SearchResult:
    """Search ``space`` for the Pareto front of the objectives. The same call again resumes the study.

    Args:
        space: The space, its file, or the name of one that comes with the explorer.
        settings: All settings as one value; each keyword below replaces one of them.
        {settings}
        progress: Called with each Event; True shows the progress. An exception that it raises ends the search and gets
            the study as its attribute ``study``.

    Returns:
        The study, and why the search ended.

    Raises:
        ExplorerError: StudyError, StoreError, DataError, TrainingError or SpaceError; RecordLost if the database can be
            neither written nor read at the end.
    """
    assert settings is not None
    return run_as(Role("search"), space, settings, progress)


def run_as(
    role: Role,
    space: SearchSpace | str | PathLike[str],
    settings: SearchSettings,
    progress: Progress | bool | None = None,
) -> SearchResult:
    """Run a search as a process that ``explorer status`` shows with a role; the rest is as for ``run_search``."""
    if isinstance(progress, bool):
        with progress_of(progress) as report:
            return run_as(role, space, settings, report)
    if progress is not None and not callable(progress):
        raise StudyError(f"'progress' is True, False or a function that is called with each event; found {progress!r}")
    exit_while_importing()
    began = time.monotonic()
    if isinstance(space, str | PathLike):
        space = load_space(space)
    if not isinstance(space, SearchSpace):
        raise StudyError(f"a search takes a space or its file, as 'preact_variants.yaml'; found {space!r}")
    if settings.storage is None and settings.artifacts is not None:
        raise StudyError("a study in memory keeps no files; name a storage, or leave out artifacts")
    check_storage(settings.storage)
    if settings.study is not None:
        check_name(settings.study)
    plan, name = plan_search(space, settings, present := open_if_present(settings.storage))
    if plan.is_launched:
        require_launch(plan.settings)
    check_place(plan, name, present)
    database = open_for_writing(settings.storage)
    try:
        found = open_or_create_study(plan, name, database)
        plan = with_artifacts(plan.under(map(parse_limit, found.limits)), found)
        trackers = start_trackers(settings.track, found)
        report = _to_all([*([progress] if progress else []), *trackers])
        budget = _budget(plan, found, began)
        loop = make_driver(plan, found, budget, report) if plan.is_launched else make_loop(plan, found, budget, report)
        try:
            training = plan.settings.training
            with attend(loop, role, device=training.device, engine=plan.settings.engine, target=loop.budget.target):
                ended = loop.run()
            ended = _train_repeats(loop, ended, role)
            loop.report("finished", why=ended)
        except BaseException as error:  # from ``progress`` or a second Ctrl-C; the caller gets the finished trials
            BaseException.__setattr__(error, "study", found)
            raise
    finally:
        if settings.storage is not None:
            database.close()
    try:
        kept = found if settings.storage is None else _opened_again(database, settings.storage, found.name)
    except StoreError as error:
        if not loop.broken:
            raise
        raise RecordLost(f"the search gave up: {ended}", list(loop.trial_index.records.values())) from error
    failed = loop.broken or loop.all_failed or loop.budget.has_failed()
    return SearchResult(kept, ended, failed, loop.interrupted, time.monotonic() - began, loop.signal)


def _to_all(reports: Sequence[Progress]) -> Progress:
    """Return a function that calls all of these with each event."""

    def report(event: Event) -> None:
        for each in reports:
            each(event)

    return report


def _opened_again(database: Database, storage: str, name: str) -> Study:
    """Open the study for reading, even if the working folder has changed since the search began."""
    if database.file is None:
        return open_study(storage, name)
    kept = open_study(f"sqlite:///{database.file}", name)
    return dataclasses.replace(kept, database=dataclasses.replace(kept.database, shown=database.shown))


@takes_settings(SearchSettings)
def search(
    space: SearchSpace | str | PathLike[str],
    settings: SearchSettings | None = None,
    *,
    progress: Progress | bool | None = None,
    **options: Unpack[SearchOptions],
) -> Study:
    """Search ``space`` for the Pareto front of the objectives and return the study, for scripts.

    The same call again resumes the study. Its data, objectives, recipe and epochs stay, the last two also where a call
    names none; trials, time, seed, workers, sampler and limits may change. A seed other than the study's raises
    StoreError if ``study`` is given; otherwise the search uses the study ``<default name>-seed<seed>``. Each run
    retries once the trials that failed in an earlier run because of code, disk or a dead process. The trained weights
    of every network that was ever on the Pareto front are kept. If latencies are measured while ``evaluate`` runs,
    ``evaluate`` should call an ``explorer.Pause`` between its steps.

    Args:
        space: The space, its file, or the name of one that comes with the explorer.
        settings: All settings as one value; each keyword below replaces one of them.
        {settings}
        progress: True shows the progress, False does not; by default it is shown on terminals and in notebooks. Or a
            function that is called with each ``explorer.Event``; an exception that it raises ends the search and gets
            the study as its attribute ``study``.

    Returns:
        The study. A notebook or another interactive session gets it also after an interruption, with a warning.

    Raises:
        SearchFailed: The search gave up. The attribute ``study`` holds all finished trials, also for a study in memory.
        KeyboardInterrupt: The search was interrupted; with the same attribute.
        ExplorerError: A search with these ``settings`` is not possible.
    """
    result = run_search(space, settings, progress=shows_by_default() if progress is None else progress)
    if result.failed:
        raise SearchFailed(f"the search gave up: {result.ended}", result.study)
    if result.interrupted:
        if not _interactive():
            raise interruption(result.signal, result.study)
        resumed = "" if result.study.database.in_memory else ", and the same call resumes it"
        _log.warning("the search was interrupted; this is the study so far%s", resumed)
    return result.study


def _interactive() -> bool:
    """Return whether this process is interactive: a Python prompt, IPython or a notebook."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive) or hasattr(builtins, "__IPYTHON__")


def preview_launch(space: SearchSpace, settings: SearchSettings) -> str:
    """Return the batch file with which a search would start its workers. Nothing is written or submitted.

    Args:
        space: The space.
        settings: The settings of the search.

    Raises:
        ExplorerError: As ``run_search``, and StudyError if the engine submits no batch file.
    """
    database = open_if_present(settings.storage)
    plan, name = plan_search(space, settings, database)
    if not plan.is_launched:
        raise StudyError(f"engine {settings.engine!r} submits no batch file; --dry-run is for --engine slurm")
    from explorer.study.launchers.driver import make_batch

    found = None
    if database is not None and name in study_names(database) and not settings.new_study:
        found = find_study(database, name)
    return make_batch(plan, name, found, _budget(plan, found, time.monotonic())).text()


def _budget(plan: Plan, study: Study | None, began: float) -> Budget:
    """Return the budget of the settings, or the default budget if they name none. ``study``: None for a new one."""
    trials, seconds, until_stable = plan.settings.trials, plan.settings.seconds, plan.settings.until_stable
    if trials is None and seconds is None and until_stable is None:
        counts = study.counts() if study is not None else {"complete": 0, "stopped": 0}
        trials = counts["complete"] + counts["stopped"] + DEFAULT_TRIALS
        seconds = DEFAULT_SECONDS if plan.has_time_limit else None
    if study is None:
        return Budget(trials, seconds, until_stable, began)
    repeats = repeats_of(study.confirmations(), study.fingerprint.get("epochs"))
    missing = (plan.settings.repeats or 0) - sum(record.state == "complete" for record in repeats)
    return Budget(trials, seconds, until_stable, began, reserved=math.ceil(max(0, missing) / plan.workers))


def _train_repeats(loop: SearchLoop | Driver, ended: str, role: Role) -> str:
    """Train the repeats that are asked for, unless workers do, or the search was interrupted or stopped, or gave up.

    Args:
        loop: The loop, which has ended; it takes over whether the repeats were interrupted.
        ended: Why it ended.
        role: What this process does.

    Returns:
        Why the search ended.
    """
    failed = loop.broken or loop.all_failed or loop.budget.has_failed()
    has_ended = loop.interrupted or loop.stop is not None or failed
    if loop.plan.is_launched or not loop.plan.settings.repeats or has_ended or not loop.trial_index.frontier:
        return ended

    def report(trial: TrialRecord, repeat: ConfirmationRecord, done: int) -> None:
        loop.trial_index.read_fresh_seeds()
        status = dataclasses.replace(loop.status(), repeats=(done, loop.plan.settings.repeats or 0))
        loop.progress(Event("repeated", status, trial, repeat=repeat))

    repeats = Repeats(loop.plan, loop.writer.study, loop.writer.worker, role, loop.budget, report)
    why = repeats.run(loop.trial_index.median_seconds())
    loop.interrupted, loop.signal, loop.broken = repeats.interrupted, repeats.signal, repeats.broken
    return why if repeats.interrupted or repeats.broken else f"{ended}; {why}"


def with_artifacts(plan: Plan, study: Study) -> Plan:
    """Return the plan with the study's folder of artifacts; remove leftovers of earlier runs from the folder."""
    if not isinstance(plan.work, Training) or study.database.in_memory:
        return plan
    sweep(study.artifacts, older_than=time.time() - ABANDONED_SECONDS)
    return dataclasses.replace(plan, work=dataclasses.replace(plan.work, artifacts=study.artifacts))


def require_launch(settings: SearchSettings) -> None:
    """Raise StudyError if a search with these settings cannot start workers on this machine."""
    from explorer.study.launchers.driver import check_launch
    from explorer.study.launchers.slurm import is_on_this_machine, require_slurm

    check_launch(settings)
    if not is_on_this_machine(settings.engine_options):
        require_slurm()


def make_driver(plan: Plan, study: Study, budget: Budget, progress: Progress) -> Driver:
    """Return the loop of a search whose workers a scheduler starts."""
    from explorer.study.launchers.driver import Driver

    return Driver(plan, StudyWriter(study, new_worker()), budget, progress)


def make_loop(
    plan: Plan, study: Study, budget: Budget, progress: Progress | None, only: Collection[int] | None = None
) -> SearchLoop:
    """Connect the parts of a search. ``only``: as for ``SearchLoop``."""
    executor = plan.start_executor()
    if plan.is_remote and not plan.settings.workers:
        plan = dataclasses.replace(plan, workers=max(1, executor.room))
    candidates = plan.candidates()
    sampler = make_sampler(candidates, plan.objectives, plan.settings.sampler, study.seed)
    writer = StudyWriter(study, new_worker())
    curves = LearningCurves(study, rule_of(plan.stopping), plan.epochs)
    report = progress or (lambda event: None)
    return SearchLoop(
        plan, candidates, writer, sampler, executor, curves, budget, report, plan.settings.retry_failed, only
    )
