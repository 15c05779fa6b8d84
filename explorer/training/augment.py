"""What is done to images before a network sees them, a batch at a time and without leaving the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def crop(pixels: Tensor, shift: int, down: Tensor, right: Tensor) -> Tensor:
    """Windows of the images' own size, (N, C, H, W), cut from them padded by ``shift`` black pixels on every side.

    ``down``, ``right``: (N,), the window's upper left corner in the padded image, 0..2 shift.
    """
    height, width = pixels.shape[2:]
    # A view of every window of every image, (N, C, 2 shift + 1, 2 shift + 1, H, W): only those taken are copied.
    windows = F.pad(pixels, (shift,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(pixels), device=pixels.device), :, down, right]


def mirror(pixels: Tensor, mirrored: Tensor) -> Tensor:
    """Those images of (N, C, H, W) turned left to right that ``mirrored``, bool (N,), says."""
    return torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(3), pixels)


def cut_out(images: Tensor, side: int, row: Tensor, column: Tensor) -> Tensor:
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


def mix(images: Tensor, weight: Tensor) -> Tensor:
    """Each image times ``weight`` plus its partner times the rest (Zhang et al. 2017, arXiv:1710.09412).

    images: (N, C, H, W) in random order, so that the batch read backwards is a random pairing.
    """
    return torch.lerp(images.flip(0), images, weight)
