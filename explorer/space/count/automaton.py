"""The choices of a space as a finite automaton: its states, and the transition for each option.

A walk visits the units in order (stem; each stage's numbers, transition and blocks; head), and in each unit the choice
points of its expressions. A point is visited once within its scope.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from explorer.networks.architecture import MAX_BLOCKS
from explorer.networks.ops.base import TensorShape
from explorer.space.count.questions import END, Answers, Pending, Question, Reachability, State, UnitQuestions
from explorer.space.count.shortcut_use import decided, shortcut_questions
from explorer.space.count.unit_shapes import UnitShapes
from explorer.space.derive.relevance import Relevance, depends_on_block
from explorer.space.further_nodes import UnitEnd
from explorer.space.grammar import Fault, Grammar, Node, reachable

NODES_PER_STATE = 10  # nodes that are read for shapes in the time of one state


class Settled(NamedTuple):
    """A state with an open question, or the end.

    Attributes:
        state: The state.
        blocks: The number of blocks of its stage, if the transition determined it; else 0.
    """

    state: State
    blocks: int


class Automaton:
    """The walks of one space.

    Args:
        grammar: The space.
        questions: Those of the space, if they are known.
        carries_shapes: Whether states contain input shapes. They always do if shortcuts have choices and the shapes
            determine which shortcut a block has.
        ignores_shapes: Whether states contain no shapes even then. Such an automaton has no walks: a block with such a
            shortcut has no next unit.

    Attributes:
        questions: The questions of each unit.
        place_variables: Those of the variables ``i``, ``n``, ``j``, ``m`` that affect the shapes in states.
        entry: The beginning of the first unit.

    Raises:
        SpaceError: If the space cannot be walked.
    """

    def __init__(
        self,
        grammar: Grammar,
        questions: UnitQuestions | None = None,
        carries_shapes: bool = False,
        ignores_shapes: bool = False,
    ):
        self.grammar = grammar
        self.questions = questions = questions or UnitQuestions(grammar)
        self._asked = shortcut_questions(grammar, questions) if questions.shortcuts_have_questions else {}
        needs_shapes = not ignores_shapes and not decided(grammar, self._asked)
        self.carries_shapes = carries_shapes or (questions.shortcuts_have_questions and needs_shapes)
        if self.carries_shapes or ignores_shapes:
            self._asked = {}
        roots: list[Node] = [*grammar.sides, grammar.stem, grammar.head]
        if grammar.transition is not None:
            roots.append(grammar.transition)
        roots += [part for rule in grammar.stages for part in (rule.block, rule.first, *rule.shortcut_parts)]
        self._relevance = relevance = Relevance(
            grammar.rules, (name for rule in grammar.stages for name in rule.shortcuts)
        )
        self.place_variables = relevance.place_variables(roots) if self.carries_shapes else set()
        self._counts_blocks = not self.place_variables.isdisjoint(("i", "n"))
        self._counted = [self._blocks_to_count(k) for k in range(1, len(grammar.stages) + 1)]
        shaping = relevance.points(roots) if self.carries_shapes else None
        self.reachability = Reachability(grammar, questions, shaping)
        self.shapes = UnitShapes(grammar, questions, relevance, self.reachability.here)
        if self.carries_shapes and questions.shortcuts_have_questions and self.depends_on_open_total:
            raise grammar.error(
                "a shortcut cannot have choices if shapes depend on 'n' and the number of blocks is a choice"
            )
        self._number = {point: index for index, point in enumerate(grammar.points)}
        self._forgetful: dict[tuple[str, int], bool] = {}
        self._alike: dict[tuple[str, int, Question], tuple[int, ...]] = {}
        self._settled: dict[State, Settled] = {}
        self._steps: dict[State, tuple[Settled, ...]] = {}
        x = grammar.input if self.carries_shapes else None
        self.entry = State("stem", 0, 0, 0, x, None, questions.listed(questions.stem), ())

    @cached_property
    def start(self) -> Settled:
        """The first state with an open question. Raises SpaceError if there is none."""
        return self._settle(self.entry)

    @property
    def depends_on_open_total(self) -> bool:
        """Whether shapes depend on the number of blocks of the network, and that number is a choice."""
        return "n" in self.place_variables and not self.shapes.total

    def step(self, state: State) -> tuple[Settled, ...]:
        """Return the next state for each option of the open question."""
        made = self._steps.get(state)
        if made is None:
            alike = self.alike(state)
            following = {option: self.answered(state, option) for option in set(alike)}
            made = self._steps[state] = tuple(following[option] for option in alike)
        return made

    def alike(self, state: State) -> tuple[int, ...]:
        """Return for each option of the open question the first option that leads to the same state."""
        question = state.question
        key = state.kind, state.stage, question
        if key not in self._alike:
            is_exact = question.point in self.reachability.exact[state.kind, state.stage]
            if is_exact or self.questions.differs_by_place(question.point):
                self._alike[key] = tuple(range(len(question.options)))
            else:
                first = {following: option for option, following in reversed(list(enumerate(question.options)))}
                self._alike[key] = tuple(first[following] for following in question.options)
        return self._alike[key]

    def answered(self, state: State, option: int) -> Settled:
        """Return the state with the next open question after one answer.

        Raises:
            SpaceError: If no network has these answers.
        """
        return self._settle(self.with_answer(state, option))

    def with_answer(self, state: State, option: int) -> State:
        """Return the state after one answer, in the same unit. Questions that are already answered may be next."""
        assert state.pending is not None
        question, answers = state.pending.question, state.answers
        number = self._number[question.point]
        use = 1
        if question.point.scope == "use":
            use += sum(1 for known, _, _ in answers if known == number)
        answers = tuple(sorted((*answers, (number, use, option))))
        pending = self.questions.listed(question.options[option], state.pending.next)
        return _with(state, pending, answers)

    def opened(self, state: State) -> State:
        """Return the state with answered questions skipped; without ``pending`` if its unit is finished.

        Answers that no longer matter are dropped.
        """
        pending = state.pending
        known = {number: option for number, use, option in state.answers if use > 0}
        while pending is not None:
            question = pending.question
            option = None if question.point.scope == "use" else known.get(self._number[question.point])
            if option is None:
                break
            pending = self.questions.listed(question.again[option], pending.next)
        answers = self.reachability.needed_answers(state, pending)
        return state if (pending, answers) == (state.pending, state.answers) else _with(state, pending, answers)

    def _settle(self, state: State) -> Settled:
        """Return the next state with an open question: skip answered questions and finished units."""
        passed: list[tuple[State, int]] = []
        blocks = 0
        block: State | None = None  # the last block that had no open question
        while state.kind != "end":
            if state in self._settled:
                state, blocks = self._settled[state]
                break
            opened = self.opened(state)
            if opened.pending is not None:
                passed.append((state, 0))
                state = opened
                break
            if state.kind == "block":
                block = state
            following = self.next_unit(opened)
            passed.append((state, following.left if state.kind == "numbers" else 0))
            if following.left > 1 and block is not None and following == block._replace(left=following.left):
                following = following._replace(left=1)  # all blocks up to the last repeat this one
            state = following
        for earlier, counted in reversed(passed):
            blocks = blocks or counted  # those of the last stage whose numbers were settled
            self._settled[earlier] = Settled(state, blocks)
        return Settled(state, blocks)

    def next_unit(self, state: State) -> State:
        """Return the beginning of the unit after a finished one.

        Raises:
            SpaceError: If it cannot be built.
        """
        kind, stage, left, place, shape, numbers, _, own, block = state
        questions, listed, shapes = self.questions, self.questions.listed, self.shapes
        try:
            if kind == "numbers" and not self.carries_shapes:
                left = shapes.blocks(stage, own)
            elif kind == "numbers":
                numbers = shapes.numbers(stage, own)
                left = numbers.blocks
                if stage == 1:
                    shape = shapes.after(state._replace(kind="stem", stage=0, numbers=numbers._replace(blocks=0)))
            elif any(of_shortcut := self._asked.get((kind, stage), ((),))[0]):
                kind = f"{kind}'s shortcut"
                return State(kind, stage, left, place, shape, numbers, listed(of_shortcut), own, block)
            elif self.carries_shapes and kind == "stem":
                shape = shapes.input(own)
            elif self.carries_shapes:
                if kind in ("first", "block") and (of_shortcut := shapes.shortcut_questions(state)):
                    kind = f"{kind}'s shortcut"
                    return State(kind, stage, left, place, shape, numbers, listed(of_shortcut), own, block)
                shape = shapes.after(state)
                if kind == "transition" and numbers is not None:
                    numbers = numbers._replace(stride=shapes.stride_after(state))
        except Fault as fault:
            raise self.grammar.error(str(fault), fault.place) from None
        later = self.reachability.later_numbers[kind, stage]
        answers: Answers = tuple([a for a in own if a[1] > 0 and a[0] in later])
        if kind == "head":
            return END
        if kind == "stem":
            if self.carries_shapes:  # uses below 0 mark the stem's own answers, which are not the first stage's
                local = [(number, -use, option) for number, use, option in own if not self._is_network(number)]
                network = [a for a in own if self._is_network(a[0])]
                answers = tuple(sorted({*answers, *network, *local}))
            return State("numbers", 1, 0, place, shape, None, listed(questions.numbers[0]), answers)
        # ``left`` has the number of blocks already
        carried = numbers if self.carries_shapes else None
        if carried is not None and "m" not in self.place_variables:
            carried = carried._replace(blocks=0)
        if kind == "numbers" and stage > 1 and self.grammar.transition is not None:
            asked = questions.transitions[stage - 1]
            return State("transition", stage, left, place, shape, carried, listed(asked), answers)
        if kind in ("numbers", "transition"):
            return State("first", stage, left, place, shape, carried, listed(questions.firsts[stage - 1]), answers)
        place += self._counts_blocks
        if left > 1:
            block = min(block + 1, self._counted[stage - 1])
            asked = questions.block(stage, block + 1)
            return State("block", stage, left - 1, place, shape, carried, listed(asked), answers, block)
        answers = tuple(a for a in answers if self._is_network(a[0]))
        if stage < len(self.grammar.stages):
            return State("numbers", stage + 1, 0, place, shape, None, listed(questions.numbers[stage]), answers)
        return State("head", 0, 0, place, shape, carried, listed(questions.head), answers)

    @property
    def work(self) -> int:
        """How much was computed so far: states, and nodes read for shapes."""
        return len(self._settled) + self.shapes.work // NODES_PER_STATE

    def forget(self) -> None:
        """Drop the states and the shapes that are known so far."""
        self._settled, self._steps = {}, {}
        self.shapes.forget()

    def counted_blocks(self, k: int) -> int:
        """Return how many finished blocks of stage ``k`` states count: later ones are alike."""
        return self._counted[k - 1]

    def _blocks_to_count(self, k: int) -> int:
        rule = self.grammar.stages[k - 1]
        roots = [rule.block, rule.first, *rule.shortcut_parts]
        if self.carries_shapes and (
            "j" in self._relevance.place_variables(roots)
            or depends_on_block(self.grammar.rules, [rule.width, rule.dilation], k)
        ):
            return MAX_BLOCKS
        return max(0, self.questions.by_block[k - 1] - 1)

    def output(self, state: State) -> TensorShape:
        """Return the output shape of a finished unit, of a block without the choices of its shortcut.

        Raises:
            SpaceError: If it cannot be built.
        """
        try:
            if state.kind in ("first", "block") and any(self.questions.shortcuts[state.stage - 1].values()):
                return self.shapes.before_shortcut(state)
            return self.shapes.after(state)
        except Fault as fault:
            raise self.grammar.error(str(fault), fault.place) from None

    def forgets_channels(self, kind: str, stage: int) -> bool:
        """Whether all that a unit depends on of its input channels is whether a block changes them."""
        key = kind, stage
        if key not in self._forgetful:
            self._forgetful[key] = self._forgets_channels(kind, stage)
        return self._forgetful[key]

    def _forgets_channels(self, kind: str, stage: int) -> bool:
        rule = self.grammar.stages[stage - 1] if stage else None
        if kind not in ("first", "block") or rule is None:
            return False
        if any(self.questions.shortcuts[stage - 1].values()):
            nodes = reachable(self.grammar.rules, (rule.block, rule.first), stage)
            if any(isinstance(node, UnitEnd) for node in nodes):  # a later unit may change the shape
                return False
        changed = [shortcut.changed for shortcut in rule.shortcuts.values() if shortcut.changed is not None]
        return self._relevance.forgets_channels(rule.first if kind == "first" else rule.block, changed)

    def _is_network(self, number: int) -> bool:
        return self.grammar.points[number].scope == "network"


def _with(state: State, pending: Pending | None, answers: Answers) -> State:
    """Return a state with other questions and answers; ``_replace`` takes five times as long."""
    kind, stage, left, place, shape, numbers, _, _, block = state
    return State(kind, stage, left, place, shape, numbers, pending, answers, block)
