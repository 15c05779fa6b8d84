"""Which of a study's files nothing needs any more: weights of networks that were beaten, and what dead workers left.

Needed are the weights of every network on a frontier (of all objectives together, or of one that is learnt over any one
cost) and of running trials, and the checkpoints of trainings that run or wait to be taken up again. Whatever is
no such file of a network of this study is left alone. Weights that are gone are trained again when they are asked for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import and_, or_, select

from explorer.analysis.pareto import non_dominated
from explorer.records import TrialRecord
from explorer.store.schema import trials
from explorer.store.study import Study
from explorer.system.files import ABANDONED_SECONDS, abandoned

_CONFIRMATION = re.compile(r"(.+)\.(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Removable:
    """A file that nothing needs, its size, and why nothing does."""

    path: Path
    bytes: int
    reason: str


def removable_files(study: Study) -> list[Removable]:
    """The study's files that may be removed, by name. Nothing is removed here. Raises StoreError."""
    folder = study.artifacts
    # The files before the records: what a worker finishes in between is then known as finished, and kept.
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.is_symlink())
    stale = set(abandoned(folder, older_than=time.time() - ABANDONED_SECONDS))
    underway = _underway(study)
    records = study.trials(full=False)
    complete = [trial for trial in records if trial.state == "complete"]
    best = underway | {trial.digest for trial in _on_a_frontier(study, complete)}
    known = {trial.digest: trial.number for trial in reversed(records)}
    confirming = {(r.digest, r.epochs, r.seed) for r in study.confirmations() if r.state == "running"}
    found = []
    for path in files:
        reason = ""
        if path in stale:
            reason = "left half-written by a process that is gone"
        elif path.suffix == ".safetensors" and path.stem in known and path.stem not in best:
            reason = f"weights of trial {known[path.stem]}, on no frontier"
        elif path.suffix == ".checkpoint":
            match = _CONFIRMATION.fullmatch(path.stem)
            digest = path.stem if match is None else match[1]
            needed = digest in underway if match is None else (digest, int(match[2]), int(match[3])) in confirming
            reason = "checkpoint of a training that has ended" if digest in known and not needed else ""
        if reason:
            found.append(Removable(path, path.stat().st_size, reason))
    return found


def _underway(study: Study) -> set[str]:
    """The networks of trials that run, or wait to be taken up again."""
    left = or_(trials.c.state == "running", and_(trials.c.state == "failed", trials.c.resumable))
    with study.database.read() as connection:
        return set(connection.scalars(select(trials.c.digest).where(trials.c.study_id == study.id, left)))


def _on_a_frontier(study: Study, complete: list[TrialRecord]) -> Iterable[TrialRecord]:
    costs = dict.fromkeys(name for trial in complete for name in trial.costs)
    learnt = [name for name in dict.fromkeys([*study.objectives, "accuracy"]) if name not in costs]
    for names in (tuple(study.objectives), *((cost, name) for cost in costs for name in learnt)):
        values = [trial.quantities for trial in complete]
        places = [place for place, value in enumerate(values) if all(name in value for name in names)]
        points = [[study.sign(name) * values[place][name] for name in names] for place in places]
        yield from (complete[places[place]] for place in non_dominated(points))
