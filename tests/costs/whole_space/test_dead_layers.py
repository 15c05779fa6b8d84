"""The costs of all networks leave out the layers that each single network leaves out."""

from __future__ import annotations

import pytest

from tests.costs.whole_space.agreement import agrees
from tests.costs.whole_space.dead_layers import DEAD_LAYERS
from tests.space.spaces import space


@pytest.mark.parametrize(("grammar", "block"), DEAD_LAYERS.values(), ids=list(DEAD_LAYERS))
def test_costs_of_all_networks_leave_out_dead_layers(grammar, block):
    """Each row of the table of costs is the cost of that network alone."""
    agrees(space(grammar, {"op": "block"}, block=block), 81)
