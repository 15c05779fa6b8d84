"""One trial in a child process: load the data, build the network, train it, save its weights."""

from __future__ import annotations

import logging

from safetensors.torch import save_file

from explorer.architecture import Architecture
from explorer.files import write_whole
from explorer.measure.environment import describe_environment
from explorer.network.build import build_network
from explorer.study.work import Job, Outcome, Report, Training
from explorer.training.data import load_data
from explorer.training.loop import train_network

_log = logging.getLogger(__name__)


def train(settings: Training, job: Job, report: Report) -> Outcome:
    """Trains the job's network as the settings say."""
    data = load_data(settings.data, settings.data_dir, subset=settings.subset)
    network = build_network(Architecture.from_json(job.architecture), seed=job.seed)
    result = train_network(
        network,
        data,
        settings.recipe,
        epochs=settings.epochs,
        seed=job.seed,
        device=settings.device,
        threads=settings.threads,
        on_epoch=report,
    )
    return Outcome(
        measured={"accuracy": result.val_accuracy, "top5": result.val_top5, "loss": result.val_loss},
        result=result,
        environment=describe_environment(settings.device, settings.threads),
        weights=_save(network, settings, job) if settings.weights else "",
    )


def _save(network, settings: Training, job: Job) -> str:
    """Saves the weights and returns their hash; a disk that is full costs the weights, not the result."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    try:
        return write_whole(settings.weights / f"{job.digest}.safetensors", lambda path: save_file(tensors, path))
    except OSError as error:
        _log.warning("trial %d: its weights are not kept: %s", job.number, error)
        return ""
