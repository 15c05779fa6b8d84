"""The features of a latency predictor, counted without torch, for fast screening of thousands of networks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.merge import Merge
from explorer.networks.ops.window import sides, spell_kernel
from explorer.networks.walk import Layer

# Parts of feature names: the whole network, a family of kinds, one map size, one input shape.
WHOLE, FAMILY, ON, AT = "network", "any ", " on ", " at "
FEW = 20_480  # elements of an input up to which ``_kind`` marks a convolution as "few"
VECTOR = 16  # channels, float32 numbers of an AVX-512 register: 12 channels take as long as 16 (measured at batch 32)


def count_features(architecture: Architecture, batch: int = 1) -> dict[str, float]:
    """Count the features of a network for one image.

    Six amounts are counted: operations, MACs, parameters, elements that convolutions output, elements read and written
    ("traffic"; merges and joins read all their inputs), and MACs of ungrouped convolutions with channels rounded up to
    VECTOR. A batch norm directly behind a
    convolution is part of it in the inference form and is not counted.

    Args:
        architecture: The network.
        batch: Images per run. It only decides which kind a convolution is.

    Returns:
        Feature name -> amount. ``network:AMOUNT`` is the sum over the network; ``any FAMILY:AMOUNT`` the sum over an
        operation with any kernel, and over those of a property (``any conv``, ``any conv dilated``); ``KIND:AMOUNT``
        that over one kind of operation (``conv3x3``, ``conv3x3 dilated few``, ``silu``); ``KIND on HxW:AMOUNT`` the
        same on maps of one size; ``OP at SHAPE`` the number of equal operations on one input shape. The coefficients of
        the last are a lookup table of times (Cai et al. 2019, arXiv:1812.00332, section 3.3).
    """
    features: Counter[str] = Counter()
    for layer in _inference_layers(architecture):
        op, x, y = layer.op, layer.x, layer.y
        cost = op.cost(x)
        amounts = {
            "operations": 1,
            "macs": cost.macs,
            "params": cost.params,
            "activations": cost.activations,
            "traffic": sum(shape.elements for shape in layer.joined or (x,)) + y.elements + cost.params,
            "rounded macs": _rounded_macs(op, x, y),
        }
        kind = _kind(op, x, batch)
        for group in (WHOLE, *_families(kind), kind, f"{kind}{ON}{y.height}x{y.width}"):
            for name, amount in amounts.items():
                if amount:
                    features[f"{group}:{name}"] += amount
        features[f"{op}{AT}{x}"] += 1
    return dict(features)


def feature_level(name: str) -> int:
    """Return how specific a feature is: 0 the whole network, 1 a family, 2 a kind, 3 on one map size, 4 one shape."""
    if AT in name:
        return 4
    if ON in name:
        return 3
    return 0 if name.startswith(f"{WHOLE}:") else 1 if name.startswith(FAMILY) else 2


def tabulate(architectures: Sequence[Architecture], batch: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Count the features of networks as a table.

    Args:
        architectures: The networks.
        batch: As for ``count_features``.

    Returns:
        The names of the features in alphabetical order; the amounts, (networks, features); the level of each feature.
    """
    counted = [count_features(architecture, batch) for architecture in architectures]
    names = sorted({name for each in counted for name in each})
    x = np.array([[each.get(name, 0.0) for name in names] for each in counted])
    return names, x, np.array([feature_level(name) for name in names])


def _families(kind: str) -> list[str]:
    """Return the families of a kind: the operation with any kernel, and that with each of its properties alone."""
    operation, *properties = kind.split()
    family = FAMILY + re.sub(r"\d+x\d+$|\d+$", "", operation)
    return [family, *(f"{family} {each}" for each in properties)]


def _inference_layers(architecture: Architecture) -> Iterator[Layer]:
    """Yield the layers of the inference form: all but batch norms directly behind a convolution."""
    previous: Layer | None = None
    for layer in architecture.layers():
        follows_conv = (
            previous is not None
            and getattr(previous.op, "role", "") == "conv"
            and previous.path.rpartition(".")[0] == layer.path.rpartition(".")[0]
        )
        if not (follows_conv and getattr(layer.op, "spelling", "") == "bn"):
            yield layer
        previous = layer


def _rounded_macs(op: Op | Merge, x: TensorShape, y: TensorShape) -> int:
    """Return the MACs of an ungrouped convolution with channels rounded up to VECTOR; 0 for other operations."""
    if not isinstance(op, Conv) or op.groups > 1:
        return 0
    into, out = (-(-shape.channels // VECTOR) * VECTOR for shape in (x, y))
    down, right = sides(op.kernel)
    return into * out * down * right * y.height * y.width


def _kind(op: Op | Merge, x: TensorShape, batch: int) -> str:
    """Return a name for operations that are likely to be computed by the same method.

    For batch 1 on a CPU torch computes an ungrouped convolution of few input elements as one matrix product, and larger
    ones with oneDNN: a strided 1x1 of 16 channels on 32x32 took 22 us and one of 24 channels 113 us. The actual
    condition also depends on kernel, stride, dilation and groups (aten/src/ATen/native/Convolution.cpp, use_mkldnn). On
    other devices the distinction does no harm.
    """
    words = [f"{op.spelling}{spell_kernel(op.kernel)}" if hasattr(op, "kernel") else op.spelling]
    if isinstance(op, Conv):
        grouped = op.groups > 1
        words += ["dilated"] if op.dilation > 1 else []
        words += ["strided"] if op.stride != 1 else []
        words += ["grouped"] if grouped else []
        words += ["few"] if batch == 1 and not grouped and max(sides(op.kernel)) <= 3 and x.elements <= FEW else []
    return " ".join(words)
