"""Images that are too many for the memory: they stay in their files and are decoded whenever they are asked for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from explorer.ops.base import TensorShape
from explorer.training.images import Form, decode_image
from explorer.training.sources import read_file

MEMORY_SHARE = 1 / 4  # of the machine's memory, for the images of all trainings side by side, one on each core
LEAST_BYTES = 2**30  # so many are held in memory on any machine


class ImagesOnDisk:
    """Like an array of images, uint8 (N, C, H, W): an index decodes one; a slice or an array of indices is again
    ImagesOnDisk, of which nothing is decoded until ``numpy.asarray`` is asked for.

    ``folder`` and ``names`` (N,), bytes of the paths below it, say where they lie; ``form`` what they are decoded to.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, folder: Path, names: np.ndarray, form: Form):
        self.folder, self.names, self.form = folder, names, form

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names), *self.form.shape)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        if isinstance(index, (int, np.integer)):
            return self._decode(self.names[index])
        return ImagesOnDisk(self.folder, self.names[index], self.form)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        out = np.empty(self.shape, np.uint8)
        for i, name in enumerate(self.names):
            out[i] = self._decode(name)
        return out if dtype is None else out.astype(dtype)

    def _decode(self, name: bytes) -> np.ndarray:
        return read_file(self.folder / os.fsdecode(name), lambda data: decode_image(data, self.form)[0])


def fits_in_memory(count: int, shape: TensorShape) -> bool:
    """Whether ``count`` decoded images are few enough to be held in memory by every training of a search."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return count * shape.elements <= max(LEAST_BYTES, MEMORY_SHARE * memory_bytes() / cores)


def memory_bytes() -> int:
    """The memory of this machine, or what its container may use."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path(limit).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            pass
    return min(found)
