"""What a network's time may depend on, counted from its architecture; no torch, so that thousands can be screened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from explorer.architecture import Architecture, Placed
from explorer.ops.base import Op

WHOLE, ON, AT = "network", " on ", " at "  # what the names of features are told apart by


def count_features(architecture: Architecture) -> dict[str, float]:
    """Name -> amount, one image. ``network:...`` are the sums over the whole network: operations, MACs, parameters,
    elements that convolutions put out, elements read and written. ``KIND:...`` are the same for each kind of
    operation (``conv3x3``, ``conv3x3 d2``, ``silu``), ``KIND on HxW:...`` for each kind on maps of one size, and
    ``OP at SHAPE`` counts each operation on each shape: with its coefficient as the time, a lookup table (Cai et al.
    2019, arXiv:1812.00332, section 3.3).

    A batch norm behind a convolution is part of it in the inference form and does not count.
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
        }
        kind = _kind(op)
        for group in (WHOLE, kind, f"{kind}{ON}{y.height}x{y.width}"):
            for name, amount in amounts.items():
                if amount:
                    features[f"{group}:{name}"] += amount
        features[f"{op}{AT}{x}"] += 1
    return dict(features)


def _computed(architecture: Architecture) -> Iterator[Placed]:
    """The layers that are computed as such in the inference form."""
    before: Placed | None = None
    for placed in architecture.layers():
        behind_conv = (
            before is not None
            and getattr(before.op, "role", "") == "conv"
            and before.path.rpartition(".")[0] == placed.path.rpartition(".")[0]
        )
        if not (behind_conv and getattr(placed.op, "spelling", "") == "bn"):
            yield placed
        before = placed


def _kind(op: Op) -> str:
    words = [f"{op.spelling}{op.kernel}x{op.kernel}" if hasattr(op, "kernel") else op.spelling]
    words += [f"d{op.dilation}"] if getattr(op, "dilation", 1) > 1 else []
    words += ["grouped"] if getattr(op, "groups", 1) > 1 and getattr(op, "role", "") == "conv" else []
    return " ".join(words)
