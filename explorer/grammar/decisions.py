"""The open questions of a space, in order: counting, ranking, unranking and walking its derivations.

A derivation is a walk through units (stem; each stage's numbers, transition and blocks; head), and
in each unit through the choice points that its expressions come to. Within its scope a point is
asked once. A ``State`` is what a walk's future depends on: where it stands, what is still to be
read there, and those answers that may be needed again. Counting is dynamic programming over states
in Python integers: answers that cannot matter any more are forgotten, so states merge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterable, NamedTuple

from explorer.grammar.derive import (
    StageNumbers,
    answers_for,
    bind_plain,
    derive_block,
    derive_branch,
    instance,
    stage_numbers,
)
from explorer.grammar.expression import Alternatives, Arithmetic, Group, MergeItem, OpItem, Point, Reference, Repeat
from explorer.grammar.resolve import Fault, Resolver
from explorer.grammar.space import Choice, Derivation
from explorer.ops.base import TensorShape

if TYPE_CHECKING:
    from explorer.grammar.space import Chooser, SearchSpace


class Ask:
    """A point with what each of its options leads to ask. ``reach``: all points it can come to."""

    __slots__ = ("point", "options", "reach")

    def __init__(self, point: Point, options: tuple[tuple["Ask", ...], ...]):
        self.point = point
        self.options = options
        self.reach = frozenset([point]).union(*(ask.reach for option in options for ask in option))


class Pending:
    """A linked list of asks, each list made once, so that equal lists are the same object."""

    __slots__ = ("ask", "next", "reach")

    def __init__(self, ask: Ask, following: "Pending | None"):
        self.ask = ask
        self.next = following
        self.reach = ask.reach | following.reach if following else ask.reach


class State(NamedTuple):
    """``kind`` and ``stage`` say which unit; ``left`` counts the stage's blocks from this one on.

    ``answers`` are (point number, occurrence, option) of the points that may still matter.
    ``shape``, the arriving shape, and ``numbers``, the stage's, stand where the walk needs them to
    know its questions: which shortcut a block takes depends on the shapes.
    """

    kind: str
    stage: int
    left: int
    shape: TensorShape | None
    numbers: StageNumbers | None
    pending: Pending | None
    answers: tuple[tuple[int, int, int], ...]


END = State("end", 0, 0, None, None, None, ())
Answers = tuple[tuple[int, int, int], ...]


class Decisions:
    """The walks of one space. ``shapes``: carry shapes even where no choice depends on them."""

    def __init__(self, space: SearchSpace, shapes: bool = False):
        self.space = space
        self.number = {point: index for index, point in enumerate(space.points)}
        self._rules: dict[str, tuple[Ask, ...]] = {}
        self._lists: dict[tuple[int, int], Pending] = {}
        self._counts: dict[State, int] = {END: 1}  # by state, filled as asked
        self._steps: dict[State, tuple[State, ...]] = {}
        self.stem = self.asks(space.stem)
        self.head = self.asks(space.head)
        self.transition = self.asks(space.transition) if space.transition is not None else ()
        self.numbers = [
            _merged(self.asks(part) for part in (rule.blocks, rule.width, rule.stride, rule.dilation))
            for rule in space.stages
        ]
        self.blocks = [self.asks(rule.block) for rule in space.stages]
        self.firsts = [self.asks(rule.first) for rule in space.stages]
        self.shortcuts = [
            {part: self.asks(part) for spec in rule.shortcuts.values() for part in (spec.same, spec.changed) if part is not None}
            for rule in space.stages
        ]
        opens = any(asks for parts in self.shortcuts for asks in parts.values())
        self.shapes = shapes or opens
        self._later, self._here = self._needed()
        x = space.input if self.shapes else None
        self.start = self._settle(State("stem", 0, 0, x, None, self._listed(self.stem), ()))

    # What an expression asks

    def asks(self, node) -> tuple[Ask, ...]:
        """What an expression may ask, in order; a point with one answer in its scope stands once."""
        if isinstance(node, Group):
            return _merged(self.asks(item) for item in node.items)
        if isinstance(node, Alternatives):
            return (Ask(node.point, tuple(self.asks(option) for option in node.options)),)
        if isinstance(node, Repeat):
            inner = self.asks(node.item)
            options = tuple(_merged([inner] * count) for count in node.counts)
            return (Ask(node.point, options),) if node.point else options[0]
        if isinstance(node, Reference):
            if node.name not in self._rules:
                self._rules[node.name] = self.asks(self.space.rules[node.name])
            return self._rules[node.name]
        if isinstance(node, (OpItem, MergeItem)):
            return _merged(self.asks(value) for _, value in node.arguments)
        if isinstance(node, Arithmetic):
            return _merged((self.asks(node.left), self.asks(node.right)))
        return ()

    def _listed(self, asks: tuple[Ask, ...], following: Pending | None = None) -> Pending | None:
        for ask in reversed(asks):
            key = (id(ask), id(following))
            made = self._lists.get(key)
            if made is None:
                made = self._lists[key] = Pending(ask, following)
            following = made
        return following

    def _needed(self) -> tuple[dict[tuple[str, int], frozenset[Point]], dict[tuple[str, int], frozenset[Point]]]:
        """For each unit: the points that later units may ask, and those that its own end needs answered."""
        later: dict[tuple[str, int], frozenset[Point]] = {("head", 0): frozenset()}
        here: dict[tuple[str, int], frozenset[Point]] = {("head", 0): frozenset(), ("stem", 0): _reach(self.stem)}
        after = _reach(self.head)
        for k in range(len(self.space.stages), 0, -1):
            shortcuts = frozenset().union(*map(_reach, self.shortcuts[k - 1].values()))
            block = _reach(self.blocks[k - 1]) | shortcuts
            first = _reach(self.firsts[k - 1]) | shortcuts
            transition = _reach(self.transition) if k > 1 else frozenset()
            numbers = _reach(self.numbers[k - 1])
            here["numbers", k], here["transition", k] = numbers, transition
            if k == 1:  # the stem's shape is known once the first stage's width is
                here["numbers", 1] |= _reach(self.stem)
            here["first", k], here["block", k], here["shortcut", k] = first, block, first | block
            later["first", k] = later["block", k] = later["shortcut", k] = after | block
            later["transition", k] = after | block | first
            later["numbers", k] = after | block | first | transition
            after = later["numbers", k] | numbers
        later["stem", 0] = after
        if not self.shapes:  # then only a stage's numbers are needed at their unit's end: how many blocks follow
            here = dict.fromkeys(here, frozenset()) | {("numbers", k): _reach(asks) for k, asks in enumerate(self.numbers, 1)}
        return later, here

    # Counting, ranking, walking

    def count(self, state: State | None = None) -> int:
        """The number of walks from a state to the end (from the start when left out)."""
        goal = self.start if state is None else state
        stack = [goal]
        while stack:
            top = stack[-1]
            if top in self._counts:
                stack.pop()
                continue
            steps = self.step(top)
            missing = [following for following in steps if following not in self._counts]
            if missing:
                stack.extend(missing)
            else:
                self._counts[top] = sum(self._counts[following] for following in steps)
                stack.pop()
        return self._counts[goal]

    def walk(self, choose: Chooser) -> Derivation:
        """The derivation that ``choose`` answers."""

        def option(choice: Choice, state: State) -> int:
            text = choose(choice)
            if text not in choice.options:
                raise ValueError(f"{choice.name} was answered {text!r}; its options are {choice.options}")
            return choice.options.index(text)

        return self._walk(option)

    def unrank(self, index: int) -> Derivation:
        """Derivation number ``index`` in [0, count): at each question, earlier options come first."""
        left = index

        def option(choice: Choice, state: State) -> int:
            nonlocal left
            for number, following in enumerate(self.step(state)):
                size = self.count(following)
                if left < size:
                    return number
                left -= size
            raise AssertionError(index)

        return self._walk(option)

    def rank(self, derivation: Derivation) -> int:
        """The inverse of ``unrank``."""
        index = 0

        def option(choice: Choice, state: State) -> int:
            nonlocal index
            chosen = choice.options.index(derivation.choices[choice.name])
            index += sum(self.count(following) for following in self.step(state)[:chosen])
            return chosen

        self._walk(option)
        return index

    def _walk(self, option: Callable[[Choice, State], int]) -> Derivation:
        choices: dict[str, str] = {}
        state, blocks, stage, unit = self.start, 0, 0, ""
        uses: dict[Point, int] = {}
        while state.kind != "end":
            if state.stage != stage:
                stage, blocks = state.stage, 0
            if state.kind in ("first", "block", "shortcut") and not blocks:
                answers = answers_for(choices, f"stage{stage}")
                numbers = stage_numbers(self.space.stages[stage - 1], Resolver(self.space.rules, answers, {}), stage)
                blocks = numbers.blocks
            here = self._unit(state, blocks)
            if here != unit:
                unit, uses = here, {}
            point = state.pending.ask.point
            if point.scope == "use":
                uses[point] = uses.get(point, 0) + 1
            choice = Choice(instance(point, unit, uses.get(point, 1)), point.options)
            chosen = option(choice, state)
            choices[choice.name] = choice.options[chosen]
            state = self.step(state)[chosen]
        return Derivation(choices)

    @staticmethod
    def _unit(state: State, blocks: int) -> str:
        if state.kind in ("stem", "head"):
            return state.kind
        if state.kind == "numbers":
            return f"stage{state.stage}"
        if state.kind == "transition":
            return f"stage{state.stage}.transition"
        return f"stage{state.stage}.block{blocks - state.left + 1}"

    # One step of a walk

    def step(self, state: State) -> tuple[State, ...]:
        """The states that the options of the asked point lead to."""
        made = self._steps.get(state)
        if made is None:
            options = range(len(state.pending.ask.options))
            made = self._steps[state] = tuple(self.answered(state, option) for option in options)
        return made

    def answered(self, state: State, option: int) -> State:
        """The state after one answer. Raises SpaceError where the answers so far make no network."""
        ask, answers = state.pending.ask, state.answers
        number = self.number[ask.point]
        occurrence = 1
        if ask.point.scope == "use":
            occurrence += sum(1 for known, _, _ in answers if known == number)
        answers = tuple(sorted((*answers, (number, occurrence, option))))
        pending = self._listed(ask.options[option], state.pending.next)
        return self._settle(state._replace(pending=pending, answers=answers))

    def _settle(self, state: State) -> State:
        """The next state with an open question: answered ones are passed over, finished units left."""
        while state.kind != "end":
            pending = state.pending
            known = {number: option for number, occurrence, option in state.answers if occurrence > 0}
            while pending is not None:
                ask = pending.ask
                option = None if ask.point.scope == "use" else known.get(self.number[ask.point])
                if option is None:
                    return state._replace(pending=pending, answers=self._kept(state, pending.reach))
                pending = self._listed(ask.options[option], pending.next)
            state = self._next_unit(state)
        return state

    def _kept(self, state: State, asked: frozenset[Point]) -> Answers:
        """The answers that may still matter: in this unit, at its end, or in a later one."""
        unit = state.kind, state.stage
        here, later = self._here[unit], self._later[unit]
        kept = []
        for answer in state.answers:
            point = self.space.points[answer[0]]
            reached = point in asked and point.scope != "use"
            if reached or point in here or answer[1] < 0 or (point in later and self._outlives(point, state.kind)):
                kept.append(answer)
        return tuple(kept)

    def _is_network(self, number: int) -> bool:
        return self.space.points[number].scope == "network"

    @staticmethod
    def _outlives(point: Point, kind: str) -> bool:
        """Whether an answer holds beyond its unit: in the network, or in what is left of the stage."""
        return point.scope == "network" or (point.scope == "stage" and kind not in ("stem", "head"))

    def _next_unit(self, state: State) -> State:
        """The beginning of the unit that follows a finished one."""
        kind, stage, left, shape, numbers, _, answers = state
        try:
            if kind == "numbers":
                numbers = stage_numbers(self.space.stages[stage - 1], self._resolver(answers), stage)
                left = numbers.blocks
                if self.shapes and stage == 1:
                    shape = self._shape_after(state._replace(kind="stem", numbers=numbers))
            elif self.shapes and kind != "stem":
                if kind in ("first", "block") and (asks := self._shortcut_asks(state)):
                    return state._replace(kind="shortcut", pending=self._listed(asks))
                shape = self._shape_after(state)
        except Fault as fault:
            raise self.space.error(str(fault), fault.place) from None
        later = self._later[kind, stage]
        points = self.space.points
        own = answers
        answers = tuple(a for a in own if a[1] > 0 and points[a[0]] in later and self._outlives(points[a[0]], kind))
        if kind == "head":
            return END
        if kind == "stem":
            if self.shapes:  # kept under a sign of their own: the stem is a scope apart from the first stage
                local = [(number, -use, option) for number, use, option in own if not self._is_network(number)]
                network = [a for a in own if self._is_network(a[0])]
                answers = tuple(sorted({*answers, *network, *local}))
            return State("numbers", 1, 0, shape, None, self._listed(self.numbers[0]), answers)
        carried = numbers if self.shapes else None
        if kind == "numbers" and stage > 1 and self.space.transition is not None:
            return State("transition", stage, left, shape, carried, self._listed(self.transition), answers)
        if kind in ("numbers", "transition"):
            return State("first", stage, left, shape, carried, self._listed(self.firsts[stage - 1]), answers)
        if left > 1:
            return State("block", stage, left - 1, shape, carried, self._listed(self.blocks[stage - 1]), answers)
        answers = tuple(a for a in answers if self._is_network(a[0]))
        if stage < len(self.space.stages):
            return State("numbers", stage + 1, 0, shape, None, self._listed(self.numbers[stage]), answers)
        return State("head", 0, 0, shape, carried, self._listed(self.head), answers)

    # Shapes, where questions depend on them

    def _resolver(self, answers: Answers, **variables: int) -> Resolver:
        given = {(number, occurrence): option for number, occurrence, option in answers}
        uses: dict[Point, int] = {}

        def lookup(point: Point) -> int:
            if point.scope == "use":
                uses[point] = uses.get(point, 0) + 1
            return given[self.number[point], uses.get(point, 1)]

        return Resolver(self.space.rules, lookup, variables)

    def _block(self, state: State) -> tuple:
        """The arguments that ``derive_branch`` and ``derive_block`` share. A block's place in the
        network is not part of a state: ``i`` and ``n`` count as 1."""
        numbers, rule = state.numbers, self.space.stages[state.stage - 1]
        first = state.left == numbers.blocks
        stride = numbers.stride if first and not (state.stage > 1 and self.space.transition is not None) else 1
        variables = {"w": numbers.width, "in": state.shape.channels, "s": stride, "d": numbers.dilation, "i": 1, "n": 1}
        item = rule.first if first else rule.block
        resolver = self._resolver(state.answers, **variables)
        return self.space, rule, item, resolver, state.shape, numbers.width, stride

    def _shortcut_asks(self, state: State) -> tuple[Ask, ...]:
        branch = derive_branch(*self._block(state), f"stage {state.stage}")
        return () if branch.shortcut is None else self.shortcuts[state.stage - 1][branch.shortcut]

    def _shape_after(self, state: State) -> TensorShape:
        """The shape that a finished unit puts out; copied layers (``post``, ``pre``) do not change it."""
        space, x, numbers = self.space, state.shape, state.numbers
        if state.kind in ("stem", "head"):
            answers = state.answers
            if state.kind == "stem":
                answers = tuple((n, abs(use), o) for n, use, o in answers if use < 0 or self._is_network(n))
            variables = {"w": numbers.width, "in": x.channels, "s": 1, "d": 1, "n": 1}
            item = space.stem if state.kind == "stem" else space.head
            layers = self._resolver(answers, **variables).layers(item)
            return bind_plain(space, layers, x, numbers.width, f"the {state.kind}", 1)[1]
        if state.kind == "transition":
            variables = {"w": numbers.width, "in": x.channels, "s": numbers.stride, "d": numbers.dilation, "i": 1, "n": 1}
            layers = self._resolver(state.answers, **variables).layers(space.transition)
            where = f"the transition to stage {state.stage}"
            return bind_plain(space, layers, x, numbers.width, where, numbers.stride)[1]
        opens_network = state.stage == 1 and state.left == numbers.blocks
        return derive_block(*self._block(state), opens_network, f"stage {state.stage}")[1]


def _merged(parts: Iterable[tuple[Ask, ...]]) -> tuple[Ask, ...]:
    """Asks one after the other; a point that is drawn once in its scope stands where it comes first."""
    out: list[Ask] = []
    seen: set[Ask] = set()
    for part in parts:
        for ask in part:
            if ask not in seen or ask.point.scope == "use" or any(p.scope == "use" for p in ask.reach):
                out.append(ask)
                seen.add(ask)
    return tuple(out)


def _reach(asks: Iterable[Ask]) -> frozenset[Point]:
    return frozenset().union(*(ask.reach for ask in asks))
