"""Reading and writing a network's weights as safetensors.

Pickle files are not read. Weights of another network are an error.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from explorer.errors import ExportError, did_you_mean
from explorer.export.naming import BATCH_COUNTER, convert_keys
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network, build_network
from explorer.system.files import read_regular
from explorer.system.strict_json import parse_json

MAX_HEADER_BYTES = 1 << 20  # of a safetensors file, which takes about 100 bytes for each tensor
MAX_FILE_BYTES = 1 << 34  # 16 GiB, when the network is not known
CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "state_dict_ema", "model", "net", "network")
PREFIXES = ("module.", "model.", "net.", "network.")  # of DataParallel, and of the attributes of Lightning modules


def load_weights(architecture: Architecture, weights: Mapping[str, Tensor] | str | os.PathLike[str]) -> Network:
    """Build a network and load weights into it.

    The function finds a state dict inside a checkpoint, and removes the prefixes that DataParallel, torch.compile,
    Lightning and averaged models add to keys. Missing ``num_batches_tracked`` buffers are 0.

    Args:
        architecture: The network.
        weights: A state dict or the path of a safetensors file. Its keys are those of ``explorer.build(architecture)``,
            of torchvision's or timm's ResNets, or of timm's ResNetV2; the naming is detected from the keys.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        ExportError: The file cannot be read, a key, shape or type differs from the network's, a value is not finite,
            or a running variance is negative.
    """
    network = build_network(architecture, seed=0).eval()
    expected = network.state_dict()
    state = weights if isinstance(weights, Mapping) else read_weights(weights, largest_file(expected))
    state = convert_keys(find_state_dict(state), architecture, expected)
    state = {**{key: value for key, value in expected.items() if key.endswith(BATCH_COUNTER)}, **state}
    for key in (*expected, *state):
        if key not in state:
            raise ExportError(f"the weights lack {key!r}; they are of another network{did_you_mean(key, state)}")
        if key not in expected:
            raise ExportError(f"the weights hold {key!r}, which this network lacks{did_you_mean(key, expected)}")
        given, own = state[key], expected[key]
        if not isinstance(given, Tensor):
            raise ExportError(f"the weights' {key!r} is a {type(given).__name__}, expected a tensor")
        if (given.shape, given.dtype) != (own.shape, own.dtype):
            given_text, expected_text = (f"{value.dtype} {tuple(value.shape)}" for value in (given, own))
            suggestion = "; convert it with .float()" if given.shape == own.shape and given.is_floating_point() else ""
            raise ExportError(f"the weights' {key!r} is {given_text}, this network's is {expected_text}{suggestion}")
        if not torch.isfinite(given).all():
            raise ExportError(f"the weights' {key!r} has values that are not finite; the training has diverged")
        if key.endswith("running_var") and (given < 0).any():
            raise ExportError(f"the weights' {key!r} has negative values; a batch norm's variance is at least 0")
    network.load_state_dict(dict(state))
    return network


def find_state_dict(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """Find the state dict in a checkpoint and remove the prefixes of wrappers from its keys.

    Args:
        weights: A state dict, or a checkpoint that holds one under one of ``CHECKPOINT_KEYS``.

    Returns:
        The state dict with the keys of the unwrapped network.
    """
    inside = next((weights[name] for name in CHECKPOINT_KEYS if isinstance(weights.get(name), Mapping)), weights)
    state = {key.replace("_orig_mod.", ""): value for key, value in inside.items() if key != "n_averaged"}
    while state and (prefix := next((name for name in PREFIXES if all(key.startswith(name) for key in state)), "")):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def read_weights(path: str | os.PathLike[str], max_bytes: int = MAX_FILE_BYTES) -> dict[str, Tensor]:
    """Read a safetensors file.

    Args:
        path: The file.
        max_bytes: The largest file that is read; 16 GiB by default.

    Returns:
        Name -> tensor.

    Raises:
        ExportError: The file cannot be read, is larger than ``max_bytes``, is not a safetensors file, names a tensor
            twice, or has a header of more than 1 MiB.
    """
    try:
        data = read_regular(path, max_bytes)
    except OSError as error:
        larger = "; the weights are of another network" if error.errno == errno.EFBIG else ""
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}{larger}") from None
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise ExportError(f"{path}: {_describe_format(Path(path), data) or 'not a safetensors file, or cut short'}")
    if size > MAX_HEADER_BYTES:
        raise ExportError(f"{path}: its header has {size:,} bytes, at most {MAX_HEADER_BYTES:,} are read")
    try:
        parse_json(data[8 : 8 + size])  # safetensors itself keeps the last of two equal names
        return load(data)
    except (ValueError, SafetensorError) as error:
        kind = _describe_format(Path(path), data) or f"not a safetensors file: {str(error)[:200]}"
        raise ExportError(f"{path}: {kind}") from None


def _describe_format(path: Path, data: bytes) -> str:
    """Name the format of a file that is not safetensors, and how to convert it; empty if the format is unknown."""
    name, target = str(path), str(path.with_suffix(".safetensors"))
    if data[:4] == b"PK\x03\x04" and b"data.pkl" not in data[:4096]:
        read = f"w = {{k: torch.from_numpy(v) for k, v in numpy.load({name!r}).items()}}"
        kind = "a NumPy archive" if path.suffix == ".npz" else ""
    elif data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and len(data) > 8):
        read, kind = f"w = torch.load({name!r}, weights_only=True, map_location='cpu')", "a PyTorch pickle file"
    else:
        kind = "an ONNX graph" if path.suffix == ".onnx" else "an HDF5 file" if data[:4] == b"\x89HDF" else ""
        return f"{kind}, not a safetensors file; save the state dict of its network as safetensors" if kind else ""
    code = (
        f"import numpy, torch; from safetensors.torch import save_file; {read};"
        " w = w.get('state_dict', w.get('model', w));"
        f" save_file({{k: v.clone().contiguous() for k, v in w.items()}}, {target!r})"
    )
    return f"{kind}, not a safetensors file; convert it with Python: {code}" if kind else ""


def largest_file(state: Mapping[str, Tensor]) -> int:
    """Return the size of the largest safetensors file that can hold a state dict.

    Args:
        state: The state dict of the network.

    Returns:
        Bytes. Weights in double precision fit, so that the error for them names their type and not the file's size.
    """
    return 8 + MAX_HEADER_BYTES + sum(value.numel() * 8 for value in state.values())


def weight_bytes(state_dict: Mapping[str, Tensor]) -> bytes:
    """Serialise a state dict as safetensors.

    Args:
        state_dict: The state dict.

    Returns:
        The content of ``model.safetensors``.

    Raises:
        ExportError: The header has more than 1 MiB, so that ``read_weights`` would refuse the file.
    """
    data = save({key: value.contiguous() for key, value in state_dict.items()})
    size = int.from_bytes(data[:8], "little")
    if size > MAX_HEADER_BYTES:
        raise ExportError(
            f"the names of the weights take {size:,} bytes, more than the {MAX_HEADER_BYTES:,} that are read back"
        )
    return data
