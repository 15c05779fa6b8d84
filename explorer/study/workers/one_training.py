"""One training in a process of its own: what ends that process becomes a message, and the caller goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from explorer.errors import TrainingError
from explorer.networks.architecture import Architecture
from explorer.records import Epoch
from explorer.study.workers.jobs import Failure, Job, Outcome, Retraining, Training
from explorer.study.workers.pool import Children
from explorer.system.files import remove
from explorer.system.signals import SIGNAL_SECONDS
from explorer.training.settings import ResolvedTraining

POLL_SECONDS = 0.2  # between two looks for a signal


def train_in_child(
    settings: ResolvedTraining,
    architecture: Architecture,
    seed: int,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], object],
) -> Outcome:
    """Train ``architecture`` in a child process and measure it on the test split.

    Args:
        settings: What to train it on, and how.
        architecture: The network.
        seed: Of the weights and of the training.
        checkpoint: The file to keep its state in, and to go on from; removed at the end.
        on_epoch: Called with each epoch as it ends.

    Returns:
        The training, with the figures on the test split as ``measured``.

    Raises:
        TrainingError: The training failed, or its process died; says where the last checkpoint is.
    """
    child = Children(Retraining(Training(settings, threads=None), checkpoint=checkpoint), 1, job="training")
    child.start(Job(0, architecture.digest, architecture.to_json(), {}, seed))
    try:
        while True:
            for _, message in child.messages(POLL_SECONDS):
                if isinstance(message, Epoch):
                    on_epoch(message)
                elif isinstance(message, Outcome):
                    remove(checkpoint)
                    return message
                elif isinstance(message, Failure):
                    raise TrainingError(_explained(message, checkpoint))
    finally:
        child.stop()


def _explained(failure: Failure, checkpoint: Path) -> str:
    if failure.kind != "died":
        return failure.reason
    time.sleep(SIGNAL_SECONDS)  # the same signal may be on its way to this process, which then ends in order
    if checkpoint.exists():
        return f"{failure.reason}; the last checkpoint is {checkpoint}: run the same line again to go on from it"
    return f"{failure.reason}; it had written no checkpoint, so the same line starts from the beginning"
