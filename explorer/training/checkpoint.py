"""Checkpoints: the state of a training run between two epochs, in one safetensors file.

The file is written atomically and verified when it is read. Its header holds, as JSON, the fingerprint of the run, the
curve so far, and a hash of everything else, because safetensors does not detect a flipped bit. A checkpoint holds no
random state: the random numbers of an epoch follow from the seed and the epoch's number.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from explorer.records import Epoch
from explorer.system.files import remove, write_atomically

MIN_SECONDS = 5.0  # least time between two checkpoints: less work is cheap to repeat
TIME_FACTOR = 50  # least time between two checkpoints, as a multiple of the time to write one: at most 2% of the run
_log = logging.getLogger(__name__)


@dataclass
class Checkpoint:
    """The checkpoint file of one training run.

    Attributes:
        path: The file.
        training: Fingerprint of the run. A checkpoint with another fingerprint is not used.
    """

    path: Path
    training: str

    def __post_init__(self) -> None:
        self._written, self._cost = time.perf_counter(), 0.0
        self._warned = False

    def is_due(self) -> bool:
        """Return whether enough time has passed since the last checkpoint, or since the start."""
        return time.perf_counter() - self._written >= max(MIN_SECONDS, TIME_FACTOR * self._cost)

    def write(self, tensors: Mapping[str, Tensor], curve: tuple[Epoch, ...], seconds: float) -> None:
        """Write the state after the last epoch of ``curve``.

        If the disk is full, over its quota or read-only, a warning is logged and training continues.

        Args:
            tensors: The state by name, as ``read`` restores it.
            curve: All epochs so far.
            seconds: Duration of the run so far.
        """
        began = time.perf_counter()
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        state = json.dumps({"training": self.training, "curve": [asdict(epoch) for epoch in curve], "seconds": seconds})
        header = {"state": state, "sha256": _sha256(state, kept)}
        try:
            write_atomically(self.path, save(kept, metadata=header))
        except OSError as error:
            if not self._warned:  # once in a run, not every few seconds
                _log.warning(
                    "the checkpoint %s could not be written: %s; without it a training that is interrupted or paused "
                    "starts again",
                    *(self.path, error.strerror or error),
                )
            self._warned = True
        self._written = time.perf_counter()
        self._cost = self._written - began

    def read(self, tensors: Mapping[str, Tensor]) -> tuple[tuple[Epoch, ...], float] | None:
        """Restore the state from the file.

        Args:
            tensors: The state by name; its tensors are overwritten.

        Returns:
            The curve and the duration in seconds so far; None if there is no file, or if it is damaged or belongs to
            another run.
        """
        try:
            with safe_open(self.path, "pt") as file:
                header = file.metadata() or {}
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError) as error:
            _log.warning("%s is not a checkpoint and is not used: %s", self.path, error)
            return None
        if header.get("sha256") != _sha256(header.get("state", ""), found):
            _log.warning("%s is damaged and is not used: its SHA-256 differs", self.path)
            return None
        state = json.loads(header["state"])
        if state["training"] != self.training or _shapes_and_dtypes(found) != _shapes_and_dtypes(tensors):
            _log.warning("%s belongs to another training and is not used", self.path)
            return None
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(found[name])
        return tuple(Epoch(**epoch) for epoch in state["curve"]), state["seconds"]

    def remove(self) -> None:
        """Delete the file, once the result of the run is stored."""
        remove(self.path)


def _shapes_and_dtypes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


def _sha256(state: str, tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of the header's state and of names, shapes, types and bytes of all tensors."""
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tuple(tensor.shape)}\0{tensor.dtype}\0".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
