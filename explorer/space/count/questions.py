"""The open questions of a space: for each unit the reachable choice points of its expressions, in order.

A walk through a space answers questions one after the other, unit by unit. This module defines the questions of each
unit (``UnitQuestions``), the state of a walk (``State``), and the answers that can affect the rest of a walk
(``Reachability``). Other answers are dropped, so that walks that differ only in these have the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from explorer.networks.ops.base import TensorShape
from explorer.space.derive.architecture import StageNumbers
from explorer.space.further_nodes import ByPlace, ForkItem
from explorer.space.grammar import (
    SCOPES,
    Alternatives,
    Arithmetic,
    Grammar,
    Group,
    MergeItem,
    Node,
    OpItem,
    Point,
    Reference,
    Repeat,
    StageRule,
    reachable,
)

Points = frozenset[Point]
Numbers = tuple[int, int]  # of a stage and of a block in it


class Question:
    """A choice point with the questions that follow each of its options.

    Attributes:
        point: The choice point.
        options: The questions that follow each option.
        reach: All points that can follow.
        again: The questions that follow each option when the point occurs again in its scope. Those that followed
            the first answer are answered by then, except points with a smaller scope, and those that ``by_block`` or
            ``by_stage`` has for another place.
        like: For each option the first option with the same ``again``, which can replace it if only
            questions count.
        is_closed: Whether no questions follow when the point occurs again.
    """

    __slots__ = ("again", "is_closed", "like", "options", "point", "reach")

    def __init__(self, point: Point, options: tuple[tuple[Question, ...], ...], differs_by_place: bool = False):
        breadth = -1 if differs_by_place else SCOPES.index(point.scope)
        self.point = point
        self.options = options
        self.reach: Points = frozenset([point]).union(*(question.reach for option in options for question in option))
        self.again = tuple(
            tuple(q for q in option if not (q.is_closed and SCOPES.index(q.point.scope) <= breadth))
            for option in options
        )
        first = {rest: number for number, rest in reversed(list(enumerate(self.again)))}
        self.like = tuple(first[rest] for rest in self.again)
        self.is_closed: bool = point.scope != "use" and not any(self.again)


class Pending:
    """A linked list of questions. Each list is made once, so that equal lists are the same object."""

    __slots__ = ("next", "question", "reach")

    def __init__(self, question: Question, following: Pending | None):
        self.question = question
        self.next = following
        self.reach: Points = question.reach | following.reach if following else question.reach


class UnitQuestions:
    """The questions of each unit of a space.

    Attributes:
        stem: Those of the input's sides and of the stem.
        head: Those of the head.
        transitions: For each stage, those of its transition.
        numbers: For each stage, those of blocks, width, stride and dilation.
        blocks: For each stage, those of a later block's branch; of any if ``by_block`` has questions.
        firsts: For each stage, those of the first block's branch.
        shortcuts: For each stage, the expression of a shortcut -> its questions, in any block.
        shortcuts_have_questions: Whether a shortcut has questions.
        by_block: For each stage, the number of blocks with questions of their own, which ``by_block`` has; 0 for none.
    """

    def __init__(self, grammar: Grammar):
        self._rules = grammar.rules
        self._stages = grammar.stages
        self._of_rules: dict[tuple[str, Numbers], tuple[Question, ...]] = {}
        self._questions: dict[Point, dict[Numbers, Question]] = {}
        self._places: dict[Node, frozenset[str]] = {}
        self._lists: dict[tuple[int, int], Pending] = {}
        self.stem = self._of_all((*grammar.sides, grammar.stem), (0, 0))
        self.head = self.of(grammar.head)
        between = () if grammar.transition is None else (grammar.transition,)
        stages = list(enumerate(grammar.stages, 1))
        self.transitions = [self._of_all(between, (k, 1)) for k, _ in stages]
        self.numbers = [self._of_all(rule.numbers, (k, 0)) for k, rule in stages]
        self.blocks = [self.of(rule.block, (k, 0)) for k, rule in stages]
        self.firsts = [self.of(rule.first, (k, 1)) for k, rule in stages]
        self.shortcuts = [{part: self.of(part, (k, 0)) for part in rule.shortcut_parts} for k, rule in stages]
        self.shortcuts_have_questions = any(questions for parts in self.shortcuts for questions in parts.values())
        self.by_block = [self._blocks_with_own_questions(rule, k) for k, rule in stages]
        for k, rule in stages:
            for j in range(1, self.by_block[k - 1] + 1):
                for part in (rule.block, *rule.shortcut_parts):
                    self.of(part, (k, j))

    def block(self, k: int, j: int) -> tuple[Question, ...]:
        """Return those of the branch of block ``j`` of stage ``k``, which is not the first."""
        return self.at_block(self._stages[k - 1].block, k, j) if self.by_block[k - 1] else self.blocks[k - 1]

    def at_block(self, node: Node, k: int, j: int) -> tuple[Question, ...]:
        """Return those of an expression in block ``j`` of stage ``k``. Blocks beyond all lists have the same."""
        return self.of(node, (k, min(j, self.by_block[k - 1])))

    def _blocks_with_own_questions(self, rule: StageRule, k: int) -> int:
        nodes = reachable(self._rules, [rule.block, *rule.shortcut_parts], k)
        counts = [len(node.options) for node in nodes if isinstance(node, ByPlace) and node.of == "block"
                  and self.of(node, (k, 0))]  # fmt: skip
        return max(counts, default=0)

    def _of_all(self, nodes: Iterable[Node], at: Numbers) -> tuple[Question, ...]:
        return merged(self.of(node, at) for node in nodes)

    def of(self, node: Node, at: Numbers = (0, 0)) -> tuple[Question, ...]:
        """Return the questions of an expression in order. A point with one answer in its scope occurs once.

        Args:
            node: The expression.
            at: The numbers of the stage and of the block in it, from 1; 0 for any, or outside of them.
        """
        if isinstance(node, (Group, ForkItem, OpItem, MergeItem, Arithmetic)):
            return self._of_all(node.children, at)
        if isinstance(node, ByPlace):
            number = at[node.of == "block"]
            return self._of_all(node.at(number) if number else node.options, at)
        if isinstance(node, Alternatives):
            return (self._question(node, tuple(self.of(option, at) for option in node.options), at),)
        if isinstance(node, Repeat):
            inner = self.of(node.item, at)
            each_time = any(point.scope == "use" for point in reach(inner))
            options = tuple(merged([inner] * (count if each_time else min(count, 1))) for count in node.counts)
            return (self._question(node, options, at),) if node.point else options[0]
        if isinstance(node, Reference):
            key = node.name, self._read(node, at)
            if key not in self._of_rules:
                self._of_rules[key] = self.of(self._rules[node.name], at)
            return self._of_rules[key]
        return ()

    def like(self, point: Point, option: int) -> int:
        """Return an option that can replace that of an answered point if only questions count: see ``Question``."""
        return option if self.differs_by_place(point) else next(iter(self._questions[point].values())).like[option]

    def differs_by_place(self, point: Point) -> bool:
        """Whether other questions follow a point in other blocks or stages."""
        return len(self._questions[point]) > 1

    def _question(
        self, node: Alternatives | Repeat, options: tuple[tuple[Question, ...], ...], at: Numbers
    ) -> Question:
        """Return the question of a point, which is another one where ``by_block`` or ``by_stage`` has others in it."""
        assert node.point is not None
        known, key = self._questions.setdefault(node.point, {}), self._read(node, at)
        if key not in known:
            known[key] = Question(node.point, options, differs_by_place=bool(self._places[node]))
        return known[key]

    def _read(self, node: Node, at: Numbers) -> Numbers:
        """Return the numbers of a place that an expression reads, 0 for those that it does not."""
        places = self._places.get(node)
        if places is None:
            nodes = reachable(self._rules, [node])
            places = self._places[node] = frozenset(each.of for each in nodes if isinstance(each, ByPlace))
        return at[0] if "stage" in places else 0, at[1] if "block" in places else 0

    def listed(self, questions: tuple[Question, ...], following: Pending | None = None) -> Pending | None:
        """Return the list of ``questions`` before those of ``following``."""
        for question in reversed(questions):
            key = (id(question), id(following))
            made = self._lists.get(key)
            if made is None:
                made = self._lists[key] = Pending(question, following)
            following = made
        return following

    def answered_once(self) -> Points:
        """Return the points that follow only one other point of the same scope: no later question reaches them."""
        top = {question for questions in (self.stem, self.head, *self.transitions) for question in questions}
        top.update(q for questions in (*self.numbers, *self.blocks, *self.firsts) for q in questions)
        top.update(q for parts in self.shortcuts for questions in parts.values() for q in questions)
        parents: dict[Question, set[Question]] = {}
        for parent in (each for several in self._questions.values() for each in several.values()):
            for question in {question for option in parent.options for question in option}:
                parents.setdefault(question, set()).add(parent)
        return frozenset(
            question.point
            for question, above in parents.items()
            if question.is_closed
            and question not in top
            and not self.differs_by_place(question.point)
            and not any(question in rest for parent in above for rest in parent.again)
            and [p.point.scope for p in above] == [question.point.scope]
        )


def reach(questions: Iterable[Question]) -> Points:
    """Return all points that the questions can reach."""
    return frozenset[Point]().union(*(question.reach for question in questions))


def merged(parts: Iterable[tuple[Question, ...]]) -> tuple[Question, ...]:
    """Join the questions in order. A point that is answered once in its scope is kept at its first place."""
    out: list[Question] = []
    seen: set[Question] = set()
    for part in parts:
        for question in part:
            if question not in seen or any(point.scope == "use" for point in question.reach):
                out.append(question)
                seen.add(question)
    return tuple(out)


Answers = tuple[tuple[int, int, int], ...]  # (number of the point in the grammar, use from 1, option), sorted
Unit = tuple[str, int]  # kind and stage of a state
BLOCK_KINDS = ("first", "first's shortcut", "block", "block's shortcut")


class State(NamedTuple):
    """The state of a walk: everything that determines its continuation.

    Attributes:
        kind: The kind of unit: ``stem``, ``numbers``, ``transition``, one of ``BLOCK_KINDS``, ``head`` or ``end``.
        stage: The stage of the unit, from 1; 0 outside stages.
        left: Number of blocks left in the stage, including this one.
        place: Number of finished blocks; 0 if no shape depends on it.
        shape: The input shape; None if states contain no shapes.
        numbers: The numbers of the stage without those of its blocks; None if states contain no shapes.
        pending: The open questions of the unit.
        answers: The answers that affect the continuation.
        block: Number of finished blocks of the stage, as far as anything depends on it.
    """

    kind: str
    stage: int
    left: int
    place: int
    shape: TensorShape | None
    numbers: StageNumbers | None
    pending: Pending | None
    answers: Answers
    block: int = 0

    @property
    def question(self) -> Question:
        """The next open question. The end has none."""
        assert self.pending is not None
        return self.pending.question


END = State("end", 0, 0, 0, None, None, None, ())


class _Need(NamedTuple):
    """How the answers for a point are needed.

    Attributes:
        is_kept: Whether they are kept.
        marks_stem: Whether at least those of the stem are, which have uses below 0 in the first stage.
        like: For each option one that can replace it; empty if the option itself is needed.
    """

    is_kept: bool
    marks_stem: bool
    like: tuple[int, ...]


class Reachability:
    """Determines which answers can affect the rest of a walk.

    Args:
        grammar: The grammar.
        questions: The questions of its units.
        shaping: The points that can change a shape, if states contain shapes; else None.

    Attributes:
        later: Unit -> the points of later units.
        later_numbers: Unit -> their numbers in the grammar.
        here: Unit -> the points that are needed at the unit's end.
        exact: Unit -> the points of which it or a later unit needs the chosen option itself.
    """

    def __init__(self, grammar: Grammar, questions: UnitQuestions, shaping: Points | None):
        self._points = grammar.points
        self._questions = questions
        self._answered_once = questions.answered_once()
        self._needs: dict[tuple[str, int, Pending | None], dict[int, _Need]] = {}
        self._shortcuts = [reach(q for part in parts.values() for q in part) for parts in questions.shortcuts]
        self.later: dict[Unit, Points] = {("head", 0): frozenset()}
        here: dict[Unit, Points] = {("head", 0): reach(questions.head), ("stem", 0): reach(questions.stem)}
        stages = len(grammar.stages)
        after = reach(questions.head)
        for k in range(stages, 0, -1):
            here["block", k] = here["block's shortcut", k] = reach(questions.blocks[k - 1]) | self._shortcuts[k - 1]
            here["first", k] = here["first's shortcut", k] = reach(questions.firsts[k - 1]) | self._shortcuts[k - 1]
            here["transition", k] = reach(questions.transitions[k - 1]) if k > 1 else frozenset()
            here["numbers", k] = reach(questions.numbers[k - 1])
            in_stage = here["block", k]  # a block can be followed by another
            for kind in ("block", "first", "transition", "numbers"):
                network = {point for point in after | in_stage if point.scope == "network"}
                self.later[kind, k] = frozenset(network | {point for point in in_stage if point.scope == "stage"})
                in_stage |= here[kind, k]
            for kind in ("block", "first"):
                self.later[f"{kind}'s shortcut", k] = self.later[kind, k]
            after |= in_stage
        self.later["stem", 0] = frozenset(point for point in after if point.scope == "network")
        numbers_of = {point: number for number, point in enumerate(grammar.points)}
        self.later_numbers = {unit: {numbers_of[point] for point in points} for unit, points in self.later.items()}
        here["numbers", 1] |= here["stem", 0]  # the stem's shape is known when the first stage's width is
        # How many blocks follow.
        needed = [reach(questions.of(rule.blocks, (k, 0))) for k, rule in enumerate(grammar.stages, 1)]
        if shaping is None:  # nothing else is needed
            here, shaping = dict.fromkeys(here, frozenset()), frozenset()
        else:
            needed = [reach(of_stage) for of_stage in questions.numbers]
        numbers = {("numbers", k): points for k, points in enumerate(needed, 1)}
        shaping = shaping.union(*numbers.values())
        self.here = {unit: (points & shaping) | numbers.get(unit, frozenset()) for unit, points in here.items()}
        after = self.here["head", 0]
        self.exact: dict[Unit, Points] = {("head", 0): after}
        for k in range(stages, 0, -1):
            for kind in ("block's shortcut", "block", "first's shortcut", "first", "transition", "numbers"):
                self.exact[kind, k] = after = after | self.here[kind, k]
        self.exact["stem", 0] = after | self.here["stem", 0]

    def needed_answers(self, state: State, pending: Pending | None) -> Answers:
        """Return the answers of a state that are needed: for the questions ``pending`` of this unit, at its end, or in
        a later unit."""
        if not state.answers:
            return ()
        needs = self._needs.setdefault((state.kind, state.stage, pending), {})
        kept = []
        for answer in state.answers:
            number, use, option = answer
            need = needs.get(number) or needs.setdefault(number, self._need(number, state, pending))
            if need.is_kept or (use < 0 and need.marks_stem):
                kept.append((number, use, need.like[option]) if need.like else answer)
        return tuple(kept)

    def _need(self, number: int, state: State, pending: Pending | None) -> _Need:
        """Return how the answers for a point are needed in a state with the questions ``pending``."""
        unit, point = (state.kind, state.stage), self._points[number]
        like: tuple[int, ...] = ()
        if point not in self.exact[unit]:
            if point in self._answered_once:
                return _Need(False, False, ())
            like = tuple(self._questions.like(point, option) for option in range(len(point.options)))
        within: Points = self._shortcuts[state.stage - 1] if state.kind in ("first", "block") else frozenset()
        reached = point in within or (pending is not None and point in pending.reach)
        is_kept = (reached and point.scope != "use") or point in self.here[unit] or point in self.later[unit]
        return _Need(is_kept, True, like)
