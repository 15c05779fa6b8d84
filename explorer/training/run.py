"""Train one architecture and evaluate it on the test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import torch
from torch import nn

from explorer.data.dataset import Dataset, load_data
from explorer.errors import TrainingError
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network
from explorer.records import Epoch, TrainingResult
from explorer.settings.settings import takes_settings
from explorer.system.cores import usable_cores
from explorer.system.environment import find_device
from explorer.system.files import remove
from explorer.training.batches import takes_images
from explorer.training.evaluation import Evaluation
from explorer.training.loop import evaluate_network, train_network
from explorer.training.options import TrainOptions
from explorer.training.recipe import Recipe
from explorer.training.settings import TrainingSettings


@dataclass(frozen=True)
class Trained:
    """A trained network and its metrics.

    Attributes:
        network: The trained network, in evaluation mode.
        result: The metrics on the validation split, and the curve.
        test: The metrics on the test split.
        recipe: The recipe it was trained with.
    """

    network: nn.Module
    result: TrainingResult
    test: Evaluation
    recipe: Recipe


@takes_settings(TrainingSettings)
def train_architecture(
    architecture: Architecture,
    data: Dataset | str,
    settings: TrainingSettings | None = None,
    *,
    seed: int = 0,
    threads: int | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], bool | None] | None = None,
    **options: Unpack[TrainOptions],
) -> Trained:
    """Build ``architecture``, train it and evaluate it on the test split.

    Args:
        architecture: The network, derived for the data's shape and classes.
        data: A data set or its name.
        settings: All settings as one value; each keyword below replaces one of them.
        {settings}
        seed: Seed of the weights and of training.
        threads: Number of computing threads; by default torch's own number, at most the usable cores.
        checkpoint: File for checkpoints, as for ``train_network``; it is removed at the end.
        on_epoch: Called with each finished epoch; if it returns True, training stops.

    Returns:
        The trained network with its metrics on the validation and the test split.

    Raises:
        DataError: The data are unknown, missing or damaged.
        TrainingError: The network does not fit the data, the loss is no longer finite, or an argument is out of range.
    """
    assert settings is not None
    if isinstance(data, str):
        dataset = load_data(data, settings.data_dir, settings.subset, skip_damaged=settings.skip_damaged)
    else:
        dataset = data
    if not takes_images(architecture, dataset):
        raise TrainingError(
            f"the network takes {architecture.input} images and has {architecture.classes} classes, but {dataset.name} "
            f"has {dataset.shape} and {dataset.classes}; derive it with space.with_input(shape, classes)"
        )
    len(dataset.test)  # reads the test split, so that its errors are reported before training
    resolved = settings.resolved(dataset.name)
    device = find_device() if resolved.device == "auto" else resolved.device
    threads = threads or usual_threads()
    network = build_for_training(architecture, resolved.recipe, seed)
    result = train_network(
        network,
        dataset,
        resolved.recipe,
        epochs=resolved.epochs,
        seed=seed,
        device=device,
        threads=threads,
        precision=resolved.precision,
        activation_checkpointing=resolved.activation_checkpointing,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    test = evaluate_network(network, dataset, "test", device=device, threads=threads, precision=result.precision)
    if checkpoint is not None:
        remove(checkpoint)
    return Trained(network, result, test, resolved.recipe)


def usual_threads() -> int:
    """Return torch's number of computing threads, at most the usable cores."""
    return min(torch.get_num_threads(), usable_cores())


def build_for_training(architecture: Architecture, recipe: Recipe, seed: int) -> nn.Module:
    """Build the network with the initial weights that ``recipe`` asks for."""
    return build_network(architecture, seed, zero_init_last_norm=recipe.zero_init_last_norm)
