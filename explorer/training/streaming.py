"""Pixels of images that stay on the disk: decoded by worker processes ahead of the network that asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from explorer.errors import DataError
from explorer.training.ondisk import ImagesOnDisk


class StreamedPixels:
    """Stands for the tensor of all pixels, uint8 (N, C, H, W) on ``device``: indices give a batch, ``split`` gives
    all in order. Every batch is that which the tensor would give.

    What is going to be asked for is said with ``expect``; it is then decoded ahead, by as many processes as torch
    uses threads. Raises DataError, naming the file, for an image that cannot be decoded.
    """

    def __init__(self, images: ImagesOnDisk, device: torch.device):
        self.device = device
        self._images = images
        self._order: deque[list[int]] = deque()
        self._ahead: Iterator[np.ndarray | DataError] = iter(())

    def __len__(self) -> int:
        return len(self._images)

    def expect(self, batches: Sequence[Tensor]) -> None:
        """Begin to decode ``batches``, each (B,) indices, in their order; what was expected before is forgotten."""
        self._forget()
        self._order.extend(batch.tolist() for batch in batches)
        loader = DataLoader(
            _Batches(self._images),
            batch_size=None,
            sampler=list(self._order),
            collate_fn=_as_it_is,
            num_workers=torch.get_num_threads(),
        )
        self._ahead = iter(loader)

    def __getitem__(self, index: Tensor) -> Tensor:
        """The images at ``index``, (B,): (B, C, H, W)."""
        wanted = index.tolist()
        if self._order and self._order[0] == wanted:
            self._order.popleft()
            decoded = next(self._ahead)
        else:
            self._order.clear()
            decoded = _Batches(self._images)[wanted]
        if not self._order or isinstance(decoded, DataError):
            self._forget()
        if isinstance(decoded, DataError):
            raise decoded
        return torch.from_numpy(decoded).to(self.device)

    def _forget(self) -> None:
        """The worker processes end with what they work at."""
        self._order.clear()
        self._ahead = iter(())

    def split(self, size: int) -> Iterator[Tensor]:
        """All images in order, ``size`` at a time, the last batch perhaps smaller."""
        batches = torch.arange(len(self)).split(size)
        self.expect(batches)
        return (self[batch] for batch in batches)


class _Batches(Dataset):
    """What a worker process does. A batch travels as an array through a pipe: shared memory is scarce in containers."""

    def __init__(self, images: ImagesOnDisk):
        self._images = images

    def __getitem__(self, indices: list[int]) -> np.ndarray | DataError:
        try:
            return np.asarray(self._images[np.array(indices)])
        except DataError as error:  # told by whoever asked for the batch, in one line
            return error


def _as_it_is(decoded: np.ndarray | DataError) -> np.ndarray | DataError:
    return decoded
