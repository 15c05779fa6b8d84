"""Work in a child process that imports torch: load the data, build the network, train it, save its weights.

While a network trains, its state is kept in a checkpoint: a trial that was killed is resumed from there.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from explorer.analysis.quantities import TRAINED
from explorer.data.dataset import Dataset, load_data
from explorer.networks.architecture import Architecture
from explorer.records import GradientFlow, TrainingResult
from explorer.scoring.zero_cost import score_architecture
from explorer.store.artifacts import checkpoint_file, confirmation_checkpoint, weights_file
from explorer.study.workers.jobs import Job, Outcome, Report, Retraining, TorchWork, Training
from explorer.study.workers.throughput_probe import rehearse
from explorer.system.environment import describe_environment
from explorer.system.files import write_atomically
from explorer.training.gradient_flow import BATCH, gradient_flow
from explorer.training.loop import evaluate_network, train_network
from explorer.training.run import build_for_training, usual_threads

SPARED = 0.9  # of a GPU's memory trainings side by side may fill with tensors
_log = logging.getLogger(__name__)


def perform(work: TorchWork, job: Job, report: Report) -> Outcome:
    """Do the work for one job."""
    if isinstance(work, Training):
        return train(work, job, report)
    return train_and_test(work, job, report) if isinstance(work, Retraining) else rehearse(work, job, report)


def train(training: Training, job: Job, report: Report) -> Outcome:
    """Train the job's network and measure it on the validation split."""
    settings, data = training.settings, _data(training)
    if training.record_gradients:
        report(_flow(training, job, data))
    scores = _scores(training, job, data)
    kept = training.artifacts and checkpoint_file(training.artifacts, job.digest)
    network, result = _trained(training, job, report, data, kept)
    return Outcome(
        measured={**{name: getattr(result, field) for name, field in TRAINED.items()}, **scores},
        result=result,
        environment=describe_environment(settings.device, _threads(training)),
        weights=_save(network, training.artifacts, job) if training.artifacts else "",
    )


def train_and_test(work: Retraining, job: Job, report: Report) -> Outcome:
    """Train the job's network from the job's seed and measure it on the test split. No weights are kept."""
    training = work.training
    precision = work.precisions.get(job.digest, training.settings.precision)
    training = replace(training, settings=replace(training.settings, precision=precision))
    settings, threads, data = training.settings, _threads(training), _data(training)
    kept = work.checkpoint
    if kept is None and training.artifacts:
        kept = confirmation_checkpoint(training.artifacts, job.digest, settings.epochs, job.seed)
    network, result = _trained(training, job, report, data, kept)
    test = evaluate_network(network, data, "test", device=settings.device, threads=threads, precision=result.precision)
    return Outcome(test._asdict(), result, describe_environment(settings.device, threads))


def _data(training: Training) -> Dataset:
    settings = training.settings
    return load_data(settings.data, settings.data_dir, subset=settings.subset, skip_damaged=settings.skip_damaged)


def _threads(training: Training) -> int:
    return training.threads or usual_threads()


def _trained(
    training: Training, job: Job, report: Report, data: Dataset, checkpoint: Path | None
) -> tuple[nn.Module, TrainingResult]:
    settings = training.settings
    _keep_to_its_share(settings.device, training.side_by_side)
    network = build_for_training(Architecture.from_json(job.architecture, job.digest), settings.recipe, job.seed)
    result = train_network(
        network,
        data,
        settings.recipe,
        epochs=settings.epochs,
        seed=job.seed,
        device=settings.device,
        threads=_threads(training),
        precision=settings.precision,
        checkpoint=checkpoint,
        on_epoch=report,
    )
    return network, result


def _scores(training: Training, job: Job, data: Dataset) -> dict[str, float]:
    """The zero-cost scores asked for, of a network of its own: those that it has."""
    if not training.scores:
        return {}
    threads = torch.get_num_threads()
    torch.set_num_threads(_threads(training))
    try:
        found = score_architecture(
            Architecture.from_json(job.architecture, job.digest), training.scores, data=data, seed=job.seed
        )
    finally:
        torch.set_num_threads(threads)
    return {name: score for name, score in found.items() if score is not None}


def _flow(training: Training, job: Job, data: Dataset) -> GradientFlow:
    """Through the very network that is about to be trained, on images that it will be trained on."""
    return gradient_flow(
        Architecture.from_json(job.architecture, job.digest),
        batch=min(BATCH, len(data.train)),
        seed=job.seed,
        data=data,
        zero_init_last_norm=training.settings.recipe.zero_init_last_norm,
        device=training.settings.device,
        threads=_threads(training),
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
