"""The units of a network (stem, transitions, blocks, head): the choices each depends on, and tables of their costs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, fields

import numpy as np

from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.grouping import Part, group_rows
from explorer.costs.whole_space.identities import LANES
from explorer.networks.dead_layers import makes_zeros
from explorer.networks.ops.base import Op
from explorer.space.choices import Lookup
from explorer.space.count.questions import Question, reach
from explorer.space.derive.relevance import depends_on_block
from explorer.space.grammar import (
    Alternatives,
    Group,
    Node,
    OpItem,
    Point,
    Reference,
    Variable,
    reachable,
)
from explorer.space.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit in its place.

    Attributes:
        kind: numbers, stem, transition, first, block or head.
        stage: The number of the stage, from 1; 0 outside of stages.
        name: The name of its place in the names of choices.
        columns: The columns of the choices that affect its costs.
        counts: How many of ``columns`` belong to each choice point.
        by_place: Whether it uses the variable ``i``.
        by_total: Whether it uses the variable ``n``.
        by_depth: Whether it uses the variable ``m``.
        block: The number of the block in its stage if the unit depends on it, else 0.
        varies: Whether the next block of the stage may differ for the same input shape.
    """

    kind: str
    stage: int
    name: str
    columns: tuple[int, ...]
    counts: tuple[int, ...]
    by_place: bool
    by_total: bool
    by_depth: bool
    block: int
    varies: bool


class Units:
    """The units of a space and their choices.

    Attributes:
        space: The space.
        columns: Its choice columns.

    Args:
        space: The space.
        columns: Its choice columns.
        by_cost: Whether options that always cost the same count as one.
    """

    def __init__(self, space: SearchSpace, columns: ChoiceColumns, by_cost: bool = True):
        self.space, self.columns = space, columns
        self._units: dict[tuple[str, int, str], Unit] = {}
        self._classes: dict[int, np.ndarray] = {}
        roots = [root for stage in range(1, len(space.stages) + 1) for kind in ("numbers", "first", "block")
                 for root in self._reads(kind, stage)[1]]  # fmt: skip
        roots += [root for root in (space.stem, space.transition, space.head) if root is not None]
        for node in reachable(space.rules, roots):
            if by_cost and isinstance(node, Alternatives):
                classes = self._cost_classes(node)
                for column in columns.named(node.point):
                    self._classes[column] = classes

    def unit(self, kind: str, stage: int = 0, block: int = 0) -> Unit:
        """Return the unit of a kind in its place.

        Args:
            kind: As in ``Unit``.
            stage: The number of the stage, from 1; 0 outside of stages.
            block: The number of the block in its stage, from 1; 0 outside of blocks.
        """
        name = {"numbers": f"stage{stage}", "transition": f"stage{stage}.transition"}.get(kind, kind)
        if block:
            name = f"stage{stage}.block{block}"
        key = kind, stage, name
        if key not in self._units:
            questions, roots = self._reads(kind, stage, block)
            points = sorted(reach(questions), key=self.space.points.index)
            own = [[c for c in self.columns.of(point, name) if self._matters(c)] for point in points]
            read = {node.name for node in reachable(self.space.rules, roots, stage) if isinstance(node, Variable)}
            varies = any(columns and point.scope in ("block", "use") for point, columns in zip(points, own))
            self._units[key] = Unit(
                kind,
                stage,
                name,
                columns=tuple(column for several in own for column in several),
                counts=tuple(map(len, own)),
                by_place="i" in read,
                by_total="n" in read,
                by_depth="m" in read,
                block=block if block and self._counts_blocks(stage, roots) else 0,
                varies=varies or "i" in read,
            )
        return self._units[key]

    def _counts_blocks(self, stage: int, roots: list[Node]) -> bool:
        """Whether a block with the expressions ``roots`` depends on its number in its stage."""
        rule = self.space.stages[stage - 1]
        return depends_on_block(self.space.rules, [*roots, rule.width, rule.dilation], stage)

    def _reads(self, kind: str, stage: int, block: int = 0) -> tuple[Iterable[Question], list[Node]]:
        """Return the questions of a unit and the expressions that it reads."""
        space, known = self.space, self.space.decisions.automaton.questions
        if kind == "stem":
            return known.stem, [space.stem]
        if kind == "head":
            return known.head, [space.head]
        if kind == "transition":
            assert space.transition is not None
            return known.transitions[max(1, stage) - 1], [space.transition]
        rule = space.stages[stage - 1]
        if kind == "numbers":
            return known.numbers[stage - 1], [rule.blocks, rule.width, rule.stride, rule.dilation]
        shortcuts = known.shortcuts[stage - 1]
        item = rule.first if kind == "first" else rule.block
        of_item = known.of(item, (stage, block)) if kind == "first" else known.at_block(item, stage, block)
        of_shortcuts = (question for part in shortcuts for question in known.at_block(part, stage, block))
        return [*of_item, *of_shortcuts], [item, *shortcuts]

    # Choices

    def choices(self, unit: Unit, codes: np.ndarray) -> list[Part]:
        """Return the choices of the unit in rows of ``codes``, as far as they affect costs."""
        parts = []
        for column in unit.columns:
            classes = self._classes.get(column)
            own = codes[column] + 1  # 0 if it does not occur
            options = len(self.columns.columns[column].options)
            parts.append(Part(own, options + 1) if classes is None else Part(classes[own], int(classes.max()) + 1))
        return parts

    def fewest(self, codes: np.ndarray) -> int:
        """Return a lower bound of the number of distinct units of derivations, without deriving any.

        Args:
            codes: (columns, rows) their choices, as ``ChoiceColumns.codes`` returns them.
        """
        first = [self.unit("first", stage, 1) for stage in range(1, len(self.space.stages) + 1)]
        return sum(len(group_rows(self.choices(unit, codes), codes.shape[1])[1]) for unit in first)

    def answers(self, unit: Unit, codes: np.ndarray, row: int) -> Lookup:
        """Return the lookup that answers the choices of a unit with those of a row."""
        uses: dict[Point, int] = {}

        def lookup(point: Point) -> int:
            uses[point] = uses.get(point, 0) + 1 if point.scope == "use" else 1
            return int(codes[self.columns.of(point, unit.name)[uses[point] - 1], row])

        return lookup

    def _matters(self, column: int) -> bool:
        classes = self._classes.get(column)
        return classes is None or classes.max() > 1

    def _cost_classes(self, node: Alternatives) -> np.ndarray:
        """Return the class of each option, from 1; 0 for no answer. Options of one class always cost the same."""
        classes: dict[Hashable, int] = {}
        found = [0]
        for number, option in enumerate(node.options):
            key = self._cost_key(option)
            found.append(classes.setdefault(number if key is None else key, len(classes) + 1))
        return np.array(found)

    def _cost_key(self, node: Node) -> tuple[Hashable, ...] | None:
        """Return what costs depend on, for layers that keep the shape and have no choices or variables; else None."""
        if isinstance(node, Group):
            parts: list[Hashable] = []
            for item in node.items:
                part = self._cost_key(item)
                if part is None:
                    return None
                parts += part
            return tuple(parts)
        if isinstance(node, Reference) and node.name not in self.space.deriver.program.named:
            return self._cost_key(self.space.rules[node.name])
        if isinstance(node, OpItem):
            layer = self.space.deriver.program.settled(node)
            if layer is not None and layer.is_free and isinstance(op := layer.what, Op):
                cost = type(op).cost
                own = () if cost is Op.cost else tuple(getattr(op, field.name) for field in fields(op))
                return ((op.role, cost, own, makes_zeros(op)),)
        return None


class Table:
    """The costs of the distinct units of one kind, in the order in which they are added.

    ``table[row]`` is an array with one integer per unit. ``shape`` is the number of the output shape, ``copies`` the
    number of the layers that stem and head may copy, ``end`` the number of the end of the canonical sequence, and
    ``takes_stride`` 1 for a transition that takes the stride of its stage, ``block_kind`` the kind of its blocks in
    ``BlockNumbers``. Factors and summands are those of
    ``hash_texts``; the other rows are those of ``SegmentCost``.

    Attributes:
        places: Key of a unit -> its index.
    """

    ROWS = (
        *(
            "params",
            "macs",
            "activations",
            "weight_layers",
            "growth",
            "jump",
            "wide_growth",
            "wide_jump",
            "peak",
            "shape",
            "layers",
            "copies",
            "end",
            "takes_stride",
            "block_kind",
        ),
        *(f"{what}{lane}" for what in ("factor", "summand") for lane in range(LANES)),
    )

    def __init__(self) -> None:
        self.places: dict[tuple[int, ...], int] = {}
        self._made: list[tuple[int, ...]] = []
        self._array = np.empty((len(self.ROWS), 0), dtype=np.int64)

    def append(self, key: tuple[int, ...], values: tuple[int, ...]) -> int:
        """Add a unit and return its index."""
        self._made.append(values)
        return self.places.setdefault(key, len(self._made) - 1)

    def __getitem__(self, row: str) -> np.ndarray:
        known = self._array.shape[1]
        if known < len(self._made):
            more = np.array(self._made[known:], dtype=np.int64).T
            self._array = np.concatenate([self._array, more], axis=1)
        values: np.ndarray = self._array[self.ROWS.index(row)]
        return values
