"""Comparison of two spaces by the error distributions of their networks.

The networks are the trials of an existing study, or random networks of a space that are trained for the comparison.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from explorer.analysis.distributions import Comparison, Sample, compare_errors
from explorer.analysis.quantities import COSTS, TRAINED
from explorer.errors import SearchFailed, StudyError, did_you_mean
from explorer.settings.settings import takes_settings
from explorer.space.search_space import load_space
from explorer.store.database import DEFAULT_STORAGE, check_storage, open_if_present
from explorer.store.studies import open_study, study_names
from explorer.store.study import TRAINING_SETTINGS, Study
from explorer.study.events import Progress
from explorer.study.fingerprint.fingerprint import require_same
from explorer.study.plan import DEFAULT_DATA, make_plan
from explorer.study.resuming import with_recorded_training
from explorer.study.search import run_search
from explorer.study.settings import SearchSettings
from explorer.system.signals import interruption
from explorer.training.options import TrainingOptions
from explorer.training.settings import TrainingSettings

NETWORKS = 20  # random networks per space, by default


@takes_settings(TrainingSettings)
def compare_spaces(
    a: str | PathLike[str],
    b: str | PathLike[str],
    settings: TrainingSettings | None = None,
    *,
    storage: str | PathLike[str] = DEFAULT_STORAGE,
    cost: str = "macs",
    networks: int = NETWORKS,
    workers: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Unpack[TrainingOptions],
) -> Comparison:
    """Compare two spaces at equal ``cost``.

    For a space, random networks are trained without early stopping in a study ``SPACE-DATA-random``; the same call
    resumes it. A study with another sampler than ``random`` is a biased sample of its space: its errors are lower.
    All arguments are checked before the first training.

    Args:
        a: Name of a study in ``storage``, or a space: its file or its name.
        b: The other study or space.
        settings: How networks are trained; each keyword below replaces one of its settings.
        {settings}
        storage: Database of the studies.
        cost: The cost at which errors are compared.
        networks: Number of random networks per space.
        workers: Parallel trainings; one per CPU core by default.
        seed: Seed of the random networks and their trainings.
        progress: Called with each Event of a search.

    Returns:
        The difference of their mean errors at equal cost, with its interval, and both samples.

    Raises:
        ExplorerError: StudyError if the two were trained with different settings, and the errors of ``run_search``.
    """
    assert settings is not None
    check_storage(storage)
    database = open_if_present(storage)
    names = set() if database is None else study_names(database)

    def opened(name: str) -> Study | None:
        return open_study(storage, name) if name in names else None

    search = SearchSettings(
        training=settings,
        trials=networks,
        sampler="random",
        stopping="none",
        workers=workers,
        seed=seed,
        storage=os.fspath(storage),
    )
    first, second = (opened(os.fspath(name)) or _plan_sample(name, opened, search) for name in (a, b))
    _require_same_training(first, second)
    for side in (first, second):
        _require_cost(side, cost)
    studies = [
        side if isinstance(side, Study) else _train(name, replace(search, study=side.name), progress)
        for name, side in ((a, first), (b, second))
    ]
    return compare_errors(_sample(studies[0], cost), _sample(studies[1], cost), cost, seed)


def _train(path: str | PathLike[str], search: SearchSettings, progress: Progress | None) -> Study:
    """Train random networks of a space."""
    result = run_search(load_space(path), search, progress=progress)
    if result.interrupted:
        raise interruption(result.signal, result.study)
    if result.failed:
        raise SearchFailed(f"the networks of {path} could not be trained: {result.ended}", result.study)
    return result.study


class _PlannedSample(NamedTuple):
    """A study of random networks, trained for the comparison.

    Attributes:
        name: Name of the study.
        fingerprint: Its fingerprint.
    """

    name: str
    fingerprint: Mapping[str, Any]


def _plan_sample(
    path: str | PathLike[str], opened: Callable[[str], Study | None], search: SearchSettings
) -> _PlannedSample:
    """Return the study of random networks of a space. Raises the errors of a search before training."""
    space = load_space(path)
    name = f"{space.name}-{Path(search.training.data or DEFAULT_DATA).name}-random"
    study = opened(name)
    if study is not None and study.seed != search.seed:
        name = f"{name}-seed{search.seed}"
        study = opened(name)
    search = replace(search, workers=search.workers or 1)  # 1 runs no probe for the number
    plan = make_plan(space, search if study is None else with_recorded_training(search, study))
    if study is not None:
        require_same(study, plan.fingerprint, plan.space.text)
    return _PlannedSample(name, plan.fingerprint)


def _require_same_training(first: Study | _PlannedSample, second: Study | _PlannedSample) -> None:
    """Raise StudyError if data, split, recipe or epochs differ: errors would differ because of them."""
    for field in TRAINING_SETTINGS:
        if first.fingerprint.get(field) != second.fingerprint.get(field):
            raise StudyError(
                f"studies {first.name!r} and {second.name!r} were trained with different settings: "
                f"their {field} differs; compare studies of the same data, split, recipe and number of epochs"
            )


def _require_cost(side: Study | _PlannedSample, cost: str) -> None:
    """Raise StudyError if the networks do not have that cost, or no accuracy."""
    if isinstance(side, Study):
        if not _sample(side, cost).costs:
            raise StudyError(f"{side.name} has no complete trial with accuracy and {cost} to compare")
        return
    known = (*COSTS, *TRAINED)
    if cost not in known:
        raise StudyError(f"unknown cost {cost!r}; known: {', '.join(known)}{did_you_mean(cost, known)}")


def _sample(study: Study, cost: str) -> Sample:
    """Return costs and errors of the complete trials that have both."""
    complete = [trial for trial in study.trials(full=False) if trial.state == "complete"]
    values = [trial.quantities for trial in complete]
    points = [(value[cost], 1 - value["accuracy"]) for value in values if cost in value and "accuracy" in value]
    return Sample(study.name, [point[0] for point in points], [point[1] for point in points])
