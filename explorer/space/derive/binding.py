"""Conversion of a row of layers to ops: their shapes, their strides, and the tensors that taps keep."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from fractions import Fraction
from itertools import takewhile
from typing import NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Context, Op, TensorShape
from explorer.networks.ops.nested.taps import From, Tap, with_taps
from explorer.networks.ops.pool import GLOBAL_POOLS
from explorer.networks.ops.scale import Scale
from explorer.networks.ops.window import Size, sides, spell_size
from explorer.networks.ops.zero import Zero
from explorer.space.derive.layer import Layer, Paths, before_from
from explorer.space.derive.layers import Resolver
from explorer.space.further_nodes import TapItem
from explorer.space.grammar import Fault, Place


class BoundLayer(NamedTuple):
    """A layer as an op.

    Attributes:
        op: The op; None if it is the identity there.
        output: The output shape.
        shrinks: The number by which it divides height and width, but for rounding.
    """

    op: Op | None
    output: TensorShape
    shrinks: Shrinks


# Bound layers of one grammar by ``Layer.key``, input shape, width and own stride: a repeated layer is bound once and is
# one op.
Bound = dict[Hashable, BoundLayer]
Shrinks = tuple[int | Fraction, int | Fraction]  # by what layers divide height and width, but for rounding
BoundOps = tuple[tuple[Op, ...], TensorShape]  # the ops and their output shape


def bind(
    layers: Sequence[Layer],
    x: TensorShape,
    width: int,
    stride: Size,
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
    binder = _Binder(width, classes, resolver, {} if bound is None else bound)
    ops, y, _ = binder.row(layers, x, stride, where, exactly, place)
    return (with_taps(ops) if binder.tapped else ops), y


class _Tapped(NamedTuple):
    """A tensor that a tap keeps: the number of the tap, the shape, and what divides the sides of the row's input."""

    number: int
    shape: TensorShape
    shrinks: Shrinks


class _Binder:
    """Binds one row of layers and the paths of its forks; see ``bind`` for the arguments.

    Attributes:
        tapped: The tensors of taps by name.
        taps: The number of taps so far.
    """

    __slots__ = ("bound", "classes", "resolver", "tapped", "taps", "width")

    def __init__(self, width: int, classes: int, resolver: Resolver | None, bound: Bound):
        self.width, self.classes, self.resolver, self.bound = width, classes, resolver, bound
        self.tapped: dict[str, _Tapped] = {}
        self.taps = 0

    def row(
        self,
        layers: Sequence[Layer],
        x: TensorShape,
        stride: Size,
        where: str,
        exactly: bool,
        place: Place,
        before: Shrinks = (1, 1),
        is_path: bool = False,
    ) -> tuple[tuple[Op, ...], TensorShape, Shrinks]:
        """Return the ops of a row, or of a path of a fork, the output shape, and by what they divide the sides.

        ``before``: by what earlier layers divide the sides.
        """
        ops: list[Op] = []
        bound, width, arriving, start = self.bound, self.width, x.channels, x
        shrunk: Shrinks = (1, 1)
        for layer, own in zip(layers, strides_by_rule(layers, stride)):
            if layer.is_free:
                assert isinstance(layer.what, Op)
                ops.append(layer.what)
                continue
            if isinstance(layer.what, TapItem):
                x, shrunk = self._tap(layer.what, x, shrunk, before, where, ops)
                continue
            key = layer.key, x, width, own, arriving if layer.is_deferred else 0
            made = None if layer.has_taps else bound.get(key)
            if made is None:
                if layer.is_merge:
                    assert isinstance(layer.what, type)
                    message = f"{layer.what.spelling!r} in {where}; a merge is allowed only in a block, and once there"
                    raise Fault(layer.place, message)
                try:
                    if isinstance(layer.what, Paths):
                        made = self._fork(layer.what, layer.place, x, own, where, _times(before, shrunk))
                    else:
                        made = _bound(layer, Context(x, width, own, self.classes, arriving))
                except ArchitectureError as error:
                    raise Fault(layer.place, f"{self._choices()}{where}: {error}") from None
                if not layer.has_taps:
                    bound[key] = made
            if made.op is not None:
                ops.append(made.op)
            x = made.output
            shrunk = _times(shrunk, made.shrinks)
        if shrunk != sides(stride) and (exactly or stride != 1):
            at = layers[0].place if layers else place
            if shrunk == (1, 1) and start.positions == 1:
                raise Fault(at, f"{self._choices()}{where}: {one_pixel(stride, start)}")
            fix = "give it to one of them, as in conv3x3(s=s)" if shrunk == (1, 1) else "write strides under 'stages'"
            if (
                shrunk == (1, 1)
                and re.fullmatch(r"stage \d+( after .*)?", where)
                and all(isinstance(op, Scale) for op in ops)
            ):
                fix = "for the shortcut alone, write 'zero +'"
            if stride != 1 and shrunk == _times(sides(stride), sides(stride)):
                fix = "two layers have it: write s=1 in one of them, as in conv3x3(s=1)"
            if is_path and shrunk == (1, 1):
                fix = "write avgpool in this path, or open the stage with a block without it (first: ...)"
            found = str(shrunk[0]) if shrunk[0] == shrunk[1] else f"{shrunk[0]}x{shrunk[1]}"
            found = f"the layers shrink by {found}, the stride is {spell_size(stride)}"
            raise Fault(at, f"{self._choices()}{where}: {found}; {fix}")
        return tuple(ops), x, shrunk

    def _tap(
        self, tap: TapItem, x: TensorShape, shrunk: Shrinks, before: Shrinks, where: str, ops: list[Op]
    ) -> tuple[TensorShape, Shrinks]:
        """Add a tap; return the shape after it and what divides the sides since the start of its path."""
        if tap.kind == "tap":
            self.taps += 1
            self.tapped[tap.name] = _Tapped(self.taps, x, _times(before, shrunk))
            ops.append(Tap(self.taps))
            return x, shrunk
        found = self.tapped.get(tap.name)
        if found is None:
            known = f"the taps before it are {', '.join(self.tapped)}" if self.tapped else "no tap is before it"
            fix = f"write tap({tap.name}) after the layer whose output it reads"
            message = f"{where}: from({tap.name}) reads no tensor: {known}; {fix}"
            raise Fault(tap.place, f"{self._choices()}{message}, in the same part of the block")
        ops.append(From(found.number, *found.shape))
        (down, right), (down_before, right_before) = found.shrinks, before
        return found.shape, (Fraction(down) / down_before, Fraction(right) / right_before)

    def _fork(
        self, paths: Paths, place: Place, x: TensorShape, stride: Size, where: str, before: Shrinks
    ) -> BoundLayer:
        """Return a fork. Each path has the stride, except one that ends in a single pixel (``gap``).

        Raises:
            Fault: If a path cannot exist.
            ArchitectureError: If the paths do not fit together.
        """
        made, shrinks = [], []
        for number, layers in enumerate(paths.layers, 1):
            own: Size = 1 if any(map(_is_global, layers)) else stride
            start = paths.share(number).output_shape(x) if paths.join == "split" else x
            at = layers[0].place if layers else place
            of = f"{where}, path {number} of {paths.join}"
            ops, _, shrunk = self.row(layers, start, own, of, own != 1, at, before, is_path=True)
            made.append(ops)
            shrinks.append(shrunk)
        fork = paths.bind(made)
        down, right = map(max, zip(*shrinks))
        return BoundLayer(fork, fork.output_shape(x), (down, right))

    def _choices(self) -> str:
        return "" if self.resolver is None else self.resolver.with_choices()


def _bound(layer: Layer, context: Context) -> BoundLayer:
    op = layer.bind(context)
    y = op.output_shape(context.shape)
    return BoundLayer(None if op.canonical(context.shape) is None else op, y, op.shrinks())


def _times(first: Shrinks, second: Shrinks) -> Shrinks:
    return first[0] * second[0], first[1] * second[1]


def strides_by_rule(layers: Sequence[Layer], stride: Size) -> list[Size]:
    """Return the stride that each layer has if it is written without one, for ``stride`` over all of them."""
    if stride == 1:
        return [1] * len(layers)
    carrier = _stride_carrier(layers)
    return [stride if layer.pools or index == carrier else 1 for index, layer in enumerate(layers)]


def _stride_carrier(layers: Sequence[Layer]) -> int | None:
    """Return the conv that has the stride, or the fork of convs; ``zero`` counts as one with a kernel larger than 1.

    None if an op is written with ``s`` or pools by itself; else the first with a kernel larger than 1; else the first.
    """
    first = large = None
    for index, layer in enumerate(layers):
        if layer.is_free or ("stride" in layer.given and not layer.uses_stride):
            continue
        if layer.uses_stride or layer.pools:
            return None
        if size := _conv_size(layer):
            first = index if first is None else first
            large = index if large is None and size > 1 else large
    return first if large is None else large


def _conv_size(layer: Layer) -> int:
    """Return 2 for a conv with a kernel larger than 1, 1 for another conv, 0 for no conv.

    A fork has the size of its largest conv that is without a constant stride and not behind ``gap``.
    """
    if isinstance(layer.what, Paths):
        sizes = [0]
        for path in layer.what.layers:
            for inner in takewhile(lambda inner: not _is_global(inner), before_from(path)):
                sizes.append(0 if "stride" in inner.given and not inner.uses_stride else _conv_size(inner))
        return max(sizes)
    if not is_conv(layer.what):
        return 0
    return 2 if layer.what is Zero or layer.kernel not in (None, 1) else 1


def is_conv(what: object) -> bool:
    """Return whether a layer is of a class of ops that have the block's stride by the rule for convolutions."""
    return isinstance(what, type) and issubclass(what, Op) and what.takes_stride == "conv"


def _is_global(layer: Layer) -> bool:
    return layer.what in GLOBAL_POOLS or isinstance(layer.what, GLOBAL_POOLS)


def one_pixel(stride: Size, x: TensorShape) -> str:
    """Return the message of a stride that has no effect on a map of shape ``x``."""
    return (
        f"the stride is {spell_size(stride)}, but the map has only {x.height}x{x.width} pixels and keeps its shape;"
        " give the stage the stride 1, or the network a larger input"
    )


def takes_stride(layer: Layer) -> bool:
    """Return whether a layer can have the block's stride."""
    return layer.pools or layer.uses_stride or _conv_size(layer) > 0
