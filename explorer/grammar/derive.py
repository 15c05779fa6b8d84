"""A space and a derivation to an Architecture: where strides, widths, shortcuts and copied layers are settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from explorer.architecture import MAX_BLOCKS, MAX_LAYERS, Architecture, Block, Stage
from explorer.errors import ArchitectureError
from explorer.grammar.expression import Copied, Item, Place, Point, walk
from explorer.grammar.resolve import Fault, Layer, Resolver, chosen
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


def answers_for(choices: dict[str, str], unit: str) -> Lookup:
    """Looks points up among named choices, as they stand in ``unit``; uses are counted in the order they come."""
    uses: dict[Point, int] = {}

    def lookup(point: Point) -> int:
        if point.scope == "use":
            uses[point] = uses.get(point, 0) + 1
        name = instance(point, unit, uses.get(point, 1))
        if name not in choices:
            raise Fault((1, 1), f"the derivation does not say {name}; it is one of {' | '.join(point.options)}")
        if choices[name] not in point.options:
            raise Fault(
                (1, 1), f"{name} has no alternative {choices[name][:80]!r}; it has: {' | '.join(point.options)}"
            )
        return point.options.index(choices[name])

    return lookup


def derive_architecture(space: SearchSpace, derivation: Derivation) -> Architecture:
    """The network of a derivation. Raises SpaceError, located, when it cannot be built."""
    try:
        return _Deriver(space, dict(derivation.choices)).architecture()
    except Fault as fault:
        raise space.error(str(fault), fault.place) from None
    except ArchitectureError as error:
        raise space.error(f"{chosen(derivation.choices)}{error}") from None


class _Deriver:
    def __init__(self, space: SearchSpace, choices: dict[str, str]):
        self.space = space
        self.choices = choices

    def resolver(self, unit: str, **variables: int) -> Resolver:
        return Resolver(self.space.rules, answers_for(self.choices, unit), variables)

    def architecture(self) -> Architecture:
        space = self.space
        numbers = [stage_numbers(stage, self.resolver(f"stage{k}"), k) for k, stage in enumerate(space.stages, 1)]
        total = sum(stage.blocks for stage in numbers)
        layers = 0
        stem_layers = self.resolver(
            "stem", **{"w": numbers[0].width, "in": space.input.channels, "s": 1, "d": 1, "n": total}
        ).layers(space.stem)
        x = bind_plain(space, stem_layers, space.input, numbers[0].width, "the stem", 1)[1]
        stages, place = [], 0
        for k, (rule, stage) in enumerate(zip(space.stages, numbers), 1):
            transition: tuple[Op, ...] = ()
            stride = stage.stride
            if k > 1 and space.transition is not None:
                variables = {
                    "w": stage.width,
                    "in": x.channels,
                    "s": stage.stride,
                    "d": stage.dilation,
                    "n": total,
                    "i": place + 1,
                }
                opening = self.resolver(f"stage{k}.transition", **variables).layers(space.transition)
                transition, x = bind_plain(space, opening, x, stage.width, f"the transition to stage {k}", stage.stride)
                stride = 1
            blocks: list[Block] = []
            made: dict[tuple, tuple[Block, TensorShape]] = {}
            for j in range(1, stage.blocks + 1):
                place += 1
                item = rule.first if j == 1 else rule.block
                s = stride if j == 1 else 1
                key = (item, s, x, place == 1) if not changes_by_block(space, rule, item) else None
                if key not in made or key is None:
                    variables = {
                        "w": stage.width,
                        "in": x.channels,
                        "s": s,
                        "d": stage.dilation,
                        "i": place,
                        "n": total,
                    }
                    resolver = self.resolver(f"stage{k}.block{j}", **variables)
                    block, y = derive_block(
                        space, rule, item, resolver, x, stage.width, s, place == 1, f"stage {k}, block {j}"
                    )
                    made[key] = (block, y)
                block, x = made[key]
                blocks.append(block)
                layers += max(1, block.layer_count)
                if layers > MAX_LAYERS:
                    raise Fault(
                        rule.place, f"more than {MAX_LAYERS:,} layers; {place} of the {total:,} blocks come to as many"
                    )
            stages.append(Stage(tuple(blocks), transition))
        first, last = stages[0].blocks[0], stages[-1].blocks[-1]
        stem = bind_plain(space, copied(stem_layers, post_layers(first)), space.input, numbers[0].width, "the stem", 1)[
            0
        ]
        head_variables = {"w": numbers[-1].width, "in": x.channels, "s": 1, "d": 1, "n": total}
        head_layers = copied(self.resolver("head", **head_variables).layers(space.head), pre_layers(last))
        head = bind_head(space, head_layers, x, numbers[-1].width)[0]
        return Architecture(space.input, space.classes, stem, tuple(stages), head)


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
    space: SearchSpace, layers: list[Layer], x: TensorShape, width: int, where: str, stride: int
) -> tuple[tuple[Op, ...], TensorShape]:
    """Layers outside blocks (stem, transition, head), bound one after the other. Raises Fault."""
    return bind(
        [layer for layer in layers if not isinstance(layer.what, Copied)], x, width, stride, space.classes, where
    )


def bind_head(
    space: SearchSpace, layers: list[Layer], x: TensorShape, width: int
) -> tuple[tuple[Op, ...], TensorShape]:
    """The head's layers, bound; they must put out the classes. Raises Fault."""
    ops, y = bind_plain(space, layers, x, width, "the head", 1)
    if y != (space.classes, 1, 1):
        place = layers[-1].place if layers else (1, 1)
        raise Fault(place, f"the head puts out {y}, {space.classes} classes need {space.classes}x1x1; end it with 'fc'")
    return ops, y


def bind(
    layers: list[Layer],
    x: TensorShape,
    width: int,
    stride: int,
    classes: int,
    where: str,
    prefix: str = "",
    exactly: bool = False,
    place: Place = (1, 1),
) -> tuple[tuple[Op, ...], TensorShape]:
    """Layers as ops with literal numbers, the stride given to the one that takes it; ops that change
    nothing vanish. ``exactly``: constant strides count as well, a stride of 1 must be kept. ``place``:
    where an error stands that no layer is to blame for.

    Raises Fault when the shapes do not fit or the stride is not met.
    """
    carriers = stride_carriers(layers) if stride > 1 else ()
    ops, shrunk = [], 1
    for index, layer in enumerate(layers):
        if is_merge(layer):
            raise Fault(
                layer.place, f"{layer.what.spelling!r} in {where}; a merge stands only in a block, and there once"
            )
        try:
            if isinstance(layer.what, Op):
                op = layer.what
            else:
                pools = layer.what.takes_stride == "pool" and layer.kernel is None
                own = stride if pools or index in carriers else 1
                op = layer.what.bind(layer.kernel, layer.given, Context(x, width, own, classes))
            y = op.output_shape(x)
            shrunk *= op.receptive()[1]
            if op.canonical(x) is not None:
                ops.append(op)
        except ArchitectureError as error:
            raise Fault(layer.place, f"{prefix}{where}: {error}") from None
        x = y
    if shrunk != stride and (exactly or stride > 1):
        mend = "let one of them take it, as in conv3x3(s=s)" if shrunk == 1 else "strides belong under 'stages'"
        raise Fault(
            layers[0].place if layers else place,
            f"{prefix}{where}: the layers shrink by {shrunk}, the stride is {stride}; {mend}",
        )
    return tuple(ops), x


def is_merge(layer: Layer) -> bool:
    return isinstance(layer.what, type) and issubclass(layer.what, Merge)


def stride_carriers(layers: list[Layer]) -> tuple[int, ...]:
    """Which conv takes the stride by the rule: none when an op is written with ``s`` or pools by
    itself; else the first with a kernel larger than 1; failing that, the first."""
    if any(
        layer.uses_stride or (layer.kernel is None and "stride" not in layer.given and _pools(layer))
        for layer in layers
    ):
        return ()
    free = [i for i, layer in enumerate(layers) if layer.what in CONVS and "stride" not in layer.given]
    large = [i for i in free if layers[i].kernel > 1]
    return tuple((large or free)[:1])


def _pools(layer: Layer) -> bool:
    return getattr(layer.what, "takes_stride", "") == "pool"


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
) -> Branch:
    """The residual branch for an arriving ``x``, and which shortcut the block takes. Raises Fault."""
    layers, merge_layer, after = split_at_merge(resolver.layers(item))
    ops, y = bind(layers, x, width, stride, space.classes, where, resolver.with_choices(), True, merge_layer.place)
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
) -> tuple[Block, TensorShape]:
    """One block for an arriving ``x``, and the shape it puts out. Raises Fault."""
    branch = derive_branch(space, rule, item, resolver, x, width, stride, where)
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
            resolver.with_choices(),
            place=branch.merge_place,
        )
    try:
        if shortcut is not None:
            y = branch.merge.output_shape(y, arriving)
        elif not isinstance(branch.merge, Add):
            raise ArchitectureError(f"the merge {branch.merge.spelling!r} needs a shortcut, here it is 'none'")
    except ArchitectureError as error:
        raise Fault(branch.merge_place, f"{resolver.with_choices()}{where}: {error}") from None
    after, y = bind(branch.after, y, width, 1, space.classes, where, resolver.with_choices())
    return Block(branch.ops, branch.merge, after, shortcut, shared), y


def split_at_merge(layers: list[Layer]) -> tuple[list[Layer], Layer, list[Layer]]:
    """What stands before the merge, the merge, and what follows it. The space has checked that there is one."""
    at = next(i for i, layer in enumerate(layers) if is_merge(layer))
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


def copied(layers: list[Layer], copies: list[Op]) -> list[Layer]:
    """``layers`` with ``post`` or ``pre`` replaced by the layers they copy."""
    out: list[Layer] = []
    for layer in layers:
        if isinstance(layer.what, Copied):
            out.extend(Layer(op, None, {}, False, layer.place) for op in copies)
        else:
            out.append(layer)
    return out
