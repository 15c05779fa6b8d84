"""The output shapes of the units of a walk, computed once for all states with equal shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from explorer.networks.ops.base import TensorShape
from explorer.networks.ops.nested.nesting import op_count
from explorer.networks.ops.window import Size
from explorer.space.choices import Lookup
from explorer.space.count.questions import Answers, Points, Question, State, Unit, UnitQuestions, merged, reach
from explorer.space.derive.architecture import (
    Deriver,
    StageNumbers,
    stage_blocks,
    stage_dilation,
    stage_numbers,
    stage_resolver,
    stage_stride,
    stage_width,
)
from explorer.space.derive.binding import Bound, bind
from explorer.space.derive.blocks import (
    BlockInputs,
    derive_branch,
    derive_unit,
    derive_units,
    output_before_shortcut,
    units_at,
    units_of,
)
from explorer.space.derive.layer import Layer
from explorer.space.derive.layers import Resolver
from explorer.space.derive.outer_parts import bind_head, copied
from explorer.space.derive.relevance import Relevance
from explorer.space.grammar import Fault, Grammar, Node, Place, Point, StageRule

BINDING = 5  # the work of binding a layer, if reading a node is 1
NUMBERS = 8  # likewise, of reading the numbers of a stage
Key = tuple[Any, ...]


class _StageNumber:
    """One of the numbers of a stage.

    Args:
        read: Reads it, given the stage and a resolver.
        points: The numbers of its choice points in the grammar.
    """

    def __init__(self, read: Callable[[StageRule, Resolver, int], Any], points: set[int]):
        self._read, self._points = read, points
        self._known: dict[Answers, Any] = {}

    def of(self, answers: Answers, rule: StageRule, resolver: Resolver, stage: int) -> Any:
        """Return the number with some answers. Raises Fault."""
        key = tuple([answer for answer in answers if answer[0] in self._points])
        if key not in self._known:
            self._known[key] = self._read(rule, resolver, stage)
        return self._known[key]


class UnitShapes:
    """The shapes of one space's units, given a state at their end.

    Args:
        grammar: The space.
        questions: The questions of its units.
        relevance: The choices that affect shapes.
        here: Unit -> the points that its shapes depend on.

    Attributes:
        total: The number of blocks of the network; 0 if it is a choice.
        work: The nodes read and, with a weight of ``BINDING``, the layers bound so far.
    """

    def __init__(self, grammar: Grammar, questions: UnitQuestions, relevance: Relevance, here: Mapping[Unit, Points]):
        self._grammar = grammar
        self._questions = questions
        self._deriver = Deriver(grammar, relevance)
        self._number = {point: index for index, point in enumerate(grammar.points)}
        self._needed = {unit: {self._number[point] for point in points} for unit, points in here.items()}
        self.total = self._total_blocks()
        self.work = 0
        self.forget()

    def forget(self) -> None:
        """Drop the shapes that are known so far."""
        self._numbers: dict[Key, StageNumbers] = {}
        self._parts = [self._parts_of(stage) for stage in range(1, len(self._grammar.stages) + 1)]
        self._shapes: dict[Key, TensorShape] = {}
        self._faults: dict[Key, tuple[Place, str]] = {}  # not the exceptions: their tracebacks would keep every frame
        self._shortcuts: dict[Key, tuple[Question, ...]] = {}
        self._bound: Bound = {}
        self._left: dict[Key, Size] = {}  # of transitions: the stride that they leave

    def numbers(self, stage: int, answers: Answers) -> StageNumbers:
        """Return the numbers of a stage. Raises Fault."""
        read = self._needed["numbers", stage]
        key = stage, tuple([a for a in answers if a[0] in read])
        if key not in self._numbers:
            self._numbers[key] = self._stage_numbers(stage, answers)
            self.work += NUMBERS
        return self._numbers[key]

    def _stage_numbers(self, stage: int, answers: Answers) -> StageNumbers:
        """Return the numbers of a stage, each of which is read once for all states with the same choices in it."""
        rule, program = self._grammar.stages[stage - 1], self._deriver.program
        resolver = stage_resolver(program, self._lookup(answers), stage)
        if self._parts[stage - 1]:
            try:
                return StageNumbers(*(part.of(answers, rule, resolver, stage) for part in self._parts[stage - 1]))
            except Fault:  # raised below, with the choices in the other numbers
                resolver = stage_resolver(program, self._lookup(answers), stage)
        return stage_numbers(rule, resolver, stage)

    def _parts_of(self, stage: int) -> list[_StageNumber]:
        """Return the numbers of a stage; none if they cannot be read one by one."""
        rule = self._grammar.stages[stage - 1]
        asked = {node: reach(self._questions.of(node, (stage, 0))) for node in rule.numbers}
        is_used_twice = any(point.scope == "use" for points in asked.values() for point in points)
        if is_used_twice or self._deriver.program.differs_between_blocks(rule, stage):
            return []
        nodes = {stage_blocks: rule.blocks, stage_width: rule.width, stage_stride: rule.stride,
                 stage_dilation: rule.dilation}  # fmt: skip
        return [_StageNumber(read, {self._number[point] for point in asked[node]}) for read, node in nodes.items()]

    def blocks(self, stage: int, answers: Answers) -> int:
        """Return the number of blocks of a stage. Raises Fault."""
        resolver = stage_resolver(self._deriver.program, self._lookup(answers), stage)
        return stage_blocks(self._grammar.stages[stage - 1], resolver, stage)

    def input(self, answers: Answers) -> TensorShape:
        """Return the shape of one image, given the answers at the end of the stem. Raises Fault."""
        return self._deriver.input(self._lookup(answers))

    def after(self, state: State) -> TensorShape:
        """Return the output shape of a finished unit. Raises Fault."""
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

    def before_shortcut(self, state: State) -> TensorShape:
        """Return the output shape of a block of one unit whose branch is finished. Raises Fault."""
        site = self._site(state)
        (unit,) = units_of(site)
        branch = derive_branch(site, unit, self._bound)
        self.work += site.resolver.nodes + BINDING * op_count(branch.ops)
        return output_before_shortcut(site, branch, self._bound)

    def shortcut_questions(self, state: State) -> tuple[Question, ...]:
        """Return the questions of the shortcut of a block whose branch is finished. Raises Fault."""
        parts = self._questions.shortcuts[state.stage - 1]
        if not any(parts.values()):
            return ()
        key = self._key(state)
        if key not in self._shortcuts:
            self._shortcuts[key] = self._shortcut_questions(state)
        return self._shortcuts[key]

    def _shortcut_questions(self, state: State) -> tuple[Question, ...]:
        """Return the questions of the shortcuts of all units of a block, in order. Raises Fault."""
        block = self._site(state)
        units, x, found = units_of(block), block.x, []
        for site, unit in zip(units_at(block, units), units):
            site = site._replace(x=x)
            branch = derive_branch(site, unit, self._bound)
            self.work += BINDING * op_count(branch.ops)
            of_shortcut = () if branch.shortcut is None else self._of_shortcut(branch.shortcut, state)
            found.append(of_shortcut)
            if unit is units[-1]:
                break
            if of_shortcut:
                x = output_before_shortcut(site, branch, self._bound)
            else:
                x = derive_unit(site, unit, False, self._bound)[1]
        self.work += block.resolver.nodes
        return merged(found)

    def _of_shortcut(self, part: Node, state: State) -> tuple[Question, ...]:
        return self._questions.at_block(part, state.stage, block_of(state))

    def stride_after(self, state: State) -> Size:
        """Return the stride that a finished transition leaves to the first block of its stage. Raises Fault."""
        key = self._key(state)
        if key not in self._left:
            self.after(state)  # raises the fault if there is one
        return self._left.get(key, 1)

    def _key(self, state: State) -> Key:
        """Return the key of a unit: everything that its shapes depend on."""
        here = self._needed[state.kind, state.stage]
        answers = tuple([a for a in state.answers if a[1] < 0 or a[0] in here])
        return state.kind, state.stage, state.place, state.block, state.shape, state.numbers, answers

    def _derived(self, state: State) -> TensorShape:
        """Derive a unit. Copied layers (``post``, ``pre``) change no shape and are left out."""
        grammar, x, numbers = self._grammar, state.shape, state.numbers
        assert x is not None and numbers is not None
        i, n = state.place + 1, self.total or state.place + 1
        if state.kind == "stem":
            lookup = self._lookup(self._stem_answers(state.answers))
            layers = self._layers(self._deriver.resolver(lookup, x, numbers.width, self.total or 1), grammar.stem)
            return bind(layers, x, numbers.width, 1, grammar.classes, "the stem", bound=self._bound)[1]
        lookup = self._lookup(state.answers)
        if state.kind == "head":
            width = numbers.at(-1).width
            layers = self._layers(self._deriver.resolver(lookup, x, width, self.total or 1), grammar.head)
            return bind_head(layers, x, width, grammar.classes, self._bound)[1]
        if state.kind == "transition":
            (ops, y), left = self._deriver.transition(lookup, state.stage, numbers, x, i, n)
            self.work += BINDING * (1 + len(ops))
            self._left[self._key(state)] = left
            return y
        site = self._site(state)
        try:
            units, y = derive_units(site, False, self._bound)
        except Fault:
            self.work += (1 + BINDING) * site.resolver.nodes  # as many layers as nodes may have been bound
            raise
        self.work += site.resolver.nodes + BINDING * sum(unit.layer_count for unit in units)
        return y

    def _site(self, state: State) -> BlockInputs:
        assert state.shape is not None and state.numbers is not None
        i, n = state.place + 1, self.total or state.place + 1
        j = block_of(state)
        lookup = self._lookup(state.answers)
        return self._deriver.block_inputs(
            lookup, state.stage, j, state.numbers, state.shape, i, n, f"stage {state.stage}"
        )

    def _layers(self, resolver: Resolver, item: Node) -> list[Layer]:
        layers = copied(resolver.layers(item))
        self.work += resolver.nodes + BINDING * len(layers)
        return layers

    def _stem_answers(self, answers: Answers) -> Answers:
        """Return the answers of the stem, which a state in the first stage marks by uses below 0."""
        points = self._grammar.points
        return tuple(
            (number, abs(use), option)
            for number, use, option in answers
            if use < 0 or points[number].scope == "network"
        )

    def _lookup(self, answers: Answers) -> Lookup:
        given = {(number, use): option for number, use, option in answers}
        uses: dict[Point, int] = {}

        def lookup(point: Point) -> int:
            if point.scope == "use":
                uses[point] = uses.get(point, 0) + 1
            return given[self._number[point], uses.get(point, 1)]

        return lookup

    def _total_blocks(self) -> int:
        stages = list(enumerate(self._grammar.stages, 1))
        if any(self._questions.of(rule.blocks, (k, 0)) for k, rule in stages):
            return 0
        try:
            resolvers = [stage_resolver(self._deriver.program, lambda point: 0, k) for k, _ in stages]
            return sum(int(resolver.value(rule.blocks)) for resolver, (_, rule) in zip(resolvers, stages))
        except Fault as fault:
            raise self._grammar.error(str(fault), fault.place) from None


def block_of(state: State) -> int:
    """Return the number of a state's block in its stage; 2 stands for all later ones if nothing depends on it."""
    return 1 if state.kind.startswith("first") else max(2, state.block + 1)
