"""The units that networks are lines of: what each follows from, and tables of what they came to."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, fields

import numpy as np

from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.grouping import Part
from explorer.networks.ops.base import Op
from explorer.space.choices import Lookup
from explorer.space.count.questions import Question, reach
from explorer.space.grammar import Alternatives, Group, Node, OpItem, Point, Reference, Variable, reachable
from explorer.space.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit in its place. ``kind``: numbers, stem, transition, first, block or head; ``name``: as choices name it.

    ``columns``: the choices that matter to its costs, so many (``counts``) for each point it can come to.
    ``by_place``, ``by_total``: whether it reads the variables ``i`` and ``n``; ``varies``: whether the next block of
    its stage may differ though the same arrives.
    """

    kind: str
    stage: int
    name: str
    columns: tuple[int, ...]
    counts: tuple[int, ...]
    by_place: bool
    by_total: bool
    varies: bool


class Units:
    """The units of a space, and how the choice columns answer them."""

    def __init__(self, space: SearchSpace, columns: ChoiceColumns):
        self.space, self.columns = space, columns
        self._units: dict[tuple[str, int, str], Unit] = {}
        self._classes: dict[int, np.ndarray] = {}
        roots = [root for stage in range(1, len(space.stages) + 1) for kind in ("numbers", "first", "block")
                 for root in self._reads(kind, stage)[1]]  # fmt: skip
        roots += [root for root in (space.stem, space.transition, space.head) if root is not None]
        for node in reachable(space.rules, roots):
            if isinstance(node, Alternatives):
                classes = self._alike(node)
                for column in columns.named(node.point):
                    self._classes[column] = classes

    def unit(self, kind: str, stage: int = 0, block: int = 0) -> Unit:
        """The unit of a kind in its place; ``block`` counts within the stage."""
        name = {"numbers": f"stage{stage}", "transition": f"stage{stage}.transition"}.get(kind, kind)
        if block:
            name = f"stage{stage}.block{block}"
        key = kind, stage, name
        if key not in self._units:
            asks, roots = self._reads(kind, stage)
            points = sorted(reach(asks), key=self.space.points.index)
            own = [[c for c in self.columns.of(point, name) if self._matters(c)] for point in points]
            read = {node.name for node in reachable(self.space.rules, roots) if isinstance(node, Variable)}
            varies = any(columns and point.scope in ("block", "use") for point, columns in zip(points, own))
            self._units[key] = Unit(
                kind,
                stage,
                name,
                columns=tuple(column for several in own for column in several),
                counts=tuple(map(len, own)),
                by_place="i" in read,
                by_total="n" in read,
                varies=varies or "i" in read,
            )
        return self._units[key]

    def _reads(self, kind: str, stage: int) -> tuple[Iterable[Question], list[Node]]:
        """What a unit may ask, and the expressions it reads."""
        space, known = self.space, self.space.decisions.automaton.questions
        if kind == "stem":
            return known.stem, [space.stem]
        if kind == "head":
            return known.head, [space.head]
        if kind == "transition":
            return known.transition, [space.transition]
        rule = space.stages[stage - 1]
        if kind == "numbers":
            return known.numbers[stage - 1], [rule.blocks, rule.width, rule.stride, rule.dilation]
        shortcuts = known.shortcuts[stage - 1]
        asks = known.firsts if kind == "first" else known.blocks
        item = rule.first if kind == "first" else rule.block
        return [*asks[stage - 1], *(ask for part in shortcuts.values() for ask in part)], [item, *shortcuts]

    # Choices

    def choices(self, unit: Unit, codes: np.ndarray) -> list[Part]:
        """The unit's choices in rows of ``codes``, as far as they matter to costs."""
        parts = []
        for column in unit.columns:
            classes = self._classes.get(column)
            own = codes[column] + 1  # 0 where it is not asked
            options = len(self.columns.columns[column].options)
            parts.append(Part(own, options + 1) if classes is None else Part(classes[own], int(classes.max()) + 1))
        return parts

    def answers(self, unit: Unit, codes: np.ndarray, row: int) -> Lookup:
        """Answers the choices of a unit as they are in a row."""
        uses: dict[Point, int] = {}

        def lookup(point: Point) -> int:
            uses[point] = uses.get(point, 0) + 1 if point.scope == "use" else 1
            return int(codes[self.columns.of(point, unit.name)[uses[point] - 1], row])

        return lookup

    def _matters(self, column: int) -> bool:
        classes = self._classes.get(column)
        return classes is None or classes.max() > 1

    def _alike(self, node: Alternatives) -> np.ndarray:
        """The class of each option: 0 for no answer, then from 1; those of a class cost the same anywhere."""
        looks: dict[Hashable, int] = {}
        found = [0]
        for number, option in enumerate(node.options):
            look = self._look(option)
            found.append(looks.setdefault(number if look is None else look, len(looks) + 1))
        return np.array(found)

    def _look(self, node: Node) -> tuple | None:
        """What costs can see of layers that neither change a shape nor have choices or variables; None for others."""
        if isinstance(node, Group):
            parts = [self._look(item) for item in node.items]
            return None if None in parts else tuple(look for part in parts for look in part)
        if isinstance(node, Reference) and node.name not in self.space.deriver.program.named:
            return self._look(self.space.rules[node.name])
        if isinstance(node, OpItem):
            layer = self.space.deriver.program.settled(node)
            if layer is not None and layer.is_free:
                cost = type(layer.what).cost
                own = () if cost is Op.cost else tuple(getattr(layer.what, f.name) for f in fields(layer.what))
                return ((layer.what.role, cost, own),)
        return None


class Table:
    """What the distinct units of one kind came to, in the order they were met: ``ROWS`` of whole numbers.

    ``shape`` is the number of the shape that leaves, ``copies`` that of the layers which stem and head may copy.
    """

    ROWS = ("params", "macs", "activations", "weight_layers", "growth", "jump", "peak", "shape", "layers", "copies")

    def __init__(self) -> None:
        self.places: dict[tuple[int, ...], int] = {}
        self._made: list[tuple[int, ...]] = []
        self._array = np.empty((len(self.ROWS), 0), dtype=np.int64)

    def append(self, key: tuple[int, ...], values: tuple[int, ...]) -> int:
        self._made.append(values)
        return self.places.setdefault(key, len(self._made) - 1)

    def __getitem__(self, row: str) -> np.ndarray:
        known = self._array.shape[1]
        if known < len(self._made):
            more = np.array(self._made[known:], dtype=np.int64).T
            self._array = np.concatenate([self._array, more], axis=1)
        return self._array[self.ROWS.index(row)]
