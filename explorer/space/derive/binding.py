"""Conversion of layers to ops with literal numbers, and the rule by which one of them has the stride."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Context, Op, TensorShape
from explorer.networks.ops.conv import Conv, DepthwiseConv
from explorer.networks.ops.zero import Zero
from explorer.space.derive.layers import Resolver
from explorer.space.derive.steps import Layer, bound_layer
from explorer.space.grammar import Copied, Fault, Place

CONVS = (Conv, DepthwiseConv, Zero)  # ops that have the block's stride by the rule for convolutions


class BoundLayer(NamedTuple):
    """A layer as an op.

    Attributes:
        op: The op; None if it is the identity there.
        output: The output shape.
        stride: Its stride.
    """

    op: Op | None
    output: TensorShape
    stride: int


# Bound layers of one grammar by ``Layer.key``, input shape, width and own stride: a repeated layer is bound once and is
# one op.
Bound = dict[Hashable, BoundLayer]
BoundOps = tuple[tuple[Op, ...], TensorShape]  # the ops and their output shape


def bind(
    layers: Sequence[Layer],
    x: TensorShape,
    width: int,
    stride: int,
    classes: int,
    where: str,
    resolver: Resolver | None = None,
    exactly: bool = False,
    place: Place = (1, 1),
    bound: Bound | None = None,
) -> BoundOps:
    """Return layers as ops with literal numbers. Ops that are the identity are left out.

    Args:
        layers: The layers in order.
        x: The input shape.
        width: The variable ``w``.
        stride: The stride over all layers.
        classes: The number of classes.
        where: The unit, for messages: ``stage 2``.
        resolver: The choices made so far, for messages.
        exactly: Whether a constant stride is an error where ``stride`` is 1.
        place: The place of an error of the stride if there are no layers.
        bound: Layers that were bound earlier.

    Returns:
        The ops and their output shape.

    Raises:
        Fault: If the shapes do not fit, or the layers do not have the stride.
    """
    bound = {} if bound is None else bound
    ops: list[Op] = []
    shrunk = 1
    for layer, own in zip(layers, strides_by_rule(layers, stride)):
        if layer.is_free:
            assert isinstance(layer.what, Op)
            ops.append(layer.what)
            continue
        key = layer.key, x, width, own
        made = bound.get(key)
        if made is None:
            if layer.is_merge:
                assert isinstance(layer.what, type)
                spelling = layer.what.spelling
                raise Fault(layer.place, f"{spelling!r} in {where}; a merge is allowed only in a block, and once there")
            try:
                made = bound[key] = _bound(layer, Context(x, width, own, classes))
            except ArchitectureError as error:
                raise Fault(layer.place, f"{_with(resolver)}{where}: {error}") from None
        op, x, shrinks = made
        shrunk *= shrinks
        if op is not None:
            ops.append(op)
    if shrunk != stride and (exactly or stride > 1):
        fix = "give it to one of them, as in conv3x3(s=s)" if shrunk == 1 else "write strides under 'stages'"
        raise Fault(
            layers[0].place if layers else place,
            f"{_with(resolver)}{where}: the layers shrink by {shrunk}, the stride is {stride}; {fix}",
        )
    return tuple(ops), x


def _with(resolver: Resolver | None) -> str:
    return "" if resolver is None else resolver.with_choices()


def _bound(layer: Layer, context: Context) -> BoundLayer:
    op = layer.bind(context)
    y = op.output_shape(context.shape)
    return BoundLayer(None if op.canonical(context.shape) is None else op, y, op.receptive()[1])


def strides_by_rule(layers: Sequence[Layer], stride: int) -> list[int]:
    """Return the stride that each layer has if it is written without one, for ``stride`` over all of them."""
    if stride == 1:
        return [1] * len(layers)
    carrier = _stride_carrier(layers)
    return [stride if layer.pools or index == carrier else 1 for index, layer in enumerate(layers)]


def _stride_carrier(layers: Sequence[Layer]) -> int | None:
    """Return the conv that has the stride; ``zero`` counts as one with a kernel larger than 1.

    None if an op is written with ``s`` or pools by itself; else the first with a kernel larger than 1; else the first.
    """
    first = large = None
    for index, layer in enumerate(layers):
        if layer.is_free or ("stride" in layer.given and not layer.uses_stride):
            continue
        if layer.uses_stride or layer.pools:
            return None
        if layer.what in CONVS:
            first = index if first is None else first
            is_large = layer.what is Zero or (layer.kernel or 1) > 1
            large = index if large is None and is_large else large
    return first if large is None else large


def bind_head(
    layers: Sequence[Layer], x: TensorShape, width: int, classes: int, bound: Bound | None = None
) -> BoundOps:
    """Return the head's ops. See ``bind``.

    Raises:
        Fault: Also if the head does not have one output per class.
    """
    ops, y = bind_path(layers, x, width, 1, classes, "the head", bound)
    if y != (classes, 1, 1):
        place = layers[-1].place if layers else (1, 1)
        raise Fault(place, f"the head has the output {y}, {classes} classes need {classes}x1x1; end it with 'fc'")
    return ops, y


def require_no_zero(ops: Sequence[Op], place: Place, where: str) -> None:
    """Raise Fault if ``zero`` is among ops that every image passes."""
    if any(isinstance(op, Zero) for op in ops):
        raise Fault(place, f"{where}: 'zero' is allowed only before the merge of a block, and in its shortcut")


def bind_path(
    layers: Sequence[Layer],
    x: TensorShape,
    width: int,
    stride: int,
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


def takes_stride(layers: Sequence[Layer], stride: int) -> bool:
    """Whether layers would take a stride by the rule, or have strides of their own."""
    own = (
        layer.what.receptive()[1] if isinstance(layer.what, Op) else layer.given.get("stride", 1) for layer in layers
    )
    return any(each != 1 for each in (*strides_by_rule(layers, stride), *own))


def may_take_stride(layer: Layer) -> bool:
    return layer.pools or layer.uses_stride or layer.what in CONVS


def copied(layers: Sequence[Layer], copies: Sequence[Op] = ()) -> list[Layer]:
    """Return ``layers`` with ``post`` or ``pre`` replaced by the ops that they copy."""
    out: list[Layer] = []
    for layer in layers:
        if isinstance(layer.what, Copied):
            out.extend(bound_layer(op, layer.place) for op in copies)
        else:
            out.append(layer)
    return out
