"""The tracker ``wandb``: Weights & Biases, with a run for each trial, in the project ``target`` or the study's name.

Without a login, ``WANDB_MODE=offline`` keeps the runs in the folder ``wandb``; ``wandb sync`` sends them later.
"""

from __future__ import annotations

import re
from typing import Any

import wandb

from explorer.records import TrialRecord
from explorer.store.study import Study
from explorer.study.events import Event, Progress
from explorer.study.trackers.tracking import METRICS, results_of


def make(study: Study, target: str) -> Progress:
    """Return a tracker that sends to the project ``target``; by default one of the study's name."""
    project = target or re.sub(r"[/\\#?%:]", "-", study.name)[:128]  # the signs that a project cannot have
    runs: dict[int, Any] = {}

    def of(trial: TrialRecord) -> Any:
        if trial.number not in runs:
            facts = {"digest": trial.digest, "seed": trial.seed, "space": study.space_name}
            runs[trial.number] = wandb.init(
                project=project,
                group=study.name[:128],
                name=f"trial {trial.number}",
                config={**trial.choices, **facts},
                reinit="create_new",
                settings=wandb.Settings(console="off", silent=True),
            )
        return runs[trial.number]

    def track(event: Event) -> None:
        trial = event.trial
        if trial is not None and event.epoch is not None:
            of(trial).log({name: getattr(event.epoch, name) for name in METRICS}, step=event.epoch.epoch)
        elif trial is not None and event.kind == "started":
            of(trial)
        elif trial is not None and event.kind == "ended":
            run = of(trial)
            run.summary.update({**results_of(trial), "state": trial.state, "reason": trial.reason})
            runs.pop(trial.number).finish(exit_code=0 if trial.state in ("complete", "cached", "stopped") else 1)
        elif event.kind == "finished":
            for run in runs.values():
                run.finish(exit_code=1)

    return track
