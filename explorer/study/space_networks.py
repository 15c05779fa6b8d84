"""The networks of a study's space with one cost, about which its effects are."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.analysis.effects.population import MAX_NETWORKS
from explorer.analysis.quantities import COSTS
from explorer.costs.whole_space.listing import list_networks
from explorer.errors import ExplorerError
from explorer.records import TrialRecord
from explorer.space.search_space import parse_space
from explorer.store import Study


def space_networks(
    study: Study, records: Sequence[TrialRecord], cost: str
) -> list[tuple[dict[str, str], float]] | None:
    """Return choices and costs of networks of a study's space.

    Args:
        study: The study.
        records: Its trials.
        cost: The cost.

    Returns:
        The networks, up to the number that effects use; None if the cost is not analytic, the space of the study
        cannot be read, or it does not have the choices of the trials.
    """
    complete = next((record for record in records if record.state == "complete"), None)
    if cost not in COSTS or complete is None:
        return None
    try:
        architecture = study.trial(complete.number).architecture
        space = parse_space(study.space_text, f"the space of study {study.name!r}")
        listed = list_networks(space.with_input(architecture.input, architecture.classes), cost, MAX_NETWORKS)
    except ExplorerError:
        return None
    answers = {answer for choices, _ in listed for answer in choices.items()}
    return listed if set(complete.choices.items()) <= answers else None
