"""Reading and writing a network's weights as safetensors.

Pickle files are not read. Weights of another network are an error.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from explorer.errors import ExportError, did_you_mean
from explorer.export.by_order import Pairing, pair_by_order
from explorer.export.naming import BATCH_COUNTER, convert_keys
from explorer.export.weight_layers import STATISTICS
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network, build_network
from explorer.system.files import read_regular
from explorer.system.strict_json import parse_json

MAX_HEADER_BYTES = 1 << 20  # of a safetensors file, which takes about 100 bytes for each tensor
MAX_FILE_BYTES = 1 << 34  # 16 GiB, when the network is not known
CHECKPOINT_KEYS = (
    *("state_dict", "model_state_dict", "state_dict_ema", "model", "net", "network"),
    *("ema", "model_ema", "ema_state_dict", "module", "weights"),
)
BUFFERS = (BATCH_COUNTER, *STATISTICS)
PREFIXES = ("module.", "model.", "net.", "network.")  # of DataParallel, and of the attributes of Lightning modules


def load_weights(
    architecture: Architecture,
    weights: Mapping[str, Tensor] | str | os.PathLike[str] | Pairing,
    *,
    by_order: bool = False,
) -> Network:
    """Build a network and load weights into it.

    The function finds a state dict inside a checkpoint, and removes the prefixes that DataParallel, torch.compile,
    Lightning and averaged models add to keys. Missing ``num_batches_tracked`` buffers are 0.

    Args:
        architecture: The network.
        weights: A state dict or the path of a safetensors file. Its keys are those of ``explorer.build(architecture)``,
            of torchvision's or timm's ResNets, or of timm's ResNetV2; the naming is detected from the keys. Or what
            ``pair_weights`` returned.
        by_order: Whether to ignore the keys and pair the weights by ``pair_weights``, whose notes become warnings.
            Default False.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        ExportError: The file cannot be read, a key, shape or type differs from the network's, a value is not finite,
            or a running variance is negative.
    """
    network = build_network(architecture, seed=0).eval()
    expected = network.state_dict()
    if by_order and not isinstance(weights, Pairing):
        weights = _paired(architecture, weights, expected)
        for note in weights.notes:
            warnings.warn(note, stacklevel=2)
    if isinstance(weights, Pairing):
        state: Mapping[str, Tensor] = weights.weights
        state = {**{key: value for key, value in expected.items() if key.endswith(BUFFERS)}, **state}
        _require_keys(state, expected)
    else:
        given = _given(weights, expected)
        try:
            state = convert_keys(find_state_dict(given), architecture, expected)
            _require_keys(state, expected)
        except ExportError as error:
            raise ExportError(f"{error}{_suggest_order(architecture, weights, expected)}") from None
        state = {**{key: value for key, value in expected.items() if key.endswith(BATCH_COUNTER)}, **state}
    _require_values(state, expected)
    network.load_state_dict(dict(state))
    return network


def pair_weights(architecture: Architecture, weights: Mapping[str, Tensor] | str | os.PathLike[str]) -> Pairing:
    """Pair the weights of another library with those of a network, by the order of computation and by shape.

    Keys may have any names. Fully connected layers and 1x1 convolutions match each other. Running means and variances
    may be missing. Equal shapes that are computed in another order cannot be detected, nor can other activations,
    strides or epsilons: compare the outputs of both networks.

    Args:
        architecture: The network.
        weights: A state dict with the order of ``module.state_dict()``, or the path of a safetensors file, where the
            numbers in the keys give the order.

    Returns:
        The pairs, notes on what is open, and the weights under this package's keys.

    Raises:
        ExportError: The file cannot be read, the shapes differ from the network's, or the order is ambiguous.
    """
    return _paired(architecture, weights, build_network(architecture, seed=0).state_dict())


def _paired(
    architecture: Architecture, weights: Mapping[str, Tensor] | str | os.PathLike[str], expected: Mapping[str, Tensor]
) -> Pairing:
    """Pair weights with the network's state dict ``expected``."""
    state = find_state_dict(_given(weights, expected))
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise ExportError(f"the weights' {key!r} is a {type(value).__name__}, expected a tensor")
    # ``safetensors.torch.load_file`` returns the names in ascending order, whatever the order of the modules.
    ordered = isinstance(weights, Mapping) and list(state) != sorted(state)
    return pair_by_order(state, architecture, expected, ordered=ordered)


def _given(
    weights: Mapping[str, Tensor] | str | os.PathLike[str], expected: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Return weights that are a mapping, or in a file. Raises ExportError for anything else."""
    if isinstance(weights, Mapping):
        return weights
    if not isinstance(weights, (str, os.PathLike)):
        found = type(weights).__name__
        raise ExportError(f"weights is a {found}, expected module.state_dict() or the path of a safetensors file")
    return read_weights(weights, largest_file(expected))


def _suggest_order(
    architecture: Architecture, weights: Mapping[str, Tensor] | str | os.PathLike[str], expected: Mapping[str, Tensor]
) -> str:
    """Return the hint to pair weights by order, if all of them can be paired."""
    try:
        pairs = _paired(architecture, weights, expected).pairs
    except ExportError:
        return ""
    return (
        "; if they are of this network in another library, --by-order (in Python by_order=True) pairs all"
        f" {len(pairs)} tensors by the order of computation"
    )


def _require_keys(state: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
    """Raise ExportError if a key is missing or unknown. Batch counters may be missing."""
    for key in (*expected, *state):
        if key not in state and not key.endswith(BATCH_COUNTER):
            raise ExportError(f"the weights lack {key!r}; they are of another network{did_you_mean(key, state)}")
        if key not in expected:
            raise ExportError(f"the weights hold {key!r}, which this network lacks{did_you_mean(key, expected)}")


def _require_values(state: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
    """Raise ExportError if a shape, a type or a value does not fit."""
    for key, own in expected.items():
        given = state[key]
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


def find_state_dict(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """Find the state dict in a checkpoint and remove the prefixes of wrappers from its keys.

    Args:
        weights: A state dict, or a checkpoint that holds one under one of ``CHECKPOINT_KEYS``.

    Returns:
        The state dict with the keys of the unwrapped network.
    """
    inside = weights
    while name := next((name for name in CHECKPOINT_KEYS if isinstance(inside.get(name), Mapping)), ""):
        inside = inside[name]
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
