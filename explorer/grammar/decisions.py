"""The open questions of a space, in order: counting, ranking, unranking and walking its derivations.

A derivation is a walk through units (stem; each stage's numbers, transition and blocks; head), and
in each unit through the choice points that its expressions come to. Within its scope a point is
asked once. A ``State`` is what a walk's future depends on: where it stands, what is still to be
read there, and those answers that may be needed again. Counting is dynamic programming over states
in Python integers: answers that cannot matter any more are forgotten, so states merge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from explorer.grammar.binding import bind_head, bind_plain
from explorer.grammar.blocks import derive_block, derive_branch
from explorer.grammar.derive import StageNumbers, instance, stage_numbers
from explorer.grammar.expression import Alternatives, Arithmetic, Group, MergeItem, OpItem, Point, Reference, Repeat
from explorer.grammar.relevance import Relevance
from explorer.grammar.resolve import Fault, Program, Resolver
from explorer.grammar.space import Choice, Derivation
from explorer.ops.base import TensorShape

if TYPE_CHECKING:
    from explorer.grammar.space import Chooser, SearchSpace


BINDING = 5
MAX_COUNTED = 500_000
_BREADTH = {"network": 0, "stage": 1, "block": 2, "use": 3}


class Ask:
    """A point with what each of its options leads to ask. ``reach``: all points it can come to.

    When the point is met again in its scope, what was asked right after it is answered as well, except
    what is drawn more often: ``again`` is what each option still leads to ask then. ``like`` is the
    first option with the same, which may stand for the chosen one where only questions matter;
    ``closed``: nothing is left to ask under any option.
    """

    __slots__ = ("again", "closed", "like", "options", "point", "reach")

    def __init__(self, point: Point, options: tuple[tuple[Ask, ...], ...]):
        breadth = _BREADTH[point.scope]
        self.point = point
        self.options = options
        self.reach = frozenset([point]).union(*(ask.reach for option in options for ask in option))
        self.again = tuple(
            tuple(ask for ask in option if not (ask.closed and _BREADTH[ask.point.scope] <= breadth))
            for option in options
        )
        first = {rest: number for number, rest in reversed(list(enumerate(self.again)))}
        self.like = tuple(first[rest] for rest in self.again)
        self.closed = point.scope != "use" and not any(self.again)


class Pending:
    """A linked list of asks, each list made once, so that equal lists are the same object."""

    __slots__ = ("ask", "next", "reach")

    def __init__(self, ask: Ask, following: Pending | None):
        self.ask = ask
        self.next = following
        self.reach = ask.reach | following.reach if following else ask.reach


class State(NamedTuple):
    """``kind`` and ``stage`` say which unit; ``left`` counts the stage's blocks from this one on.

    ``answers`` are (point number, occurrence, option) of the points that may still matter. ``place``:
    the blocks passed, 0 where nothing follows it. ``shape``, the arriving shape, and ``numbers``, the
    stage's with no number of blocks, stand where the walk needs them to
    know its questions: which shortcut a block takes depends on the shapes.
    """

    kind: str
    stage: int
    left: int
    place: int
    shape: TensorShape | None
    numbers: StageNumbers | None
    pending: Pending | None
    answers: tuple[tuple[int, int, int], ...]


BLOCK_KINDS = ("first", "first's shortcut", "block", "block's shortcut")
END = State("end", 0, 0, 0, None, None, None, ())
Answers = tuple[tuple[int, int, int], ...]


class Settled(NamedTuple):
    """A state with an open question (or the end). ``blocks``: how many blocks its stage has, where
    that was settled on the way to it, else 0."""

    state: State
    blocks: int


class Question:
    """A state's question by its name: which block of how many it stands in, and which use it is.

    ``unit`` is the place that asks, ``choice`` None at the end. ``following``: the questions that the options
    lead to; ``sizes``: the number of walks from each of them. Both are filled when the question is first passed.
    """

    __slots__ = ("blocks", "choice", "following", "point", "sizes", "state", "unit", "uses")

    def __init__(self, state: State, blocks: int, uses: tuple[tuple[Point, int], ...]):
        self.state, self.blocks, self.uses = state, blocks, uses
        self.unit = _unit(state, blocks)
        self.point = self.choice = None
        if state.kind != "end":
            self.point = state.pending.ask.point
            occurrence = 1 + dict(uses).get(self.point, 0)
            self.choice = Choice(instance(self.point, self.unit, occurrence), self.point.options)
        self.following: tuple[Question, ...] | None = None
        self.sizes: tuple[int, ...] = ()


class Decisions:
    """The walks of one space. ``shapes``: carry shapes even where no choice depends on them."""

    def __init__(self, space: SearchSpace, shapes: bool = False):
        self.space = space
        self.number = {point: index for index, point in enumerate(space.points)}
        self._rules: dict[str, tuple[Ask, ...]] = {}
        self._asks: dict[Point, Ask] = {}
        self._lists: dict[tuple[int, int], Pending] = {}
        self._counts: dict[State, int] = {END: 1}  # by state, filled as asked
        self._settled: dict[State, Settled] = {}
        self._shapes: dict[tuple, TensorShape] = {}
        self._taken: dict[tuple, tuple[Ask, ...]] = {}
        self._steps: dict[State, tuple[Settled, ...]] = {}
        self._questions: dict[tuple, Question] = {}
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
            {
                part: self.asks(part)
                for spec in rule.shortcuts.values()
                for part in (spec.same, spec.changed)
                if part is not None
            }
            for rule in space.stages
        ]
        opens = any(asks for parts in self.shortcuts for asks in parts.values())
        self.shapes = shapes or opens
        roots = [
            space.stem,
            space.head,
            space.transition,
            *(part for rule in space.stages for part in (rule.block, rule.first)),
        ]
        roots = [*(root for root in roots if root is not None), *(part for parts in self.shortcuts for part in parts)]
        self.only = Relevance(space.rules, space.program.named)
        self._program = Program(space.rules, space.program.named, self.only)
        self._matters = self.only.points(roots)
        self.follows = self.only.follows_place(roots) if self.shapes else set()
        self.total = self._total_blocks()
        if opens and "n" in self.follows and not self.total:
            raise space.error(
                "a shortcut with choices cannot stand where shapes follow 'n' and the number of blocks is a choice"
            )
        self._passing = self._answered_once()
        self._shortcuts_reach = [frozenset().union(*map(reach, parts.values())) for parts in self.shortcuts]
        self._later, self._here, self._exact = self._needed()
        self.work = 0  # the nodes read and, more dearly, the layers bound to find shapes
        x = space.input if self.shapes else None
        start = self._settle(State("stem", 0, 0, 0, x, None, self._listed(self.stem), ()))
        self.start, self.first_question = start.state, self._question(start.state, start.blocks, ())

    # What an expression asks

    def asks(self, node) -> tuple[Ask, ...]:
        """What an expression may ask, in order; a point with one answer in its scope stands once."""
        if isinstance(node, Group):
            return _merged(self.asks(item) for item in node.items)
        if isinstance(node, Alternatives):
            return (self._ask(node.point, tuple(self.asks(option) for option in node.options)),)
        if isinstance(node, Repeat):
            inner = self.asks(node.item)
            anew = any(point.scope == "use" for point in reach(inner))
            options = tuple(_merged([inner] * (count if anew else min(count, 1))) for count in node.counts)
            return (self._ask(node.point, options),) if node.point else options[0]
        if isinstance(node, Reference):
            if node.name not in self._rules:
                self._rules[node.name] = self.asks(self.space.rules[node.name])
            return self._rules[node.name]
        if isinstance(node, (OpItem, MergeItem)):
            return _merged(self.asks(value) for _, value in node.arguments)
        if isinstance(node, Arithmetic):
            return _merged((self.asks(node.left), self.asks(node.right)))
        return ()

    def _ask(self, point: Point, options: tuple[tuple[Ask, ...], ...]) -> Ask:
        if point not in self._asks:
            self._asks[point] = Ask(point, options)
        return self._asks[point]

    def _listed(self, asks: tuple[Ask, ...], following: Pending | None = None) -> Pending | None:
        for ask in reversed(asks):
            key = (id(ask), id(following))
            made = self._lists.get(key)
            if made is None:
                made = self._lists[key] = Pending(ask, following)
            following = made
        return following

    def _answered_once(self) -> frozenset[Point]:
        """The points that only one other, drawn as often, leads to: nothing asks them again once they are answered."""
        top = {ask for asks in (self.stem, self.head, self.transition) for ask in asks}
        top.update(ask for asks in (*self.numbers, *self.blocks, *self.firsts) for ask in asks)
        top.update(ask for parts in self.shortcuts for asks in parts.values() for ask in asks)
        parents: dict[Ask, set[Ask]] = {}
        for parent in self._asks.values():
            for ask in {ask for option in parent.options for ask in option}:
                parents.setdefault(ask, set()).add(parent)
        return frozenset(
            ask.point
            for ask, above in parents.items()
            if ask.closed and ask not in top and [p.point.scope for p in above] == [ask.point.scope]
        )

    def _needed(self) -> tuple[dict, dict, dict]:
        """For each unit, sets of points: those that later units may ask, those that its own end needs
        answered, and those of which it or a later unit needs the very option."""
        later: dict[tuple[str, int], frozenset[Point]] = {("head", 0): frozenset()}
        here: dict[tuple[str, int], frozenset[Point]] = {("head", 0): reach(self.head), ("stem", 0): reach(self.stem)}
        after = reach(self.head)
        for k in range(len(self.space.stages), 0, -1):
            shortcuts = self._shortcuts_reach[k - 1]
            here["block", k] = here["block's shortcut", k] = reach(self.blocks[k - 1]) | shortcuts
            here["first", k] = here["first's shortcut", k] = reach(self.firsts[k - 1]) | shortcuts
            here["transition", k] = reach(self.transition) if k > 1 else frozenset()
            here["numbers", k] = reach(self.numbers[k - 1])
            in_stage = here["block", k]  # a block may be followed by its like
            for kind in ("block", "first", "transition", "numbers"):
                network = {point for point in after | in_stage if point.scope == "network"}
                later[kind, k] = frozenset(network | {point for point in in_stage if point.scope == "stage"})
                in_stage |= here[kind, k]
            later["block's shortcut", k], later["first's shortcut", k] = later["block", k], later["first", k]
            after |= in_stage
        later["stem", 0] = frozenset(point for point in after if point.scope == "network")
        here["numbers", 1] |= here["stem", 0]  # the stem's shape is known once the first stage's width is
        if not self.shapes:  # then only a stage's numbers are needed at their unit's end: how many blocks follow
            here = dict.fromkeys(here, frozenset())
        numbers = {("numbers", k): reach(asks) for k, asks in enumerate(self.numbers, 1)}
        self._matters |= frozenset().union(*numbers.values())
        here = {unit: (points & self._matters) | numbers.get(unit, frozenset()) for unit, points in here.items()}
        exact = {("head", 0): here["head", 0]}
        after = here["head", 0]
        for k in range(len(self.space.stages), 0, -1):
            for kind in ("block's shortcut", "block", "first's shortcut", "first", "transition", "numbers"):
                exact[kind, k] = after = after | here[kind, k]
        exact["stem", 0] = after | here["stem", 0]
        return later, here, exact

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
            missing = [following.state for following in steps if following.state not in self._counts]
            if missing:
                stack.extend(missing)
            else:
                self._counts[top] = sum(self._counts[following.state] for following in steps)
                stack.pop()
                if len(self._counts) > MAX_COUNTED:
                    raise self.space.error(
                        f"counting needs more than {MAX_COUNTED:,} states: too many choices hang together"
                    )
        return self._counts[goal]

    def walk(self, choose: Chooser) -> Derivation:
        """The derivation that ``choose`` answers."""

        def option(question: Question) -> int:
            choice = question.choice
            text = choose(choice)
            if text not in choice.options:
                raise ValueError(f"{choice.name} was answered {text!r}; its options are {choice.options}")
            return choice.options.index(text)

        return self._walk(option)

    def unrank(self, index: int) -> Derivation:
        """Derivation number ``index`` in [0, count): at each question, earlier options come first."""
        left = index

        def option(question: Question) -> int:
            nonlocal left
            if not question.sizes:
                self.measure(question)
            for number, size in enumerate(question.sizes):
                if left < size:
                    return number
                left -= size
            raise AssertionError(index)

        return self._walk(option)

    def rank(self, derivation: Derivation) -> int:
        """The inverse of ``unrank``."""
        index = 0

        def option(question: Question) -> int:
            nonlocal index
            if not question.sizes:
                self.measure(question)
            chosen = question.choice.options.index(derivation.choices[question.choice.name])
            index += sum(question.sizes[:chosen])
            return chosen

        self._walk(option)
        return index

    def _walk(self, option: Callable[[Question], int]) -> Derivation:
        choices: dict[str, str] = {}
        question = self.first_question
        while question.choice is not None:
            chosen = option(question)
            choices[question.choice.name] = question.choice.options[chosen]
            question = (question.following or self.follow(question))[chosen]
        return Derivation(choices)

    # Questions: states by name

    def follow(self, question: Question) -> tuple[Question, ...]:
        """The questions that the options of a question lead to."""
        if question.following is None:
            state, point = question.state, question.point
            uses = dict(question.uses)
            if point.scope == "use":
                uses[point] = uses.get(point, 0) + 1
            made = []
            for following, blocks in self.step(state):
                same = _place(following) == _place(state)
                kept = tuple(uses.items()) if same else ()
                made.append(self._question(following, blocks or question.blocks, kept))
            question.following = tuple(made)
        return question.following

    def measure(self, question: Question) -> None:
        """Fills ``sizes``."""
        question.sizes = tuple(self.count(following.state) for following in self.follow(question))

    def questions(self) -> Iterator[Question]:
        """Every question that a walk can come to, each before those that may follow it."""
        done: list[Question] = []
        seen = {self.first_question}
        stack = [(self.first_question, iter(self.follow(self.first_question) if self.start.kind != "end" else ()))]
        while stack:
            question, rest = stack[-1]
            following = next((q for q in rest if q not in seen), None)
            if following is None:
                done.append(question)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(self.follow(following) if following.choice is not None else ())))
        return reversed(done)

    def _question(self, state: State, blocks: int, uses: tuple) -> Question:
        key = state, blocks if state.kind in ("transition", *BLOCK_KINDS) else 0, uses
        if key not in self._questions:
            self._questions[key] = Question(*key)
        return self._questions[key]

    # One step of a walk

    def step(self, state: State) -> tuple[Settled, ...]:
        """The states that the options of the asked point lead to."""
        made = self._steps.get(state)
        if made is None:
            alike = self.alike(state)
            following = {option: self._answered(state, option) for option in set(alike)}
            made = self._steps[state] = tuple(following[option] for option in alike)
        return made

    def alike(self, state: State) -> tuple[int, ...]:
        """For each option of the asked point, the first that leads to the same state."""
        ask = state.pending.ask
        if ask.point in self._exact[state.kind, state.stage]:
            return tuple(range(len(ask.options)))
        first = {asks: option for option, asks in reversed(list(enumerate(ask.options)))}
        return tuple(first[asks] for asks in ask.options)

    def answered(self, state: State, option: int) -> State:
        """The state after one answer. Raises SpaceError where the answers so far make no network."""
        return self._answered(state, option).state

    def _answered(self, state: State, option: int) -> Settled:
        ask, answers = state.pending.ask, state.answers
        number = self.number[ask.point]
        occurrence = 1
        if ask.point.scope == "use":
            occurrence += sum(1 for known, _, _ in answers if known == number)
        answers = tuple(sorted((*answers, (number, occurrence, option))))
        pending = self._listed(ask.options[option], state.pending.next)
        return self._settle(state._replace(pending=pending, answers=answers))

    def _settle(self, state: State) -> Settled:
        """The next state with an open question: answered ones are passed over, finished units left."""
        passed: list[tuple[State, int]] = []
        blocks = 0
        while state.kind != "end":
            if state in self._settled:
                state, blocks = self._settled[state]
                break
            pending = state.pending
            known = {number: option for number, occurrence, option in state.answers if occurrence > 0}
            while pending is not None:
                ask = pending.ask
                option = None if ask.point.scope == "use" else known.get(self.number[ask.point])
                if option is None:
                    break
                pending = self._listed(ask.again[option], pending.next)
            if pending is not None:
                passed.append((state, 0))
                state = state._replace(pending=pending, answers=self._kept(state, pending.reach))
                break
            following = self._next_unit(state)
            passed.append((state, following.left if state.kind == "numbers" else 0))
            state = following
        for earlier, counted in reversed(passed):
            blocks = blocks or counted  # of the last stage whose numbers were settled
            self._settled[earlier] = Settled(state, blocks)
        return Settled(state, blocks)

    def _kept(self, state: State, asked: frozenset[Point]) -> Answers:
        """The answers that may still matter: in this unit, at its end, or in a later one."""
        unit = state.kind, state.stage
        here, later, exact = self._here[unit], self._later[unit], self._exact[unit]
        within = self._shortcuts_reach[state.stage - 1] if state.kind in ("first", "block") else ()
        kept = []
        for number, occurrence, option in state.answers:
            point = self.space.points[number]
            if point not in exact:
                if point in self._passing:
                    continue
                option = self._asks[point].like[option]
            reached = point.scope != "use" and (point in asked or point in within)
            if reached or point in here or point in later or occurrence < 0:
                kept.append((number, occurrence, option))
        return tuple(kept)

    def _is_network(self, number: int) -> bool:
        return self.space.points[number].scope == "network"

    def _next_unit(self, state: State) -> State:
        """The beginning of the unit that follows a finished one."""
        kind, stage, left, place, shape, numbers, _, answers = state
        try:
            if kind == "numbers":
                numbers = stage_numbers(self.space.stages[stage - 1], self._resolver(answers), stage)
                left = numbers.blocks
                if self.shapes and stage == 1:
                    shape = self._shape_after(state._replace(kind="stem", stage=0, numbers=numbers._replace(blocks=0)))
            elif self.shapes and kind != "stem":
                if kind in ("first", "block") and (asks := self._shortcut_asks(state)):
                    return state._replace(kind=f"{kind}'s shortcut", pending=self._listed(asks))
                shape = self._shape_after(state)
        except Fault as fault:
            raise self.space.error(str(fault), fault.place) from None
        later = self._later[kind, stage]
        points = self.space.points
        own = answers
        answers = tuple(a for a in own if a[1] > 0 and points[a[0]] in later)
        if kind == "head":
            return END
        if kind == "stem":
            if self.shapes:  # kept under a sign of their own: the stem is a scope apart from the first stage
                local = [(number, -use, option) for number, use, option in own if not self._is_network(number)]
                network = [a for a in own if self._is_network(a[0])]
                answers = tuple(sorted({*answers, *network, *local}))
            return State("numbers", 1, 0, place, shape, None, self._listed(self.numbers[0]), answers)
        carried = numbers._replace(blocks=0) if self.shapes else None  # ``left`` says how many there are
        if kind == "numbers" and stage > 1 and self.space.transition is not None:
            return State("transition", stage, left, place, shape, carried, self._listed(self.transition), answers)
        if kind in ("numbers", "transition"):
            return State("first", stage, left, place, shape, carried, self._listed(self.firsts[stage - 1]), answers)
        place += bool(self.follows)
        if left > 1:
            return State("block", stage, left - 1, place, shape, carried, self._listed(self.blocks[stage - 1]), answers)
        answers = tuple(a for a in answers if self._is_network(a[0]))
        if stage < len(self.space.stages):
            return State("numbers", stage + 1, 0, place, shape, None, self._listed(self.numbers[stage]), answers)
        return State("head", 0, 0, place, shape, carried, self._listed(self.head), answers)

    # Shapes, where questions depend on them

    def _resolver(self, answers: Answers, **variables: int) -> Resolver:
        given = {(number, occurrence): option for number, occurrence, option in answers}
        uses: dict[Point, int] = {}

        def lookup(point: Point) -> int:
            if point.scope == "use":
                uses[point] = uses.get(point, 0) + 1
            return given[self.number[point], uses.get(point, 1)]

        return Resolver(self._program, lookup, variables)

    def _layers(self, resolver: Resolver, item) -> list:
        layers = resolver.layers(item)
        self.work += resolver.nodes + BINDING * len(layers)
        return layers

    def _total_blocks(self) -> int:
        """The number of blocks of the network, 0 where it is a choice."""
        if any(self.asks(rule.blocks) for rule in self.space.stages):
            return 0
        resolver = Resolver(self._program, lambda point: 0, {})
        try:
            return sum(int(resolver.value(rule.blocks)) for rule in self.space.stages)
        except Fault as fault:
            raise self.space.error(str(fault), fault.place) from None

    def _block(self, state: State) -> tuple:
        """The arguments that ``derive_branch`` and ``derive_block`` share."""
        numbers, rule = state.numbers, self.space.stages[state.stage - 1]
        first = state.kind.startswith("first")
        stride = numbers.stride if first and not (state.stage > 1 and self.space.transition is not None) else 1
        variables = {"w": numbers.width, "in": state.shape.channels, "s": stride, "d": numbers.dilation}
        variables |= {"i": state.place + 1, "n": self.total or state.place + 1}
        item = rule.first if first else rule.block
        resolver = self._resolver(state.answers, **variables)
        return self.space, rule, item, resolver, state.shape, numbers.width, stride

    def _shortcut_asks(self, state: State) -> tuple[Ask, ...]:
        parts = self.shortcuts[state.stage - 1]
        if not any(parts.values()):
            return ()
        key = self._key(state)
        if key not in self._taken:
            block = self._block(state)
            branch = derive_branch(*block, f"stage {state.stage}")
            self.work += block[3].nodes + BINDING * len(branch.ops)
            self._taken[key] = () if branch.shortcut is None else parts[branch.shortcut]
        return self._taken[key]

    def _key(self, state: State) -> tuple:
        """What the shapes of a unit follow from."""
        here = self._here[state.kind, state.stage]
        answers = tuple(a for a in state.answers if a[1] < 0 or self.space.points[a[0]] in here)
        return state.kind, state.stage, state.place, state.shape, state.numbers, answers

    def _shape_after(self, state: State) -> TensorShape:
        """The shape that a finished unit puts out, worked out once for all that come to the same."""
        key = self._key(state)
        if key not in self._shapes:
            self._shapes[key] = self._derived_shape(state)
        return self._shapes[key]

    def _derived_shape(self, state: State) -> TensorShape:
        """Copied layers (``post``, ``pre``) do not change a shape and are left out."""
        space, x, numbers = self.space, state.shape, state.numbers
        if state.kind in ("stem", "head"):
            answers = state.answers
            if state.kind == "stem":
                answers = tuple((n, abs(use), o) for n, use, o in answers if use < 0 or self._is_network(n))
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
        block, y = derive_block(*arguments, False, f"stage {state.stage}")
        self.work += arguments[3].nodes + BINDING * block.layer_count
        return y


def _place(state: State) -> tuple[str, int, int]:
    """Which unit a state stands in: a block's shortcut belongs to the block."""
    return state.kind.removesuffix("'s shortcut"), state.stage, state.left


def _unit(state: State, blocks: int) -> str:
    """The name of the unit; ``blocks``: how many its stage has."""
    if state.kind in BLOCK_KINDS:
        return f"stage{state.stage}.block{blocks - state.left + 1}"
    if state.kind == "transition":
        return f"stage{state.stage}.transition"
    return f"stage{state.stage}" if state.kind == "numbers" else state.kind


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


def reach(asks: Iterable[Ask]) -> frozenset[Point]:
    return frozenset().union(*(ask.reach for ask in asks))
