"""Layers to ops in their place: literal numbers for what arrives, and the stride to the one that takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from explorer.errors import ArchitectureError
from explorer.grammar.resolve import Fault, Layer, Resolver
from explorer.grammar.tree import Copied, Place
from explorer.ops.base import Context, Op, TensorShape
from explorer.ops.conv import Conv, DepthwiseConv

if TYPE_CHECKING:
    from explorer.grammar.space import SearchSpace

CONVS = (Conv, DepthwiseConv)


class BoundLayer(NamedTuple):
    """What a layer becomes in a place: the op (None when it changes nothing), the shape it puts out, its stride."""

    op: Op | None
    output: TensorShape
    stride: int


# Layers by what they are bound from (``Layer.key``, arriving shape, width, the stride that is theirs), within one
# network: a layer that repeats is bound once, and is one op.
Bound = dict[tuple, BoundLayer]


def bind(
    layers: list[Layer],
    x: TensorShape,
    width: int,
    stride: int,
    classes: int,
    where: str,
    resolver: Resolver | None = None,
    exactly: bool = False,
    place: Place = (1, 1),
    bound: Bound | None = None,
) -> tuple[tuple[Op, ...], TensorShape]:
    """Layers as ops with literal numbers, the stride given to the one that takes it; ops that change
    nothing vanish. ``exactly``: constant strides count as well, a stride of 1 must be kept. ``place``:
    where an error stands that no layer is to blame for; ``resolver`` says which choices led to it.

    Raises Fault when the shapes do not fit or the stride is not met.
    """
    bound = {} if bound is None else bound
    ops, shrunk = [], 1
    for layer, own in zip(layers, strides_by_rule(layers, stride)):
        if layer.free:
            ops.append(layer.what)
            continue
        key = layer.key, x, width, own
        made = bound.get(key)
        if made is None:
            if layer.merges:
                raise Fault(
                    layer.place, f"{layer.what.spelling!r} in {where}; a merge stands only in a block, and there once"
                )
            try:
                made = bound[key] = _bound(layer, Context(x, width, own, classes))
            except ArchitectureError as error:
                raise Fault(layer.place, f"{_with(resolver)}{where}: {error}") from None
        op, x, shrinks = made
        shrunk *= shrinks
        if op is not None:
            ops.append(op)
    if shrunk != stride and (exactly or stride > 1):
        mend = "let one of them take it, as in conv3x3(s=s)" if shrunk == 1 else "strides belong under 'stages'"
        raise Fault(
            layers[0].place if layers else place,
            f"{_with(resolver)}{where}: the layers shrink by {shrunk}, the stride is {stride}; {mend}",
        )
    return tuple(ops), x


def _bound(layer: Layer, context: Context) -> BoundLayer:
    op = layer.bind(context)
    y = op.output_shape(context.shape)
    return BoundLayer(None if op.canonical(context.shape) is None else op, y, op.receptive()[1])


def _with(resolver: Resolver | None) -> str:
    return "" if resolver is None else resolver.with_choices()


def strides_by_rule(layers: list[Layer], stride: int) -> list[int]:
    """The stride that each layer has where it is written without one, for ``stride`` over all of them."""
    if stride == 1:
        return [1] * len(layers)
    carrier = _stride_carrier(layers)
    return [stride if layer.pools or index == carrier else 1 for index, layer in enumerate(layers)]


def _stride_carrier(layers: list[Layer]) -> int | None:
    """Which conv takes the stride: none when an op is written with ``s`` or pools by
    itself; else the first with a kernel larger than 1; failing that, the first."""
    first = large = None
    for index, layer in enumerate(layers):
        if layer.free or ("stride" in layer.given and not layer.uses_stride):
            continue
        if layer.uses_stride or layer.pools:
            return None
        if layer.what in CONVS:
            first = index if first is None else first
            large = index if large is None and layer.kernel > 1 else large
    return first if large is None else large


def bind_plain(
    space: SearchSpace,
    layers: list[Layer],
    x: TensorShape,
    width: int,
    where: str,
    stride: int,
    bound: Bound | None = None,
) -> tuple[tuple[Op, ...], TensorShape]:
    """Layers outside blocks (stem, transition, head), bound one after the other. Raises Fault."""
    own = [layer for layer in layers if not isinstance(layer.what, Copied)]
    return bind(own, x, width, stride, space.classes, where, bound=bound)


def bind_head(
    space: SearchSpace, layers: list[Layer], x: TensorShape, width: int, bound: Bound | None = None
) -> tuple[tuple[Op, ...], TensorShape]:
    """The head's layers, bound; they must put out the classes. Raises Fault."""
    ops, y = bind_plain(space, layers, x, width, "the head", 1, bound)
    if y != (space.classes, 1, 1):
        place = layers[-1].place if layers else (1, 1)
        raise Fault(place, f"the head puts out {y}, {space.classes} classes need {space.classes}x1x1; end it with 'fc'")
    return ops, y
