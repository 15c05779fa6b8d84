"""Trains one network and says how well it did. Read ``train_network`` from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.errors import TrainingError, did_you_mean
from explorer.records import Epoch, TrainingResult
from explorer.training.batches import Images
from explorer.training.data import Dataset
from explorer.training.recipe import Recipe

EVALUATION_BATCH = 500
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Evaluation(NamedTuple):
    """How a network does on one split: shares of images, 0..1, and the mean cross-entropy.

    ``top5``: the right class is among the five of highest score (all of them where there are fewer).
    """

    accuracy: float
    top5: float
    loss: float


def train_network(
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    epochs: int,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
    precision: str = "float32",
    on_epoch: Callable[[Epoch], bool | None] | None = None,
) -> TrainingResult:
    """Train ``net`` in place on ``data.train``, validating after every epoch; it stays on ``device``.

    ``seed``: of the order, the crops and flips, and of dropout; the weights are as they come. On a CPU
    the same seed, network and number of ``threads`` give the same result to the last bit.
    ``precision``: "bfloat16" runs the network under autocast, the weights stay float32. ``on_epoch``
    is called with each finished epoch; when it answers True the training ends there.

    Raises TrainingError when the loss is no longer finite, or when an argument is out of range.
    """
    if epochs < 1:
        raise TrainingError(f"epochs must be at least 1, found {epochs}")
    began = time.perf_counter()
    with _settings(device, threads, precision, seed) as (place, autocast):
        net.to(place, memory_format=torch.channels_last)
        train, validation = Images(data.train, data, place), Images(data.validation, data, place)
        shift, flip = (data.shift, data.flip) if recipe.augment else (0, False)
        batch_size = min(recipe.batch_size, len(train))
        steps = len(train) // batch_size
        optimiser = make_optimiser(net, recipe)
        order = torch.Generator().manual_seed(seed)

        curve: list[Epoch] = []
        for epoch in range(1, epochs + 1):
            net.train()
            started = time.perf_counter()
            losses = []
            for step, (images, labels) in enumerate(train.shuffled(batch_size, order, shift, flip)):
                lr = recipe.lr_at((epoch - 1) * steps + step, epochs * steps)
                for group in optimiser.param_groups:
                    group["lr"] = lr
                with autocast:
                    logits = net(images)
                loss = F.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                losses.append(loss.detach())
            train_loss = _mean_loss(losses, epoch, lr)
            seconds = time.perf_counter() - started

            scores = _evaluate(net, validation, autocast)
            if not math.isfinite(scores.loss):
                raise TrainingError(
                    f"epoch {epoch}: the validation loss is {scores.loss}; "
                    f"a lower learning rate than the recipe's {recipe.lr:g} may help"
                )
            curve.append(Epoch(epoch, train_loss, scores.loss, scores.accuracy, scores.top5, lr, seconds))
            if on_epoch is not None and on_epoch(curve[-1]):
                break

    last = curve[-1]
    return TrainingResult(
        val_accuracy=last.val_accuracy,
        val_loss=last.val_loss,
        val_top5=last.val_top5,
        epochs=last.epoch,
        seconds=time.perf_counter() - began,
        images_per_second=last.epoch * steps * batch_size / sum(epoch.seconds for epoch in curve),
        curve=tuple(curve),
    )


def evaluate_network(
    net: nn.Module,
    data: Dataset,
    split: str = "test",
    *,
    device: str = "cpu",
    threads: int = 1,
    precision: str = "float32",
) -> Evaluation:
    """How ``net`` does on one split of ``data``: train, validation or test.

    It is left in evaluation mode, on ``device``. Other arguments and errors as for ``train_network``.
    """
    with _settings(device, threads, precision, seed=0) as (place, autocast):
        net.to(place, memory_format=torch.channels_last)
        return _evaluate(net, Images(data.split(split), data, place), autocast)


def make_optimiser(net: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD as the recipe says; the learning rate is set at every step."""
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if not parameters:
        raise TrainingError("the network has no parameters to train")
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": recipe.weight_decay if recipe.decay_vectors else 0.0},
    ]
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)


@torch.no_grad()
def _evaluate(net: nn.Module, images: Images, autocast: torch.autocast) -> Evaluation:
    net.eval()
    correct = within_five = loss = torch.zeros((), dtype=torch.float64, device=images.labels.device)
    for batch, labels in images.in_order(EVALUATION_BATCH):
        with autocast:
            logits = net(batch)
        logits = logits.float()
        ranked = logits.topk(min(5, images.classes), dim=1).indices == labels[:, None]
        correct = correct + ranked[:, 0].sum()
        within_five = within_five + ranked.sum()
        loss = loss + F.cross_entropy(logits, labels, reduction="sum")
    accuracy, top5, loss_mean = (torch.stack([correct, within_five, loss]) / len(images)).tolist()
    return Evaluation(accuracy, top5, loss_mean)


def _mean_loss(losses: list[Tensor], epoch: int, lr: float) -> float:
    """The epoch's mean training loss. Asked for once an epoch: each question makes the CPU wait for the device."""
    values = torch.stack(losses).cpu()
    bad = torch.nonzero(~torch.isfinite(values))
    if len(bad):
        step = int(bad[0])
        raise TrainingError(
            f"epoch {epoch}, step {step + 1} of {len(values)}: the training loss is {values[step].item()} "
            f"(learning rate {lr:g} at the epoch's end); a lower learning rate may help"
        )
    return values.mean().item()


@contextmanager
def _settings(device: str, threads: int, precision: str, seed: int) -> Iterator[tuple[torch.device, torch.autocast]]:
    """The process's settings for one training, and as they were again afterwards: threads and random state."""
    if threads < 1:
        raise TrainingError(f"threads must be at least 1, found {threads}")
    if precision not in PRECISIONS:
        near = did_you_mean(precision, PRECISIONS)
        raise TrainingError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}{near}")
    place = _device(device)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
            torch.manual_seed(seed)
            yield place, torch.autocast(place.type, PRECISIONS[precision], enabled=precision != "float32")
    finally:
        torch.set_num_threads(threads_before)


def _device(name: str) -> torch.device:
    try:
        place = torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"unknown device {name!r}; known: cpu, cuda, cuda:0, ...") from error
    if place.type not in ("cpu", "cuda"):
        raise TrainingError(f"cannot train on {name!r}; known devices: cpu, cuda, cuda:0, ...")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise TrainingError(f"no device {name!r}: {count} CUDA devices found; 'cpu' always works")
    return place
