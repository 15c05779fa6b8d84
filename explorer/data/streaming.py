"""Streaming of images that do not fit in memory: they are decoded from their files when they are used.

``ImagesOnDisk`` replaces the array of all images. ``StreamedPixels`` replaces the tensor of all images; its worker
processes decode batches ahead of their use. Only ``StreamedPixels`` imports torch.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

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

# Share of the usable memory for the images of all concurrent runs; a search has one run on each core.
MEMORY_SHARE = 1 / 4
MIN_MEMORY_BYTES = 2**30  # smaller data sets are held in memory on any machine


class ImagesOnDisk:
    """A lazy array of images, uint8 (N, C, H, W).

    An index decodes one image. A slice or an array of indices returns ``ImagesOnDisk``, which ``numpy.asarray``
    decodes.

    Attributes:
        folder: Folder of the images.
        names: Path of each image below ``folder``, as bytes, (N,).
        image_format: What the images are decoded to.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, folder: Path, names: np.ndarray, image_format: ImageFormat):
        self.folder, self.names, self.image_format = folder, names, image_format

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore pickled images. Earlier versions named the third attribute ``form``."""
        self.folder, self.names, self.image_format = state.values()

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
    """Return whether each concurrent run of a search can hold ``count`` decoded images in memory."""
    return count * shape.elements <= max(MIN_MEMORY_BYTES, MEMORY_SHARE * total_memory() / usable_cores())


class StreamedPixels:
    """A lazy tensor of all pixels, uint8 (N, C, H, W), on ``device``; its batches equal those of the tensor.

    ``prefetch`` announces the next batches. As many processes as torch has threads then decode them ahead of their
    use. An image that cannot be decoded raises a DataError that names the file.

    Args:
        images: The images.
        device: The device that batches are copied to.
    """

    def __init__(self, images: ImagesOnDisk, device: torch.device):
        self.device = device
        self._images = images
        self._order: deque[list[int]] = deque()
        self._prefetched: Iterator[np.ndarray | DataError] = iter(())

    def __len__(self) -> int:
        return len(self._images)

    def prefetch(self, batches: Sequence[Tensor]) -> None:
        """Start to decode ``batches``, each (B,) indices, in this order, and drop batches announced before."""
        import torch
        from torch.utils.data import DataLoader

        self._stop_prefetching()
        self._order.extend(batch.tolist() for batch in batches)
        loader: DataLoader[np.ndarray | DataError] = DataLoader(
            _BatchDataset(self._images),  # type: ignore[arg-type]  # a loader with a sampler needs only indexing
            batch_size=None,
            sampler=list(self._order),
            collate_fn=_identity,  # type: ignore[arg-type]  # called with a batch, not a list, because batch_size is None
            num_workers=torch.get_num_threads(),
        )
        self._prefetched = iter(loader)

    def __getitem__(self, index: Tensor) -> Tensor:
        """Return the images at ``index``, (B,), as (B, C, H, W)."""
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
        """Drop all announced batches and stop the worker processes."""
        self._order.clear()
        self._prefetched = iter(())

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield all images in order, ``size`` at a time; the last batch may be smaller."""
        import torch

        batches = torch.split(torch.arange(len(self)), size)
        self.prefetch(batches)
        return (self[batch] for batch in batches)


class _BatchDataset:
    """The data set of the DataLoader: indices return a batch.

    A batch is an array, which is sent through a pipe, because containers often have little shared memory for tensors.
    """

    def __init__(self, images: ImagesOnDisk):
        self._images = images

    def __getitem__(self, indices: list[int]) -> np.ndarray | DataError:
        try:
            return np.asarray(self._images[np.array(indices)])
        except DataError as error:  # raised in the main process, by the use of the batch
            return error


def _identity(decoded: np.ndarray | DataError) -> np.ndarray | DataError:
    return decoded
