"""Derivation of an Architecture from a grammar: stem, each stage's transition and blocks, head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.architecture import MAX_BLOCKS, MAX_LAYERS, Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.ops.base import MAX_CHANNELS, MAX_STRIDE, Op, TensorShape
from explorer.space.choices import Lookup, answers_in, with_choices
from explorer.space.derive.blocks import (
    BlockInputs,
    Bound,
    BoundOps,
    bind_head,
    bind_path,
    copied,
    derive_block,
    post_layers,
    pre_layers,
)
from explorer.space.derive.layers import Layer, Program, Resolver
from explorer.space.derive.relevance import Relevance
from explorer.space.grammar import (
    Copied,
    Fault,
    Grammar,
    Node,
    StageRule,
    Variable,
    point_of,
    reachable,
)

MAX_DILATION = 64


class StageNumbers(NamedTuple):
    """The numbers of a stage."""

    blocks: int
    width: int
    stride: int
    dilation: int


def stage_numbers(rule: StageRule, resolver: Resolver, k: int) -> StageNumbers:
    """Return the numbers of stage ``k``.

    Raises:
        Fault: If one is not a whole number in its range.
    """
    of = f"of stage {k}"
    return StageNumbers(
        resolver.whole(rule.blocks, "number of blocks", of, 1, MAX_BLOCKS, rule.place),
        resolver.whole(rule.width, "width", of, 1, MAX_CHANNELS, rule.place),
        resolver.whole(rule.stride, "stride", of, 1, MAX_STRIDE, rule.place),
        resolver.whole(rule.dilation, "dilation", of, 1, MAX_DILATION, rule.place),
    )


class Deriver:
    """Derives the networks of one grammar, whole or unit by unit.

    In the methods, ``lookup`` returns the options of the unit's choices, ``n`` is the number of blocks of the network,
    ``i`` the number of a block in the network, ``k`` the stage and ``j`` the block in the stage, all from 1. ``bound``
    contains the layers that were bound earlier in the same network.

    Args:
        grammar: The grammar.
        only: If given, only choices and ops that affect shapes are read.
    """

    def __init__(self, grammar: Grammar, only: Relevance | None = None):
        self.grammar = grammar
        named = (name for stage in grammar.stages for name in stage.shortcuts)
        self.program = Program(grammar.rules, named, only)
        self._varying: dict[tuple[Node, int], bool] = {}

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
        bound: Bound = {}
        numbers = [
            stage_numbers(rule, Resolver(self.program, answers_in(choices, f"stage{k}"), {}), k)
            for k, rule in enumerate(grammar.stages, 1)
        ]
        n = sum(stage.blocks for stage in numbers)
        width = numbers[0].width
        stem_layers = self.stem_layers(answers_in(choices, "stem"), width, n)
        stem, x = self._stem(stem_layers, (), width, bound)
        stages: list[Stage] = []
        i = layers = 0
        for k, (rule, stage) in enumerate(zip(grammar.stages, numbers), 1):
            transition: tuple[Op, ...] = ()
            if k > 1 and grammar.transition is not None:
                lookup = answers_in(choices, f"stage{k}.transition")
                transition, x = self.transition(lookup, k, stage, x, i + 1, n, bound)
            blocks: list[Block] = []
            made: dict[tuple[Node, int, TensorShape, bool], tuple[Block, TensorShape]] = {}
            for j in range(1, stage.blocks + 1):
                i += 1
                item = rule.first if j == 1 else rule.block
                key = item, self.stride(k, j, stage), x, _opens(rule, i)
                if key not in made or self._varies_by_block(rule, item):
                    lookup = answers_in(choices, f"stage{k}.block{j}")
                    made[key] = self.block(lookup, k, j, stage, x, i, n, bound)
                block, x = made[key]
                blocks.append(block)
                layers += max(1, block.layer_count)
                if layers > MAX_LAYERS:
                    raise Fault(rule.place, f"more than {MAX_LAYERS:,} layers in the first {i} of the {n:,} blocks")
            stages.append(Stage(tuple(blocks), transition))
        posts = post_layers(stages[0].blocks[0])
        if posts and any(isinstance(layer.what, Copied) for layer in stem_layers):
            stem, _ = self._stem(stem_layers, posts, width, bound)
        pres = pre_layers(stages[-1].blocks[-1])
        head, _ = self.head(answers_in(choices, "head"), x, numbers[-1].width, n, pres, bound)
        return Architecture(grammar.input, grammar.classes, stem, tuple(stages), head)

    # Units, one by one

    def stem_layers(self, lookup: Lookup, width: int, n: int) -> list[Layer]:
        """Return the stem's layers; ``post`` is still to be copied from the first block. Raises Fault."""
        return self.resolver(lookup, self.grammar.input, width, n).layers(self.grammar.stem)

    def _stem(self, layers: Sequence[Layer], posts: Sequence[Op], width: int, bound: Bound) -> BoundOps:
        grammar = self.grammar
        return bind_path(copied(layers, posts), grammar.input, width, 1, grammar.classes, "the stem", bound)

    def transition(
        self, lookup: Lookup, k: int, stage: StageNumbers, x: TensorShape, i: int, n: int, bound: Bound
    ) -> BoundOps:
        """Return the transition that opens stage ``k``, and its output shape. Raises Fault."""
        resolver = self.resolver(lookup, x, stage.width, n, i, stage.stride, stage.dilation)
        assert self.grammar.transition is not None
        layers = copied(resolver.layers(self.grammar.transition))
        where = f"the transition to stage {k}"
        return bind_path(layers, x, stage.width, stage.stride, self.grammar.classes, where, bound)

    def block(
        self, lookup: Lookup, k: int, j: int, stage: StageNumbers, x: TensorShape, i: int, n: int, bound: Bound
    ) -> tuple[Block, TensorShape]:
        """Return block ``j`` of stage ``k``, and its output shape. Raises Fault."""
        return derive_block(self.block_inputs(lookup, k, j, stage, x, i, n, f"stage {k}, block {j}"), i == 1, bound)

    def head(self, lookup: Lookup, x: TensorShape, width: int, n: int, pres: Sequence[Op], bound: Bound) -> BoundOps:
        """Return the head with ``pres`` in place of ``pre``, and its output shape. Raises Fault."""
        layers = self.resolver(lookup, x, width, n).layers(self.grammar.head)
        return bind_head(copied(layers, pres), x, width, self.grammar.classes, bound)

    def block_inputs(
        self, lookup: Lookup, k: int, j: int, stage: StageNumbers, x: TensorShape, i: int, n: int, where: str
    ) -> BlockInputs:
        """Return the inputs from which block ``j`` of stage ``k`` is derived; ``where``: its name in messages."""
        rule = self.grammar.stages[k - 1]
        stride = self.stride(k, j, stage)
        resolver = self.resolver(lookup, x, stage.width, n, i, stride, stage.dilation)
        item = rule.first if j == 1 else rule.block
        return BlockInputs(rule, item, resolver, x, stage.width, stride, self.grammar.classes, where)

    def resolver(
        self,
        lookup: Lookup,
        x: TensorShape,
        width: int,
        n: int,
        i: int | None = None,
        stride: int = 1,
        dilation: int = 1,
    ) -> Resolver:
        """Return a resolver with the variables of a unit with the input shape ``x``; stem and head have no ``i``."""
        variables = {"w": width, "in": x.channels, "s": stride, "d": dilation, "n": n}
        if i is not None:
            variables["i"] = i
        return Resolver(self.program, lookup, variables)

    def stride(self, k: int, j: int, stage: StageNumbers) -> int:
        """Return the stride of block ``j`` of stage ``k``: that of the stage if it has no transition and ``j`` is 1."""
        return stage.stride if j == 1 and (k == 1 or self.grammar.transition is None) else 1

    def _varies_by_block(self, rule: StageRule, item: Node) -> bool:
        """Whether blocks of one stage with the same input shape can differ, by a choice or by their number."""
        key = item, id(rule)
        if key not in self._varying:
            self._varying[key] = any(
                (point is not None and point.scope in ("block", "use"))
                or (isinstance(node, Variable) and node.name in ("i", "n"))
                for node in reachable(self.grammar.rules, [item, *rule.shortcut_parts])
                for point in [point_of(node)]
            )
        return self._varying[key]


def _opens(rule: StageRule, i: int) -> bool:
    """Whether block ``i`` differs from later ones because it is the network's first: its shortcut starts at ``pre``."""
    return i == 1 and any(shortcut.source == "preact" for shortcut in rule.shortcuts.values())
