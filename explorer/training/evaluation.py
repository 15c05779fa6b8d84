"""How a network does on images: top-1, top-5, loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from explorer.training.batches import Images

BATCH_SIZE = 500


class Evaluation(NamedTuple):
    """How a network does on one split: shares of images, 0..1, and the mean cross-entropy.

    ``top5``: the right class is among the five of highest score (all of them where there are fewer).
    """

    accuracy: float
    top5: float
    loss: float


def evaluate(
    net: nn.Module, images: Images, autocast: torch.autocast, pause: Callable[[], object] = lambda: None
) -> Evaluation:
    """The network is left in evaluation mode. Where the device's memory does not hold a batch it is halved. ``pause``
    is called before each batch and may wait."""
    batch_size = BATCH_SIZE
    while True:
        try:
            return _evaluate(net, images, autocast, batch_size, pause)
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2


@torch.no_grad()
def _evaluate(
    net: nn.Module, images: Images, autocast: torch.autocast, batch_size: int, pause: Callable[[], object]
) -> Evaluation:
    net.eval()
    correct = within_five = loss = torch.zeros((), dtype=torch.float64, device=images.labels.device)
    for batch, labels in images.in_order(batch_size):
        pause()
        with autocast:
            logits = net(batch)
        logits = logits.float()
        ranked = logits.topk(min(5, images.classes), dim=1).indices == labels[:, None]
        correct = correct + ranked[:, 0].sum()
        within_five = within_five + ranked.sum()
        loss = loss + F.cross_entropy(logits, labels, reduction="sum")
    accuracy, top5, loss_mean = (torch.stack([correct, within_five, loss]) / len(images)).tolist()
    return Evaluation(accuracy, top5, loss_mean)
