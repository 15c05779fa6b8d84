"""One training in a process of its own: what ends that process becomes a message, and the caller goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from explorer.architecture import Architecture
from explorer.errors import TrainingError
from explorer.records import Epoch
from explorer.study.children import Children
from explorer.study.work import Failure, Job, Outcome, Report
from explorer.system.signals import SIGNAL_SECONDS
from explorer.training.recipe import Recipe

POLL_SECONDS = 0.2  # between two looks for a signal


@dataclass(frozen=True, slots=True)
class OneTraining:
    """Train a network and measure it on the test split, as ``explorer.train`` does with these arguments."""

    data: str
    data_dir: str | None
    subset: int | None
    skip_damaged: bool
    recipe: Recipe
    epochs: int
    device: str
    precision: str
    checkpoint: Path

    def __call__(self, job: Job, report: Report) -> Outcome:
        from explorer.training.run import train_architecture  # the calling process does not need torch

        trained = train_architecture(
            Architecture.from_json(job.architecture),
            self.data,
            data_dir=self.data_dir,
            subset=self.subset,
            skip_damaged=self.skip_damaged,
            recipe=self.recipe,
            epochs=self.epochs,
            seed=job.seed,
            device=self.device,
            precision=self.precision,
            checkpoint=self.checkpoint,
            on_epoch=report,
        )
        return Outcome(trained.test._asdict(), trained.result)


def train_in_child(
    training: OneTraining, architecture: Architecture, seed: int, on_epoch: Callable[[Epoch], object]
) -> Outcome:
    """Train ``architecture`` in a child process.

    Args:
        training: What to train it on, and how.
        architecture: The network.
        seed: Of the weights and of the training.
        on_epoch: Called with each epoch as it ends.

    Returns:
        The training, with the figures on the test split as ``measured``.

    Raises:
        TrainingError: The training failed, or its process died; says where the last checkpoint is.
    """
    child = Children(training, 1, job="training")
    child.start(Job(0, architecture.digest, architecture.to_json(), {}, seed))
    try:
        while True:
            for _, message in child.messages(POLL_SECONDS):
                if isinstance(message, Epoch):
                    on_epoch(message)
                elif isinstance(message, Outcome):
                    return message
                elif isinstance(message, Failure):
                    raise TrainingError(_explained(message, training.checkpoint))
    finally:
        child.stop()


def _explained(failure: Failure, checkpoint: Path) -> str:
    if failure.kind != "died":
        return failure.reason
    time.sleep(SIGNAL_SECONDS)  # the same signal may be on its way to this process, which then ends in order
    if checkpoint.exists():
        return f"{failure.reason}; the last checkpoint is {checkpoint}: run the same line again to go on from it"
    return f"{failure.reason}; it had written no checkpoint, so the same line starts from the beginning"
