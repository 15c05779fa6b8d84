"""A network's weights, checked, and as the bytes of a safetensors file. No pickle."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import save
from torch import Tensor

from explorer.architecture import Architecture
from explorer.errors import ExportError, did_you_mean
from explorer.network.build import Network, build_network


def loaded_network(architecture: Architecture, state_dict: Mapping[str, Tensor] | None) -> Network:
    """The network with these weights, on the CPU and in evaluation; without weights as seed 0 initialises it.

    Raises ExportError unless keys, shapes and types are the network's and all values are finite.
    """
    network = build_network(architecture, seed=0).eval()
    if state_dict is None:
        return network
    expected = network.state_dict()
    for key in (*expected, *state_dict):
        if key not in state_dict:
            raise ExportError(f"the weights lack {key!r}; they are of another network{did_you_mean(key, state_dict)}")
        if key not in expected:
            raise ExportError(f"the weights hold {key!r}, which this network has not{did_you_mean(key, expected)}")
        given, own = state_dict[key], expected[key]
        if (given.shape, given.dtype) != (own.shape, own.dtype):
            found, wanted = (f"{value.dtype} {tuple(value.shape)}" for value in (given, own))
            raise ExportError(f"the weights' {key!r} is {found}, this network's is {wanted}")
        if not torch.isfinite(given).all():
            raise ExportError(f"the weights' {key!r} has values that are not finite; the training has diverged")
    network.load_state_dict(dict(state_dict))
    return network


def weight_bytes(network: Network) -> bytes:
    """``model.safetensors``: every entry of the state dict under its key."""
    return save({key: value.contiguous() for key, value in network.state_dict().items()})
