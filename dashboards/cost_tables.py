"""Where a network's costs lie, and how networks differ: tables from architectures. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas

from dashboards.quantities import unit_of
from dashboards.text import safe_text
from explorer.architecture import Architecture
from explorer.costing.analytic import count_cost
from explorer.grammar.neighbours import neighbours
from explorer.grammar.space import Derivation, SearchSpace
from explorer.records import TrialRecord

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


def cost_by_place(architecture: Architecture) -> pandas.DataFrame:
    """One row a part of the network (stem, stages, head) and kind of op: macs, params, activations, one image."""
    rows: dict[tuple[str, str], list[int]] = {}
    for placed in architecture.layers():
        part = re.match(r"[a-z]+\d*", placed.path)
        assert part is not None
        kind = KINDS.get(getattr(placed.op, "role", "merge"), OTHER_KIND)
        cost = placed.op.cost(placed.x)
        sums = rows.setdefault((part[0], kind), [0, 0, 0])
        for place, value in enumerate((cost.macs, cost.params, cost.activations)):
            sums[place] += value
    table = pandas.DataFrame(
        [(part, kind, *sums) for (part, kind), sums in rows.items()], columns=["part", "kind", *COSTED]
    )
    return table[table[list(COSTED)].any(axis=1)].reset_index(drop=True)


def stage_rows(architecture: Architecture) -> pandas.DataFrame:
    """The network part by part: output shape, blocks, MACs and parameters, as people read them."""
    table = cost_by_place(architecture).groupby("part", sort=False)[list(COSTED)].sum()
    shapes = [str(shape).replace("x", "×") for shape in architecture.stage_shapes()]
    outputs = {"stem": shapes[0], **{f"stage{k}": shape for k, shape in enumerate(shapes[1:], 1)}}
    blocks = {f"stage{k}": len(stage.blocks) for k, stage in enumerate(architecture.stages, 1)}
    rows = {}
    for part in (*outputs, "head"):
        costs = table.loc[part] if part in table.index else dict.fromkeys(COSTED, 0)
        rows[part] = {
            "output": outputs.get(part, f"{architecture.classes} classes"),
            "blocks": str(blocks.get(part, "")),
            **{unit_of(name, []).title: unit_of(name, [costs[name]]).of(float(costs[name])) for name in COSTED},
        }
    return pandas.DataFrame.from_dict(rows, orient="index").rename_axis("part").reset_index()


def comparison_rows(records: Sequence[TrialRecord]) -> pandas.DataFrame:
    """Trials side by side: a row a quantity or choice, a column a trial; ``differs`` marks rows where they differ."""
    columns: list[dict[str, str]] = []
    for record in records:
        values = {**record.objectives, **record.costs}
        column = {unit.title: unit.of(value) for name, value in values.items() for unit in (unit_of(name, [value]),)}
        column |= {safe_text(name): safe_text(text, "cell") for name, text in record.choices.items()}
        columns.append(column)
    names = dict.fromkeys(name for column in columns for name in column)
    rows = []
    for name in names:
        shown = [column.get(name, "") for column in columns]
        rows.append(("≠" if len(set(shown)) > 1 else "", name, *shown))
    return pandas.DataFrame(rows, columns=["differs", "", *(f"trial {record.number}" for record in records)])


def neighbour_rows(
    space: SearchSpace, derivation: Derivation, trained: Mapping[str, TrialRecord], objective: str
) -> pandas.DataFrame:
    """What happens if only one choice changes: its costs against this network's, and what its training gave.

    ``trained``: digest -> the complete trial of that network. A neighbour that cannot be built is left out.
    """
    own = count_cost(space.architecture(derivation)).to_dict()
    rows = []
    for choice, option, other in neighbours(space, derivation):
        architecture = space.architecture(other)
        costs = count_cost(architecture).to_dict()
        trial = trained.get(architecture.digest)
        reached = {**trial.costs, **trial.objectives}.get(objective) if trial else None
        rows.append(
            {
                "choice": safe_text(choice, "cell"),
                "now": safe_text(derivation.choices[choice], "cell"),
                "instead": safe_text(option, "cell"),
                **{f"{unit_of(name, []).title} (%)": _change(costs[name], own[name]) for name in ("macs", "params")},
                "trial": trial.number if trial else None,
                unit_of(objective, []).title: "" if reached is None else unit_of(objective, [reached]).of(reached),
                "index": str(space.rank(other)),
            }
        )
    return pandas.DataFrame(rows).astype({"trial": "Int64"}) if rows else pandas.DataFrame()


def _change(value: float, own: float) -> float:
    return 100 * (value - own) / own if own else 0.0
