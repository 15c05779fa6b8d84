"""The tracker ``tensorboard``: event files in a folder, ``runs`` by default, which ``tensorboard --logdir`` shows.

Each trial is a run of the study's folder: its learning curve, and its choices with its results as hyperparameters. The
study itself is a run with the results of its trials over their numbers.
"""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from explorer.records import Epoch, TrialRecord
from explorer.store.study import Study
from explorer.study.events import Event, Progress
from explorer.study.trackers.tracking import METRICS, results_of
from explorer.system.files import slug


def make(study: Study, target: str) -> Progress:
    """Return a tracker that writes to the folder ``target``, ``runs`` by default."""
    folder = Path(target or "runs") / slug(study.name)
    summary = SummaryWriter(str(folder / "study"))
    running: dict[int, SummaryWriter] = {}

    def of(trial: TrialRecord) -> SummaryWriter:
        if trial.number not in running:
            running[trial.number] = SummaryWriter(str(folder / f"trial-{trial.number:05}"))
        return running[trial.number]

    def epoch_ended(trial: TrialRecord, epoch: Epoch) -> None:
        for name in METRICS:
            of(trial).add_scalar(name, getattr(epoch, name), epoch.epoch)

    def trial_ended(trial: TrialRecord) -> None:
        results = results_of(trial)
        of(trial).add_hparams({**trial.choices, "state": trial.state}, results, run_name=".")
        running.pop(trial.number).close()
        for name, value in results.items():
            summary.add_scalar(name, value, trial.number)
        summary.flush()

    def track(event: Event) -> None:
        if event.trial is not None and event.epoch is not None:
            epoch_ended(event.trial, event.epoch)
        elif event.trial is not None and event.kind == "ended":
            trial_ended(event.trial)
        elif event.kind == "finished":
            for writer in (*running.values(), summary):
                writer.close()

    return track
