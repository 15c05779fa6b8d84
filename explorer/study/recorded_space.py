"""The space of a study, with the input and classes of the study's networks, and its networks.

A search takes input and classes from its data, and a study keeps the text of the space, which may name others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from explorer.analysis.effects.population import MAX_NETWORKS
from explorer.analysis.quantities import COSTS
from explorer.costs.whole_space.listing import list_networks
from explorer.errors import ExplorerError, SpaceError
from explorer.networks.architecture import Architecture
from explorer.records import TrialRecord
from explorer.space.search_space import SearchSpace, parse_space
from explorer.store.managing.extensions import require_ops
from explorer.store.study import Study


def recorded_space(study: Study, records: Iterable[TrialRecord] | None = None) -> SearchSpace:
    """Return the space of a study with the input and classes of its networks; with its own if there is no network.

    Args:
        study: The study.
        records: Its trials, if they are read already.

    Raises:
        SpaceError: The space cannot be read by this version.
        StudyError: It has an op that is missing here.
    """
    try:
        space = parse_space(study.space_text, f"the space of study {study.name!r}")
    except SpaceError:
        require_ops(study)  # a missing op is one fault, wherever the space names it
        raise
    network = first_network(study, records)
    if network is None or (space.input, space.classes) == (network.input, network.classes):
        return space
    return space.with_input(network.input, network.classes)


def first_network(study: Study, records: Iterable[TrialRecord] | None = None) -> Architecture | None:
    """Return the network of the first trial that has one; None if there is none.

    Args:
        study: The study.
        records: Its trials, if they are read already.
    """
    records = study.trials(full=False) if records is None else records
    number = next((record.number for record in records if record.digest), None)
    return None if number is None else study.trial(number).architecture


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
        cannot be read, one of its ops has changed, or it does not have the choices of the trials.
    """
    complete = next((record for record in records if record.state == "complete"), None)
    if cost not in COSTS or complete is None:
        return None
    try:
        require_ops(study)  # a changed op has other costs
        listed = list_networks(recorded_space(study, [complete]), cost, MAX_NETWORKS)
    except ExplorerError:
        return None
    answers = {answer for choices, _ in listed for answer in choices.items()}
    return listed if set(complete.choices.items()) <= answers else None
