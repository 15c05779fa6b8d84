"""Warnings of networks: structures that papers would call a mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import Op
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.linear import Linear
from explorer.networks.ops.squeeze_excitation import SqueezeExcitation
from explorer.networks.ops.window import sides
from explorer.networks.walk import Layer, OpRun, PlacedBlock
from explorer.space.lint.sample import Example

LARGE_MAP = 64  # pixels; VGG and AlexNet flatten smaller maps
LIGHT = ("norm", "activation", "scale", "regulariser")  # roles of ops that may precede the first layer with weights


def has_no_final_norm(network: Architecture) -> bool:
    """Return whether the last block normalises its input, and its output reaches the classifier without a norm."""
    *_, block, head = network.segments
    if not isinstance(block, PlacedBlock) or not isinstance(head, OpRun) or block.parts.merge is None:
        return False
    branch = [step.op for step in (*block.parts.pre, *block.parts.branch)]
    opening = _opening(branch)
    rest = [step.op for step in block.parts.after] + [layer.op for layer in head.layers()]
    return (
        "norm" in opening
        and len(opening) < len(branch)
        and not any(isinstance(op, Op) and op.role == "norm" for op in rest)
    )


def has_linear_stem(network: Architecture) -> bool:
    """Return whether the stem ends with a convolution without norm and activation, and the first block starts so."""
    roles = [op.role for op in network.stem if op.role not in ("pool", "regulariser")]
    block = network.stages[0].blocks[0]
    first = next((op.role for op in block.branch if op.role not in ("scale", "regulariser")), "")
    return roles[-1:] == ["conv"] and first == "conv"


def squeezes_to_one(layer: Layer) -> bool:
    """Return whether a squeeze-and-excitation has a single channel in its squeeze."""
    return isinstance(layer.op, SqueezeExcitation) and layer.op.squeeze == 1 and layer.x.channels > 1


def dilates_beyond_map(layer: Layer) -> bool:
    """Return whether all weights of a dilated convolution but the central ones read only padding."""
    op = layer.op
    if not isinstance(op, Conv) or op.dilation == 1:
        return False
    large = [(size, side) for size, side in zip(layer.x[1:], sides(op.kernel)) if side > 1]
    return bool(large) and all(op.dilation >= size for size, _ in large)


def exceeds_map(layer: Layer) -> bool:
    """Return whether a side of the map is one pixel, and a convolution without dilation is larger along it."""
    op = layer.op
    if not isinstance(op, Conv) or op.dilation > 1:
        return False
    return any(size == 1 < side for size, side in zip(layer.x[1:], sides(op.kernel)))


def flattens_map(layer: Layer) -> bool:
    """Return whether a linear layer reads all positions of a map of at least 8x8 pixels."""
    return isinstance(layer.op, Linear) and layer.x.height * layer.x.width >= LARGE_MAP


def keeps_map(network: Architecture) -> bool:
    """Return whether the last stage has a map of more than one pixel, of the same size as the stem's."""
    after_stem, *after_stages = network.stage_shapes()
    return after_stages[-1][1:] == after_stem[1:] != (1, 1)


def has_layers_after_classifier(network: Architecture) -> bool:
    """Return whether layers with an effect follow a layer with one output for each class at the end of the network."""
    outputs = [op.out == network.classes for op in network.head if isinstance(op, Linear)]
    ends = isinstance(network.head[-1], Linear) if network.head else True
    return any(outputs[:-1]) or (bool(outputs) and outputs[-1] and not ends)


def first_layer(network: Architecture, is_wanted: Callable[[Layer], bool]) -> Layer | None:
    """Return the first layer of a network of which ``is_wanted`` is true; None if there is none."""
    return next((layer for layer in network.layers() if is_wanted(layer)), None)


def where_found(examples: Iterable[Example], is_found: Callable[[Architecture], bool]) -> tuple[Example, str] | None:
    """Return the first network with a structure, and in words which choice it belongs to; None if none has it.

    Args:
        examples: Networks of the space.
        is_found: Whether a network has the structure.
    """
    found, others = [], set[tuple[str, str]]()
    for example in examples:
        if is_found(example.network):
            found.append(example)
        else:
            others.update(example.choices.items())
    if not found:
        return None
    common = set(found[0].choices.items()).intersection(*(example.choices.items() for example in found)) - others
    levels = [f"{name}={option}" for name, option in found[0].choices.items() if (name, option) in common]
    if levels:
        return found[0], f" with {levels[0]}"
    return found[0], " in some networks" if others else ""


def _opening(ops: Iterable[Op]) -> list[str]:
    """Return the roles of the ops before the first one with weights of its own."""
    roles = []
    for op in ops:
        if op.role not in LIGHT:
            break
        roles.append(op.role)
    return roles
