"""The exact costs of many derivations at once.

A network is a sequence of units: the stem, the transition and the blocks of each stage, the head. The cost of a unit
depends on its choices, its input shape and its stage's width, stride and dilation. Rows that are equal in these share
the unit: each distinct unit is derived and costed once, by the same code as for a single network. The costs of a row
are sums over its units.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np

from explorer.costs.analytic import BYTES_PER_ELEMENT, SegmentCost, Totals, block_cost, costs_of, joined_cost, ops_cost
from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.description import BlockNumbers, Description, NumbersOf
from explorer.costs.whole_space.grouping import Numbered, Part, group_rows
from explorer.costs.whole_space.identities import LANES, hash_texts, repeated
from explorer.costs.whole_space.units import Table, Unit, Units
from explorer.networks.architecture import MAX_LAYERS
from explorer.networks.block import Block
from explorer.networks.canonical import Extended, OpenEnd, add_block, add_ops, start_of
from explorer.networks.dead_layers import without_dead_layers
from explorer.networks.ops.base import Op, TensorShape
from explorer.space.choices import Lookup
from explorer.space.derive.architecture import StageNumbers, stage_numbers, stage_resolver
from explorer.space.derive.binding import bind
from explorer.space.derive.blocks import post_layers, pre_layers
from explorer.space.derive.outer_parts import copied
from explorer.space.grammar import Copied, Fault, reachable
from explorer.space.search_space import SearchSpace

SUMS = ("params", "macs", "activations", "weight_layers", "layers")
MAX_COST = 2**62  # below the largest int64, so that sums do not overflow

Copies = tuple[tuple[Op, ...], tuple[Op, ...]]  # the layers that ``post`` and ``pre`` copy from a block
NO_COPIES: Copies = ((), ())
NOTHING: Extended = (), start_of(TensorShape(1, 1, 1))  # adds no text to a canonical sequence
Values = tuple[int, ...]  # a row of a ``Table``


class TooManyUnits(Exception):
    """The networks have more distinct units than allowed."""


class NetworkCosts:
    """Compute the costs of a space's derivations from their choices. It caches the units between calls.

    Args:
        space: The space.
        columns: Its choice columns.
        with_hashes: Whether to compute the networks' identities too. Units that only cost the same are distinct then.
        most_units: The largest number of distinct units; no limit by default.
        numbers_of: Returns the numbers of a block that ``describe`` adds up, which needs ``with_hashes``.

    Attributes:
        made: The number of distinct units so far.
    """

    def __init__(
        self,
        space: SearchSpace,
        columns: ChoiceColumns,
        with_hashes: bool = False,
        most_units: int | None = None,
        numbers_of: NumbersOf = lambda block: {},
    ):
        self.space = space
        self.units = Units(space, columns, by_cost=not with_hashes)
        self.with_hashes, self.most_units, self.made = with_hashes, most_units, 0
        self.ends: Numbered[OpenEnd] = Numbered()  # of canonical sequences
        self.shapes: Numbered[TensorShape] = Numbered()
        self.headers: Numbered[StageNumbers] = Numbered()  # with 0 for the number of blocks
        self.copies: Numbered[Copies] = Numbered()
        self.copying = any(isinstance(node, Copied) for node in reachable(space.rules, [space.stem, space.head]))
        self.copies.number(NO_COPIES)
        self.block_numbers = BlockNumbers(numbers_of)
        self._tables: dict[Hashable, Table] = {}

    def __call__(self, indices: np.ndarray, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Return the costs of derivations: name -> (rows,) of int64.

        Args:
            indices: (rows,) the ranks of the derivations.
            codes: (columns, rows) their choices, as ``ChoiceColumns.codes`` returns them.

        Raises:
            SpaceError: One of the networks cannot be built; the message has the place in the file.
            TooManyUnits: There are more than ``most_units``.
        """
        return self._rows(indices, codes).costs()

    def hashes(self, indices: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the identities of derivations, equal for equal networks: (lanes, rows) of int64.

        Takes and raises the same as a call; ``with_hashes`` must be true.
        """
        return self._rows(indices, codes).hashes

    def describe(self, indices: np.ndarray, codes: np.ndarray) -> Description:
        """Return costs, identities and sums over stages and blocks. Takes and raises the same as ``hashes``."""
        rows = self._rows(indices, codes)
        return Description(rows.costs(), rows.hashes, rows.stage_sums, rows.block_sums)

    def _rows(self, indices: np.ndarray, codes: np.ndarray) -> _Rows:
        rows = _Rows(self, codes)
        try:
            rows.walk()
        except Fault as fault:
            raise self.space.error(str(fault), fault.place) from None
        for row in np.flatnonzero(rows.sums["layers"] > MAX_LAYERS)[:1]:
            self.space.architecture(int(indices[row]))  # raises the error with its reason
        return rows

    def table(self, unit: Unit, what: str) -> Table:
        """Return the table of this kind of units. Its key has ``counts``, as choices differ between places."""
        return self._tables.setdefault((unit.kind, unit.stage, unit.block, unit.counts, what), Table())

    def values(
        self,
        cost: SegmentCost,
        layers: int,
        added: Extended,
        copies: Copies = NO_COPIES,
        takes_stride: bool = False,
        live: Iterable[Block] = (),
    ) -> Values:
        """Return a row of a table. Raises Fault if sums of such rows could overflow int64."""
        self.made += 1
        if self.most_units is not None and self.made > self.most_units:
            raise TooManyUnits
        if max(cost[1:]) * MAX_LAYERS >= MAX_COST:
            raise Fault((1, 1), f"a part of a network has a cost of {max(cost[1:]):,}, too large for a table of costs")
        number = self.copies.number(copies if self.copying else NO_COPIES)
        texts, end = added
        end_number = self.ends.number(end) if self.with_hashes else 0
        shape, kind = self.shapes.number(cost.shape), self.block_numbers.kind(live)
        return (*cost[1:], shape, layers, number, end_number, int(takes_stride), kind, *hash_texts(texts))


class _Rows:
    """The rows of a batch and their costs up to the current unit."""

    def __init__(self, known: NetworkCosts, codes: np.ndarray):
        self.known, self.space, self.codes = known, known.space, codes
        count = codes.shape[1]
        self.all = np.arange(count)
        self.sums = {name: np.zeros(count, dtype=np.int64) for name in SUMS}
        self.growths, self.jumps = np.zeros((2, count), dtype=np.int64), np.ones((2, count), dtype=np.int64)
        self.place = np.zeros(count, dtype=np.int64)  # the number of blocks so far
        self.copies = np.zeros(count, dtype=np.int64)  # by number: the layers to copy from the previous block
        self.hashes = np.zeros((LANES, count), dtype=np.int64)
        self.stage_sums: list[dict[str, np.ndarray]] = []
        self.block_sums: dict[str, np.ndarray] = {}
        self._begin()

    def _begin(self) -> None:
        """Set what the rows have before the stem: the shape of one image, and the beginning of the canonical sequence.
        Raises Fault."""
        known, unit = self.known, self.known.units.unit("stem")
        groups, first = group_rows(known.units.choices(unit, self.codes), len(self.all))
        images = [self.space.deriver.input(self._answers(unit, row)) for row in first.tolist()]
        self.image = np.array([known.shapes.number(image) for image in images])[groups]  # by number
        self.shape = self.image
        self.peak = np.array([image.elements for image in images], dtype=np.int64)[groups]
        self.end = np.zeros(len(self.all), dtype=np.int64)  # by number: the end of the canonical sequence
        if known.with_hashes:
            self.end = np.array([known.ends.number(start_of(image)) for image in images])[groups]
            self.hashes += np.array([hash_texts([str(image)])[LANES:] for image in images]).T[:, groups]

    def costs(self) -> dict[str, np.ndarray]:
        """Return every cost by name, after ``walk``."""
        return costs_of(
            Totals(
                params=self.sums["params"],
                macs=self.sums["macs"],
                activations=self.sums["activations"],
                weight_layers=self.sums["weight_layers"],
                receptive_field=1 + self.growths.max(axis=0),
                live_elements=self.peak,
                bytes_per_element=BYTES_PER_ELEMENT["float32"],
            )
        )

    def walk(self) -> None:
        """Add up the costs of all units. Raises Fault if a network cannot be built."""
        known, last = self.known, len(self.space.stages)
        self.header, self.blocks = map(list, zip(*map(self._numbers, range(1, last + 1))))
        self.total: np.ndarray = np.sum(self.blocks, axis=0)
        stem, header = known.units.unit("stem"), [self._header(1, self.all)]
        table, places = self._look_up(stem, self.all, header, self._stem_without_copies, what="bare")
        self.shape = table["shape"][places]
        self._stem()
        for k in range(1, last + 1):
            before = {name: self.sums[name].copy() for name in ("macs", "activations")}
            if k > 1 and self.space.transition is not None:
                unit = known.units.unit("transition", k)
                table, places = self._look_up(unit, self.all, self._inputs(k, self.all), self._transition, 1)
                self._advance(table, places, self.all)
                self._take_stride(k, table["takes_stride"][places] == 1)
            self._stage(k)
            self.stage_sums.append({name: self.sums[name] - already for name, already in before.items()})
            self.place = self.place + self.blocks[k - 1]
        head = known.units.unit("head")
        parts = [*self._inputs(last, self.all), Part(self.copies, len(known.copies.values))]
        self._advance(*self._look_up(head, self.all, parts, self._head), self.all)

    def _stage(self, k: int) -> None:
        """Add the blocks of a stage. Blocks that only repeat are added at once."""
        rows, j = self.all, 1
        while len(rows):
            unit = self.known.units.unit("first" if j == 1 else "block", k, j)
            table, places = self._look_up(unit, rows, self._inputs(k, rows), self._block, j)
            left = self.blocks[k - 1][rows] - j
            times = np.ones_like(left)
            if j > 1 and not unit.varies and not unit.block:
                same = (table["shape"][places] == self.shape[rows]) & (table["jump"][places] == 1)
                same &= (table["wide_jump"][places] == 1) & (table["end"][places] == self.end[rows])
                times += same * left
            self._advance(table, places, rows, times)
            for name, numbers in self.known.block_numbers.of(table["block_kind"][places]).items():
                self.block_sums.setdefault(name, np.zeros_like(self.place))[rows] += numbers * times
            rows, j = rows[left >= times], j + 1
            if len(rows) == len(self.all):
                rows = self.all

    def _stem(self) -> None:
        """Add the stem, with the layers that it copies from the first block."""
        units, inputs = self.known.units, self._inputs(1, self.all)
        first, make = units.unit("first", 1, 1), self._block_without_end
        table, places = self._look_up(first, self.all, inputs, make, 1, what="bare")
        self.copies = table["copies"][places]
        parts = [self._header(1, self.all), Part(self.copies, len(self.known.copies.values))]
        self._advance(*self._look_up(units.unit("stem"), self.all, parts, self._stem_with_copies), self.all)

    # Groups of rows and their units

    def _numbers(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return for stage ``k`` the number of the header (width, stride, dilation) and the blocks of each row."""
        known = self.known
        unit = known.units.unit("numbers", k)
        groups, first = group_rows(known.units.choices(unit, self.codes), len(self.all))
        made = []
        for row in first.tolist():
            resolver = stage_resolver(self.space.deriver.program, self._answers(unit, row), k)
            made.append(stage_numbers(self.space.stages[k - 1], resolver, k))
        headers = np.array([known.headers.number(numbers._replace(blocks=0)) for numbers in made])
        return headers[groups], np.array([numbers.blocks for numbers in made])[groups]

    def _take_stride(self, k: int, is_taken: np.ndarray) -> None:
        """Set the stride of stage ``k`` to 1 in rows whose transition has taken it."""
        numbers, known = self.header[k - 1], self.known.headers
        without = np.arange(len(known.values))
        for number in np.unique(numbers).tolist():
            without[number] = known.number(known.values[number]._replace(stride=1))
        self.header[k - 1] = np.where(is_taken, without[numbers], numbers)

    def _header(self, k: int, rows: np.ndarray) -> Part:
        return Part(self.header[k - 1][rows], len(self.known.headers.values))

    def _inputs(self, k: int, rows: np.ndarray) -> list[Part]:
        """Return the inputs of a unit of stage ``k``: a shape, and the stage's width, stride and dilation."""
        return [Part(self.shape[rows], len(self.known.shapes.values)), self._header(k, rows)]

    def _look_up(
        self,
        unit: Unit,
        rows: np.ndarray,
        inputs: list[Part],
        make: Callable[[Unit, int, int], Values],
        place: int = 0,
        what: str = "",
    ) -> tuple[Table, np.ndarray]:
        """Return the table of a unit's kind and the index of each row's unit in it. Missing units are added.

        Args:
            unit: The unit.
            rows: The rows.
            inputs: Further keys in addition to the unit's choices.
            make: Computes a missing unit for one row.
            place: The number of the block in its stage, from 1; 0 for other units.
            what: Distinguishes tables of one kind: "bare" for units whose place in the canonical sequence is unknown.
        """
        parts = [*self.known.units.choices(unit, self.codes if rows is self.all else self.codes[:, rows]), *inputs]
        if self.known.with_hashes and what != "bare":
            parts.append(Part(self.end[rows], len(self.known.ends.values)))
        if unit.by_place:
            parts.append(Part.of(self.place[rows] + place))
        if unit.by_total:
            parts.append(Part.of(self.total[rows]))
        if unit.by_depth:
            parts.append(Part.of(self.blocks[unit.stage - 1][rows]))
        groups, first = group_rows(parts, len(rows))
        table = self.known.table(unit, what)
        places = []
        keys = zip(*(part.numbers[first].tolist() for part in parts))
        for key, row in zip(keys, rows[first].tolist()):
            found = table.places.get(key)
            places.append(table.append(key, make(unit, row, place)) if found is None else found)
        return table, np.array(places)[groups]

    def _advance(self, table: Table, places: np.ndarray, rows: np.ndarray, times: np.ndarray | int = 1) -> None:
        """Add the costs of the units to the rows, ``times`` times if a unit repeats."""
        here = slice(None) if rows is self.all else rows
        for axis, name in enumerate(("", "wide_")):
            jump, growth, strides = self.jumps[axis, here], table[f"{name}growth"][places], table[f"{name}jump"]
            if int(np.max(times)) * int(jump.max()) * (int(growth.max()) + int(strides.max())) >= MAX_COST:
                raise Fault((1, 1), "a receptive field too large for a table of costs")
            self.growths[axis, here] += growth * jump * times
            self.jumps[axis, here] = jump * strides[places]
        for name, sums in self.sums.items():
            sums[here] += table[name][places] * times
        self.peak[here] = np.maximum(self.peak[here], table["peak"][places])
        self.shape[here] = table["shape"][places]
        self.copies[here] = table["copies"][places]
        if self.known.with_hashes:
            self.end[here] = table["end"][places]
            for lane, own in enumerate(self.hashes):
                factor, summand = table[f"factor{lane}"][places], table[f"summand{lane}"][places]
                if not isinstance(times, int):
                    factor, summand = repeated(factor, summand, times)
                own[here] = own[here] * factor + summand

    # The costs of single units, derived from the choices of one row

    def _at(self, k: int, row: int) -> tuple[TensorShape, StageNumbers, int]:
        """Return for a row in stage ``k`` the input shape, the header and the network's number of blocks."""
        known = self.known
        return known.shapes.values[self.shape[row]], known.headers.values[self.header[k - 1][row]], int(self.total[row])

    def _copies_at(self, row: int) -> Copies:
        return self.known.copies.values[int(self.copies[row])]

    def _stem_without_copies(self, unit: Unit, row: int, place: int) -> Values:
        return self._stem_cost(unit, row, ())

    def _stem_with_copies(self, unit: Unit, row: int, place: int) -> Values:
        return self._stem_cost(unit, row, self._copies_at(row)[0])

    def _stem_cost(self, unit: Unit, row: int, posts: tuple[Op, ...]) -> Values:
        space, x = self.space, self.known.shapes.values[self.image[row]]
        _, stage, total = self._at(1, row)
        layers = space.deriver.stem_layers(self._answers(unit, row), stage.width, total)
        ops, _ = bind(copied(layers, posts), x, stage.width, 1, space.classes, "the stem")
        return self._values(ops, x, row)

    def _transition(self, unit: Unit, row: int, place: int) -> Values:
        x, stage, total = self._at(unit.stage, row)
        i = int(self.place[row]) + place
        if unit.by_depth:
            stage = stage._replace(blocks=int(self.blocks[unit.stage - 1][row]))
        (ops, _), left = self.space.deriver.transition(self._answers(unit, row), unit.stage, stage, x, i, total)
        return self._values(ops, x, row, takes_stride=left != stage.stride)

    def _block(self, unit: Unit, row: int, place: int, placed: bool = True) -> Values:
        x, stage, total = self._at(unit.stage, row)
        i = int(self.place[row]) + place
        if unit.by_depth:
            stage = stage._replace(blocks=int(self.blocks[unit.stage - 1][row]))
        blocks, _ = self.space.deriver.block(self._answers(unit, row), unit.stage, place, stage, x, i, total)
        copies = tuple(post_layers(blocks[0])), tuple(pre_layers(blocks[-1]))
        costs: list[SegmentCost] = []
        added, live = NOTHING, []
        if is_added := placed and self.known.with_hashes:
            added = (), self.known.ends.values[int(self.end[row])]
        for block in blocks:
            if is_added:
                live.append(without_dead_layers(block, x))
                texts, end = add_block(added[1], live[-1])
                added = (*added[0], *texts), end
            costs.append(block_cost(block, x))
            x = costs[-1].shape
        layers = sum(max(1, block.layer_count) for block in blocks) if placed else 1
        return self.known.values(joined_cost(costs), layers, added, copies, live=live)

    def _block_without_end(self, unit: Unit, row: int, place: int) -> Values:
        return self._block(unit, row, place, placed=False)

    def _head(self, unit: Unit, row: int, place: int) -> Values:
        x, stage, total = self._at(len(self.space.stages), row)
        pres = self._copies_at(row)[1]
        ops, _ = self.space.deriver.head(self._answers(unit, row), x, stage.at(-1).width, total, pres)
        return self._values(ops, x, row, is_last=True)

    def _answers(self, unit: Unit, row: int) -> Lookup:
        return self.known.units.answers(unit, self.codes, row)

    def _values(
        self, ops: tuple[Op, ...], x: TensorShape, row: int, is_last: bool = False, takes_stride: bool = False
    ) -> Values:
        texts, end = self._added(row, lambda end: add_ops(end, ops))
        if is_last:
            texts = (*texts, *end.texts())
        return self.known.values(ops_cost(ops, x), len(ops), (texts, end), takes_stride=takes_stride)

    def _added(self, row: int, add: Callable[[OpenEnd], Extended]) -> Extended:
        """Return what a unit adds to the canonical sequence of a row; nothing if identities are not computed."""
        return add(self.known.ends.values[int(self.end[row])]) if self.known.with_hashes else NOTHING
