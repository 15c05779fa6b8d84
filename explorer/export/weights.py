"""A network's weights as safetensors, checked on the way in: nothing is unpickled, no other network's are taken."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from explorer.architecture import Architecture
from explorer.errors import ExportError, did_you_mean
from explorer.export.naming import renamed
from explorer.network.build import Network, build_network

MAX_HEADER_BYTES = 1 << 20


def load_weights(architecture: Architecture, weights: Mapping[str, Tensor] | str | os.PathLike[str]) -> Network:
    """The network with these weights, on the CPU and in evaluation.

    ``weights``: a state dict or the path of a safetensors file, with the keys of ``explorer.build(architecture)``, or
    with those of torchvision's and timm's ResNets or timm's ResNetV2s: which of them is seen from the keys.

    Raises ExportError unless keys, shapes and types are the network's, all values are finite and no running variance
    is negative.
    """
    found = weights if isinstance(weights, Mapping) else read_weights(weights)
    network = build_network(architecture, seed=0).eval()
    expected = network.state_dict()
    found = renamed(found, architecture, expected)
    for key in (*expected, *found):
        if key not in found:
            raise ExportError(f"the weights lack {key!r}; they are of another network{did_you_mean(key, found)}")
        if key not in expected:
            raise ExportError(f"the weights hold {key!r}, which this network has not{did_you_mean(key, expected)}")
        given, own = found[key], expected[key]
        if (given.shape, given.dtype) != (own.shape, own.dtype):
            is_now, wanted = (f"{value.dtype} {tuple(value.shape)}" for value in (given, own))
            raise ExportError(f"the weights' {key!r} is {is_now}, this network's is {wanted}")
        if not torch.isfinite(given).all():
            raise ExportError(f"the weights' {key!r} has values that are not finite; the training has diverged")
        if key.endswith("running_var") and (given < 0).any():
            raise ExportError(f"the weights' {key!r} has negative values; a batch norm's variance is at least 0")
    network.load_state_dict(dict(found))
    return network


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ExportError when it cannot be read, is no such file, names a tensor
    twice, or has a header of more than 1 MiB."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise ExportError(f"{path}: not a safetensors file, or cut short")
    if size > MAX_HEADER_BYTES:
        raise ExportError(f"{path}: its header has {size:,} bytes, at most {MAX_HEADER_BYTES:,} are read")
    try:
        json.loads(data[8 : 8 + size], object_pairs_hook=_once)
        return load(data)
    except (ValueError, RecursionError, SafetensorError) as error:
        raise ExportError(f"{path}: not a safetensors file: {str(error)[:200]}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no name stands twice: safetensors itself would take the last."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands in it twice")
    return made


def weight_bytes(state_dict: Mapping[str, Tensor]) -> bytes:
    """``model.safetensors``: every entry of the state dict under its key."""
    data = save({key: value.contiguous() for key, value in state_dict.items()})
    size = int.from_bytes(data[:8], "little")
    if size > MAX_HEADER_BYTES:
        raise ExportError(
            f"the names of the weights take {size:,} bytes, more than the {MAX_HEADER_BYTES:,} that are read back"
        )
    return data
