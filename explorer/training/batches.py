"""Images on the device, and what is drawn for one epoch of them: order, crops, mirrorings, holes and mixtures.

All that is random is drawn at the epoch's start from (seed, epoch) alone, by the CPU, so that every device sees the
same images in the same order and a training that was killed goes on with the epochs it would have seen. Each
image is then cut, mirrored and normalised on the device, a whole batch at a time (``augment``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explorer.training.data import Dataset
from explorer.training.ondisk import ImagesOnDisk
from explorer.training.recipe import Recipe
from explorer.training.splits import Split
from explorer.training.streaming import StreamedPixels


class Images:
    """One split on the device: uint8 pixels (N, C, H, W) and labels (N,), normalised a batch at a time."""

    def __init__(self, split: Split, data: Dataset, device: torch.device):
        on_disk = isinstance(split.images, ImagesOnDisk)
        self.pixels = StreamedPixels(split.images, device) if on_disk else _on_device(split.images, device)
        self.labels = _on_device(split.labels, device)
        self.classes = data.classes
        self._mean = 255 * torch.tensor(data.mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._inverse_std = 1 / (255 * torch.tensor(data.std, dtype=torch.float32, device=device).view(1, -1, 1, 1))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def streamed(self) -> bool:
        """Whether the pixels come from the disk, so that giving them out is work of the CPU's."""
        return isinstance(self.pixels, StreamedPixels)

    def expect(self, batches: Sequence[Tensor]) -> None:
        """Says which images ``pixels`` will be asked for next, each (B,) indices: those on disk are decoded ahead."""
        if self.streamed:
            self.pixels.expect(batches)

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to float32 of mean 0 and std 1 over the training images, channels last in memory."""
        return pixels.to(torch.float32, memory_format=torch.channels_last).sub_(self._mean).mul_(self._inverse_std)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in order, the last batch perhaps smaller."""
        for pixels, labels in zip(self.pixels.split(batch_size), self.labels.split(batch_size), strict=True):
            yield self.normalise(pixels), labels


def _on_device(array: np.ndarray, device: torch.device) -> Tensor:
    """The array's own memory where that is the CPU's and may be written, else a copy."""
    shared = array.flags.writeable and array.flags.c_contiguous
    return (torch.from_numpy(array) if shared else torch.tensor(array)).to(device)


class Draws(NamedTuple):
    """What is drawn for an epoch of S steps of B images, each (S, B) but for ``weight``, (S,).

    ``order``: indices of different images. ``down``, ``right``: the crop's corner, 0..2 shift. ``mirrored``: bool.
    ``hole_row``, ``hole_column``: the blanked square's centre. ``weight``: of each image in its mixture, 0..1.
    Parts that recipe or data set do not ask for are None.
    """

    order: Tensor
    down: Tensor | None
    right: Tensor | None
    mirrored: Tensor | None
    hole_row: Tensor | None
    hole_column: Tensor | None
    weight: Tensor | None


def draw_epoch(data: Dataset, recipe: Recipe, steps: int, batch_size: int, seed: int, epoch: int) -> Draws:
    """The draws of one epoch. What does not fill a batch sits the epoch out.

    Crops and mirrorings are those of He et al. 2015 (arXiv:1512.03385, section 4.2), as far as the data set allows.
    """
    random = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, epoch])  # its stream is frozen for good
    shift, flip = (data.shift, data.flip) if recipe.augment else (0, False)
    height, width = data.shape.height, data.shape.width
    shape = (steps, batch_size)

    def whole(below: int) -> Tensor:
        return torch.from_numpy(random.randint(0, below, shape))

    # In this order, whatever is asked for: the order of images does not depend on the rest.
    order = torch.from_numpy(random.permutation(len(data.train))[: steps * batch_size].reshape(shape))
    return Draws(
        order=order,
        down=whole(2 * shift + 1) if shift else None,
        right=whole(2 * shift + 1) if shift else None,
        mirrored=whole(2).bool() if flip else None,
        hole_row=whole(height) if recipe.cutout else None,
        hole_column=whole(width) if recipe.cutout else None,
        weight=torch.from_numpy(random.beta(recipe.mixup, recipe.mixup, steps)).float() if recipe.mixup else None,
    )
