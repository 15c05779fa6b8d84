"""Two spaces compared by the errors of their networks: of studies that are there, or of networks drawn and trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from explorer.distributions import Comparison, Sample, compare_errors
from explorer.errors import ExplorerError, SearchFailed, StudyError, did_you_mean
from explorer.quantities import COSTS, TRAINED
from explorer.space.search_space import load_space
from explorer.store.database import DEFAULT_STORAGE, check_storage, database_file, open_for_reading
from explorer.store.studies import open_study, study_names
from explorer.store.study import TERMS, Study
from explorer.study.fingerprint import require_same
from explorer.study.plan import DEFAULT_DATA, make_plan
from explorer.study.search import run_search
from explorer.system.signals import interruption

NETWORKS = 20


def compare_spaces(
    a: str,
    b: str,
    *,
    storage: str = DEFAULT_STORAGE,
    cost: str = "macs",
    networks: int = NETWORKS,
    seed: int = 0,
    data: str | None = None,
    data_dir: str | Path | None = None,
    progress: Callable[[Any], None] | None = None,
    **training: Any,
) -> Comparison:
    """Compares two spaces at equal ``cost``. Each of ``a`` and ``b`` is a study of the storage, or a space.

    Of a space ``networks`` are drawn uniformly and trained to the end, in a study ``SPACE-DATA-random`` that the
    same call goes on with; ``data``, ``data_dir`` and ``training`` (epochs, subset, recipe, device, workers,
    precision) as for ``run_search``. A study that a sampler led is a biased sample of its space: its errors are
    lower than the space's. Raises StudyError when the two were trained otherwise, and what ``run_search`` raises; what
    can be told before training is raised before it.
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

    # All that can be wrong is found before the first training.
    sides = [opened(name) or _drawn(name, opened, seed, data=data, data_dir=data_dir, **training) for name in (a, b)]
    _require_alike(*sides)
    for side in sides:
        _require_cost(side, cost)
    studies = []
    for name, side in zip((a, b), sides):
        if isinstance(side, Study):
            studies.append(side)
            continue
        drawn = run_search(
            load_space(name),
            data=data,
            data_dir=data_dir,
            trials=networks,
            seed=seed,
            sampler="random",
            stopping="none",
            storage=storage,
            study=side.name,
            progress=progress,
            **training,
        )
        if drawn.interrupted:
            raise interruption(drawn.signal, drawn.study)
        if drawn.failed:
            raise SearchFailed(f"the networks of {name} could not be trained: {drawn.ended}", drawn.study)
        studies.append(drawn.study)
    return compare_errors(*(_sample(study, cost) for study in studies), cost, seed)


class _Drawn(NamedTuple):
    """A space whose networks are to be drawn: the study that they go to, and its fingerprint."""

    name: str
    fingerprint: Mapping[str, Any]


def _drawn(path: str, opened: Callable[[str], Study | None], seed: int, **settings: Any) -> _Drawn:
    """Raises what a search of that space with these settings would raise."""
    space = load_space(path)
    name = f"{space.name}-{Path(settings['data'] or DEFAULT_DATA).name}-random"
    study = opened(name)
    if study is not None and study.seed != seed:
        name = f"{name}-seed{seed}"
        study = opened(name)
    plan = make_plan(space, **{**settings, "workers": settings.get("workers") or 1}, sampler="random", stopping="none")
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
