"""Batches of images as the network takes them: crops, flips and normalisation, a whole batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.training.data import Dataset
from explorer.training.ondisk import ImagesOnDisk
from explorer.training.splits import Split
from explorer.training.streaming import StreamedPixels


class Images:
    """One split on the device: uint8 pixels and labels, given out as normalised float batches."""

    def __init__(self, split: Split, data: Dataset, device: torch.device):
        on_disk = isinstance(split.images, ImagesOnDisk)
        self.pixels = StreamedPixels(split.images, device) if on_disk else torch.tensor(split.images, device=device)
        self.labels = torch.tensor(split.labels, device=device)
        self.classes = data.classes
        self._mean = 255 * torch.tensor(data.mean, device=device).view(1, -1, 1, 1)
        self._inverse_std = 1 / (255 * torch.tensor(data.std, device=device).view(1, -1, 1, 1))

    def __len__(self) -> int:
        return len(self.labels)

    def expect(self, batches: Sequence[Tensor]) -> None:
        """Says which images ``pixels`` will be asked for next, each (B,) indices: those on disk are decoded ahead."""
        if isinstance(self.pixels, StreamedPixels):
            self.pixels.expect(batches)

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to float32 of mean 0 and std 1 over the training images, channels last in memory."""
        return pixels.to(torch.float32, memory_format=torch.channels_last).sub_(self._mean).mul_(self._inverse_std)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in order, the last batch perhaps smaller."""
        for pixels, labels in zip(self.pixels.split(batch_size), self.labels.split(batch_size), strict=True):
            yield self.normalise(pixels), labels

    def shuffled(
        self, batch_size: int, generator: torch.Generator, shift: int, flip: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of full batches in random order; what is left over sits this epoch out.

        Each image is cut at random from itself padded with ``shift`` black pixels on every side, and
        with ``flip`` mirrored half of the time (He et al. 2015, arXiv:1512.03385, section 4.2). Drawn by
        a ``generator`` of the CPU, so that every device sees the same images in the same order.
        """
        count, device = len(self), self.pixels.device
        order = torch.randperm(count, generator=generator)
        self.expect(order.split(batch_size)[: count // batch_size])
        order = order.to(device)
        down, right = torch.randint(0, 2 * shift + 1, (2, count), generator=generator).to(device)
        mirrored = (torch.randint(0, 2, (count,), generator=generator) * int(flip)).bool().to(device)
        for start in range(0, count - batch_size + 1, batch_size):
            here = slice(start, start + batch_size)
            pixels = crop(self.pixels[order[here]], shift, down[here], right[here])
            if flip:
                pixels = torch.where(mirrored[here].view(-1, 1, 1, 1), pixels.flip(3), pixels)
            yield self.normalise(pixels), self.labels[order[here]]


def crop(pixels: Tensor, shift: int, down: Tensor, right: Tensor) -> Tensor:
    """Windows of the images' own size, (N, C, H, W), cut from them padded by ``shift`` black pixels on every side.

    ``down``, ``right``: (N,), the window's upper left corner in the padded image, 0..2 shift.
    """
    if shift == 0:
        return pixels
    height, width = pixels.shape[2:]
    # A view of every window of every image, (N, C, 2 shift + 1, 2 shift + 1, H, W): only those taken are copied.
    windows = F.pad(pixels, (shift,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(pixels), device=pixels.device), :, down, right]
