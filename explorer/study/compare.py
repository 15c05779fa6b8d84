"""Two spaces compared by the errors of their networks: of studies that are there, or of networks drawn and trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from explorer.analysis.distributions import Comparison, Sample, compare_errors
from explorer.analysis.quantities import COSTS, TRAINED
from explorer.errors import ExplorerError, SearchFailed, StudyError, did_you_mean
from explorer.settings.settings import takes_settings
from explorer.space.search_space import load_space
from explorer.store.database import DEFAULT_STORAGE, check_storage, database_file, open_for_reading
from explorer.store.studies import open_study, study_names
from explorer.store.study import TERMS, Study
from explorer.study.events import Progress
from explorer.study.fingerprint import require_same
from explorer.study.plan import DEFAULT_DATA, make_plan
from explorer.study.search import run_search
from explorer.study.settings import SearchSettings
from explorer.system.signals import interruption
from explorer.training.settings import TrainingSettings

NETWORKS = 20


@takes_settings(TrainingSettings)
def compare_spaces(
    a: str,
    b: str,
    settings: TrainingSettings,
    *,
    storage: str = DEFAULT_STORAGE,
    cost: str = "macs",
    networks: int = NETWORKS,
    workers: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two spaces at equal ``cost``. Each of ``a`` and ``b`` is a study of the storage, or a space.

    The networks of a space are drawn uniformly and trained to the end, in a study ``SPACE-DATA-random`` that the same
    call goes on with. A study that a sampler led is a biased sample of its space: its errors are lower than the
    space's. What can be checked before training is checked before it.

    Args:
        a: A study of the storage, or a space.
        b: The other one.
        settings: How networks are trained; each keyword below replaces one of its settings.
        {settings}
        storage: Database of the studies.
        cost: The cost to be equal.
        networks: Number of networks to draw of a space.
        workers: Networks trained side by side; one per CPU core by default.
        seed: Of the draws and the trainings.
        progress: Called with each Event of a search.

    Raises:
        ExplorerError: StudyError when the two are trained otherwise, and what ``run_search`` raises.
    """
    check_storage(storage)
    try:
        kept = study_names(open_for_reading(storage))
    except ExplorerError:
        file = database_file(storage)
        if file is not None and file.exists() and file.stat().st_size:
            raise  # a database that cannot be read, not one that the search has yet to make
        kept = set()

    def opened(name: str) -> Study | None:
        return open_study(storage, name) if name in kept else None

    search = SearchSettings(
        training=settings,
        trials=networks,
        sampler="random",
        stopping="none",
        workers=workers,
        seed=seed,
        storage=storage,
    )
    # All that can be wrong is found before the first training.
    first, second = (opened(name) or _drawn(name, opened, search) for name in (a, b))
    _require_alike(first, second)
    for side in (first, second):
        _require_cost(side, cost)
    studies = [
        side if isinstance(side, Study) else _train(name, replace(search, study=side.name), progress)
        for name, side in ((a, first), (b, second))
    ]
    return compare_errors(_sample(studies[0], cost), _sample(studies[1], cost), cost, seed)


def _train(path: str, search: SearchSettings, progress: Progress | None) -> Study:
    """Draw and train networks of the space."""
    drawn = run_search(load_space(path), search, progress=progress)
    if drawn.interrupted:
        raise interruption(drawn.signal, drawn.study)
    if drawn.failed:
        raise SearchFailed(f"the networks of {path} could not be trained: {drawn.ended}", drawn.study)
    return drawn.study


class _Drawn(NamedTuple):
    """A space whose networks are to be drawn: the study that they go to, and its fingerprint."""

    name: str
    fingerprint: Mapping[str, Any]


def _drawn(path: str, opened: Callable[[str], Study | None], search: SearchSettings) -> _Drawn:
    """Raises what a search of that space with these settings would raise."""
    space = load_space(path)
    name = f"{space.name}-{Path(search.training.data or DEFAULT_DATA).name}-random"
    study = opened(name)
    if study is not None and study.seed != search.seed:
        name = f"{name}-seed{search.seed}"
        study = opened(name)
    plan = make_plan(space, replace(search, workers=search.workers or 1))  # without a probe for the number of workers
    if study is not None:
        require_same(study, plan.fingerprint, plan.space.text)
    return _Drawn(name, plan.fingerprint)


def _require_alike(first: Study | _Drawn, second: Study | _Drawn) -> None:
    """Raises StudyError where the two are trained otherwise: their errors would tell of that, not of the spaces."""
    for field in TERMS:
        if first.fingerprint.get(field) != second.fingerprint.get(field):
            raise StudyError(
                f"studies {first.name!r} and {second.name!r} were trained otherwise: their {field} differs; "
                "compare studies of one data set, split, recipe and number of epochs"
            )


def _require_cost(side: Study | _Drawn, cost: str) -> None:
    """Raises StudyError where the networks do not have that cost or no accuracy."""
    if isinstance(side, Study):
        if not _sample(side, cost).costs:
            raise StudyError(f"{side.name} has no complete trial with accuracy and {cost} to compare")
        return
    known = (*COSTS, *TRAINED)
    if cost not in known:
        raise StudyError(f"unknown cost {cost!r}; known: {', '.join(known)}{did_you_mean(cost, known)}")


def _sample(study: Study, cost: str) -> Sample:
    complete = [trial for trial in study.trials(full=False) if trial.state == "complete"]
    values = [trial.quantities for trial in complete]
    known = [(value[cost], 1 - value["accuracy"]) for value in values if cost in value and "accuracy" in value]
    return Sample(study.name, [pair[0] for pair in known], [pair[1] for pair in known])
