"""What a prediction rests on, counted without torch."""

from __future__ import annotations

import subprocess
import sys

from explorer.costing.analytic import count_cost
from explorer.grammar.parse import load_space
from explorer.measure.features import count_features

SPACE = load_space("he2016_orders.yaml")


def test_sums_are_the_costs():
    """Over the whole network the amounts are the analytic costs, less the norms that are folded away; so they are
    over the kinds, and the single operations add up to their number."""
    for derivation in SPACE:
        architecture = SPACE.architecture(derivation)
        features, cost = count_features(architecture), count_cost(architecture)
        assert features["network:macs"] == cost.macs
        assert features["network:activations"] == cost.activations
        for amount in ("macs", "params", "operations", "traffic"):
            kinds = [name for name in features if name.endswith(f":{amount}") and not name.startswith("network:")]
            kinds = [name for name in kinds if " on " not in name]
            assert sum(features[name] for name in kinds) == features[f"network:{amount}"]
        single = sum(value for name, value in features.items() if " at " in name)
        assert single == features["network:operations"]


def test_folded_norms_do_not_count():
    """A norm behind a convolution is part of it; one behind an activation or a sum is not."""
    post = count_features(SPACE.architecture(SPACE.named({"order": "original"})))
    pre = count_features(SPACE.architecture(SPACE.named({"order": "full_preact"})))
    assert "bn:operations" not in post
    assert pre["bn:operations"] > 0


def test_counting_needs_no_torch():
    """Thousands of networks are screened without loading torch."""
    program = "import explorer.measure.features, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
