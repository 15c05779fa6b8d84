"""What a space may ask: for each of its units the choice points that the unit's expressions can come to, in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from explorer.grammar.tree import Alternatives, Arithmetic, Group, MergeItem, OpItem, Point, Reference, Repeat

if TYPE_CHECKING:
    from explorer.grammar.space import SearchSpace

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


class Asks:
    """What each unit of one space may ask. ``numbers``, ``blocks``, ``firsts`` and ``shortcuts`` have an entry a
    stage, that of ``shortcuts`` by the shortcut's expression."""

    def __init__(self, space: SearchSpace):
        self._expressions = space.rules
        self._rules: dict[str, tuple[Ask, ...]] = {}
        self._asks: dict[Point, Ask] = {}
        self._lists: dict[tuple[int, int], Pending] = {}
        self.stem = self.of(space.stem)
        self.head = self.of(space.head)
        self.transition = self.of(space.transition) if space.transition is not None else ()
        self.numbers = [
            _merged(self.of(part) for part in (rule.blocks, rule.width, rule.stride, rule.dilation))
            for rule in space.stages
        ]
        self.blocks = [self.of(rule.block) for rule in space.stages]
        self.firsts = [self.of(rule.first) for rule in space.stages]
        self.shortcuts = [
            {
                part: self.of(part)
                for spec in rule.shortcuts.values()
                for part in (spec.same, spec.changed)
                if part is not None
            }
            for rule in space.stages
        ]
        self.of_shortcuts = any(asks for parts in self.shortcuts for asks in parts.values())

    def of(self, node) -> tuple[Ask, ...]:
        """What an expression may ask, in order; a point with one answer in its scope stands once."""
        if isinstance(node, Group):
            return _merged(self.of(item) for item in node.items)
        if isinstance(node, Alternatives):
            return (self._ask(node.point, tuple(self.of(option) for option in node.options)),)
        if isinstance(node, Repeat):
            inner = self.of(node.item)
            anew = any(point.scope == "use" for point in reach(inner))
            options = tuple(_merged([inner] * (count if anew else min(count, 1))) for count in node.counts)
            return (self._ask(node.point, options),) if node.point else options[0]
        if isinstance(node, Reference):
            if node.name not in self._rules:
                self._rules[node.name] = self.of(self._expressions[node.name])
            return self._rules[node.name]
        if isinstance(node, (OpItem, MergeItem)):
            return _merged(self.of(value) for _, value in node.arguments)
        if isinstance(node, Arithmetic):
            return _merged((self.of(node.left), self.of(node.right)))
        return ()

    def __getitem__(self, point: Point) -> Ask:
        return self._asks[point]

    def _ask(self, point: Point, options: tuple[tuple[Ask, ...], ...]) -> Ask:
        if point not in self._asks:
            self._asks[point] = Ask(point, options)
        return self._asks[point]

    def listed(self, asks: tuple[Ask, ...], following: Pending | None = None) -> Pending | None:
        """``asks`` before what is ``following``."""
        for ask in reversed(asks):
            key = (id(ask), id(following))
            made = self._lists.get(key)
            if made is None:
                made = self._lists[key] = Pending(ask, following)
            following = made
        return following

    def answered_once(self) -> frozenset[Point]:
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


def reach(asks: Iterable[Ask]) -> frozenset[Point]:
    """All points that these can come to."""
    return frozenset().union(*(ask.reach for ask in asks))


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
