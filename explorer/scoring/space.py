"""Scores of networks sampled from a space, and their rank correlation with the analytic costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from explorer.analysis.ranking import Correlation, rank_correlations
from explorer.costs.analytic import count_cost
from explorer.costs.whole_space.choices import draw
from explorer.costs.whole_space.drawn import DrawnColumns
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import OpCost
from explorer.space.search_space import SearchSpace

SUMMED_COSTS = OpCost._fields  # the costs that are sums over layers: params, macs, activations

Row = Mapping[str, Any]


def distinct_networks(space: SearchSpace, indices: Iterable[int]) -> dict[int, Architecture]:
    """Return the networks of some derivations of a space.

    Args:
        space: The search space.
        indices: Indices of derivations. Of derivations that give equal networks only the first is returned.

    Returns:
        Index -> network.

    Raises:
        SpaceError: A network cannot be built.
    """
    found: dict[int, Architecture] = {}
    seen: set[str] = set()
    for index in map(int, indices):
        architecture = space.architecture(index)
        if architecture.digest not in seen:
            seen.add(architecture.digest)
            found[index] = architecture
    return found


def score_row(index: int, architecture: Architecture, scores: Mapping[str, float | None]) -> Row:
    """Return a row of a table: index, digest, params, macs, activations and the scores of a network."""
    cost = count_cost(architecture)
    plain = {name: getattr(cost, name) for name in SUMMED_COSTS}
    return {"index": index, "digest": architecture.digest, **plain, **scores}


def sample_indices(space: SearchSpace, n: int, seed: int) -> list[int]:
    """Sample derivations uniformly, without replacement.

    Args:
        space: The search space.
        n: Number of derivations; all are returned if the space has fewer.
        seed: Seed of the sample.

    Returns:
        The indices of the derivations.
    """
    if not space.is_counted:
        return [int(index) for index in DrawnColumns(space, n, seed).ranks]
    indices: list[int] = draw(space.indices, min(n, space.indices), seed).tolist()
    return indices


def correlate_with_costs(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[Correlation]]:
    """Return the rank correlations of scores with costs.

    Args:
        rows: Rows of ``score_row``.
        names: Names of scores in the rows.

    Returns:
        Cost in SUMMED_COSTS -> the correlation of each score with that cost, over all and at equal MACs.
    """
    columns = {name: [row[name] for row in rows] for name in (*SUMMED_COSTS, *names)}
    scores = {name: columns[name] for name in names}
    return {plain: rank_correlations(scores, columns[plain], columns["macs"]) for plain in SUMMED_COSTS}
