"""Evaluation of a network: top-1 accuracy, top-5 accuracy and loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from explorer.training.batches import Images, resized

BATCH_SIZE = 500  # images


class Evaluation(NamedTuple):
    """The results of a network on one split.

    Attributes:
        accuracy: Top-1 accuracy, 0..1.
        top5: Top-5 accuracy, 0..1; with fewer than five classes it is 1.
        loss: Mean cross-entropy.
    """

    accuracy: float
    top5: float
    loss: float


def evaluate(
    net: nn.Module,
    images: Images,
    autocast: torch.autocast,
    pause: Callable[[], object] = lambda: None,
    size: tuple[int, int] | None = None,
) -> Evaluation:
    """Evaluate a network on one split and leave it in evaluation mode.

    If a batch does not fit in the device's memory, the batch size is halved.

    Args:
        net: The network, on the device of ``images``.
        images: The split.
        autocast: The context in which the network computes.
        pause: Called before each batch; it may wait.
        size: Height and width of the images, if not those of the network's input.

    Returns:
        Accuracies and loss.
    """
    batch_size = BATCH_SIZE
    while True:
        try:
            return _evaluate(net, images, autocast, batch_size, pause, size)
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2


@torch.no_grad()
def _evaluate(
    net: nn.Module,
    images: Images,
    autocast: torch.autocast,
    batch_size: int,
    pause: Callable[[], object],
    size: tuple[int, int] | None,
) -> Evaluation:
    net.eval()
    correct = within_five = loss = torch.zeros((), dtype=torch.float64, device=images.labels.device)
    for batch, labels in images.in_order(batch_size):
        pause()
        with autocast:
            logits = net(resized(batch, net, size))
        logits = logits.float()
        ranked = logits.topk(min(5, images.classes), dim=1).indices == labels[:, None]
        correct = correct + ranked[:, 0].sum()
        within_five = within_five + ranked.sum()
        loss = loss + F.cross_entropy(logits, labels, reduction="sum")
    accuracy, top5, loss_mean = (torch.stack([correct, within_five, loss]) / len(images)).tolist()
    return Evaluation(accuracy, top5, loss_mean)
