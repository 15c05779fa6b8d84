"""Digests of callers' functions stay the same when the explorer's own modules move."""

from __future__ import annotations

import pytest

import explorer
from explorer.study.fingerprint.former_names import former_name

# The public functions and classes, and the modules they had when digests of callers' functions were first stored.
FIRST = {
    "Architecture": "explorer.architecture.Architecture",
    "Derivation": "explorer.grammar.space.Derivation",
    "ExplorerError": "explorer.errors.ExplorerError",
    "Pause": "explorer.measure.device_lock.Pause",
    "SearchFailed": "explorer.errors.SearchFailed",
    "SearchSpace": "explorer.grammar.space.SearchSpace",
    "SpaceError": "explorer.errors.SpaceError",
    "atlas": "explorer.survey.table.atlas",
    "build": "explorer.network.build.build_network",
    "confirm": "explorer.study.confirmation.confirm",
    "cost": "explorer.costing.analytic.count_cost",
    "gradients": "explorer.training.gradient_flow.gradient_flow",
    "latency": "explorer.measure.latency.latency",
    "load_space": "explorer.grammar.parse.load_space",
    "load_weights": "explorer.export.weights.load_weights",
    "open_study": "explorer.store.studies.open_study",
    "parse_space": "explorer.grammar.parse.parse_space",
    "predict_latency": "explorer.measure.calibration.predict_latency",
    "Scorer": "explorer.scoring.zero_cost.Scorer",
    "score": "explorer.scoring.zero_cost.score_architecture",
    "search": "explorer.study.search.search",
    "train": "explorer.training.run.train_architecture",
}


@pytest.mark.parametrize("name", FIRST)
def test_a_public_name_keeps_its_name_in_digests(name):
    """Each public function and class has the same name in digests as when digests were first stored."""
    value = getattr(explorer, name)
    assert former_name(f"{value.__module__}.{value.__qualname__}") == FIRST[name]


def test_a_name_inside_a_moved_package_keeps_its_name():
    """A class of an op keeps its former module in digests, and a name that did not move stays unchanged."""
    assert former_name("explorer.networks.ops.conv.Conv") == "explorer.ops.conv.Conv"
    assert former_name("explorer.training.recipe.Recipe") == "explorer.training.recipe.Recipe"
