"""What a network's time may depend on, counted from its architecture; no torch, so that thousands can be screened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.merge import Merge
from explorer.networks.walk import Layer

WHOLE, ON, AT = "network", " on ", " at "  # what the names of features are told apart by
FEW = 20_480  # elements: see _kind
VECTOR = 16  # channels, float32 numbers of an AVX-512 register: 12 cost what 16 do (measured at batch 32)


def count_features(architecture: Architecture, batch: int = 1) -> dict[str, float]:
    """Name -> amount, one image. ``network:...`` are the sums over the whole network: operations, MACs, parameters,
    elements that convolutions put out, elements read and written, and MACs of ungrouped convolutions with channels
    rounded up to VECTOR. ``KIND:...`` are the same for each kind of operation (``conv3x3``, ``conv3x3 dilated few``,
    ``silu``), ``KIND on HxW:...`` for each kind on maps of one size, and ``OP at SHAPE`` counts each operation on each
    shape: with its coefficient as the time, a lookup table (Cai et al. 2019, arXiv:1812.00332, section 3.3).

    A batch norm behind a convolution is part of it in the inference form and does not count. ``batch``: the images of a
    run, which decide on kinds alone.
    """
    features: Counter[str] = Counter()
    for placed in _computed(architecture):
        op, x, y = placed.op, placed.x, placed.y
        cost = op.cost(x)
        amounts = {
            "operations": 1,
            "macs": cost.macs,
            "params": cost.params,
            "activations": cost.activations,
            "traffic": x.elements + y.elements + cost.params,
            "rounded macs": _rounded_macs(op, x, y),
        }
        kind = _kind(op, x, batch)
        for group in (WHOLE, kind, f"{kind}{ON}{y.height}x{y.width}"):
            for name, amount in amounts.items():
                if amount:
                    features[f"{group}:{name}"] += amount
        features[f"{op}{AT}{x}"] += 1
    return dict(features)


def _computed(architecture: Architecture) -> Iterator[Layer]:
    """The layers that are computed as such in the inference form."""
    before: Layer | None = None
    for placed in architecture.layers():
        behind_conv = (
            before is not None
            and getattr(before.op, "role", "") == "conv"
            and before.path.rpartition(".")[0] == placed.path.rpartition(".")[0]
        )
        if not (behind_conv and getattr(placed.op, "spelling", "") == "bn"):
            yield placed
        before = placed


def _rounded_macs(op: Op | Merge, x: TensorShape, y: TensorShape) -> int:
    if not isinstance(op, Conv) or op.groups > 1:
        return 0
    into, out = (-(-shape.channels // VECTOR) * VECTOR for shape in (x, y))
    return into * out * op.kernel**2 * y.height * y.width


def _kind(op: Op | Merge, x: TensorShape, batch: int) -> str:
    """What is likely to be computed in the same way. On a CPU torch computes a convolution of ``few`` elements, one
    image at a time, as one matrix product, and leaves larger ones to oneDNN: a strided 1x1 of 16 channels on 32x32 took
    22 us and one of 24 channels 113. Which it is depends on kernel, stride, dilation and groups as well
    (aten/src/ATen/native/Convolution.cpp, use_mkldnn). Elsewhere the distinction does no harm."""
    words = [f"{op.spelling}{op.kernel}x{op.kernel}" if hasattr(op, "kernel") else op.spelling]
    if isinstance(op, Conv):
        grouped = op.groups > 1
        words += ["dilated"] if op.dilation > 1 else []
        words += ["strided"] if op.stride > 1 else []
        words += ["grouped"] if grouped else []
        words += ["few"] if batch == 1 and not grouped and op.kernel <= 3 and x.elements <= FEW else []
    return " ".join(words)
