"""List the files of a study that are no longer needed: weights of dominated networks, and files of lost workers.

These files are needed: the weights of running trials and of every network on a frontier (of all objectives together, or
of one measured objective versus one cost), and the checkpoints of trainings that run or can be resumed. Those of paused
trials are marked, because a later search may continue from them; they are listed while no trial runs or is interrupted.
Files of other networks are never listed. Weights that were removed are trained again on demand, and a paused trial
without its checkpoint starts again if it is continued.
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
    """A file that is no longer needed.

    Attributes:
        file: The name of the file.
        bytes: Its size in bytes.
        reason: Why it is not needed.
        is_paused: Whether a later search could continue a paused trial from it.
    """

    file: str
    bytes: int
    reason: str
    is_paused: bool = False


def removable_files(study: Study) -> list[Removable]:
    """Return the study's files that may be removed, sorted by name. This function removes nothing.

    Raises:
        StoreError: The database cannot be read, or a row is damaged.
    """
    # The files are listed before the records are read, so that a file of a trial that ends in between is kept.
    files = study.files.names()
    stale = {path.name for path in abandoned(study.artifacts, older_than=time.time() - ABANDONED_SECONDS)}
    unfinished = _unfinished_networks(study)
    records = study.trials(full=False)
    complete = [trial for trial in records if trial.state == "complete"]
    needed_weights = unfinished | {trial.digest for trial in _on_a_frontier(study, complete)}
    known = {trial.digest: trial.number for trial in reversed(records)}
    paused = {trial.digest: trial.number for trial in records if trial.state == "stopped"}
    confirming = {(r.digest, r.epochs, r.seed) for r in study.confirmations() if r.state == "running"}
    removable = []
    for path, size in sorted((Path(name), size) for name, size in files.items()):
        reason, is_paused = "", False
        if path.name in stale:
            reason = "partial file of a process that has ended"
        elif path.suffix == ".safetensors" and path.stem in known and path.stem not in needed_weights:
            reason = f"weights of trial {known[path.stem]}, on no frontier"
        elif path.suffix == ".checkpoint":
            match = _CONFIRMATION.fullmatch(path.stem)
            digest = path.stem if match is None else match[1]
            needed = digest in unfinished if match is None else (digest, int(match[2]), int(match[3])) in confirming
            is_paused = match is None and digest in paused
            if is_paused:
                reason = "" if unfinished else f"checkpoint of trial {paused[digest]}, which is paused"
            else:
                reason = "checkpoint of a training that has ended" if digest in known and not needed else ""
        if reason:
            removable.append(Removable(path.name, size, reason, is_paused))
    return removable


def _unfinished_networks(study: Study) -> set[str]:
    """Return the digests of the networks of running and interrupted trials."""
    unfinished = or_(trials.c.state == "running", and_(trials.c.state == "failed", trials.c.resumable))
    query = select(trials.c.digest).where(trials.c.study_id == study.id, unfinished)
    return study.database.read(lambda connection: set(connection.scalars(query)))


def _on_a_frontier(study: Study, complete: list[TrialRecord]) -> Iterable[TrialRecord]:
    """Yield the trials on the frontier of all objectives and on each frontier of a measured objective versus a cost."""
    costs = dict.fromkeys(name for trial in complete for name in trial.costs)
    measured = [name for name in dict.fromkeys([*study.objectives, "accuracy"]) if name not in costs]
    for names in (tuple(study.objectives), *((cost, name) for cost in costs for name in measured)):
        values = [trial.quantities for trial in complete]
        indices = [index for index, value in enumerate(values) if all(name in value for name in names)]
        points = [[study.sign(name) * values[index][name] for name in names] for index in indices]
        yield from (complete[indices[index]] for index in non_dominated(points))
