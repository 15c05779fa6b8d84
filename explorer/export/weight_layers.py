"""The layers of a state dict: the tensors of each module, their shapes, and the order of their names."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

PARAMETERS = ("weight", "bias")
STATISTICS = ("running_mean", "running_var")

Shape = tuple[int, ...]
Signature = tuple[tuple[str, Shape], ...]


class WeightLayer(NamedTuple):
    """The tensors of one module, or one parameter with another name than weight and bias.

    Attributes:
        path: The name of the module; of such a parameter its key.
        place: The position in the state dict.
        keys: Field -> key.
        signature: Field -> shape of each parameter, without sides of 1.
        shortcut: Whether the layer is in the shortcut of a block of the network.
    """

    path: str
    place: int
    keys: Mapping[str, str]
    signature: Signature
    shortcut: bool = False


Order = Callable[[WeightLayer], Any]


def group_layers(
    state: Mapping[str, Tensor], has_statistics: bool, known: Sequence[Shape], shortcuts: Iterable[str] = ()
) -> list[WeightLayer]:
    """Group the tensors of a state dict by module, in order.

    Args:
        state: The state dict.
        has_statistics: Whether norms with and without running statistics are distinguished.
        known: Shapes of the network; a linear layer and a convolution that is equal to it take the form among them.
        shortcuts: Prefixes of the modules in shortcuts.
    """
    prefixes = tuple(shortcuts)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for key in state:
        module, _, field = key.rpartition(".")
        if field in (*PARAMETERS, *STATISTICS):
            found[module][field] = key
        elif field != "num_batches_tracked":
            found[key][""] = key
    forms = set(known)
    layers = []
    for place, (path, keys) in enumerate(found.items()):
        shapes = [(field, _plain(field, state[key], forms)) for field, key in keys.items() if field not in STATISTICS]
        statistics = [(field, ()) for field in STATISTICS if has_statistics and field in keys]
        signature = tuple(sorted([*shapes, *statistics]))
        layers.append(WeightLayer(path, place, keys, signature, path.startswith(prefixes)))
    return layers


def _plain(field: str, value: Tensor, known: set[Shape]) -> Shape:
    """Return the shape with 1x1 kernels as matrices, in the form that is ``known`` if there is one."""
    shape = tuple(value.shape)
    if not field:
        return tuple(side for side in shape if side != 1)  # factors for channels: (C,), (C, 1, 1), (1, C, 1, 1)
    if shape[2:] == (1, 1):
        shape = shape[:2]
    if shape in known or {value.dim(), len(shape)} not in ({2}, {4}):
        return shape
    # A linear layer after a flattened map is a convolution with a kernel of the size of the map.
    size = shape[0], math.prod(shape[1:])
    alike = (each for each in known if {len(each), len(shape)} == {2, 4} and (each[0], math.prod(each[1:])) == size)
    return min(alike, default=shape)


def by_place(layer: WeightLayer) -> int:
    """Return the place in the state dict, the order in which modules were registered."""
    return layer.place


def by_name(layers: Sequence[WeightLayer], descending: bool = False) -> Order:
    """Return the order of names: numbers and single letters ascend, other words ascend or descend."""
    tokens = {layer.path: [_tokens(part) for part in layer.path.split(".")] for layer in layers}
    words = {token for parts in tokens.values() for part in parts for token in part if isinstance(token, str)}
    rank = {word: number for number, word in enumerate(sorted(words, reverse=descending))}

    def key(layer: WeightLayer) -> list[list[tuple[bool, int]]]:
        return [
            [(True, token) if isinstance(token, int) else (False, rank[token]) for token in part]
            for part in tokens[layer.path]
        ]

    return key


def _tokens(part: str) -> list[str | int]:
    """Split ``conv2_3x3b`` into conv, 2, _, 3x3, b: a kernel size is no place in an order."""
    if len(part) == 1 and part.isalpha():
        return ["", ord(part)]
    part = part.replace("height", "1").replace("width", "2")  # the order of the axes of a map
    return [int(token) if token.isdigit() else token for token in re.findall(r"[0-9]+x[0-9]+|[0-9]+|[^0-9]+", part)]


def describe_layer(layer: WeightLayer, state: Mapping[str, Tensor]) -> str:
    """Return ``'layer1.0.conv1' (weight (64, 64, 3, 3))``."""
    shapes = (f"{field} {tuple(state[key].shape)}".strip() for field, key in sorted(layer.keys.items(), reverse=True))
    return f"{layer.path!r} ({', '.join(shapes)})"
