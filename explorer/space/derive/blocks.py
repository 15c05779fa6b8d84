"""Derivation of one block: its units, each with residual branch, merge and shortcut.

A unit of a block in the file is a ``Block`` of the network. Most blocks have one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.block import Block
from explorer.networks.dead_layers import makes_zeros
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import Add, Gate, Merge
from explorer.networks.ops.nested.nesting import Nested, leaves
from explorer.networks.ops.window import Size, sides
from explorer.networks.ops.zero import Zero
from explorer.space.derive.binding import Bound, bind, is_conv, one_pixel, takes_stride
from explorer.space.derive.layer import Deferred, Layer, Paths
from explorer.space.derive.layers import Resolver
from explorer.space.derive.outer_parts import require_no_zero
from explorer.space.further_nodes import UnitEnd
from explorer.space.grammar import Fault, Node, Place, StageRule

NORM_ACT = ("norm", "activation")  # the roles of ops that ``post`` and ``pre`` copy


class BlockInputs(NamedTuple):
    """The inputs from which a block is derived.

    Attributes:
        rule: The stage.
        item: The block's expression.
        resolver: Reads expressions with the block's choices and variables.
        x: The input shape.
        width: The stage's width.
        stride: The block's stride.
        classes: The number of classes.
        where: The block, for messages.
    """

    rule: StageRule
    item: Node
    resolver: Resolver
    x: TensorShape
    width: int
    stride: Size
    classes: int
    where: str


class UnitLayers(NamedTuple):
    """The layers of one unit of a block.

    Attributes:
        layers: The layers in order, with the merge.
        named: The innermost rule with its own shortcuts that it comes from; empty for none.
    """

    layers: list[Layer]
    named: str


class Branch(NamedTuple):
    """A unit up to its merge, before the shortcut is read.

    Attributes:
        layers: The layers of the residual branch.
        ops: The residual branch.
        output: The output shape.
        merge: The merge.
        merge_place: The place of the merge in the file.
        after: The layers after the merge.
        source: Where the shortcut starts: ``input`` or ``preact``.
        shortcut: The expression of the shortcut; None for no shortcut.
        is_changed: Whether the unit changes the shape.
    """

    layers: list[Layer]
    ops: tuple[Op, ...]
    output: TensorShape
    merge: Merge
    merge_place: Place
    after: list[Layer]
    source: str
    shortcut: Node | None
    is_changed: bool


def units_of(site: BlockInputs) -> list[UnitLayers]:
    """Return the units of a block. An empty one, as after a last ``;``, is left out. Raises Fault."""
    resolver = site.resolver
    layers = resolver.layers(site.item)
    named = [span for span in resolver.through if span.name in site.rule.shortcuts]
    ends = [number for number, layer in enumerate(layers) if isinstance(layer.what, UnitEnd)]
    if not ends:
        return [UnitLayers(layers, named[-1].name if named else "")]
    units = []
    for start, end in zip([0, *(number + 1 for number in ends)], [*ends, len(layers)]):
        if end > start:
            within = [span.name for span in named if span.start < end and span.end > start]
            units.append(UnitLayers(layers[start:end], within[-1] if within else ""))
    return units


def derive_branch(site: BlockInputs, unit: UnitLayers, bound: Bound | None = None) -> Branch:
    """Return the residual branch of a unit, and the expression of its shortcut. ``site`` has its input and stride.

    Raises:
        Fault: If the branch cannot exist.
    """
    rule, _, resolver, x, width, stride, classes, where = site
    layers, merge_layer, after = _split_at_merge(unit.layers)
    ops, y = bind(layers, x, width, stride, classes, where, resolver, True, merge_layer.place, bound)
    shortcuts = rule.shortcuts[unit.named]
    merge_class = merge_layer.what
    assert isinstance(merge_class, type) and issubclass(merge_class, Merge)
    merge = merge_class(**{name: float(value) for name, value in merge_layer.given.items()})
    # With `cat` the channels grow anyway: only height and width decide whether the shape changed.
    is_changed = x[1:] != y[1:] if merge.spelling == "cat" else x != y
    if is_changed and isinstance(merge, Gate):
        merge = Add()
    shortcut = shortcuts.changed if is_changed else shortcuts.same
    return Branch(layers, ops, y, merge, merge_layer.place, after, shortcuts.source, shortcut, is_changed)


def derive_units(
    site: BlockInputs, opens_network: bool, bound: Bound | None = None
) -> tuple[tuple[Block, ...], TensorShape]:
    """Return the units of a block, each as a block of the network, and the output shape. The first has the stride.

    Args:
        site: The inputs of the block.
        opens_network: Whether it is the first block of the network.
        bound: Layers that were bound earlier.

    Raises:
        Fault: If one of them cannot exist.
    """
    units, x = units_of(site), site.x
    made: list[Block] = []
    for inputs, unit in zip(units_at(site, units), units):
        block, x = derive_unit(inputs._replace(x=x), unit, opens_network and not made, bound)
        made.append(block)
    return tuple(made), x


def units_at(site: BlockInputs, units: Sequence[UnitLayers]) -> list[BlockInputs]:
    """Return the inputs of each unit of a block, with the input shape of the block."""
    if len(units) == 1:
        return [site]
    named = [site._replace(where=f"{site.where}, unit {number}") for number in range(1, len(units) + 1)]
    return [unit if place == 0 else unit._replace(stride=1) for place, unit in enumerate(named)]


def derive_unit(
    site: BlockInputs, unit: UnitLayers, opens_network: bool, bound: Bound | None = None
) -> tuple[Block, TensorShape]:
    """Return one unit as a block, and its output shape.

    Args:
        site: The inputs of the block, for this unit.
        unit: The layers of the unit.
        opens_network: Whether it is the first unit of the network.
        bound: Layers that were bound earlier.

    Raises:
        Fault: If the block cannot exist.
    """
    _, _, resolver, x, width, stride, classes, where = site
    branch = derive_branch(site, unit, bound)
    takes_pre = branch.source == "preact" and (branch.is_changed or opens_network)
    shared = initial_norm_act(branch.ops) if takes_pre else 0
    shortcut, shortcut_shape, y = None, x, branch.output
    layers: list[Layer] = []
    if branch.shortcut is not None:
        if resolver.variables["s"] != stride:
            resolver.variables = {**resolver.variables, "s": stride}
        layers = resolver.layers(branch.shortcut)
        of = f"{where}, shortcut"
        if stride != 1 and not branch.is_changed and not any(map(takes_stride, layers)):
            raise Fault(
                site.rule.place,
                f"{resolver.with_choices()}{where}: {one_pixel(stride, x)}",
            )
        shortcut, shortcut_shape = bind(
            layers, x, width, stride, classes, of, resolver, place=branch.merge_place, bound=bound
        )
    try:
        if shortcut is not None:
            y = branch.merge.output_shape(y, shortcut_shape)
        elif not isinstance(branch.merge, Add):
            raise ArchitectureError(f"the merge {branch.merge.spelling!r} needs a shortcut, here it is 'none'")
    except ArchitectureError as error:
        message = f"{resolver.with_choices()}{where}: {error}"
        if shortcut is not None and branch.output != shortcut_shape:
            message += f"; {_origins(branch, layers, x, shortcut_shape)}"
        raise Fault(branch.merge_place, message) from None
    if all(any(map(_is_zero, ops)) for ops in (branch.ops, shortcut) if ops is not None):
        zeros = "is zero and the block has no shortcut" if shortcut is None else "and the shortcut are zero"
        raise Fault(
            branch.merge_place,
            f"{resolver.with_choices()}{where}: the branch {zeros}, so no image would reach the output; give it a"
            " shortcut, as in changed: conv1x1 bn, or open the stage with a block without zero (first: ...)",
        )
    after, y = bind(branch.after, y, width, 1, classes, where, resolver, bound=bound)
    require_no_zero(after, branch.merge_place, f"{resolver.with_choices()}{where}, after the merge")
    return Block(branch.ops, branch.merge, after, shortcut, shared), y


def _is_zero(op: Op) -> bool:
    """Return whether an op keeps each image from what follows, as ``zero`` does."""
    return isinstance(op, Zero) or (isinstance(op, Nested) and makes_zeros(op))


def output_before_shortcut(site: BlockInputs, branch: Branch, bound: Bound | None = None) -> TensorShape:
    """Return the output shape of a unit whose shortcut is not known yet.

    Raises:
        Fault: If it depends on the shortcut, or the layers after the merge do not fit.
    """
    if not isinstance(branch.merge, (Add, Gate)):
        message = f"{site.where}: a shortcut with choices at {branch.merge.spelling!r} before ';'"
        raise Fault(branch.merge_place, f"{message}; write '+', or a shortcut without choices")
    return bind(branch.after, branch.output, site.width, 1, site.classes, site.where, site.resolver, bound=bound)[1]


def _origins(branch: Branch, of_shortcut: Sequence[Layer], x: TensorShape, shortcut: TensorShape) -> str:
    """Return the layers from which two unequal shapes at a merge come, and what to change.

    Args:
        branch: The branch.
        of_shortcut: The layers of the shortcut.
        x: The input shape of the block.
        shortcut: The output shape of the shortcut.
    """
    y = branch.output
    if reduced := [layer for layer in branch.layers if _leaves_one_pixel(layer)]:
        line, column = reduced[-1].place
        gate = "a gate is product(identity, gap conv1x1(c) sigmoid)"
        return f"the layer at {line}:{column} leaves one pixel; {gate}, a classifier belongs into the head"
    changing = [layer for layer in branch.layers if _changes(layer, channels=y.channels != shortcut.channels)]
    from_branch = _spelled(changing[-1]) if changing else f"the input {x} of the block"
    key = "changed" if branch.is_changed else "same"
    layers = [layer for layer in of_shortcut if _changes(layer, channels=True)]
    from_shortcut = f"{_spelled(layers[-1])} of shortcut '{key}'" if layers else f"the input {x} of the block"
    found = f"the branch's shape comes from {from_branch}, the shortcut's from {from_shortcut}"
    if y.channels == shortcut.channels:
        pads = any("padding" in layer.given for layer in changing)
        why = "its padding changes the size: write pad=same" if pads else "even kernels do not pad: write an odd kernel"
        return f"{found}; {why}, or shrink the shortcut alike"
    expected = f"give the last conv of the branch {shortcut.channels} channels, or that of the shortcut {y.channels}"
    return f"{found}; {expected}"


def _leaves_one_pixel(layer: Layer) -> bool:
    """Whether a layer, not one in a path of a fork, puts out a single pixel."""
    what = layer.what if isinstance(layer.what, type) else type(layer.what)
    return issubclass(what, Op) and (what.spelling in ("gap", "gmp") or what.role == "linear")


def _changes(layer: Layer, channels: bool) -> bool:
    """Whether a layer can change the channels, or else the sides."""
    if isinstance(layer.what, Paths):
        return layer.what.join in ("cat", "split") or any(_changes(i, channels) for p in layer.what.layers for i in p)
    if not isinstance(layer.what, type) or not issubclass(layer.what, Op):
        return False
    if channels:
        return is_conv(layer.what) or "out" in layer.given
    return layer.kernel is not None and ("padding" in layer.given or any(side % 2 == 0 for side in sides(layer.kernel)))


def _spelled(layer: Layer) -> str:
    """Return a layer with its output channels and its place; the default shortcut has no place in a file."""
    place = "" if layer.place == (1, 1) else f" at {layer.place[0]}:{layer.place[1]}"
    if isinstance(layer.what, Paths):
        return f"{layer.what.join}(...){place}"
    assert isinstance(layer.what, type) and issubclass(layer.what, Op)
    given = layer.given.get("out", "")
    width = f"({given.text if isinstance(given, Deferred) else given})" if given else ""
    return f"{layer.what.spelled(layer.kernel)}{width}{place}"


def _split_at_merge(layers: list[Layer]) -> tuple[list[Layer], Layer, list[Layer]]:
    """Return the layers before the merge, the merge, and the layers after it. Loading has checked that there is one."""
    at = [layer.is_merge for layer in layers].index(True)
    return layers[:at], layers[at], layers[at + 1 :]


def initial_norm_act(ops: Sequence[Op]) -> int:
    """Return how many norms and activations ``ops`` begin with."""
    return next((i for i, op in enumerate(ops) if op.role not in NORM_ACT), len(ops))


def post_layers(block: Block) -> list[Op]:
    """Return what ``post`` copies: all norms and activations after the last conv of a block, in order."""
    ops = (*block.branch, *block.after)
    last = max((i for i, op in enumerate(ops) if any(leaf.role == "conv" for leaf in leaves((op,)))), default=-1)
    return [op for op in ops[last + 1 :] if op.role in NORM_ACT]


def pre_layers(block: Block) -> list[Op]:
    """Return what ``pre`` copies: the norms and activations that a block begins with."""
    return list(block.branch[: initial_norm_act(block.branch)])
