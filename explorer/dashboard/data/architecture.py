"""Tables of networks: costs by part, networks side by side, and the networks that differ in one choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas

from explorer.costs.analytic import count_cost
from explorer.dashboard.quantities import change_of, unit_of
from explorer.dashboard.text import TextFormat, safe_text
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.edits import neighbours
from explorer.space.search_space import SearchSpace

KINDS = {
    "conv": "convolution",
    "linear": "linear",
    "attention": "attention",
    "norm": "norm",
    "activation": "activation",
    "merge": "merge",
}
OTHER_KIND = "other"
COSTED = ("macs", "params", "activations")
# If several trials hold one network, the state that comes first here is shown.
STATE_ORDER = ("complete", "running", "stopped", "interrupted", "failed", "rejected")


def cost_by_part(architecture: Architecture) -> pandas.DataFrame:
    """Return one row per part of the network and kind of op, with its costs for one image.

    Returns:
        A table with the columns part (stem, stage1, ..., head), kind (a value of ``KINDS`` or ``OTHER_KIND``), macs,
        params and activations.
    """
    rows: dict[tuple[str, str], list[int]] = {}
    for layer in architecture.layers():
        kind = KINDS.get(layer.op.role, OTHER_KIND)
        cost = layer.op.cost(layer.x)
        sums = rows.setdefault((layer.section, kind), [0] * len(COSTED))
        for place, name in enumerate(COSTED):
            sums[place] += getattr(cost, name)
    table = pandas.DataFrame(
        [(part, kind, *sums) for (part, kind), sums in rows.items()], columns=["part", "kind", *COSTED]
    )
    return table[table[list(COSTED)].any(axis=1)].reset_index(drop=True)


def stage_rows(architecture: Architecture) -> pandas.DataFrame:
    """Return one row per part of the network for display: output shape, number of blocks, costs in their units."""
    sums: dict[Any, Any] = cost_by_part(architecture).groupby("part", sort=False)[list(COSTED)].sum().to_dict("index")
    shapes = [str(shape).replace("x", "×") for shape in architecture.stage_shapes()]
    outputs = {"stem": shapes[0], **{f"stage{k}": shape for k, shape in enumerate(shapes[1:], 1)}}
    blocks = {f"stage{k}": len(stage.blocks) for k, stage in enumerate(architecture.stages, 1)}
    rows = {}
    for part in (*outputs, "head"):
        costs = sums.get(part, dict.fromkeys(COSTED, 0))
        rows[part] = {
            "output": outputs.get(part, f"{architecture.classes} classes"),
            "blocks": str(blocks.get(part, "")),
            **{unit_of(name, []).title: unit_of(name, [costs[name]]).of(float(costs[name])) for name in COSTED},
        }
    return pandas.DataFrame.from_dict(rows, orient="index").rename_axis("part").reset_index()


def compared_stage_rows(networks: Mapping[str, Architecture]) -> pandas.DataFrame:
    """Return the rows of ``stage_rows`` of several networks, equal parts below each other.

    Args:
        networks: Heading of each network -> the network.

    Returns:
        A table with the column ``network``, which holds the headings, after ``part``. The head is last.
    """
    tables = []
    for name, architecture in networks.items():
        table = stage_rows(architecture)
        table.insert(1, "network", name)
        tables.append(table)
    rows = pandas.concat(tables, ignore_index=True)
    longest = max(tables, key=lambda table: len(table.index))
    places = {part: place for place, part in enumerate(longest.part)}
    return rows.sort_values("part", key=lambda parts: parts.map(places), kind="stable", ignore_index=True)


def comparison_rows(networks: Mapping[str, tuple[Mapping[str, float], Mapping[str, str]]]) -> pandas.DataFrame:
    """Return networks side by side: one row per quantity or choice, one column per network.

    Args:
        networks: Heading -> (quantities, choices).

    Returns:
        A table whose column ``differs`` holds "≠" where the networks differ. For two networks the column ``change``
        holds the second's quantity relative to the first's.
    """
    quantities = dict.fromkeys(name for values, _ in networks.values() for name in values)
    choices = dict.fromkeys(name for _, answers in networks.values() for name in answers)
    rows = []
    for name in quantities:
        unit = unit_of(name, [])
        held = [values for values, _ in networks.values()]
        shown = [unit_of(name, [values[name]]).of(values[name]) if name in values else "" for values in held]
        differ = len({values.get(name) for values in held}) > 1
        change = change_of(name, held[1], held[0]) if len(held) == 2 and differ else ""
        rows.append((unit.title, "≠" if differ else "", *shown, change))
    for name in choices:
        answers = [answers.get(name) for _, answers in networks.values()]
        shown = ["" if answer is None else safe_text(answer, "cell") for answer in answers]
        rows.append((safe_text(name, "cell"), "≠" if len(set(answers)) > 1 else "", *shown, ""))
    table = pandas.DataFrame(rows, columns=["", "differs", *networks, "change"])
    return table if len(networks) == 2 else table.drop(columns="change")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A network that differs from another one in one choice.

    Attributes:
        choice: Name of the choice point.
        now: The other network's answer.
        instead: This network's answer.
        index: Index of this network's derivation in the space.
        digest: Digest of its architecture.
        costs: Its costs, as ``Cost.to_dict`` returns them.
    """

    choice: str
    now: str
    instead: str
    index: int
    digest: str
    costs: Mapping[str, float]


def neighbour_networks(space: SearchSpace, derivation: Derivation) -> list[Neighbour]:
    """Return all networks one choice away, in the order of the choices, without those that cannot be built."""
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


def trials_by_digest(records: Iterable[TrialRecord]) -> dict[str, TrialRecord]:
    """Return digest -> a trial of that network: the first in ``STATE_ORDER``, then the one with the lowest number."""
    tried = [record for record in records if record.state in STATE_ORDER]
    found: dict[str, TrialRecord] = {}
    for record in sorted(tried, key=lambda record: (STATE_ORDER.index(record.state), record.number)):
        found.setdefault(record.digest, record)
    return found


def neighbour_label(
    neighbour: Neighbour, own: Mapping[str, float], trial: TrialRecord | None, objective: str, form: TextFormat
) -> str:
    """Return a neighbour as a short label: ``se(r=4) · +2.1% MACs · trial 7, 61.2%``.

    Args:
        neighbour: The network.
        own: Costs of the network that it is compared with.
        trial: The trial that holds the neighbour; None if there is none.
        objective: The quantity to show of a complete trial.
        form: Format of the place that shows the label.
    """
    parts = [safe_text(neighbour.instead, form, length=60), f"{change_of('macs', neighbour.costs, own)} MACs"]
    if trial is not None:
        value = trial.value(objective)
        if value is not None and trial.state == "complete":
            outcome = unit_of(objective, [value]).of(value)
        else:
            outcome = safe_text(trial.state, form)
        parts.append(f"trial {trial.number}, {outcome}")
    return " · ".join(parts)


def neighbour_rows(
    networks: Sequence[Neighbour], own: Mapping[str, float], tried: Mapping[str, TrialRecord], objective: str
) -> pandas.DataFrame:
    """Return one row per neighbour for display: choice, change of costs, trial and value of the objective.

    Args:
        networks: The neighbours.
        own: Costs of the network that they are compared with.
        tried: Digest -> trial, as ``trials_by_digest`` returns it.
        objective: The quantity to show of a trial.
    """
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
