"""Two spaces compared by the errors of their networks: of studies that are there, or of networks drawn and trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from explorer.distributions import Comparison, Sample, compare_errors
from explorer.errors import ExplorerError, StudyError
from explorer.grammar.parse import load_space
from explorer.signals import raise_interrupted
from explorer.store.database import DEFAULT_STORAGE
from explorer.store.studies import list_studies, open_study
from explorer.store.study import TERMS, Study
from explorer.study.plan import DEFAULT_DATA
from explorer.study.search import run_search

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
    lower than the space's. Raises StudyError when the two were trained otherwise, and what ``run_search`` raises.
    """
    try:
        kept = {summary.name for summary in list_studies(storage)}
    except ExplorerError:  # no storage yet; what is wrong with one that is there, the search says
        kept = set()
    studies = []
    for name in (a, b):
        if name in kept:
            studies.append(open_study(storage, name))
            continue
        space = load_space(name)
        drawn = run_search(
            space,
            data=data,
            data_dir=data_dir,
            trials=networks,
            seed=seed,
            sampler="random",
            stopping="none",
            storage=storage,
            study=f"{space.name}-{Path(data or DEFAULT_DATA).name}-random",
            progress=progress,
            **training,
        )
        if drawn.interrupted:
            raise_interrupted(drawn.signal)
        if drawn.failed:
            raise StudyError(f"the networks of {name} could not be trained: {drawn.ended}")
        studies.append(drawn.study)
    first, second = studies
    for field in TERMS:  # or errors tell of the training, not of the space
        if first.fingerprint.get(field) != second.fingerprint.get(field):
            raise StudyError(
                f"studies {first.name!r} and {second.name!r} were trained otherwise: their {field} differs; "
                "compare studies of one data set, split, recipe and number of epochs"
            )
    return compare_errors(_sample(first, cost), _sample(second, cost), cost, seed)


def _sample(study: Study, cost: str) -> Sample:
    complete = [trial for trial in study.trials(full=False) if trial.state == "complete"]
    values = [{**trial.costs, **trial.objectives} for trial in complete]
    known = [(value[cost], 1 - value["accuracy"]) for value in values if cost in value and "accuracy" in value]
    return Sample(study.name, [pair[0] for pair in known], [pair[1] for pair in known])
