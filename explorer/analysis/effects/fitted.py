"""The model of an objective over the networks of a design space, fitted once for several questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from explorer.analysis.effects.answers import networks_of
from explorer.analysis.effects.contrast import Contrasts
from explorer.analysis.effects.population import population_of
from explorer.records import TrialRecord


def fitted_contrasts(
    records: Sequence[TrialRecord],
    objective: str,
    cost: str,
    space: Iterable[tuple[Mapping[str, str], float]] | None = None,
) -> Contrasts:
    """Return the model that ``level_curves`` and ``conditional_effects`` ask.

    Args:
        records: At least two trials that ``comparable`` returned.
        objective: The objective.
        cost: The cost.
        space: As in ``choice_effects``.
    """
    networks = networks_of(records, objective, cost)
    return Contrasts(networks, population_of(networks, space))
