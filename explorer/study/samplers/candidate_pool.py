"""The networks that a sampler can propose, as rows of a table. Each is costed once in this process."""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain, groupby, islice, repeat
from operator import attrgetter
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from explorer.analysis.limits import Limit
from explorer.analysis.quantities import COSTS
from explorer.costs.analytic import SegmentCost, block_cost
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import OpCost
from explorer.networks.walk import PlacedBlock
from explorer.records import TrialRecord
from explorer.space.choices import Choice, Derivation
from explorer.space.edits import neighbour_at, neighbours
from explorer.space.levels import Level
from explorer.space.search_space import SearchSpace
from explorer.study.candidates import Candidates
from explorer.study.samplers.graph_features import graph_numbers
from explorer.study.samplers.listing import list_networks
from explorer.study.samplers.network_table import REFUSALS, NetworkTable, Rows, numeric_features
from explorer.study.seeds import seed_for

MAX_LISTED = 50_000  # derivations up to which all networks of a space become candidates; larger spaces are sampled
MAX_OPS = 30_000  # total size of the random networks derived for one proposal, in ops, which bounds its time
MAX_OPS_SLOW = 12_000  # with cost functions of the caller or a latency predictor, which may take long
OPS_PER_NETWORK = 20  # the fixed part of the time to derive a network, in ops
# A space is listed at once if its parts take at most the time of this many proposals, about one second.
LISTING = 4
MAX_SHARED = 2  # spaces whose networks stay in memory for further studies


class _Known:
    """Networks that were derived or listed.

    Attributes:
        table: The networks.
        is_listed: Whether the rows of the table are the indices of the space.
        rows: Choices -> row; None if the network cannot be built.
        derivations: The derivations by row, unless they are listed.
        networks: Digest -> number of the network.
        lock: Studies in several threads share the networks.

    Args:
        table: All networks of the space, if they were listed.
    """

    def __init__(self, table: NetworkTable | None):
        self.table = NetworkTable() if table is None else table
        self.is_listed = table is not None
        self.rows: dict[tuple[tuple[str, str], ...], int | None] = {}
        self.derivations: list[Derivation] = []
        self.networks: dict[str, int] = {}
        self.lock = Lock()


@lru_cache(maxsize=MAX_SHARED)
def _shared(space: SearchSpace, limits: tuple[Limit, ...], most_units: int) -> _Known:
    """Return the networks that the studies of this process share for a space and its limits.

    Args:
        space: The space.
        limits: The limits.
        most_units: The largest number of distinct parts for which the space is listed; 0 if it may not be listed.
    """
    return _Known(list_networks(space, limits, most_units) if most_units else None)


class CandidatePool:
    """The networks of a space, in a random order that depends on the seed alone.

    Attributes:
        may_list: Whether all networks of a small space are listed at the first use, for a sampler that compares them.
        required: A level that a proposed network has, during one proposal.

    Args:
        candidates: Makes the networks.
        seed: Seed of the study.
    """

    def __init__(self, candidates: Candidates, seed: int):
        self.candidates = candidates
        self.space = candidates.space
        self.may_list = False
        self.required: Level | None = None
        self._seed = seed
        self._drawn: list[int] = []

    @cached_property
    def _known(self) -> _Known:
        if not self.candidates.are_analytic:
            return _Known(None)
        lists = self.may_list and self.space.is_counted and self.space.indices <= MAX_LISTED
        return _shared(self.space, tuple(self.candidates.limits), LISTING * self.derivable if lists else 0)

    @property
    def table(self) -> NetworkTable:
        """The networks."""
        return self._known.table

    @property
    def known_costs(self) -> Container[str]:
        """The names of the costs that are known of every network before training."""
        return self.candidates.known_costs

    @cached_property
    def derivable(self) -> int:
        """How many networks may be derived for one proposal."""
        sizes = filter(None, map(self._size, _derivations(self.space, self._draws())))
        most = MAX_OPS if self.candidates.are_analytic else MAX_OPS_SLOW
        return max(20, most // (max(islice(sizes, 2), default=0) + OPS_PER_NETWORK))

    def first(self, count: int) -> Rows:
        """Return the networks among the first ``count`` derivations of the pool's order.

        The order is the same in every process of a study: the first and the last derivation, which are often extreme,
        then random ones. In a space that is not counted there is no last one.
        """
        self._drawn += islice(self._order, max(0, count - len(self._drawn)))
        return np.array(self._drawn[:count], dtype=np.intp)

    def row(self, derivation: Derivation) -> int | None:
        """Return the network of a derivation, None if it cannot be built; the search reports that."""
        key, known = tuple(derivation.choices.items()), self._known
        if key not in known.rows:
            with known.lock:
                if key not in known.rows:
                    try:
                        known.rows[key] = self.space.rank(derivation) if known.is_listed else self._add(derivation)
                    except ExplorerError:
                        known.rows[key] = None
        return known.rows[key]

    def rows(self, derivations: Iterable[Derivation]) -> Rows:
        """Return the networks of derivations, without those that cannot be built."""
        found = map(self.row, derivations)
        return np.array([row for row in found if row is not None], dtype=np.intp)

    def derivation(self, row: int) -> Derivation:
        """Return the derivation of a network."""
        return self.space.unrank(row) if self._known.is_listed else self._known.derivations[row]

    def worth_training(self, rows: Rows) -> NDArray[np.bool_]:
        """Return whether the output depends on the input, and the limits are satisfied, measured ones as expected.

        During a proposal with a ``required`` level a network also has to have this level. If the output of all rows
        with it is independent of the input, they are kept: some levels occur in such networks only.
        """
        facts = self.table.facts
        kept = np.asarray(facts.of("refusal", rows) == REFUSALS.index(""))
        if self.required is not None:
            kept &= self.table.has_level(self.required, rows)
        connected = kept & (facts.of("is_cut", rows) == 0)
        if self.required is None or connected.any():
            kept = connected
        may_satisfy = self.candidates.may_satisfy_limits
        if may_satisfy is not None:
            places = np.flatnonzero(kept)
            kept[places] = [may_satisfy(costs) for costs in self.table.known_costs(rows[places])]
        return kept

    def uses_required(self, row: int) -> bool:
        """Return whether a network that is derived with the ``required`` level changes with it, if there is one."""
        if self.required is None or not self._option_sizes:
            return True
        others = self.table.facts.of("network", self._steps(row, self.required.choice))
        return bool((others != self.table.facts.of("network", np.array([row]))[0]).all())

    def fresh(self, rows: Rows, taken: set[int]) -> Rows:
        """Return the rows that are worth training: of each network that is not in ``taken``, the one that writes least.

        Args:
            rows: The rows.
            taken: Numbers of networks; those of the returned rows are added.
        """
        rows = rows[self.worth_training(rows)]
        networks = self.table.facts.of("network", rows)
        order = np.argsort(self._written(rows), kind="stable")
        _, first = np.unique(networks[order], return_index=True)
        is_new = np.zeros(len(rows), dtype=bool)
        is_new[order[first]] = True
        is_new &= ~np.isin(networks, np.fromiter(taken, np.int64, len(taken)))
        taken.update(networks[is_new].tolist())
        return rows[is_new]

    def least_written(self, row: int, drawn: Rows) -> int:
        """Return the derivation of a network that writes least, of some and of those that steps of one choice lead to.

        Parts that nothing uses would mislead a reader of the choices, and a function of the caller's that builds the
        network from them would measure such parts.

        Args:
            row: A derivation of the network.
            drawn: Random networks. The rest of the table depends on what else this process derived.
        """
        if not self._option_sizes:
            return row
        row, before = self._least(row, drawn), -1
        while row != before:
            before = row
            for choice in self.derivation(row).choices:
                row = self._least(row, self._steps(row, choice))
        return row

    def _least(self, row: int, others: Rows) -> int:
        """Return, of a row and the others of its network within the limits, the one that writes least.

        It has the ``required`` level, which one of two derivations has if they write two paths in opposite order.
        """
        facts = self.table.facts
        kept = facts.of("network", others) == facts.of("network", np.array([row]))[0]
        kept &= facts.of("refusal", others) == REFUSALS.index("")
        if self.required is not None:
            kept &= self.table.has_level(self.required, others)
        if not kept.any():
            return row
        rows = np.concatenate([[row], others[kept]])
        return int(rows[np.argmin(self._written(rows))])

    def _steps(self, row: int, choice: str) -> Rows:
        """Return the derivations that differ from another in one choice; none if it does not have the choice."""
        derivation = self.derivation(row)
        own, options = derivation.choices.get(choice), self.table.options[choice]
        others = [option for option in options if own not in (None, option)]
        return self.rows(filter(None, (neighbour_at(self.space, derivation, choice, other) for other in others)))

    def _written(self, rows: Rows) -> NDArray[np.float64]:
        """Return the sum of ``_option_sizes`` over the choices, (N,)."""
        total = np.zeros(len(rows))
        for name, sizes in self._option_sizes.items():
            total += sizes[self.table.choices.of(name, rows)]
        return total

    @cached_property
    def _option_sizes(self) -> dict[str, NDArray[np.float64]]:
        """How much each option of a choice writes, apart from a constant; the last value is for no option.

        It is the logarithm of the costs, all of them since one may be equal for several options, in the mean over
        random networks that have the options in turn. Empty if the first random networks are all different, since most
        spaces write no network in two ways, and if all steps from a network take too long to derive.
        """
        sample = list(dict.fromkeys(self.first(self.derivable).tolist()))  # random derivations may repeat
        if len(set(self.table.facts.of("network", np.array(sample)).tolist())) == len(sample):
            return {}
        found: dict[str, list[dict[int, float]]] = {}
        count, most = 0, LISTING * self.derivable
        for row in sample:
            if count > most:
                break
            steps = list(islice(neighbours(self.space, self.derivation(row)), most + 1))
            if len(steps) > most:
                return {}
            count += len(steps)
            for choice, own in groupby(steps, attrgetter("choice")):
                rows = np.concatenate([[row], self.rows(each.derivation for each in own)])
                sizes = np.log1p([self.table.costs.of(name, rows) for name in COSTS]).sum(axis=0)
                codes = self.table.choices.of(choice, rows).tolist()
                found.setdefault(choice, []).append(dict(zip(codes, (sizes - sizes.mean()).tolist())))
        means = {}
        for choice, changes in found.items():
            codes = range(len(self.table.options[choice]))
            known = [[each[code] for each in changes if code in each] for code in codes]
            means[choice] = np.array([*(sum(own) / max(1, len(own)) for own in known), 0.0])
        return means

    def networks_of(self, trials: Sequence[TrialRecord]) -> set[int]:
        """Return the numbers of the networks of trials."""
        numbers = self._known.networks
        for trial in trials:
            if trial.digest not in numbers:
                self._number_trial(trial)
        return {numbers[trial.digest] for trial in trials if trial.digest in numbers}

    def breaks_limits(self, derivation: Derivation) -> bool:
        if not self.candidates.limits:
            return False  # without deriving the network
        refusals = self.table.facts.of("refusal", self.rows([derivation]))
        return REFUSALS.index("rejected") in refusals

    @cached_property
    def _order(self) -> Iterator[int]:
        """The rows in random order."""
        if self._known.is_listed:
            return _indices(self.space.indices, self._draws())
        rows = map(self.row, _derivations(self.space, self._draws()))
        return (row for row in rows if row is not None)

    def _draws(self) -> random.Random:
        return random.Random(seed_for("pool", self._seed, 0))

    def _size(self, derivation: Derivation) -> int:
        """Return the number of ops of a network, 0 if it cannot be built."""
        try:
            return self.space.architecture(derivation).layer_count
        except ExplorerError:
            return 0

    def _number(self, digest: str) -> int:
        """Return the number of the network with a digest."""
        return self._known.networks.setdefault(digest, len(self._known.networks))

    def _number_trial(self, trial: TrialRecord) -> None:
        """Note the number of the network of a trial; nothing if the space is listed and does not have it."""
        known = self._known
        if not known.is_listed:
            with known.lock:
                self._number(trial.digest)
        elif (row := self.row(Derivation(trial.choices))) is not None:
            known.networks[trial.digest] = int(self.table.facts.of("network", np.array([row]))[0])

    def _add(self, derivation: Derivation) -> int:
        candidate, known = self.candidates.make(derivation), self._known
        if not derivation.choices.keys() <= self.table.options.keys():
            self._read_options(derivation)
        architecture = candidate.architecture
        of_blocks = graph_numbers(architecture)
        refusal = candidate.refusal[0] if candidate.refusal else ""
        row = self.table.add(
            numbers=numeric_features(candidate.costs, _stage_sums(architecture), of_blocks),
            choices=derivation.choices,
            costs=candidate.costs,
            predicted=candidate.predicted,
            facts={
                "network": self._number(architecture.digest),
                "refusal": REFUSALS.index(refusal),
                "is_cut": of_blocks["cut_blocks"] > 0,
            },
        )
        known.derivations.append(derivation)
        return row

    def _read_options(self, derivation: Derivation) -> None:
        def replay(choice: Choice) -> str:
            self.table.options[choice.name] = choice.options
            return derivation.choices[choice.name]

        self.space.derive(replay)


def _derivations(space: SearchSpace, draw: random.Random) -> Iterator[Derivation]:
    if not space.is_counted:
        return chain((space.named({}),), map(space.draw, repeat(draw)))
    return map(space.unrank, _indices(space.indices, draw))


def _indices(total: int, draw: random.Random) -> Iterator[int]:
    """Yield the ends of the range of indices and random other ones, of up to ``MAX_LISTED`` each once."""
    yield from dict.fromkeys((0, total - 1))
    if total > MAX_LISTED:
        while True:
            yield draw.randrange(total)
    if total > 2:
        yield from draw.sample(range(1, total - 1), total - 2)


def _stage_sums(architecture: Architecture) -> list[dict[str, float]]:
    """Return MACs and activations of each stage."""
    sums: list[dict[str, float]] = [{"macs": 0, "activations": 0} for _ in architecture.stages]
    for segment in architecture.segments:
        if segment.stage == 0 or segment.stage > len(architecture.stages):  # stem and head
            continue
        if isinstance(segment, PlacedBlock):
            costs: list[SegmentCost | OpCost] = [block_cost(segment.block, segment.x)]
        else:
            costs = [step.op.cost(step.x) for step in segment.steps]
        own = sums[segment.stage - 1]
        for name in own:
            own[name] += sum(getattr(cost, name) for cost in costs)
    return sums
