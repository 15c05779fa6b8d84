"""The images of one split on a device, normalised a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.data.dataset import Dataset
from explorer.data.splits import LazySplit, Split
from explorer.data.streaming import ImagesOnDisk, StreamedPixels
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network


def takes_images(architecture: Architecture, data: Dataset) -> bool:
    """Whether a network can be trained on a data set: channels and classes are equal. Images of another size are
    resized."""
    same_channels = architecture.input.channels == data.shape.channels
    return same_channels and architecture.classes == data.classes


def resized(images: Tensor, network: nn.Module | Architecture, size: tuple[int, int] | None = None) -> Tensor:
    """Return images (B, C, H, W) with the size of the network's input, by bilinear interpolation with antialiasing.

    Images of that size, and those for a network that is not of ``build_network``, are returned as they are.

    Args:
        images: The images.
        network: The network.
        size: Height and width, if not those of the network's input.
    """
    architecture = network.architecture if isinstance(network, Network) else network
    if not isinstance(architecture, Architecture):
        return images
    size = size or architecture.input[1:]
    if images.shape[2:] == size:
        return images
    scaled = F.interpolate(images, list(size), mode="bilinear", align_corners=False, antialias=True)
    return scaled.contiguous(memory_format=torch.channels_last)


class Images:
    """The images and labels of one split on a device.

    Args:
        split: The images and labels.
        data: The data set of the split; its mean and standard deviation normalise the images.
        device: The device.

    Attributes:
        pixels: uint8 (N, C, H, W); streamed from the disk if the images do not fit in memory.
        labels: int64 (N,).
        classes: Number of classes.
    """

    def __init__(self, split: Split | LazySplit, data: Dataset, device: torch.device):
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
        """Whether the pixels are streamed from the disk, which the CPU does for each batch."""
        return isinstance(self.pixels, StreamedPixels)

    def prefetch(self, batches: Sequence[Tensor]) -> None:
        """Decode the next batches ahead of their use, if the images are on the disk. ``batches``: (B,) indices each."""
        if isinstance(self.pixels, StreamedPixels):
            self.pixels.prefetch(batches)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Convert uint8 (N, C, H, W) to float32 with mean 0 and std 1 over the training images, in channels last."""
        return pixels.to(torch.float32, memory_format=torch.channels_last).sub_(self._mean).mul_(self._inverse_std)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images in order as (normalised images, labels); the last batch may be smaller."""
        batches = self.pixels.split(batch_size)
        for pixels, labels in zip(batches, torch.split(self.labels, batch_size), strict=True):
            yield self.normalise(pixels), labels


def _on_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Return the array as a tensor; on a CPU they share memory if it is writeable and contiguous."""
    shared = array.flags.writeable and array.flags.c_contiguous
    return (torch.from_numpy(array) if shared else torch.tensor(array)).to(device)
