"""The scores of networks drawn from a space, and how they go with what costs nothing to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from explorer.analysis.ranking import Correlation, rank_correlations
from explorer.costs.analytic import count_cost
from explorer.costs.whole_space.table import draw
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import OpCost
from explorer.space.search_space import SearchSpace

PLAIN = OpCost._fields  # the costs that add up over layers

Row = Mapping[str, Any]


def score_networks(
    space: SearchSpace, indices: Iterable[int], score: Callable[[Architecture], Mapping[str, float | None]]
) -> Iterator[Row]:
    """One row for each network of the derivations ``indices``, the first of equal ones: index, digest, params, macs,
    activations and what ``score`` gives. Raises SpaceError for a network that cannot be built."""
    seen = set()
    for index in map(int, indices):
        architecture = space.architecture(index)
        if architecture.digest in seen:
            continue
        seen.add(architecture.digest)
        cost = count_cost(architecture)
        plain = {name: getattr(cost, name) for name in PLAIN}
        yield {"index": index, "digest": architecture.digest, **plain, **score(architecture)}


def drawn(space: SearchSpace, n: int, seed: int) -> list[int]:
    """The indices of ``n`` different derivations, uniformly drawn; of all where there are no more."""
    indices: list[int] = draw(space.count(), min(n, space.count()), seed).tolist()
    return indices


def beside_costs(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[Correlation]]:
    """For each of PLAIN how the scores ``names`` rank the networks as it does."""
    columns = {name: [row[name] for row in rows] for name in (*PLAIN, *names)}
    scores = {name: columns[name] for name in names}
    return {plain: rank_correlations(scores, columns[plain], columns["macs"]) for plain in PLAIN}
