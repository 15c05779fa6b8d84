"""A space and a derivation to an Architecture, unit by unit: stem, each stage's transition and blocks, head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from explorer.architecture import MAX_BLOCKS, MAX_LAYERS, Architecture
from explorer.block import Block, Stage
from explorer.errors import ArchitectureError
from explorer.grammar.binding import Bound, bind_head, bind_plain
from explorer.grammar.blocks import copied, derive_block, post_layers, pre_layers
from explorer.grammar.resolve import Fault, Layer, Resolver, chosen
from explorer.grammar.tree import Copied, Item, Point, reachable
from explorer.ops.base import MAX_CHANNELS, MAX_STRIDE, Op, TensorShape

if TYPE_CHECKING:
    from explorer.grammar.space import Derivation, SearchSpace, StageRule

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
