"""The keywords of functions that take ``SearchSettings``, for type checkers.

Written by ``python -m docs.generate``; change the fields of the settings instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike

from explorer.analysis.limits import Limit
from explorer.study.candidates import OwnCost
from explorer.study.events import Progress
from explorer.study.workers.jobs import Evaluate
from explorer.training.options import TrainingOptions


class SearchOptions(TrainingOptions, total=False):
    """Keywords that replace single values of ``SearchSettings``."""

    trials: int | None
    seconds: float | None
    until_stable: int | None
    repeats: int | None
    trial_seconds: float | None
    trial_memory: int | None
    sampler: str
    cover: int | None
    stopping: str
    scores: Iterable[str] | str
    retry_failed: bool
    record_gradients: bool
    limits: Iterable[Limit | str] | Limit | str | None
    objectives: Mapping[str, str] | Iterable[str]
    workers: int | None
    workers_per_device: int | None
    engine: str
    engine_address: str | None
    engine_options: Mapping[str, str]
    cpus_per_trial: int | None
    track: Iterable[str | Progress] | str | Progress
    study: str | None
    new_study: bool
    seed: int | None
    storage: str | PathLike[str] | None
    artifacts: str | PathLike[str] | None
    evaluate: Evaluate | None
    costs: Mapping[str, OwnCost] | None
    changed_code: str
