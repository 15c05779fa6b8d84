"""Images that are too many for the memory: they stay in their files and are decoded when they are asked for.

``ImagesOnDisk`` stands for the array of all images, ``StreamedPixels`` for the tensor: worker processes decode it ahead
of the network. torch is imported by ``StreamedPixels`` only.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from explorer.data.images import ImageFormat, decode_image
from explorer.data.reading import read_file
from explorer.errors import DataError
from explorer.networks.ops.base import TensorShape
from explorer.system.cores import usable_cores
from explorer.system.memory import total_memory

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MEMORY_SHARE = (
    1 / 4
)  # of the memory that this process may use, for the images of all trainings side by side, one on each core
MIN_MEMORY_BYTES = 2**30  # so many are held in memory on any machine


class ImagesOnDisk:
    """Like an array of images, uint8 (N, C, H, W): an index decodes one; a slice or an array of indices is again
    ImagesOnDisk, of which nothing is decoded until ``numpy.asarray`` is asked for.

    ``folder`` and ``names`` (N,), bytes of the paths below it, say where they lie; ``form`` what they are decoded to.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, folder: Path, names: np.ndarray, image_format: ImageFormat):
        self.folder, self.names, self.image_format = folder, names, image_format

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names), *self.image_format.shape)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int | np.integer) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice | np.ndarray) -> ImagesOnDisk: ...
    def __getitem__(self, index: int | np.integer | slice | np.ndarray) -> np.ndarray | ImagesOnDisk:
        if isinstance(index, (int, np.integer)):
            return self._decode(self.names[index])
        return ImagesOnDisk(self.folder, self.names[index], self.image_format)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        out = np.empty(self.shape, np.uint8)
        for i, name in enumerate(self.names):
            out[i] = self._decode(name)
        return out if dtype is None else out.astype(dtype)

    def _decode(self, name: bytes) -> np.ndarray:
        return read_file(self.folder / os.fsdecode(name), lambda data: decode_image(data, self.image_format)[0])


def fits_in_memory(count: int, shape: TensorShape) -> bool:
    """Whether ``count`` decoded images are few enough to be held in memory by every training of a search."""
    return count * shape.elements <= max(MIN_MEMORY_BYTES, MEMORY_SHARE * total_memory() / usable_cores())


class StreamedPixels:
    """Stands for the tensor of all pixels, uint8 (N, C, H, W) on ``device``: indices give a batch, ``split`` gives
    all in order. Every batch is that which the tensor would give.

    What is going to be asked for is said with ``prefetch``; it is then decoded ahead, by as many processes as torch
    uses threads. Raises DataError, naming the file, for an image that cannot be decoded.
    """

    def __init__(self, images: ImagesOnDisk, device: torch.device):
        self.device = device
        self._images = images
        self._order: deque[list[int]] = deque()
        self._prefetched: Iterator[np.ndarray | DataError] = iter(())

    def __len__(self) -> int:
        return len(self._images)

    def prefetch(self, batches: Sequence[Tensor]) -> None:
        """Begin to decode ``batches``, each (B,) indices, in their order; what was expected before is forgotten."""
        import torch
        from torch.utils.data import DataLoader

        self._stop_prefetching()
        self._order.extend(batch.tolist() for batch in batches)
        loader: DataLoader[np.ndarray | DataError] = DataLoader(
            _BatchDataset(self._images),  # type: ignore[arg-type]  # indexing is all that a loader with a sampler asks for
            batch_size=None,
            sampler=list(self._order),
            collate_fn=_identity,  # type: ignore[arg-type]  # it is given no list, as batch_size is None
            num_workers=torch.get_num_threads(),
        )
        self._prefetched = iter(loader)

    def __getitem__(self, index: Tensor) -> Tensor:
        """The images at ``index``, (B,): (B, C, H, W)."""
        import torch

        wanted = index.tolist()
        if self._order and self._order[0] == wanted:
            self._order.popleft()
            decoded = next(self._prefetched)
        else:
            self._order.clear()
            decoded = _BatchDataset(self._images)[wanted]
        if not self._order or isinstance(decoded, DataError):
            self._stop_prefetching()
        if isinstance(decoded, DataError):
            raise decoded
        return torch.from_numpy(decoded).to(self.device)

    def _stop_prefetching(self) -> None:
        """The worker processes end with what they work at."""
        self._order.clear()
        self._prefetched = iter(())

    def split(self, size: int) -> Iterator[Tensor]:
        """All images in order, ``size`` at a time, the last batch perhaps smaller."""
        import torch

        batches = torch.split(torch.arange(len(self)), size)
        self.prefetch(batches)
        return (self[batch] for batch in batches)


class _BatchDataset:
    """What a worker process does. A batch travels as an array through a pipe: shared memory is scarce in containers."""

    def __init__(self, images: ImagesOnDisk):
        self._images = images

    def __getitem__(self, indices: list[int]) -> np.ndarray | DataError:
        try:
            return np.asarray(self._images[np.array(indices)])
        except DataError as error:  # told by whoever asked for the batch, in one line
            return error


def _identity(decoded: np.ndarray | DataError) -> np.ndarray | DataError:
    return decoded
