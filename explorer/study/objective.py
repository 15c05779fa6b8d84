"""One trial in a child process: load the data, build the network, train it, save its weights.

While it trains, its state is kept in a checkpoint: a trial that was killed and is taken up again goes on from there.
"""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from explorer.architecture import Architecture
from explorer.files import write_whole
from explorer.measure.environment import describe_environment
from explorer.store.artifacts import checkpoint_file, weights_file
from explorer.study.device_lock import Pause
from explorer.study.work import Job, Outcome, Report, Training
from explorer.training.data import load_data
from explorer.training.loop import train_network
from explorer.training.run import build_for_training

_log = logging.getLogger(__name__)


def train(settings: Training, job: Job, report: Report) -> Outcome:
    """Trains the job's network as the settings say."""
    data = load_data(settings.data, settings.data_dir, subset=settings.subset)
    network = build_for_training(Architecture.from_json(job.architecture), settings.recipe, job.seed)
    with closing(Pause(settings.device)) as pause:
        result = train_network(
            network,
            data,
            settings.recipe,
            epochs=settings.epochs,
            seed=job.seed,
            device=settings.device,
            threads=settings.threads,
            precision=settings.precision,
            checkpoint=checkpoint_file(settings.artifacts, job.digest) if settings.artifacts else None,
            on_epoch=report,
            before_step=pause,
        )
    return Outcome(
        measured={"accuracy": result.val_accuracy, "top5": result.val_top5, "loss": result.val_loss},
        result=result,
        environment=describe_environment(settings.device, settings.threads),
        weights=_save(network, settings.artifacts, job) if settings.artifacts else "",
    )


def _save(network: nn.Module, artifacts: Path, job: Job) -> str:
    """Saves the weights and returns their hash; a disk that is full costs the weights, not the result."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    try:
        return write_whole(weights_file(artifacts, job.digest), lambda path: save_file(tensors, path))
    except OSError as error:
        _log.warning("trial %d: its weights are not kept: %s", job.number, error)
        return ""
