"""A space and a derivation to an Architecture: where strides, widths, shortcuts and copied layers are settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from explorer.architecture import MAX_BLOCKS, MAX_LAYERS, Architecture, Block, Stage
from explorer.errors import ArchitectureError
from explorer.grammar.expression import Copied, Item, Place, Point, walk
from explorer.grammar.resolve import Fault, Layer, Resolver, bound_layer, chosen
from explorer.ops.base import MAX_CHANNELS, MAX_STRIDE, Context, Op, TensorShape
from explorer.ops.conv import Conv, DepthwiseConv
from explorer.ops.merge import Add, Gate, Merge

if TYPE_CHECKING:
    from explorer.grammar.space import Derivation, SearchSpace, StageRule

CONVS = (Conv, DepthwiseConv)
RHYTHM = ("norm", "activation")
Lookup = Callable[[Point], int]


class StageNumbers(NamedTuple):
    """What a stage's header comes to."""

    blocks: int
    width: int
    stride: int
    dilation: int


def instance(point: Point, unit: str, occurrence: int = 1) -> str:
    """The name of a choice point in a unit: ``stem``, ``head``, ``stage2`` (its numbers),
    ``stage2.transition`` or ``stage2.block3``. ``occurrence`` counts uses within the unit, from 1."""
    if point.scope == "network":
        return point.name
    if point.scope == "stage":
        return f"{point.name}@{unit.split('.')[0]}"
    if point.scope == "block":
        return f"{point.name}@{unit}"
    return f"{point.name}@{unit}.use{occurrence}"


def answers_for(choices: Mapping[str, str], unit: str) -> Lookup:
    """Looks points up among named choices, as they stand in ``unit``; uses are counted in the order they come."""
    uses: dict[Point, int] = {}

    def lookup(point: Point) -> int:
        if point.scope == "network":
            name = point.name
        else:
            if point.scope == "use":
                uses[point] = uses.get(point, 0) + 1
            name = instance(point, unit, uses.get(point, 1))
        try:
            return point.options.index(choices[name])
        except KeyError:
            raise Fault(
                (1, 1), f"the derivation does not say {name}; it is one of {' | '.join(point.options)}"
            ) from None
        except ValueError:
            raise Fault(
                (1, 1), f"{name} has no alternative {choices[name][:80]!r}; it has: {' | '.join(point.options)}"
            ) from None

    return lookup


def derive_architecture(space: SearchSpace, derivation: Derivation) -> Architecture:
    """The network of a derivation. Raises SpaceError, located, when it cannot be built."""
    try:
        return derive(space, derivation.choices)
    except Fault as fault:
        raise space.error(str(fault), fault.place) from None
    except ArchitectureError as error:
        raise space.error(f"{chosen(derivation.choices)}{error}") from None


def derive(space: SearchSpace, choices: Mapping[str, str]) -> Architecture:
    """The network that ``choices`` (choice point -> alternative's text) make. Raises Fault."""

    def answers(unit: str) -> Lookup:
        return answers_for(choices, unit)

    bound: Bound = {}
    numbers = [
        stage_numbers(stage, Resolver(space.program, answers(f"stage{k}"), {}), k)
        for k, stage in enumerate(space.stages, 1)
    ]
    total = sum(stage.blocks for stage in numbers)
    stem_layers = layers_of_stem(space, answers("stem"), numbers[0].width, total)
    stem, x = bind_plain(space, stem_layers, space.input, numbers[0].width, "the stem", 1, bound)
    stages, place, layers = [], 0, 0
    for k, (rule, stage) in enumerate(zip(space.stages, numbers), 1):
        transition: tuple[Op, ...] = ()
        if k > 1 and space.transition is not None:
            transition, x = derive_transition(
                space, answers(f"stage{k}.transition"), k, stage, x, place + 1, total, bound
            )
        blocks: list[Block] = []
        made: dict[tuple, tuple[Block, TensorShape]] = {}
        for j in range(1, stage.blocks + 1):
            place += 1
            key = None
            item = rule.first if j == 1 else rule.block
            if not changes_by_block(space, rule, item):
                key = item, stride_of(space, k, j, stage), x, opens(rule, place)
            if key is None or key not in made:
                made[key] = derive_placed(space, answers(f"stage{k}.block{j}"), k, j, stage, x, place, total, bound)
            block, x = made[key]
            blocks.append(block)
            layers += max(1, block.layer_count)
            if layers > MAX_LAYERS:
                raise Fault(
                    rule.place, f"more than {MAX_LAYERS:,} layers; {place} of the {total:,} blocks come to as many"
                )
        stages.append(Stage(tuple(blocks), transition))
    posts = post_layers(stages[0].blocks[0])
    if posts and any(isinstance(layer.what, Copied) for layer in stem_layers):
        stem = bind_plain(space, copied(stem_layers, posts), space.input, numbers[0].width, "the stem", 1, bound)[0]
    pres = pre_layers(stages[-1].blocks[-1])
    head, _ = derive_head(space, answers("head"), x, numbers[-1].width, total, pres, bound)
    return Architecture(space.input, space.classes, stem, tuple(stages), head)


# The units of a network, one by one. ``lookup`` answers the unit's choices, ``n`` is the number of blocks of the
# network and ``i`` a block's place in it.


def layers_of_stem(space: SearchSpace, lookup: Lookup, width: int, n: int) -> list[Layer]:
    """The stem's layers, ``post`` still to be copied from the first block. Raises Fault."""
    variables = {"w": width, "in": space.input.channels, "s": 1, "d": 1, "n": n}
    return Resolver(space.program, lookup, variables).layers(space.stem)


def derive_transition(
    space: SearchSpace, lookup: Lookup, k: int, stage: StageNumbers, x: TensorShape, i: int, n: int, bound: Bound
) -> tuple[tuple[Op, ...], TensorShape]:
    """The transition that opens stage ``k``, and the shape it puts out. Raises Fault."""
    variables = {"w": stage.width, "in": x.channels, "s": stage.stride, "d": stage.dilation, "n": n, "i": i}
    layers = Resolver(space.program, lookup, variables).layers(space.transition)
    return bind_plain(space, layers, x, stage.width, f"the transition to stage {k}", stage.stride, bound)


def derive_placed(
    space: SearchSpace,
    lookup: Lookup,
    k: int,
    j: int,
    stage: StageNumbers,
    x: TensorShape,
    i: int,
    n: int,
    bound: Bound,
) -> tuple[Block, TensorShape]:
    """Block ``j`` of stage ``k`` for an arriving ``x``, and the shape it puts out. Raises Fault."""
    rule = space.stages[k - 1]
    s = stride_of(space, k, j, stage)
    variables = {"w": stage.width, "in": x.channels, "s": s, "d": stage.dilation, "i": i, "n": n}
    resolver = Resolver(space.program, lookup, variables)
    item = rule.first if j == 1 else rule.block
    return derive_block(space, rule, item, resolver, x, stage.width, s, i == 1, f"stage {k}, block {j}", bound)


def derive_head(
    space: SearchSpace, lookup: Lookup, x: TensorShape, width: int, n: int, pres: Sequence[Op], bound: Bound
) -> tuple[tuple[Op, ...], TensorShape]:
    """The head, with ``pre`` copied from the last block. Raises Fault."""
    variables = {"w": width, "in": x.channels, "s": 1, "d": 1, "n": n}
    layers = Resolver(space.program, lookup, variables).layers(space.head)
    return bind_head(space, copied(layers, pres), x, width, bound)


def stride_of(space: SearchSpace, k: int, j: int, stage: StageNumbers) -> int:
    """The stride of block ``j`` of stage ``k``: the stage's in its first block, unless a transition has taken it."""
    return stage.stride if j == 1 and (k == 1 or space.transition is None) else 1


def opens(rule: StageRule, place: int) -> bool:
    """Whether a block at ``place`` differs from later ones for opening the network: the shortcuts of such blocks
    may start after ``pre``."""
    return place == 1 and any(shortcut.source == "preact" for shortcut in rule.shortcuts.values())


def stage_numbers(rule: StageRule, resolver: Resolver, k: int) -> StageNumbers:
    """Blocks, width, stride and dilation of stage ``k``. Raises Fault."""
    of = f"of stage {k}"
    return StageNumbers(
        resolver.whole(rule.blocks, "number of blocks", of, 1, MAX_BLOCKS, rule.place),
        resolver.whole(rule.width, "width", of, 1, MAX_CHANNELS, rule.place),
        resolver.whole(rule.stride, "stride", of, 1, MAX_STRIDE, rule.place),
        resolver.whole(rule.dilation, "dilation", of, 1, 64, rule.place),
    )


def changes_by_block(space: SearchSpace, rule: StageRule, item: Item) -> bool:
    """Whether two blocks of one stage, alike in shape, may still differ: by a choice of their own or their place."""
    key = id(item), id(rule)
    known = space.__dict__.setdefault("_changing", {})
    if key not in known:
        roots = [item, *(part for s in rule.shortcuts.values() for part in (s.same, s.changed) if part is not None)]
        known[key] = any(
            getattr(getattr(node, "point", None), "scope", "") in ("block", "use")
            or getattr(node, "name", "") in ("i", "n")
            for node in reachable(space.rules, roots)
        )
    return known[key]


def reachable(rules, roots):
    """All nodes that expressions can come to, rules followed once."""
    seen: set[str] = set()
    pending = list(roots)
    while pending:
        for node in walk(pending.pop()):
            yield node
            name = getattr(node, "name", None)
            if name in rules and name not in seen and type(node).__name__ == "Reference":
                seen.add(name)
                pending.append(rules[name])


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
    carrier = stride_carrier(layers) if stride > 1 else None
    ops, shrunk = [], 1
    for index, layer in enumerate(layers):
        if layer.free:
            ops.append(layer.what)
            continue
        own = stride if layer.pools or index == carrier else 1
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


def stride_carrier(layers: list[Layer]) -> int | None:
    """Which conv takes the stride by the rule: none when an op is written with ``s`` or pools by
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


class Branch(NamedTuple):
    """A block up to its merge: what is settled before the shortcut is read."""

    ops: tuple[Op, ...]
    output: TensorShape
    merge: Merge
    merge_place: tuple[int, int]
    after: list[Layer]
    source: str
    shortcut: Item | None
    changed: bool


def derive_branch(
    space: SearchSpace,
    rule: StageRule,
    item: Item,
    resolver: Resolver,
    x: TensorShape,
    width: int,
    stride: int,
    where: str,
    bound: Bound | None = None,
) -> Branch:
    """The residual branch for an arriving ``x``, and which shortcut the block takes. Raises Fault."""
    layers, merge_layer, after = split_at_merge(resolver.layers(item))
    ops, y = bind(layers, x, width, stride, space.classes, where, resolver, True, merge_layer.place, bound)
    named = [name for name in resolver.through if name in rule.shortcuts]
    spec = rule.shortcuts[named[-1] if named else ""]
    merge = merge_layer.what(**{name: float(value) for name, value in merge_layer.given.items()})
    # With `cat` the channels grow anyway: only height and width decide whether the shape changed.
    changed = x[1:] != y[1:] if merge.spelling == "cat" else x != y
    if changed and isinstance(merge, Gate):
        merge = Add()
    shortcut = spec.changed if changed else spec.same
    return Branch(ops, y, merge, merge_layer.place, after, spec.source, shortcut, changed)


def derive_block(
    space: SearchSpace,
    rule: StageRule,
    item: Item,
    resolver: Resolver,
    x: TensorShape,
    width: int,
    stride: int,
    opens_network: bool,
    where: str,
    bound: Bound | None = None,
) -> tuple[Block, TensorShape]:
    """One block for an arriving ``x``, and the shape it puts out. Raises Fault."""
    branch = derive_branch(space, rule, item, resolver, x, width, stride, where, bound)
    takes_pre = branch.source == "preact" and (branch.changed or opens_network)
    shared = initial_rhythm(branch.ops) if takes_pre else 0
    shortcut, y = None, branch.output
    if branch.shortcut is not None:
        layers = resolver.layers(branch.shortcut)
        shortcut, arriving = bind(
            layers,
            x,
            width,
            stride,
            space.classes,
            f"{where}, shortcut",
            resolver,
            place=branch.merge_place,
            bound=bound,
        )
    try:
        if shortcut is not None:
            y = branch.merge.output_shape(y, arriving)
        elif not isinstance(branch.merge, Add):
            raise ArchitectureError(f"the merge {branch.merge.spelling!r} needs a shortcut, here it is 'none'")
    except ArchitectureError as error:
        raise Fault(branch.merge_place, f"{resolver.with_choices()}{where}: {error}") from None
    after, y = bind(branch.after, y, width, 1, space.classes, where, resolver, bound=bound)
    return Block(branch.ops, branch.merge, after, shortcut, shared), y


def split_at_merge(layers: list[Layer]) -> tuple[list[Layer], Layer, list[Layer]]:
    """What stands before the merge, the merge, and what follows it. The space has checked that there is one."""
    at = [layer.merges for layer in layers].index(True)
    return layers[:at], layers[at], layers[at + 1 :]


def initial_rhythm(ops: tuple[Op, ...]) -> int:
    """The length of the longest initial run of norms and activations."""
    return next((i for i, op in enumerate(ops) if op.role not in RHYTHM), len(ops))


def post_layers(block: Block) -> list[Op]:
    """``post``: all norms and activations that follow the last conv of a block, in order."""
    ops = (*block.branch, *block.after)
    last = max((i for i, op in enumerate(ops) if isinstance(op, Conv)), default=-1)
    return [op for op in ops[last + 1 :] if op.role in RHYTHM]


def pre_layers(block: Block) -> list[Op]:
    """``pre``: the longest initial run of norms and activations of a block."""
    return list(block.branch[: initial_rhythm(block.branch)])


def copied(layers: list[Layer], copies: Sequence[Op]) -> list[Layer]:
    """``layers`` with ``post`` or ``pre`` replaced by the layers they copy."""
    out: list[Layer] = []
    for layer in layers:
        if isinstance(layer.what, Copied):
            out.extend(bound_layer(op, layer.place) for op in copies)
        else:
            out.append(layer)
    return out
