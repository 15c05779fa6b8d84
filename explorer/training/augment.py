"""Augmentation: what is drawn for one epoch (order, crops, mirrorings, holes, mixtures), and what it does to images.

All that is random is drawn at the epoch's start from (seed, epoch) alone, by the CPU, so that every device sees the
same images in the same order and a training that was killed goes on with the epochs it would have seen. The images are
then cut, flipped and mixed on the device, a integers batch at a time.
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
    """What is drawn for an epoch of S steps of B images, each (S, B) but for ``weight``, (S,).

    ``order``: indices of different images. ``down``, ``right``: the crop's corner, 0..2 shift. ``flipped``: bool.
    ``cutout_row``, ``cutout_column``: the blanked square's centre. ``weight``: of each image in its mixture, 0..1.
    Parts that recipe or data set do not ask for are None.
    """

    order: Tensor
    down: Tensor | None
    right: Tensor | None
    flipped: Tensor | None
    cutout_row: Tensor | None
    cutout_column: Tensor | None
    weight: Tensor | None

    def map(self, change: Callable[[Tensor], Tensor]) -> Draws:
        """The draws with ``change`` made to each part that there is."""
        return Draws(change(self.order), *(None if drawn is None else change(drawn) for drawn in self[1:]))


def draw_epoch(data: Dataset, recipe: Recipe, steps: int, batch_size: int, seed: int, epoch: int) -> Draws:
    """The draws of one epoch. What does not fill a batch sits the epoch out.

    Crops and mirrorings are those of He et al. 2015 (arXiv:1512.03385, section 4.2), as far as the data set allows.
    """
    random = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, epoch])  # its stream is frozen for good
    shift, flip = (data.shift, data.flip) if recipe.augment else (0, False)
    height, width = data.shape.height, data.shape.width
    shape = (steps, batch_size)

    def integers(below: int) -> Tensor:
        return torch.from_numpy(random.randint(0, below, shape))

    # In this order, whatever is asked for: the order of images does not depend on the rest.
    order = torch.from_numpy(random.permutation(len(data.train))[: steps * batch_size].reshape(shape))
    return Draws(
        order=order,
        down=integers(2 * shift + 1) if shift else None,
        right=integers(2 * shift + 1) if shift else None,
        flipped=integers(2).bool() if flip else None,
        cutout_row=integers(height) if recipe.cutout else None,
        cutout_column=integers(width) if recipe.cutout else None,
        weight=torch.from_numpy(random.beta(recipe.mixup, recipe.mixup, steps)).float() if recipe.mixup else None,
    )


def crop(pixels: Tensor, shift: int, down: Tensor, right: Tensor) -> Tensor:
    """Windows of the images' own size, (N, C, H, W), cut from them padded by ``shift`` black pixels on every side.

    ``down``, ``right``: (N,), the window's upper left corner in the padded image, 0..2 shift.
    """
    height, width = pixels.shape[2:]
    # A view of every window of every image, (N, C, 2 shift + 1, 2 shift + 1, H, W): only those taken are copied.
    windows = F.pad(pixels, (shift,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(pixels), device=pixels.device), :, down, right]


def horizontal_flip(pixels: Tensor, flipped: Tensor) -> Tensor:
    """Those images of (N, C, H, W) turned left to right that ``flipped``, bool (N,), says."""
    return torch.where(flipped.view(-1, 1, 1, 1), pixels.flip(3), pixels)


def cutout(images: Tensor, side: int, row: Tensor, column: Tensor) -> Tensor:
    """``images``, (N, C, H, W), with a square of ``side`` pixels around (``row``, ``column``), each (N,), set to 0.

    On normalised images 0 is the training images' mean. What of a square lies outside is lost, as in DeVries and Taylor
    2017 (arXiv:1708.04552, section 3.2). In place.
    """
    rows = _within(images.shape[2], row, side)
    columns = _within(images.shape[3], column, side)
    return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def _within(length: int, centre: Tensor, side: int) -> Tensor:
    """(N, length), True on the ``side`` places about each centre."""
    offset = torch.arange(length, device=centre.device) - (centre - side // 2)[:, None]
    return (offset >= 0) & (offset < side)


def mixup(images: Tensor, weight: Tensor) -> Tensor:
    """Each image times ``weight`` plus its partner times the rest (Zhang et al. 2017, arXiv:1710.09412).

    images: (N, C, H, W) in random order, so that the batch read backwards is a random pairing.
    """
    return torch.lerp(images.flip(0), images, weight)
