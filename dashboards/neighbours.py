"""The networks that are one choice away from a network: their costs, and what became of them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas

from dashboards.quantities import change_of, unit_of
from dashboards.text import Place, safe_text
from explorer.costing.analytic import count_cost
from explorer.errors import ExplorerError
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.edits import neighbours
from explorer.space.search_space import SearchSpace

# Of several trials of a network, the one to show:
TOLD = ("complete", "running", "stopped", "interrupted", "failed", "rejected")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The network with ``choice`` answered by ``instead``, not by ``now``. ``index``: of its derivation in the space;
    ``costs``: as ``Cost.to_dict`` gives them."""

    choice: str
    now: str
    instead: str
    index: int
    digest: str
    costs: Mapping[str, float]


def neighbour_networks(space: SearchSpace, derivation: Derivation) -> list[Neighbour]:
    """Every network one choice away, in the order in which choices are asked. One that cannot be built is left out."""
    found = []
    for choice, option, other in neighbours(space, derivation):
        try:
            architecture = space.architecture(other)
            costs = count_cost(architecture).to_dict()
        except ExplorerError:
            continue
        found.append(
            Neighbour(choice, derivation.choices[choice], option, space.rank(other), architecture.digest, costs)
        )
    return found


def by_digest(records: Iterable[TrialRecord]) -> dict[str, TrialRecord]:
    """Digest -> the trial that tells most of that network, of equals the first."""
    found: dict[str, TrialRecord] = {}
    for record in sorted((r for r in records if r.state in TOLD), key=lambda r: (TOLD.index(r.state), r.number)):
        found.setdefault(record.digest, record)
    return found


def neighbour_label(
    neighbour: Neighbour, own: Mapping[str, float], trial: TrialRecord | None, objective: str, place: Place
) -> str:
    """A neighbour in a few words: ``se(r=4) · +2.1% MACs · trial 7, 61.2%``. ``own``: the costs it is set against;
    ``place``: where it is to be shown."""
    parts = [safe_text(neighbour.instead, place, length=60), f"{change_of('macs', neighbour.costs, own)} MACs"]
    if trial is not None:
        value = trial.value(objective)
        complete = value is not None and trial.state == "complete"
        reached = unit_of(objective, [value]).of(value) if complete else safe_text(trial.state, place)
        parts.append(f"trial {trial.number}, {reached}")
    return " · ".join(parts)


def neighbour_rows(
    networks: Sequence[Neighbour], own: Mapping[str, float], tried: Mapping[str, TrialRecord], objective: str
) -> pandas.DataFrame:
    """One row a neighbour: its costs against ``own``, and the trial (and its value of the objective) that held it."""
    rows = []
    for each in networks:
        trial = tried.get(each.digest)
        reached = trial.value(objective) if trial else None
        rows.append(
            {
                "choice": safe_text(each.choice, "cell"),
                "now": safe_text(each.now, "cell"),
                "instead": safe_text(each.instead, "cell"),
                **{unit_of(name, []).title: change_of(name, each.costs, own) for name in ("macs", "params")},
                "trial": trial.number if trial else None,
                "state": trial.state if trial else "not tried",
                unit_of(objective, []).title: "" if reached is None else unit_of(objective, [reached]).of(reached),
                "derivation": str(each.index),
            }
        )
    return pandas.DataFrame(rows).astype({"trial": "Int64"}) if rows else pandas.DataFrame()
