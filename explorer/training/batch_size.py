"""Whether a network can be trained with batches of one image."""

from __future__ import annotations

from explorer.architecture import Architecture
from explorer.errors import TrainingError
from explorer.ops.norm import BatchNorm


def require_several_values(architecture: Architecture, batch_size: int) -> None:
    """Raises TrainingError where batch norm would take its moments over a single value."""
    if batch_size > 1:
        return
    for layer in architecture.layers():
        if isinstance(layer.op, BatchNorm) and layer.x.positions == 1:
            raise TrainingError(
                f"{layer.path}: batch norm on an arriving {layer.x} takes its moments over the images of a "
                "batch, expected two or more, found batches of 1; raise batch_size in the recipe, or take more images"
            )
