"""The table of quantities: a new cost is one row and one formula."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from explorer.analysis.quantities import (
    COSTS,
    QUANTITIES,
    SCORES,
    TRAINED,
    directions,
    is_maximised,
    names,
    quantity_named,
)
from explorer.costs.analytic import Cost
from explorer.records import Curve, Epoch, TrainingResult, TrialRecord

ROOT = Path(__file__).parents[2]
# The two edits: file -> (the line before which the new line is inserted, the new line).
EDITS = {
    "explorer/analysis/quantities.py": (
        '        Quantity(LATENCY, "latency"',
        '        Quantity("weight_bytes", "cost", BYTES, "size of the weights"),\n',
    ),
    "explorer/costs/analytic.py": (
        "    def to_dict(self)",
        "    weight_bytes: int = _formula(lambda total: total.bytes_per_element * total.params)\n\n",
    ),
}
PROGRAM = '''
import json

from click.testing import CliRunner

import explorer
from explorer.dashboard.data.space import SHOWN_COSTS
from explorer.dashboard.data.trials import trial_rows
from explorer.dashboard.quantities import unit_of
from explorer.cli.running import search
from explorer.cli.spaces import cost
from explorer.export.card import model_card
from explorer.export.transfer import Subject
from explorer.space.json_schema import schema
from explorer.analysis.limits import parse_limit

TEXT = """
input: 3x8x8
classes: 4
stem: conv3x3(8)
stages: {blocks: 1 | 2 | 3, width: 8}
block: conv3x3 bn relu +
head: gap fc
limits: {weight_bytes: <= 1MiB}
"""
space = explorer.parse_space(TEXT)
network = space.architecture(0)
study = explorer.search(
    space,
    objectives={"accuracy": "max", "weight_bytes": "min"},
    evaluate=lambda arch, *, choices, epochs, seed: {"accuracy": explorer.cost(arch).macs / 1e9},
    limits=["weight_bytes<=6000"],
    sampler="random",
    trials=2,
)
records = study.trials()
atlas = explorer.atlas(space)
with open("space.yaml", "w") as file:
    file.write(TEXT)
print(json.dumps({
    "python": explorer.cost(network).weight_bytes == 4 * explorer.cost(network).params,
    "json": json.loads(CliRunner().invoke(cost, ["space.yaml#0", "--json"]).output)["weight_bytes"],
    "text": [line for line in CliRunner().invoke(cost, ["space.yaml#0"]).output.splitlines() if "weight_b" in line],
    "limit": str(parse_limit("weight_bytes <= 1.5MiB")),
    "space limit": str(space.limits[0]),
    "schema": "weight_bytes" in schema()["properties"]["limits"]["properties"],
    "atlas": atlas.weight_bytes.tolist() == [explorer.cost(space.architecture(i)).weight_bytes for i in range(3)],
    "records": sorted(record.value("weight_bytes") for record in records if record.state == "complete"),
    "plane": study.plane,
    "frontier": [record.value("weight_bytes") for record in study.frontier()],
    "label": unit_of("weight_bytes", [3_000_000]).label,
    "heading": [name for name in trial_rows(records, study.objectives) if "weights" in name],
    "menu": "weight_bytes" in SHOWN_COSTS,
    "card": "| size of the weights | " in model_card(Subject(network), (), "", {}, {}),
    "help": "weight_bytes" in next(each.help for each in search.params if each.name == "objectives"),
}))
'''


def test_a_new_cost_is_one_row_and_one_formula(tmp_path):
    """Two edits add a cost to Python, JSON, limits, spaces, atlas, search, records, front, dashboard and help."""
    for package in ("explorer", "dashboards", "search_spaces"):
        shutil.copytree(ROOT / package, tmp_path / package)  # with its bytecode
    for path, (before, new) in EDITS.items():
        text = (tmp_path / path).read_text()
        assert text.count(before) == 1
        (tmp_path / path).write_text(text.replace(before, new + before))
    child = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr[-2_000:]
    assert json.loads(child.stdout) == {
        "python": True,
        "json": 3376,
        "text": ["weight_bytes       3,376 bytes"],
        "limit": "weight_bytes <= 1.572864M",
        "space limit": "weight_bytes <= 1.048576M",
        "schema": True,
        "atlas": True,
        "records": [3376, 5744],
        "plane": ["weight_bytes", "accuracy"],
        "frontier": [3376, 5744],
        "label": "size of the weights (MiB)",
        "heading": ["size of the weights (KiB)"],
        "menu": True,
        "card": True,
        "help": True,
    }


def test_the_table_and_the_cost_name_the_same_costs():
    """Every cost in the table has a formula, in the same order, so that JSON and tables agree."""
    assert tuple(field.name for field in fields(Cost)) == COSTS


@pytest.mark.parametrize("kept", [Epoch, TrainingResult, Curve])
def test_training_metrics_have_fields_of_the_same_name(kept):
    """A training metric is a field of an epoch, of a result and of a curve."""
    known = kept._fields if kept is Curve else {field.name for field in fields(kept)}
    assert set(TRAINED.values()) <= set(known)


def test_accuracies_and_scores_are_maximised_and_others_minimised():
    """The table has the direction of each quantity, and a study's own direction takes precedence."""
    assert {name for name in QUANTITIES if is_maximised(name)} == {"accuracy", "top5", *SCORES}
    assert directions(["accuracy", "macs", "loss", "joules"]) == {
        "accuracy": "max",
        "macs": "min",
        "loss": "min",
        "joules": "min",
    }
    assert is_maximised("joules", {"joules": "max"})
    assert not is_maximised("accuracy", {"accuracy": "min"})


def test_a_users_own_quantity_has_no_unit():
    """A cost of the user has its name as title, and one that ends in _bytes is displayed as bytes."""
    assert quantity_named("joules").title == "joules"
    assert quantity_named("joules").unit.scale([5e9]).suffix == ""
    assert quantity_named("cache_bytes").unit.scale([3 * 2**20]).name == "MiB"
    assert quantity_named("cache_bytes").unit.scale([]).name == "bytes"
    assert "joules" not in names("cost", "latency", "objective", "score", "spent")


def test_a_value_of_a_trial_is_an_objective_or_a_cost():
    """An objective takes precedence over a cost of the same name, and a missing value is None."""
    record = TrialRecord(0, "complete", costs={"macs": 5, "joules": 1.0}, objectives={"accuracy": 0.5, "joules": 2.0})
    assert [record.value(name) for name in ("macs", "accuracy", "joules", "loss")] == [5, 0.5, 2.0, None]
    assert record.quantities == {"macs": 5, "joules": 2.0, "accuracy": 0.5}
