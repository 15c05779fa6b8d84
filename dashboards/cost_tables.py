"""Where a network's costs lie, and how networks differ: tables from architectures. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

import pandas

from dashboards.quantities import change_of, unit_of
from dashboards.text import safe_text
from explorer.architecture import Architecture

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


def comparison_rows(networks: Mapping[str, tuple[Mapping[str, float], Mapping[str, str]]]) -> pandas.DataFrame:
    """Networks side by side: a row a quantity or choice, a column a network. ``differs`` marks rows where they differ;
    of two, ``change`` sets the second's quantity against the first's.

    ``networks``: heading -> (quantities, choices).
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
        rows.append(("≠" if differ else "", unit.title, *shown, change))
    for name in choices:
        answers = [answers.get(name) for _, answers in networks.values()]
        shown = ["" if answer is None else safe_text(answer, "cell") for answer in answers]
        rows.append(("≠" if len(set(answers)) > 1 else "", safe_text(name, "cell"), *shown, ""))
    table = pandas.DataFrame(rows, columns=["differs", "", *networks, "change"])
    return table if len(networks) == 2 else table.drop(columns="change")
