"""One trial in a child process: load the data, build the network, train it, save its weights.

While it trains, its state is kept in a checkpoint: a trial that was killed and is taken up again goes on from there.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from explorer.architecture import Architecture
from explorer.data.dataset import Dataset, load_data
from explorer.quantities import TRAINED
from explorer.records import GradientFlow, TrainingResult
from explorer.scoring.zero_cost import score_architecture
from explorer.store.artifacts import checkpoint_file, confirmation_checkpoint, weights_file
from explorer.study.work import Job, Outcome, Report, Training
from explorer.system.environment import describe_environment
from explorer.system.files import write_atomically
from explorer.training.gradient_flow import BATCH, gradient_flow
from explorer.training.loop import evaluate_network, train_network
from explorer.training.run import build_for_training

SPARED = 0.9  # of a GPU's memory trainings side by side may fill with tensors
_log = logging.getLogger(__name__)


def train(settings: Training, job: Job, report: Report) -> Outcome:
    """Trains the job's network as the settings say."""
    data = load_data(settings.data, settings.data_dir, subset=settings.subset, skip_damaged=settings.skip_damaged)
    if settings.gradients:
        report(_flow(settings, job, data))
    scores = _scores(settings, job, data)
    kept = settings.artifacts and checkpoint_file(settings.artifacts, job.digest)
    network, result = _trained(settings, job, report, data, kept)
    return Outcome(
        measured={**{name: getattr(result, field) for name, field in TRAINED.items()}, **scores},
        result=result,
        environment=describe_environment(settings.device, settings.threads),
        weights=_save(network, settings.artifacts, job) if settings.artifacts else "",
    )


def train_and_test(settings: Training, job: Job, report: Report) -> Outcome:
    """Trains the job's network from the job's seed and measures it on the test split. No weights are kept."""
    data = load_data(settings.data, settings.data_dir, subset=settings.subset, skip_damaged=settings.skip_damaged)
    kept = settings.artifacts and confirmation_checkpoint(settings.artifacts, job.digest, settings.epochs, job.seed)
    network, result = _trained(settings, job, report, data, kept)
    test = evaluate_network(
        network, data, "test", device=settings.device, threads=settings.threads, precision=result.precision
    )
    return Outcome(test._asdict(), result, describe_environment(settings.device, settings.threads))


def _trained(
    settings: Training, job: Job, report: Report, data: Dataset, checkpoint: Path | None
) -> tuple[nn.Module, TrainingResult]:
    _keep_to_its_share(settings.device, settings.side_by_side)
    network = build_for_training(Architecture.from_json(job.architecture, job.digest), settings.recipe, job.seed)
    result = train_network(
        network,
        data,
        settings.recipe,
        epochs=settings.epochs,
        seed=job.seed,
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        checkpoint=checkpoint,
        on_epoch=report,
    )
    return network, result


def _scores(settings: Training, job: Job, data: Dataset) -> dict[str, float]:
    """The zero-cost scores asked for, of a network of its own: those that it has."""
    if not settings.scores:
        return {}
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        found = score_architecture(
            Architecture.from_json(job.architecture, job.digest), settings.scores, data=data, seed=job.seed
        )
    finally:
        torch.set_num_threads(threads)
    return {name: score for name, score in found.items() if score is not None}


def _flow(settings: Training, job: Job, data: Dataset) -> GradientFlow:
    """Through the very network that is about to be trained, on images that it will be trained on."""
    return gradient_flow(
        Architecture.from_json(job.architecture, job.digest),
        batch=min(BATCH, len(data.train)),
        seed=job.seed,
        data=data,
        zero_init_last_norm=settings.recipe.zero_init_last_norm,
        device=settings.device,
        threads=settings.threads,
    )


def _keep_to_its_share(device: str, side_by_side: int) -> None:
    """On a GPU that trainings share, one that asks for more memory than its share fails alone and leaves the others
    theirs. What a process takes before it has a tensor, its context and kernels, comes out of SPARED."""
    place = torch.device(device)
    if place.type == "cuda" and side_by_side > 1:
        torch.cuda.set_per_process_memory_fraction(SPARED / side_by_side, place)


def _save(network: nn.Module, artifacts: Path, job: Job) -> str:
    """Saves the weights and returns their hash; a disk that cannot take them costs the weights, not the result."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    try:
        return write_atomically(weights_file(artifacts, job.digest), save(tensors))
    except OSError as error:
        _log.warning(
            "the weights of trial %d could not be kept: %s; 'explorer export' trains its network again",
            job.number,
            error,
        )
        return ""
