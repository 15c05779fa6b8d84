"""The levels of choices that networks within limits have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.analysis.limits import Limit
from explorer.costs.whole_space.choices import ABSENT, ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts
from explorer.costs.whole_space.statistics import QUICK
from explorer.costs.whole_space.table import rank_batches
from explorer.errors import ExplorerError
from explorer.space.levels import Level
from explorer.space.search_space import SearchSpace


def levels_within(space: SearchSpace, limits: Sequence[Limit]) -> list[Level]:
    """Return the levels of all choices that at least one network within the limits has.

    Args:
        space: The space.
        limits: Limits on computed costs.

    Raises:
        ExplorerError: The space is not counted, or has more than 200,000 derivations.
        TooManyUnits: The networks have too many distinct units to compute their costs quickly.
    """
    if not space.is_counted or space.indices > QUICK.derivations:
        raise ExplorerError(f"the costs of {space.name!r} are not computed for all of its {space.size}")
    columns = ChoiceColumns(space)
    costs_of = NetworkCosts(space, columns, most_units=QUICK.units)
    found: set[Level] = set()
    for indices in rank_batches(columns, columns.total):
        codes = columns.codes(indices)
        costs = costs_of(indices, codes)
        kept = codes[:, np.all([limit.allows(costs) for limit in limits], axis=0)]
        for column, own in zip(columns.columns, kept):
            found.update(Level(column.name, column.options[code]) for code in np.unique(own) if code != ABSENT)
    return sorted(found)
