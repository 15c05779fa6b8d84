"""A network with another input shape: the same ops, whose taps have the shapes that follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.nested.taps import Tapped


def resized(architecture: Architecture, image: TensorShape) -> Architecture:
    """Return a network for images of another shape.

    Args:
        architecture: The network.
        image: The shape of an image.

    Raises:
        ArchitectureError: An op does not fit.
    """
    stem, x = _fitted(architecture.stem, image)
    stages = []
    for stage in architecture.stages:
        transition, x = _fitted(stage.transition, x)
        blocks: list[Block] = []
        for block in stage.blocks:
            made = _fitted_block(block, x)
            blocks.append(made)
            x = made.output_shape(x)
        stages.append(Stage(tuple(blocks), transition))
    head, _ = _fitted(architecture.head, x)
    return Architecture(image, architecture.classes, stem, tuple(stages), head)


def _fitted_block(block: Block, x: TensorShape) -> Block:
    pre, start = _fitted(block.branch[: block.shared], x)
    branch, y = _fitted(block.branch[block.shared :], start)
    shortcut = None
    if block.shortcut is not None:
        shortcut, shortcut_shape = _fitted(block.shortcut, start)
        y = block.merge.output_shape(y, shortcut_shape)
    return replace(block, branch=pre + branch, shortcut=shortcut, after=_fitted(block.after, y)[0])


def _fitted(ops: Iterable[Op], x: TensorShape) -> tuple[tuple[Op, ...], TensorShape]:
    """Return ops for an input of shape ``x``, and their output shape."""
    made = []
    for op in ops:
        made.append(op.fitted(x) if isinstance(op, Tapped) else op)
        x = made[-1].output_shape(x)
    return tuple(made), x
