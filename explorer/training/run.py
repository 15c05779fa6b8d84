"""One architecture, trained and tested: the data set, the network, the recipe and the test split together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from explorer.architecture import Architecture
from explorer.data.dataset import Dataset, load_data
from explorer.errors import TrainingError
from explorer.network.build import build_network
from explorer.records import Epoch, TrainingResult
from explorer.system.cores import usable_cores
from explorer.system.files import remove
from explorer.training.evaluation import Evaluation
from explorer.training.loop import evaluate_network, train_network
from explorer.training.recipe import Recipe, default_training
from explorer.training.recipe import recipe as recipe_named
from explorer.training.settings import AUTO


@dataclass(frozen=True)
class Trained:
    """A trained network with how it did. ``test``: on the split that no search sees."""

    network: nn.Module
    result: TrainingResult
    test: Evaluation
    recipe: Recipe


def train_architecture(
    architecture: Architecture,
    data: Dataset | str,
    *,
    data_dir: str | Path | None = None,
    subset: int | None = None,
    skip_damaged: bool = False,
    recipe: Recipe | str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    precision: str = AUTO,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], bool | None] | None = None,
) -> Trained:
    """Build ``architecture``, train it and evaluate it on the test split.

    ``data``: a data set or its name, with ``data_dir``, ``subset`` and ``skip_damaged`` as ``load_data`` takes them;
    ``recipe`` (a value, a name or a JSON file) and ``epochs``: the data set's own when left out; ``seed``: of the
    weights and of the training; ``threads``: as many as torch would take, and no more than there are usable cores, when
    left out;
    ``precision`` and ``checkpoint``: as for ``train_network``.

    Raises DataError, or TrainingError when the network does not fit the data, the loss is no longer finite or an
    argument is out of range.
    """
    dataset = load_data(data, data_dir, subset, skip_damaged=skip_damaged) if isinstance(data, str) else data
    if (architecture.input, architecture.classes) != (dataset.shape, dataset.classes):
        raise TrainingError(
            f"the network takes {architecture.input} and tells {architecture.classes} classes apart, {dataset.name} "
            f"has {dataset.shape} and {dataset.classes}; derive it with space.with_input(shape, classes)"
        )
    len(dataset.test)  # read now: what is wrong with it is said before the network is trained
    usual, usual_epochs = default_training(dataset.name)
    chosen = usual if recipe is None else recipe_named(recipe, usual)
    threads = threads or min(torch.get_num_threads(), usable_cores())
    network = build_for_training(architecture, chosen, seed)
    result = train_network(
        network,
        dataset,
        chosen,
        epochs=usual_epochs if epochs is None else epochs,
        seed=seed,
        device=device,
        threads=threads,
        precision=precision,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    test = evaluate_network(network, dataset, "test", device=device, threads=threads, precision=result.precision)
    if checkpoint is not None:
        remove(checkpoint)
    return Trained(network, result, test, chosen)


def build_for_training(architecture: Architecture, recipe: Recipe, seed: int) -> nn.Module:
    """The network as a training by ``recipe`` begins with it."""
    return build_network(architecture, seed, zero_init_last_norm=recipe.zero_init_last_norm)
