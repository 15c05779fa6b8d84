"""All networks of a small space as a table, whose features come from the distinct parts of the space.

Deriving each of 10,000 networks takes seconds, which each process of a search would spend. Their stems, blocks and
heads are far fewer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.analysis.limits import Limit
from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts, TooManyUnits
from explorer.costs.whole_space.identities import number_distinct
from explorer.errors import ExplorerError
from explorer.space.search_space import SearchSpace
from explorer.study.samplers.graph_features import block_numbers
from explorer.study.samplers.network_table import REFUSALS, NetworkTable, numeric_features


def list_networks(space: SearchSpace, limits: Sequence[Limit], most_units: int) -> NetworkTable | None:
    """Return a table with one row per index of a space.

    Args:
        space: A space whose derivations are counted.
        limits: Limits on analytic costs.
        most_units: The largest number of distinct stems, transitions, blocks and heads to derive.

    Returns:
        The table; None if the space has more units, or a network that cannot be built.
    """
    columns = ChoiceColumns(space)
    known = NetworkCosts(space, columns, with_hashes=True, most_units=most_units, numbers_of=block_numbers)
    indices = np.arange(columns.total)
    codes = columns.codes(indices)
    if known.units.fewest(codes) > most_units:
        return None
    try:
        costs, hashes, stages, blocks = known.describe(indices, codes)
    except (ExplorerError, TooManyUnits):
        return None
    broken = np.zeros(columns.total, dtype=bool)
    for limit in limits:
        broken |= ~np.asarray(limit.allows(costs))
    table = NetworkTable()
    table.options = {column.name: column.options for column in columns.columns}
    table.numbers.fill(numeric_features(costs, stages, blocks))
    table.choices.fill({column.name: own for column, own in zip(columns.columns, codes)})
    table.costs.fill(costs)
    facts = {"network": number_distinct(hashes), "is_cut": blocks["cut_blocks"] > 0}
    table.facts.fill({**facts, "refusal": broken * REFUSALS.index("rejected")})
    return table
