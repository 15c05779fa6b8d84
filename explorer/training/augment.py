"""Data augmentation: random crops, horizontal flips, cutout and mixup.

The CPU draws all random numbers of an epoch at its start, from (seed, epoch) alone. Every device therefore sees the
same images in the same order, and a resumed run continues with the epochs that an uninterrupted run has. The device
then transforms a whole batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.data.dataset import Dataset
from explorer.training.recipe import Recipe


class Draws(NamedTuple):
    """The random numbers of an epoch of S steps with B images each.

    A field is None if the recipe or the data set does not use it.

    Attributes:
        order: Indices of different images, int64 (S, B).
        crop_row: First row of each crop in the padded image, 0..2 * shift, (S, B).
        crop_column: First column of each crop, 0..2 * shift, (S, B).
        flipped: Whether each image is flipped left to right, bool (S, B).
        cutout_row: Row of the centre of the cutout square, (S, B).
        cutout_column: Column of the centre of the cutout square, (S, B).
        mixup_weight: Weight of each image against its mixup partner, one for each step, 0..1, (S,).
    """

    order: Tensor
    crop_row: Tensor | None
    crop_column: Tensor | None
    flipped: Tensor | None
    cutout_row: Tensor | None
    cutout_column: Tensor | None
    mixup_weight: Tensor | None

    def map(self, change: Callable[[Tensor], Tensor]) -> Draws:
        """Return the draws with ``change`` applied to every field that is not None."""
        return Draws(change(self.order), *(None if drawn is None else change(drawn) for drawn in self[1:]))


def draw_epoch(data: Dataset, recipe: Recipe, steps: int, batch_size: int, seed: int, epoch: int) -> Draws:
    """Draw the random numbers of one epoch. Images that do not fill a batch are not used in this epoch.

    Crops and flips follow He et al. 2015 (arXiv:1512.03385, section 4.2), as far as the data set allows them.

    Args:
        data: The data set; its training images are drawn.
        recipe: The recipe, which says which augmentations are used.
        steps: Steps of the epoch.
        batch_size: Images of a step.
        seed: Seed of the run.
        epoch: Number of the epoch, from 1.

    Returns:
        The draws, as tensors on the CPU.
    """
    random = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, epoch])  # its stream never changes
    shift, flip = greatest_shift(data, recipe), recipe.augment and data.flip
    height, width = data.shape.height, data.shape.width
    shape = (steps, batch_size)

    def integers(below: int) -> Tensor:
        return torch.from_numpy(random.randint(0, below, shape))

    # The order of images is drawn first, so that it does not depend on the augmentations in use.
    order = torch.from_numpy(random.permutation(len(data.train))[: steps * batch_size].reshape(shape))

    return Draws(
        order=order,
        crop_row=integers(2 * shift + 1) if shift else None,
        crop_column=integers(2 * shift + 1) if shift else None,
        flipped=integers(2).bool() if flip else None,
        cutout_row=integers(height) if recipe.cutout else None,
        cutout_column=integers(width) if recipe.cutout else None,
        mixup_weight=torch.from_numpy(random.beta(recipe.mixup, recipe.mixup, steps)).float() if recipe.mixup else None,
    )


def greatest_shift(data: Dataset, recipe: Recipe) -> int:
    """Return the greatest shift of a random crop in pixels; 0 without crops."""
    return round(recipe.crop_shift * data.shift) if recipe.augment else 0


def crop(pixels: Tensor, shift: int, row: Tensor, column: Tensor) -> Tensor:
    """Pad every image with black pixels and crop it to its own size.

    Args:
        pixels: Images, (N, C, H, W).
        shift: Pixels of padding on every side.
        row: First row of each crop in the padded image, 0..2 * shift, (N,).
        column: First column of each crop, 0..2 * shift, (N,).

    Returns:
        The crops, (N, C, H, W).
    """
    height, width = pixels.shape[2:]
    # A view of all windows, (N, C, 2 shift + 1, 2 shift + 1, H, W): the indexing copies only the selected ones.
    windows = F.pad(pixels, (shift,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(pixels), device=pixels.device), :, row, column]


def horizontal_flip(pixels: Tensor, flipped: Tensor) -> Tensor:
    """Flip those images of (N, C, H, W) left to right for which ``flipped``, bool (N,), is True."""
    return torch.where(flipped.view(-1, 1, 1, 1), pixels.flip(3), pixels)


def cutout(images: Tensor, side: int, row: Tensor, column: Tensor) -> Tensor:
    """Set a square of each image to 0, in place (DeVries and Taylor 2017, arXiv:1708.04552, section 3.2).

    In normalised images 0 is the mean of the training images. A square may be partly outside its image.

    Args:
        images: Normalised images, (N, C, H, W).
        side: Side of the square in pixels.
        row: Row of each square's centre, (N,).
        column: Column of each square's centre, (N,).

    Returns:
        ``images``.
    """
    rows = _within(images.shape[2], row, side)
    columns = _within(images.shape[3], column, side)
    return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def _within(length: int, centre: Tensor, side: int) -> Tensor:
    """Return a mask, bool (N, length), that is True on the ``side`` positions around each centre."""
    offset = torch.arange(length, device=centre.device) - (centre - side // 2)[:, None]
    return (offset >= 0) & (offset < side)


def mixup(images: Tensor, weight: Tensor) -> Tensor:
    """Mix each image with a partner from the same batch (mixup, Zhang et al. 2017, arXiv:1710.09412).

    Args:
        images: Images in random order, (N, C, H, W). The partner of image i is image N - 1 - i.
        weight: Weight of each image, 0..1, (); its partner has 1 - ``weight``.

    Returns:
        The mixed images, (N, C, H, W).
    """
    return torch.lerp(images.flip(0), images, weight)
