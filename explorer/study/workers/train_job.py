"""The work of a child process that imports torch: load the data, build the network, train it, save its weights.

A checkpoint holds the state of the training, so that a killed trial is resumed from there.
"""

from __future__ import annotations

import logging
import platform
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from explorer.analysis.quantities import TRAINED
from explorer.data.dataset import Dataset, load_data
from explorer.errors import DataError
from explorer.networks.architecture import Architecture
from explorer.records import GradientFlow, TrainingResult
from explorer.scoring.zero_cost import score_architecture
from explorer.store.artifacts import weights_file
from explorer.study.workers.jobs import Job, Outcome, Report, Retraining, TorchWork, Training, checkpoint_of
from explorer.study.workers.throughput_probe import run_probe
from explorer.system.environment import describe_environment
from explorer.system.files import write_atomically
from explorer.training.gradient_flow import BATCH, gradient_flow
from explorer.training.loop import evaluate_network, train_network
from explorer.training.run import build_for_training, usual_threads

TENSOR_SHARE = 0.9  # of a GPU's memory that tensors of parallel trainings may fill; contexts and kernels take the rest
_log = logging.getLogger(__name__)


def perform(work: TorchWork, job: Job, report: Report) -> Outcome:
    """Run one job.

    Args:
        work: The work.
        job: The network.
        report: Called with each finished epoch; returns whether to stop there.
    """
    if isinstance(work, Training):
        return train(work, job, report)
    return train_and_test(work, job, report) if isinstance(work, Retraining) else run_probe(work, job, report)


def train(training: Training, job: Job, report: Report) -> Outcome:
    """Train the job's network and evaluate it on the validation split.

    Args:
        training: How to train.
        job: The network, and the seed of weights and training.
        report: Called with each finished epoch; returns whether to stop there. Before them it is called with the
            gradient flow, if that is recorded.

    Returns:
        The metrics and zero-cost scores, the training, its environment, and the hash of the saved weights.
    """
    settings, data = training.settings, _load_data(training)
    if training.record_gradients:
        report(_gradient_flow(training, job, data))
    scores = _score(training, job, data)
    network, result = _train(training, job, report, data, checkpoint_of(training, job))
    is_whole = result.epochs == settings.epochs  # no weights are kept of a training that was stopped
    return Outcome(
        measured={**{name: getattr(result, field) for name, field in TRAINED.items()}, **scores},
        result=result,
        environment=describe_environment(settings.device, _threads(training, job)),
        weights=_save(network, training.artifacts, job) if training.artifacts and is_whole else "",
    )


def train_and_test(work: Retraining, job: Job, report: Report) -> Outcome:
    """Train the job's network and evaluate it on the test split. No weights are saved.

    Args:
        work: How to train, and in which precision.
        job: The network, and the seed of weights and training.
        report: Called with each finished epoch; returns whether to stop there.

    Returns:
        The metrics on the test split, the training and its environment.
    """
    training = work.training
    precision = work.precisions.get(job.digest, training.settings.precision)
    training = replace(training, settings=replace(training.settings, precision=precision))
    settings, threads, data = training.settings, _threads(training, job), _load_data(training)
    network, result = _train(training, job, report, data, checkpoint_of(work, job))
    test = evaluate_network(network, data, "test", device=settings.device, threads=threads, precision=result.precision)
    return Outcome(test._asdict(), result, describe_environment(settings.device, threads))


def _load_data(training: Training) -> Dataset:
    settings = training.settings
    data = load_data(settings.data, settings.data_dir, subset=settings.subset, skip_damaged=settings.skip_damaged)
    if training.data_sha256 and training.data_sha256 != data.fingerprint["sha256"]:
        raise DataError(
            f"the data {settings.data} on {platform.node()} are not those of the search (SHA-256 "
            f"{data.fingerprint['sha256']}, expected {training.data_sha256}); copy the same files to each machine"
        )
    return data


def _threads(training: Training, job: Job) -> int:
    """Return the threads of a training: never more than torch's own number, which OMP_NUM_THREADS sets."""
    most = min(training.threads or usual_threads(), torch.get_num_threads())
    return min(most, job.threads or most)


def _train(
    training: Training, job: Job, report: Report, data: Dataset, checkpoint: Path | None
) -> tuple[nn.Module, TrainingResult]:
    """Return the trained network and its training."""
    settings = training.settings
    _limit_gpu_memory(settings.device, max(training.side_by_side, job.side_by_side))
    network = build_for_training(Architecture.from_json(job.architecture, job.digest), settings.recipe, job.seed)
    result = train_network(
        network,
        data,
        settings.recipe,
        epochs=settings.epochs,
        seed=job.seed,
        device=settings.device,
        threads=_threads(training, job),
        precision=job.precision or settings.precision,
        activation_checkpointing=settings.activation_checkpointing,
        checkpoint=checkpoint,
        pauses=job.pauses,
        on_epoch=report,
    )
    return network, result


def _score(training: Training, job: Job, data: Dataset) -> dict[str, float]:
    """Return the zero-cost scores that are defined for the network, computed on a separate copy of it."""
    if not training.scores:
        return {}
    threads = torch.get_num_threads()
    torch.set_num_threads(_threads(training, job))
    try:
        found = score_architecture(
            Architecture.from_json(job.architecture, job.digest), training.scores, data=data, seed=job.seed
        )
    finally:
        torch.set_num_threads(threads)
    return {name: score for name, score in found.items() if score is not None}


def _gradient_flow(training: Training, job: Job, data: Dataset) -> GradientFlow:
    """Measure the gradient flow with the same initial weights as the training, on training images."""
    return gradient_flow(
        Architecture.from_json(job.architecture, job.digest),
        batch=min(BATCH, len(data.train)),
        seed=job.seed,
        data=data,
        zero_init_last_norm=training.settings.recipe.zero_init_last_norm,
        device=training.settings.device,
        threads=_threads(training, job),
    )


def _limit_gpu_memory(device: str, side_by_side: int) -> None:
    """Limit the GPU memory of this process to its share, so that one large training does not make others fail.

    A training alone has no limit, also in a process whose training before had one.
    """
    place = torch.device(device)
    if place.type == "cuda":
        index = torch.cuda.current_device() if place.index is None else place.index  # torch takes no "cuda" here
        share = TENSOR_SHARE / side_by_side if side_by_side > 1 else 1.0
        torch.cuda.set_per_process_memory_fraction(share, index)


def _save(network: nn.Module, artifacts: Path, job: Job) -> str:
    """Save the weights and return their hash. If they cannot be written, warn and return an empty text."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    try:
        return write_atomically(weights_file(artifacts, job.digest), save(tensors))
    except OSError as error:
        _log.warning(
            "the weights of trial %d could not be saved: %s; 'explorer export' trains its network again",
            job.number,
            error,
        )
        return ""
