"""The state of a training between two epochs, in one file: written whole, checked when read, no code in it.

A safetensors file. Its header holds, as JSON, which training it belongs to, the curve so far, and a hash of everything
else, for safetensors itself would load a flipped bit. There is no random state in it: all that is random in an epoch
follows from the seed and the epoch's number.
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

MIN_SECONDS = 5.0  # of work that are worth a checkpoint
TIME_FACTOR = 50  # a checkpoint may take so small a part of the time
_log = logging.getLogger(__name__)


@dataclass
class Checkpoint:
    """The checkpoint of one training in the file ``path``. ``training``: a text that is equal for the same training
    alone; a file of another's is not taken up."""

    path: Path
    training: str

    def __post_init__(self) -> None:
        self._written, self._cost = time.perf_counter(), 0.0
        self._warned = False

    def is_due(self) -> bool:
        """Whether the work since the last checkpoint, or since the start, is worth one now."""
        return time.perf_counter() - self._written >= max(MIN_SECONDS, TIME_FACTOR * self._cost)

    def write(self, tensors: Mapping[str, Tensor], curve: tuple[Epoch, ...], seconds: float) -> None:
        """Keeps the state after the curve's last epoch; ``seconds``: the training's time so far.

        A disk that is full, over its quota or read only costs the checkpoint, not the training.
        """
        began = time.perf_counter()
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        state = json.dumps({"training": self.training, "curve": [asdict(epoch) for epoch in curve], "seconds": seconds})
        header = {"state": state, "sha256": _sha256(state, kept)}
        try:
            write_atomically(self.path, save(kept, metadata=header))
        except OSError as error:
            if not self._warned:  # once a training, not every few seconds
                _log.warning("a checkpoint could not be kept: %s; the training goes on", error)
            self._warned = True
        self._written = time.perf_counter()
        self._cost = self._written - began

    def read(self, tensors: Mapping[str, Tensor]) -> tuple[tuple[Epoch, ...], float] | None:
        """Writes what is kept over ``tensors``; returns curve and seconds so far, or None where there is nothing to
        go on from: no file, a damaged one, or another training's."""
        try:
            with safe_open(self.path, "pt") as file:
                header = file.metadata() or {}
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError) as error:
            _log.warning("%s is no checkpoint and is not used: %s", self.path, error)
            return None
        if header.get("sha256") != _sha256(header.get("state", ""), found):
            _log.warning("%s is damaged and not used: its SHA-256 differs", self.path)
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
        """To be called when what the training came to is kept elsewhere."""
        remove(self.path)


def _shapes_and_dtypes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


def _sha256(state: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tuple(tensor.shape)}\0{tensor.dtype}\0".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
