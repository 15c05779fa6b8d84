"""The parts of a network around its blocks: stem, transitions and head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile

from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.nested.nesting import leaves
from explorer.networks.ops.scale import Scale
from explorer.networks.ops.space_to_depth import DepthToSpace, SpaceToDepth
from explorer.networks.ops.window import Size
from explorer.networks.ops.zero import Zero
from explorer.space.derive.binding import Bound, BoundOps, bind, strides_by_rule
from explorer.space.derive.layer import Layer, Paths, bound_layer
from explorer.space.grammar import Copied, Fault, Place

AFTER_LINEAR = ("linear", "activation", "regulariser")  # roles of ops that accept the vector of ``fc``


def bind_head(
    layers: Sequence[Layer], x: TensorShape, width: int, classes: int, bound: Bound | None = None
) -> BoundOps:
    """Return the head's ops. See ``bind``.

    Raises:
        Fault: Also if the head does not have one output per class, or has an op that needs a map after ``fc``.
    """
    ops, y = bind_path(layers, x, width, 1, classes, "the head", bound)
    place = layers[-1].place if layers else (1, 1)
    for op in dropwhile(lambda op: op.role != "linear", ops):
        if op.role not in AFTER_LINEAR and not isinstance(op, Scale):
            raise Fault(place, f"the head: {op} needs a map, 'fc' puts out a vector; write conv1x1 in place of 'fc'")
    if y != (classes, 1, 1):
        raise Fault(place, f"the head has the output {y}, {classes} classes need {classes}x1x1; end it with 'fc'")
    return ops, y


def bind_path(
    layers: Sequence[Layer],
    x: TensorShape,
    width: int,
    stride: Size,
    classes: int,
    where: str,
    bound: Bound | None = None,
) -> BoundOps:
    """Return the ops of a stem, a transition or a head. See ``bind``.

    Raises:
        Fault: Also if one of them is ``zero``.
    """
    ops, y = bind(layers, x, width, stride, classes, where, bound=bound)
    require_no_zero(ops, layers[0].place if layers else (1, 1), where)
    return ops, y


def require_no_zero(ops: Sequence[Op], place: Place, where: str) -> None:
    """Raise Fault if ``zero`` is among ops that every image passes."""
    if any(isinstance(op, Zero) for op in leaves(ops)):
        raise Fault(place, f"{where}: 'zero' is allowed only before the merge of a block, and in its shortcut")


def copied(layers: Sequence[Layer], copies: Sequence[Op] = ()) -> list[Layer]:
    """Return ``layers`` with ``post`` or ``pre`` replaced by the ops that they copy."""
    out: list[Layer] = []
    for layer in layers:
        if isinstance(layer.what, Copied):
            out.extend(bound_layer(op, layer.place) for op in copies)
        else:
            out.append(layer)
    return out


def has_stride(layers: Sequence[Layer], stride: Size) -> bool:
    """Whether layers would take a stride by the rule, or have strides of their own."""
    return any(own != 1 for own in strides_by_rule(layers, stride)) or any(map(_has_own_stride, layers))


def _has_own_stride(layer: Layer) -> bool:
    if isinstance(layer.what, Op):
        return layer.what.shrinks() != (1, 1)
    if isinstance(layer.what, Paths):
        return any(_has_own_stride(inner) for path in layer.what.layers for inner in path)
    return layer.given.get("stride", 1) != 1 or layer.what in (SpaceToDepth, DepthToSpace)
