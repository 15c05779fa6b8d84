"""A network's weights as safetensors, checked on the way in: nothing is unpickled, no other network's are taken."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from explorer.architecture import Architecture
from explorer.errors import ExportError, did_you_mean
from explorer.export.naming import renamed
from explorer.files import read_regular
from explorer.network.build import Network, build_network
from explorer.strict_json import parse_json

MAX_HEADER_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 34


def load_weights(architecture: Architecture, weights: Mapping[str, Tensor] | str | os.PathLike[str]) -> Network:
    """The network with these weights, on the CPU and in evaluation.

    ``weights``: a state dict or the path of a safetensors file, with the keys of ``explorer.build(architecture)``, or
    with those of torchvision's and timm's ResNets or timm's ResNetV2s: which of them is seen from the keys.

    Raises ExportError unless keys, shapes and types are the network's, all values are finite and no running variance
    is negative.
    """
    network = build_network(architecture, seed=0).eval()
    expected = network.state_dict()
    found = weights if isinstance(weights, Mapping) else read_weights(weights, largest_file(expected))
    found = renamed(found, architecture, expected)
    for key in (*expected, *found):
        if key not in found:
            raise ExportError(f"the weights lack {key!r}; they are of another network{did_you_mean(key, found)}")
        if key not in expected:
            raise ExportError(f"the weights hold {key!r}, which this network has not{did_you_mean(key, expected)}")
        given, own = found[key], expected[key]
        if not isinstance(given, Tensor):
            raise ExportError(f"the weights' {key!r} is no tensor but {type(given).__name__}")
        if (given.shape, given.dtype) != (own.shape, own.dtype):
            is_now, wanted = (f"{value.dtype} {tuple(value.shape)}" for value in (given, own))
            raise ExportError(f"the weights' {key!r} is {is_now}, this network's is {wanted}")
        if not torch.isfinite(given).all():
            raise ExportError(f"the weights' {key!r} has values that are not finite; the training has diverged")
        if key.endswith("running_var") and (given < 0).any():
            raise ExportError(f"the weights' {key!r} has negative values; a batch norm's variance is at least 0")
    network.load_state_dict(dict(found))
    return network


def read_weights(path: str | os.PathLike[str], most: int = MAX_FILE_BYTES) -> dict[str, Tensor]:
    """The tensors of a safetensors file of at most ``most`` bytes.

    Raises ExportError when it cannot be read, is no such file, names a tensor twice, or has a header of more than
    1 MiB.
    """
    try:
        data = read_regular(path, most)
    except OSError as error:
        larger = "; the weights are of another network" if error.errno == errno.EFBIG else ""
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}{larger}") from None
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise ExportError(f"{path}: not a safetensors file, or cut short")
    if size > MAX_HEADER_BYTES:
        raise ExportError(f"{path}: its header has {size:,} bytes, at most {MAX_HEADER_BYTES:,} are read")
    try:
        parse_json(data[8 : 8 + size])  # safetensors itself would take the last of two equal names
        return load(data)
    except (ValueError, SafetensorError) as error:
        raise ExportError(f"{path}: not a safetensors file: {str(error)[:200]}") from None


def largest_file(state: Mapping[str, Tensor]) -> int:
    """The bytes of the largest file that can hold the weights, in double precision so that the error names the type."""
    return 8 + MAX_HEADER_BYTES + sum(value.numel() * 8 for value in state.values())


def weight_bytes(state_dict: Mapping[str, Tensor]) -> bytes:
    """``model.safetensors``: every entry of the state dict under its key."""
    data = save({key: value.contiguous() for key, value in state_dict.items()})
    size = int.from_bytes(data[:8], "little")
    if size > MAX_HEADER_BYTES:
        raise ExportError(
            f"the names of the weights take {size:,} bytes, more than the {MAX_HEADER_BYTES:,} that are read back"
        )
    return data
