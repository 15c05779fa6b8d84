"""The costs of all networks leave out the layers that each single network leaves out."""

from __future__ import annotations

import pytest

from tests.costs.whole_space.test_costs import agrees
from tests.space.spaces import space

SPACES = {
    "zero as an op": ({"op": "conv3x3 bn | zero | dwconv5x5 bn"}, "conv1x1 bn relu op conv1x1 bn + relu"),
    "zero as a block": ({"op": "conv3x3 bn + | zero + | zero cat conv1x1 | conv3x3 zero gate(b=1)"}, "op"),
    "a factor that may be 0": ({"op": "scale(0) | scale(1) | scale(0.5) | none"}, "conv3x3 bn prelu op +"),
}


@pytest.mark.parametrize(("grammar", "block"), SPACES.values(), ids=list(SPACES))
def test_costs_of_all_networks_leave_out_dead_layers(grammar, block):
    """Each row of the table of costs is the cost of that network alone."""
    agrees(space(grammar, {"op": "block"}, block=block), 81)
