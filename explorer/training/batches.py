"""The images of one split on the device, normalised a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from explorer.data.dataset import Dataset
from explorer.data.splits import Split, UnreadSplit
from explorer.data.streaming import ImagesOnDisk, StreamedPixels


class Images:
    """One split on the device: uint8 pixels (N, C, H, W) and labels (N,), normalised a batch at a time."""

    def __init__(self, split: Split | UnreadSplit, data: Dataset, device: torch.device):
        images = split.images
        self.pixels = StreamedPixels(images, device) if isinstance(images, ImagesOnDisk) else _on_device(images, device)
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

    def prefetch(self, batches: Sequence[Tensor]) -> None:
        """Says which images ``pixels`` will be asked for next, each (B,) indices: those on disk are decoded ahead."""
        if isinstance(self.pixels, StreamedPixels):
            self.pixels.prefetch(batches)

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to float32 of mean 0 and std 1 over the training images, channels last in memory."""
        return pixels.to(torch.float32, memory_format=torch.channels_last).sub_(self._mean).mul_(self._inverse_std)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in order, the last batch perhaps smaller."""
        batches = self.pixels.split(batch_size)
        for pixels, labels in zip(batches, torch.split(self.labels, batch_size), strict=True):
            yield self.normalise(pixels), labels


def _on_device(array: np.ndarray, device: torch.device) -> Tensor:
    """The array's own memory where that is the CPU's and may be written, else a copy."""
    shared = array.flags.writeable and array.flags.c_contiguous
    return (torch.from_numpy(array) if shared else torch.tensor(array)).to(device)
