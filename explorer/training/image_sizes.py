"""Progressive resizing: a network sees smaller images in the first epochs, which take less time."""

from __future__ import annotations

from torch import nn

from explorer.errors import ArchitectureError, TrainingError
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network
from explorer.networks.ops.base import TensorShape
from explorer.networks.resize import resized
from explorer.training.recipe import Recipe, require_several_values

FIRST = 0.5  # side of the images of the first epoch, as a share of the whole
MULTIPLE = 4  # pixels; sides that the strides of most stages divide

Size = tuple[int, int]


def image_sizes(net: nn.Module, recipe: Recipe, epochs: int, batch_size: int) -> list[Size | None]:
    """Return the height and width of the images in each epoch; None is the network's own input.

    The sides grow from a half of the input's in the first epoch, by equal steps, to the whole, which the first epoch
    after the share ``smaller_images`` of all epochs has, or the last one. They are multiples of 4 pixels. Sources:
    Howard 2018 (fast.ai's entry to DAWNBench); Tan and Le 2021 (arXiv:2104.00298, section 4).

    All epochs have whole images if the network is not of ``build_network`` or if a smaller image would need other
    modules, as position embeddings do, or does not fit.

    Args:
        net: The network.
        recipe: The recipe.
        epochs: Number of epochs.
        batch_size: Images of a training step.
    """
    whole: list[Size | None] = [None] * epochs
    if not isinstance(net, Network):
        return whole
    sizes = [_size(net.architecture, recipe.smaller_images, epoch / epochs) for epoch in range(epochs - 1)]
    fitting = {size for size in sizes if size is not None and _takes(net.architecture, size, batch_size)}
    return [*(size if size in fitting else None for size in sizes), None]


def _size(architecture: Architecture, share: float, progress: float) -> Size | None:
    """Return the size of images at ``progress``, the share of the epochs that are done, 0..1."""
    if progress >= share:
        return None
    scale = FIRST + (1 - FIRST) * progress / share
    _, height, width = architecture.input
    size = _scaled(height, scale), _scaled(width, scale)
    return None if size == (height, width) else size


def _scaled(side: int, scale: float) -> int:
    """Return the multiple of 4 pixels nearest to a share of a side, at most the side."""
    return min(side, MULTIPLE * max(1, round(scale * side / MULTIPLE)))


def _takes(architecture: Architecture, size: Size, batch_size: int) -> bool:
    """Return whether the modules of the built network take images of another size."""
    try:
        smaller = resized(architecture, TensorShape(architecture.input.channels, *size))
        require_several_values(smaller, batch_size)
    except (ArchitectureError, TrainingError):
        return False
    return _modules(smaller) == _modules(architecture)


def _modules(architecture: Architecture) -> list[object]:
    """Return the constructor calls of all modules of a network."""
    return [layer.op.module(layer.x) for layer in architecture.layers()]
