"""The shapes that the units of a walk put out, worked out once for all states that come to the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from explorer.grammar.asks import Ask, Asks
from explorer.grammar.binding import bind_head, bind_plain
from explorer.grammar.blocks import derive_block, derive_branch
from explorer.grammar.derive import StageNumbers, stage_numbers
from explorer.grammar.relevance import Relevance
from explorer.grammar.resolve import Fault, Program, Resolver
from explorer.grammar.states import Answers, State
from explorer.grammar.tree import Place, Point
from explorer.ops.base import TensorShape

if TYPE_CHECKING:
    from explorer.grammar.space import SearchSpace

BINDING = 5  # the work of binding a layer, where reading a node is 1


class UnitShapes:
    """What the units of one space come to, given a state at their end. ``here``: for each kind and stage of a state
    the points that its shapes follow from. ``total``: the number of blocks of the network, 0 where it is a choice;
    ``work``: the nodes read and, more dearly, the layers bound so far."""

    def __init__(
        self, space: SearchSpace, asks: Asks, relevance: Relevance, here: Mapping[tuple[str, int], frozenset[Point]]
    ):
        self._space = space
        self._asks = asks
        self._here = here
        self._program = Program(space.rules, space.program.named, relevance)
        self._number = {point: index for index, point in enumerate(space.points)}
        self._shapes: dict[tuple, TensorShape] = {}
        self._faults: dict[tuple, tuple[Place, str]] = {}  # not the errors: their tracebacks would keep every frame
        self._shortcuts: dict[tuple, tuple[Ask, ...]] = {}
        self.total = self._total_blocks()
        self.work = 0

    def numbers(self, stage: int, answers: Answers) -> StageNumbers:
        """What a stage's header comes to. Raises Fault."""
        return stage_numbers(self._space.stages[stage - 1], self._resolver(answers), stage)

    def after(self, state: State) -> TensorShape:
        """The shape that a finished unit puts out. Raises Fault."""
        key = self._key(state)
        if key in self._faults:
            raise Fault(*self._faults[key])
        if key not in self._shapes:
            try:
                self._shapes[key] = self._derived(state)
            except Fault as fault:
                self._faults[key] = fault.place, str(fault)
                raise
        return self._shapes[key]

    def shortcut_asks(self, state: State) -> tuple[Ask, ...]:
        """What the shortcut asks that a block takes whose branch is finished. Raises Fault."""
        parts = self._asks.shortcuts[state.stage - 1]
        if not any(parts.values()):
            return ()
        key = self._key(state)
        if key not in self._shortcuts:
            block = self._block(state)
            branch = derive_branch(*block, f"stage {state.stage}")
            self.work += block[3].nodes + BINDING * len(branch.ops)
            self._shortcuts[key] = () if branch.shortcut is None else parts[branch.shortcut]
        return self._shortcuts[key]

    def _key(self, state: State) -> tuple:
        """What the shapes of a unit follow from."""
        here = self._here[state.kind, state.stage]
        answers = tuple(a for a in state.answers if a[1] < 0 or self._space.points[a[0]] in here)
        return state.kind, state.stage, state.place, state.shape, state.numbers, answers

    def _derived(self, state: State) -> TensorShape:
        """Copied layers (``post``, ``pre``) do not change a shape and are left out."""
        space, x, numbers = self._space, state.shape, state.numbers
        if state.kind in ("stem", "head"):
            answers = state.answers
            if state.kind == "stem":
                answers = tuple(
                    (number, abs(use), option)
                    for number, use, option in answers
                    if use < 0 or space.points[number].scope == "network"
                )
            variables = {"w": numbers.width, "in": x.channels, "s": 1, "d": 1, "n": self.total or 1}
            item = space.stem if state.kind == "stem" else space.head
            layers = self._layers(self._resolver(answers, **variables), item)
            if state.kind == "head":
                return bind_head(space, layers, x, numbers.width)[1]
            return bind_plain(space, layers, x, numbers.width, "the stem", 1)[1]
        if state.kind == "transition":
            variables = {"w": numbers.width, "in": x.channels, "s": numbers.stride, "d": numbers.dilation}
            variables |= {"i": state.place + 1, "n": self.total or state.place + 1}
            layers = self._layers(self._resolver(state.answers, **variables), space.transition)
            where = f"the transition to stage {state.stage}"
            return bind_plain(space, layers, x, numbers.width, where, numbers.stride)[1]
        arguments = self._block(state)
        resolver = arguments[3]
        try:
            block, y = derive_block(*arguments, False, f"stage {state.stage}")
        except Fault:
            self.work += (1 + BINDING) * resolver.nodes  # as many layers as nodes may have been bound
            raise
        self.work += resolver.nodes + BINDING * block.layer_count
        return y

    def _block(self, state: State) -> tuple:
        """The arguments that ``derive_branch`` and ``derive_block`` share."""
        numbers, rule = state.numbers, self._space.stages[state.stage - 1]
        first = state.kind.startswith("first")
        stride = numbers.stride if first and not (state.stage > 1 and self._space.transition is not None) else 1
        variables = {"w": numbers.width, "in": state.shape.channels, "s": stride, "d": numbers.dilation}
        variables |= {"i": state.place + 1, "n": self.total or state.place + 1}
        item = rule.first if first else rule.block
        resolver = self._resolver(state.answers, **variables)
        return self._space, rule, item, resolver, state.shape, numbers.width, stride

    def _layers(self, resolver: Resolver, item) -> list:
        layers = resolver.layers(item)
        self.work += resolver.nodes + BINDING * len(layers)
        return layers

    def _resolver(self, answers: Answers, **variables: int) -> Resolver:
        given = {(number, occurrence): option for number, occurrence, option in answers}
        uses: dict[Point, int] = {}

        def lookup(point: Point) -> int:
            if point.scope == "use":
                uses[point] = uses.get(point, 0) + 1
            return given[self._number[point], uses.get(point, 1)]

        return Resolver(self._program, lookup, variables)

    def _total_blocks(self) -> int:
        if any(self._asks.of(rule.blocks) for rule in self._space.stages):
            return 0
        resolver = Resolver(self._program, lambda point: 0, {})
        try:
            return sum(int(resolver.value(rule.blocks)) for rule in self._space.stages)
        except Fault as fault:
            raise self._space.error(str(fault), fault.place) from None
