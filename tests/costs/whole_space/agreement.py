"""Whether the costs of many derivations at once equal those of their architectures."""

from __future__ import annotations

import random

import numpy as np

from explorer.costs.analytic import count_cost
from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts
from explorer.space.search_space import SearchSpace


def surveyed(made: SearchSpace, indices: list[int], at_once: int = 1_000) -> tuple[list[dict], list[dict]]:
    """Return (choices, costs) of derivations, computed for that many rows at a time."""
    columns = ChoiceColumns(made)
    costs = NetworkCosts(made, columns)
    choices, counted = [], []
    for start in range(0, len(indices), at_once):
        own = np.array(indices[start : start + at_once], dtype=np.int64 if made.count() < 2**62 else object)
        codes = columns.codes(own)
        found = costs(own, codes)
        for row in range(len(own)):
            asked = zip(columns.columns, codes[:, row].tolist())
            choices.append({column.name: column.options[code] for column, code in asked if code >= 0})
            counted.append({name: int(values[row]) for name, values in found.items()})
    return choices, counted


def agrees(made: SearchSpace, most: int = 60, at_once: int = 1_000) -> None:
    """Check that choices and costs of all or sampled derivations equal those of ``unrank`` and ``count_cost``."""
    total = made.count()
    indices = list(range(total)) if total <= most else sorted(random.Random(1).randrange(total) for _ in range(most))
    choices, costs = surveyed(made, indices, at_once)
    assert choices == [dict(made.unrank(index).choices) for index in indices]
    assert costs == [count_cost(made.architecture(index)).to_dict() for index in indices]
