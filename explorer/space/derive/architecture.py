"""Derivation of an Architecture from a grammar: stem, each stage's transition and blocks, head."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.architecture import MAX_BLOCKS, MAX_LAYERS, MAX_SIDE, Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.ops.base import MAX_CHANNELS, MAX_STRIDE, Op, TensorShape
from explorer.networks.ops.window import Size
from explorer.space.choices import Lookup, answers_in, choice_name, with_choices
from explorer.space.derive.binding import Bound, BoundOps
from explorer.space.derive.blocks import BlockInputs, derive_units, post_layers, pre_layers
from explorer.space.derive.layer import Layer
from explorer.space.derive.layers import Program, Resolver
from explorer.space.derive.outer_parts import bind_head, bind_path, copied, has_stride
from explorer.space.derive.relevance import Relevance, depends_on_block
from explorer.space.grammar import (
    Copied,
    Fault,
    Grammar,
    Point,
    StageRule,
    Variable,
    point_of,
    reachable,
)

MAX_DILATION = 64
# What a deriver keeps for further networks: some 20 MB of each.
MAX_KNOWN_NUMBERS = 50_000
MAX_KNOWN_BLOCKS = 4_000
MAX_BOUND_LAYERS = 50_000


class StageNumbers(NamedTuple):
    """The numbers of a stage.

    Attributes:
        blocks: The number of blocks.
        width: The width, of its first block if the blocks differ.
        stride: The stride.
        dilation: The dilation, of its first block if the blocks differ.
        of_blocks: Width and dilation of each block; empty if the blocks do not differ.
    """

    blocks: int
    width: int
    stride: Size
    dilation: int
    of_blocks: tuple[tuple[int, int], ...] = ()

    def at(self, j: int) -> StageNumbers:
        """Return the numbers with width and dilation of block ``j``, from 1; of the last block for -1."""
        if not self.of_blocks:
            return self
        width, dilation = self.of_blocks[j if j < 0 else j - 1]
        return self._replace(width=width, dilation=dilation)


def stage_numbers(rule: StageRule, resolver: Resolver, k: int) -> StageNumbers:
    """Return the numbers of stage ``k``.

    Raises:
        Fault: If one is not a whole number in its range.
    """
    blocks = stage_blocks(rule, resolver, k)
    stride = stage_stride(rule, resolver, k)
    if not resolver.program.differs_between_blocks(rule, k):
        return StageNumbers(blocks, stage_width(rule, resolver, k), stride, stage_dilation(rule, resolver, k))
    variables, found = resolver.variables, []
    for j in range(1, blocks + 1):
        resolver.variables = {**variables, "j": j, "m": blocks}
        found.append((stage_width(rule, resolver, k), stage_dilation(rule, resolver, k)))
    return StageNumbers(blocks, found[0][0], stride, found[0][1], tuple(found))


def stage_resolver(program: Program, lookup: Lookup, k: int) -> Resolver:
    """Return the resolver of the numbers of stage ``k``."""
    return Resolver(program, lookup, {"stage": k})


def stage_blocks(rule: StageRule, resolver: Resolver, k: int) -> int:
    """Return the number of blocks of stage ``k``.

    Raises:
        Fault: If it is not a whole number in its range.
    """
    return resolver.whole(rule.blocks, "number of blocks", f"of stage {k}", 1, MAX_BLOCKS, rule.place)


def stage_width(rule: StageRule, resolver: Resolver, k: int) -> int:
    """Return the width of stage ``k``. Raises Fault as ``stage_blocks``."""
    return resolver.whole(rule.width, "width", f"of stage {k}", 1, MAX_CHANNELS, rule.place)


def stage_stride(rule: StageRule, resolver: Resolver, k: int) -> Size:
    """Return the stride of stage ``k``. Raises Fault as ``stage_blocks``."""
    return resolver.stride(rule.stride, f"of stage {k}", MAX_STRIDE, rule.place)


def stage_dilation(rule: StageRule, resolver: Resolver, k: int) -> int:
    """Return the dilation of stage ``k``. Raises Fault as ``stage_blocks``."""
    return resolver.whole(rule.dilation, "dilation", f"of stage {k}", 1, MAX_DILATION, rule.place)


class BlockReads(NamedTuple):
    """What the blocks of a stage read from outside.

    Attributes:
        points: The choice points.
        i: Whether they read the variable ``i``.
        n: Whether they read the variable ``n``.
        j: Whether they read the number of the block in its stage.
        m: Whether they read the variable ``m``.
        vary_by_block: Whether blocks with the same input shape can differ, by a choice or by their number.
        vary_by_use: Whether a choice is made at each use.
    """

    points: tuple[Point, ...]
    i: bool
    n: bool
    j: bool
    m: bool
    vary_by_block: bool
    vary_by_use: bool


class Deriver:
    """Derives the networks of one grammar, whole or unit by unit.

    In the methods, ``lookup`` returns the options of the unit's choices, ``n`` is the number of blocks of the network,
    ``i`` the number of a block in the network, ``k`` the stage and ``j`` the block in the stage, all from 1.

    Blocks and layers that occur in several networks are derived once: their networks share one object.

    Args:
        grammar: The grammar.
        only: If given, only choices and ops that affect shapes are read.
    """

    def __init__(self, grammar: Grammar, only: Relevance | None = None):
        self.grammar = grammar
        named = (name for stage in grammar.stages for name in stage.shortcuts)
        self.program = Program(grammar.rules, named, only)
        self._reads: dict[tuple[int, bool], BlockReads] = {}
        self._names: dict[tuple[int, int], tuple[str, ...]] = {}
        self._numbers: dict[Hashable, StageNumbers] = {}
        self._blocks: dict[Hashable, tuple[tuple[Block, ...], TensorShape]] = {}
        self._last: dict[int, tuple[Block, ...]] = {}  # the block derived last in each stage
        self._bound: Bound = {}

    def architecture(self, choices: Mapping[str, str]) -> Architecture:
        """Return the network of a derivation.

        Args:
            choices: Name of the choice -> text of the chosen alternative.

        Raises:
            SpaceError: With its place in the file, if the network cannot be built.
        """
        try:
            return self.derive(choices)
        except Fault as fault:
            raise self.grammar.error(str(fault), fault.place) from None
        except ArchitectureError as error:
            raise self.grammar.error(f"{with_choices(choices)}{error}") from None

    def derive(self, choices: Mapping[str, str]) -> Architecture:
        """Return the network of a derivation, as ``architecture`` does.

        Raises:
            Fault: If a part cannot be built.
            ArchitectureError: If the whole cannot be built.
        """
        grammar = self.grammar
        self._forget()
        numbers = [self._known_numbers(choices, k) for k in range(1, len(grammar.stages) + 1)]
        n = sum(stage.blocks for stage in numbers)
        width = numbers[0].width
        image = self.input(answers_in(choices, "stem"))
        stem_layers = self.stem_layers(answers_in(choices, "stem"), width, n)
        stem, x = self._stem(stem_layers, image, (), width)
        stages: list[Stage] = []
        i = layers = 0
        for k, (rule, stage) in enumerate(zip(grammar.stages, numbers), 1):
            transition: tuple[Op, ...] = ()
            if k > 1 and grammar.transition is not None:
                lookup = answers_in(choices, f"stage{k}.transition")
                (transition, x), stride = self.transition(lookup, k, stage, x, i + 1, n)
                stage = stage._replace(stride=stride)
            blocks: list[Block] = []
            repeats = not self.reads(k, False).vary_by_block and not stage.of_blocks
            j = 1
            while j <= stage.blocks:
                entered = x
                units, x = self._known_block(choices, k, j, stage, x, i + 1, n)
                times = stage.blocks + 1 - j if repeats and j > 1 and x == entered else 1
                blocks += units * times
                i += times
                j += times
                layers += sum([max(1, unit.layer_count) for unit in units]) * times
                if layers > MAX_LAYERS:
                    raise Fault(rule.place, f"more than {MAX_LAYERS:,} layers in the first {i} of the {n:,} blocks")
            stages.append(Stage(tuple(blocks), transition))
        copies = any(isinstance(layer.what, Copied) for layer in stem_layers)
        if copies and (posts := post_layers(stages[0].blocks[0])):
            stem, _ = self._stem(stem_layers, image, posts, width)
        pres = pre_layers(stages[-1].blocks[-1])
        head, _ = self.head(answers_in(choices, "head"), x, numbers[-1].at(-1).width, n, pres)
        return Architecture(image, grammar.classes, stem, tuple(stages), head)

    def _known_numbers(self, choices: Mapping[str, str], k: int) -> StageNumbers:
        """Return the numbers of stage ``k``, computed earlier if another network has them."""
        rule, unit = self.grammar.stages[k - 1], f"stage{k}"
        names = self._names.get((k, 0))
        if names is None:
            points = filter(None, map(point_of, reachable(self.grammar.rules, rule.numbers, k)))
            names = self._names[k, 0] = tuple(choice_name(point, unit) for point in dict.fromkeys(points))
        answers = tuple(map(choices.get, names))
        found = self._numbers.get((k, answers))
        if found is None:
            found = stage_numbers(rule, stage_resolver(self.program, answers_in(choices, unit), k), k)
            if answers == tuple(map(choices.get, names)) and not any(".use" in name for name in names):
                self._numbers[k, answers] = found
        return found

    def _known_block(
        self, choices: Mapping[str, str], k: int, j: int, stage: StageNumbers, x: TensorShape, i: int, n: int
    ) -> tuple[tuple[Block, ...], TensorShape]:
        """Return the units of block ``j`` of stage ``k`` and its output shape, derived earlier if another network has
        it."""
        reads = self.reads(k, j == 1)
        unit = f"stage{k}.block{j}"
        if reads.vary_by_use:
            return self.block(answers_in(choices, unit), k, j, stage, x, i, n)
        place = k, j if reads.vary_by_block else min(j, 2)
        names = self._names.get(place)
        if names is None:
            names = self._names[place] = tuple(choice_name(point, unit) for point in reads.points)
        answers = tuple(map(choices.get, names))
        opens = _opens(self.grammar.stages[k - 1], i)
        counted = i if reads.i else 0, n if reads.n else 0, j if reads.j else 0, stage.blocks if reads.m else 0
        here = stage.at(j)
        key = k, j == 1, x, here.width, stride_of(j, stage), here.dilation, opens, counted, answers
        found = self._blocks.get(key)
        if found is None:
            units, y = self.block(answers_in(choices, unit), k, j, stage, x, i, n)
            last = self._last.get(k, ())
            found = last if units == last else units, y  # equal blocks are one object, so that each is examined once
            self._last[k] = found[0]
            if answers == tuple(map(choices.get, names)):  # else the mapping answers only when it is asked
                self._blocks[key] = found
        return found

    def reads(self, k: int, opens_stage: bool) -> BlockReads:
        """Return what blocks of stage ``k`` read: its first block, or the later ones."""
        found = self._reads.get((k, opens_stage))
        if found is None:
            rule = self.grammar.stages[k - 1]
            roots = [rule.first if opens_stage else rule.block, *rule.shortcut_parts]
            nodes = list(reachable(self.grammar.rules, roots, k))
            points = dict.fromkeys(point for point in map(point_of, nodes) if point is not None)
            variables = {node.name for node in nodes if isinstance(node, Variable)}
            scopes = {point.scope for point in points}
            counts = depends_on_block(self.grammar.rules, roots, k)
            found = self._reads[k, opens_stage] = BlockReads(
                tuple(points),
                i="i" in variables,
                n="n" in variables,
                j=counts,
                m="m" in variables,
                vary_by_block="i" in variables or counts or not scopes.isdisjoint(("block", "use")),
                vary_by_use="use" in scopes,
            )
        return found

    def _forget(self) -> None:
        """Drop blocks and layers of earlier networks if there are many."""
        if len(self._blocks) > MAX_KNOWN_BLOCKS:
            self._blocks = {}
        if len(self._bound) > MAX_BOUND_LAYERS:
            self._bound = {}
        if len(self._numbers) > MAX_KNOWN_NUMBERS:
            self._numbers = {}

    # Units, one by one

    def input(self, lookup: Lookup) -> TensorShape:
        """Return the shape of one image. Raises Fault if a side is not a whole number in its range."""
        grammar = self.grammar
        if not grammar.sides:
            return grammar.input
        resolver, place = Resolver(self.program, lookup, {}), grammar.places["input"]
        height, width = (
            resolver.whole(side, name, "of the input", 1, MAX_SIDE, place)
            for side, name in zip(grammar.sides, ("height", "width"))
        )
        return TensorShape(grammar.input.channels, height, width)

    def stem_layers(self, lookup: Lookup, width: int, n: int) -> list[Layer]:
        """Return the stem's layers; ``post`` is still to be copied from the first block. Raises Fault."""
        return self.resolver(lookup, self.grammar.input, width, n).layers(self.grammar.stem)

    def _stem(self, layers: Sequence[Layer], image: TensorShape, posts: Sequence[Op], width: int) -> BoundOps:
        layers = copied(layers, posts)
        return bind_path(layers, image, width, 1, self.grammar.classes, "the stem", self._bound)

    def transition(
        self, lookup: Lookup, k: int, stage: StageNumbers, x: TensorShape, i: int, n: int
    ) -> tuple[BoundOps, Size]:
        """Return the transition that opens stage ``k`` with its output shape, and the stride that it leaves to the
        stage's first block: that of the stage if no layer takes it, else 1. Raises Fault."""
        resolver = self.resolver(lookup, x, stage.width, n, i, stage.stride, stage.dilation, k, 1, stage.blocks)
        assert self.grammar.transition is not None
        layers = copied(resolver.layers(self.grammar.transition))
        where = f"the transition to stage {k}"
        stride = stage.stride if has_stride(layers, stage.stride) else 1
        made = bind_path(layers, x, stage.width, stride, self.grammar.classes, where, self._bound)
        return made, 1 if stride != 1 else stage.stride

    def block(
        self, lookup: Lookup, k: int, j: int, stage: StageNumbers, x: TensorShape, i: int, n: int
    ) -> tuple[tuple[Block, ...], TensorShape]:
        """Return the units of block ``j`` of stage ``k``, and its output shape. Raises Fault."""
        inputs = self.block_inputs(lookup, k, j, stage, x, i, n, f"stage {k}, block {j}")
        return derive_units(inputs, i == 1, self._bound)

    def head(self, lookup: Lookup, x: TensorShape, width: int, n: int, pres: Sequence[Op]) -> BoundOps:
        """Return the head with ``pres`` in place of ``pre``, and its output shape. Raises Fault."""
        layers = self.resolver(lookup, x, width, n).layers(self.grammar.head)
        return bind_head(copied(layers, pres), x, width, self.grammar.classes, self._bound)

    def block_inputs(
        self, lookup: Lookup, k: int, j: int, stage: StageNumbers, x: TensorShape, i: int, n: int, where: str
    ) -> BlockInputs:
        """Return the inputs from which block ``j`` of stage ``k`` is derived; ``where``: its name in messages."""
        rule = self.grammar.stages[k - 1]
        stride, here = stride_of(j, stage), stage.at(j)
        if stride != 1 and k > 1 and self.grammar.transition is not None:
            where += " after a transition without a stride"
        resolver = self.resolver(lookup, x, here.width, n, i, stride, here.dilation, k, j, stage.blocks)
        item = rule.first if j == 1 else rule.block
        return BlockInputs(rule, item, resolver, x, here.width, stride, self.grammar.classes, where)

    def resolver(
        self,
        lookup: Lookup,
        x: TensorShape,
        width: int,
        n: int,
        i: int | None = None,
        stride: Size = 1,
        dilation: int = 1,
        k: int = 0,
        j: int = 0,
        m: int = 0,
    ) -> Resolver:
        """Return a resolver with the variables of a unit with the input shape ``x``.

        Stem and head have no ``i``, no stage ``k``, no block ``j`` in it and no number ``m`` of its blocks.
        """
        variables: dict[str, Size] = {"w": width, "in": x.channels, "s": stride, "d": dilation, "n": n}
        if i is not None:
            variables.update(i=i, stage=k, j=j, m=m)
        return Resolver(self.program, lookup, variables)


def stride_of(j: int, stage: StageNumbers) -> Size:
    """Return the stride of block ``j`` of a stage, after its transition."""
    return stage.stride if j == 1 else 1


def _opens(rule: StageRule, i: int) -> bool:
    """Whether block ``i`` differs from later ones because it is the network's first: its shortcut starts at ``pre``."""
    return i == 1 and any(shortcut.source == "preact" for shortcut in rule.shortcuts.values())
