"""One training in a child process: if the process dies, the caller gets an error."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from explorer.errors import TrainingError
from explorer.networks.architecture import Architecture
from explorer.records import Epoch
from explorer.study.workers.jobs import Failure, Job, Outcome, Retraining, Training
from explorer.study.workers.pool import ProcessPool
from explorer.system.core_shares import CoreShare
from explorer.system.files import remove
from explorer.system.signals import SIGNAL_SECONDS
from explorer.training.settings import ResolvedTraining

POLL_SECONDS = 0.2  # that the loop waits for messages; a signal is handled between two waits


def train_in_child(
    settings: ResolvedTraining,
    architecture: Architecture,
    seed: int,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], object],
) -> Outcome:
    """Train ``architecture`` in a child process and measure it on the test split.

    Args:
        settings: Data, recipe, epochs, device and precision.
        architecture: The network.
        seed: Seed of the weights and of the training.
        checkpoint: File of the checkpoint, from which the training resumes; removed at the end.
        on_epoch: Called with each finished epoch.

    Returns:
        The training; ``measured`` has the metrics on the test split.

    Raises:
        TrainingError: The training failed or its process died; the message names the last checkpoint.
    """
    work, share = Retraining(Training(settings, threads=None), checkpoint=checkpoint), CoreShare(settings.device)
    pool = ProcessPool(work, 1, job="training", share=share, is_fixed=True)
    pool.start(Job(0, architecture.digest, architecture.to_json(), {}, seed))
    try:
        while True:
            for _, message in pool.messages(POLL_SECONDS):
                if isinstance(message, Epoch):
                    on_epoch(message)
                elif isinstance(message, Outcome):
                    remove(checkpoint)
                    return message
                elif isinstance(message, Failure):
                    raise TrainingError(_explained(message, checkpoint))
    finally:
        pool.stop()


def _explained(failure: Failure, checkpoint: Path) -> str:
    """Return why a training failed, and how to resume it if its process died."""
    if failure.kind != "died":
        return failure.reason
    time.sleep(SIGNAL_SECONDS)  # the same signal may reach this process soon, which then ends in order
    if checkpoint.exists():
        return f"{failure.reason}; the same command resumes from the last checkpoint, {checkpoint}"
    return f"{failure.reason}; no checkpoint was written, so the same command starts from the beginning"
