"""One architecture, trained and tested: the data set, the network, the recipe and the test split together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import torch
from torch import nn

from explorer.architecture import Architecture
from explorer.errors import TrainingError
from explorer.network.build import build_network
from explorer.records import Epoch, TrainingResult
from explorer.training.data import Dataset, load_data
from explorer.training.loop import Evaluation, evaluate_network, train_network
from explorer.training.recipe import Recipe, default_training
from explorer.training.recipe import recipe as recipe_named


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
    recipe: Recipe | str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    on_epoch: Callable[[Epoch], bool | None] | None = None,
) -> Trained:
    """Build ``architecture``, train it and evaluate it on the test split.

    ``data``: a data set or its name; ``recipe`` and ``epochs``: the data set's own when left out;
    ``seed``: of the weights and of the training; ``threads``: all that torch may use when left out.
    Raises TrainingError when the network does not fit the data, or the loss is no longer finite.
    """
    dataset = load_data(data) if isinstance(data, str) else data
    if (architecture.input, architecture.classes) != (dataset.shape, dataset.classes):
        raise TrainingError(
            f"the network takes {architecture.input} and tells {architecture.classes} classes apart, {dataset.name} has "
            f"{dataset.shape} and {dataset.classes}; derive it with space.with_input(shape, classes)"
        )
    len(dataset.test)  # read now: what is wrong with it is said before the network is trained
    usual, usual_epochs = default_training(dataset.name)
    chosen = recipe_named(recipe) if isinstance(recipe, str) else recipe or usual
    threads = threads or torch.get_num_threads()
    network = build_network(architecture, seed=seed)
    result = train_network(
        network,
        dataset,
        chosen,
        epochs=epochs or usual_epochs,
        seed=seed,
        device=device,
        threads=threads,
        on_epoch=on_epoch,
    )
    test = evaluate_network(network, dataset, "test", device=device, threads=threads)
    return Trained(network, result, test, chosen)
