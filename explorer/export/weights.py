"""A network's weights as safetensors, checked on the way in: nothing is unpickled, no other network's are taken."""

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
from explorer.export.naming import renamed
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network, build_network
from explorer.system.files import read_regular
from explorer.system.strict_json import parse_json

MAX_HEADER_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 34
COUNTER = "num_batches_tracked"  # of a batch norm; it has no part in evaluation
WRAPPERS = ("state_dict", "model_state_dict", "state_dict_ema", "model", "net", "network")  # in checkpoints
PREFIXES = ("module.", "model.", "net.", "network.")  # of DataParallel, and of the attributes of Lightning's modules


def load_weights(architecture: Architecture, weights: Mapping[str, Tensor] | str | os.PathLike[str]) -> Network:
    """The network with these weights, on the CPU and in evaluation.

    ``weights``: a state dict or the path of a safetensors file, with the keys of ``explorer.build(architecture)``, or
    with those of torchvision's and timm's ResNets or timm's ResNetV2s: which of them is seen from the keys. The
    prefixes that DataParallel, torch.compile, Lightning and averaged models add are removed, a state dict inside a
    checkpoint is found, and counters of batches that are missing start at 0.

    Raises ExportError unless keys, shapes and types are the network's, all values are finite and no running variance
    is negative.
    """
    network = build_network(architecture, seed=0).eval()
    expected = network.state_dict()
    found = weights if isinstance(weights, Mapping) else read_weights(weights, largest_file(expected))
    found = renamed(plain_state(found), architecture, expected)
    found = {**{key: value for key, value in expected.items() if key.endswith(COUNTER)}, **found}
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
            mend = "; convert it with .float()" if given.shape == own.shape and given.is_floating_point() else ""
            raise ExportError(f"the weights' {key!r} is {is_now}, this network's is {wanted}{mend}")
        if not torch.isfinite(given).all():
            raise ExportError(f"the weights' {key!r} has values that are not finite; the training has diverged")
        if key.endswith("running_var") and (given < 0).any():
            raise ExportError(f"the weights' {key!r} has negative values; a batch norm's variance is at least 0")
    network.load_state_dict(dict(found))
    return network


def plain_state(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict in a checkpoint, under the names that the network itself gives its weights."""
    inside = next((weights[name] for name in WRAPPERS if isinstance(weights.get(name), Mapping)), weights)
    found = {key.replace("_orig_mod.", ""): value for key, value in inside.items() if key != "n_averaged"}
    while found and (prefix := next((name for name in PREFIXES if all(key.startswith(name) for key in found)), "")):
        found = {key.removeprefix(prefix): value for key, value in found.items()}
    return found


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
        raise ExportError(f"{path}: {_other_kind(Path(path), data) or 'not a safetensors file, or cut short'}")
    if size > MAX_HEADER_BYTES:
        raise ExportError(f"{path}: its header has {size:,} bytes, at most {MAX_HEADER_BYTES:,} are read")
    try:
        parse_json(data[8 : 8 + size])  # safetensors itself would take the last of two equal names
        return load(data)
    except (ValueError, SafetensorError) as error:
        kind = _other_kind(Path(path), data) or f"not a safetensors file: {str(error)[:200]}"
        raise ExportError(f"{path}: {kind}") from None


def _other_kind(path: Path, data: bytes) -> str:
    """What a file of weights of another format is, and how to convert it; empty for others."""
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
