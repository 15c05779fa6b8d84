"""The atlas as a table: its derivations, and the spaces it rejects."""

from __future__ import annotations

import pytest

from explorer.costs.whole_space.choices import draw
from explorer.costs.whole_space.table import atlas, rows_of
from explorer.errors import SpaceError
from tests.space.spaces import space


@pytest.mark.parametrize(("total", "n"), [(10, 3), (10, 8), (10, 10), (10**6, 500), (10**30, 50)])
@pytest.mark.parametrize("seed", [0, 7, -1])
def test_samples_are_distinct_and_ascending(total, n, seed):
    """A sample has the requested number of distinct indices in order, and a seed reproduces it."""
    drawn = draw(total, n, seed).tolist()
    assert drawn == sorted(set(drawn)) == draw(total, n, seed).tolist()
    assert len(drawn) == n and drawn[0] >= 0 and drawn[-1] < total


def test_a_large_n_gives_all_derivations():
    """If n exceeds the count, every derivation is listed once, and a choice named like a cost has its own column."""
    frame = atlas(space(grammar={"macs": "none | relu | bn"}, block="conv3x3 macs +"), 99)
    assert frame["index"].tolist() == [0, 1, 2]
    assert frame["choice.macs"].tolist() == ["none", "relu", "bn"]


def test_too_large_a_space_must_be_sampled():
    """A space of more than 100,000,000 derivations gives one line that names -n, and a sample of it works."""
    made = space(
        grammar={"act": "relu | prelu | none"}, vary={"act": "block"}, block="conv3x3 act +",
        stages="{blocks: [40, 40], width: [4, 8]}",
    )  # fmt: skip
    with pytest.raises(SpaceError, match=r"10\^38 derivations.*-n 1000000"):
        rows_of(made, None)
    frame = atlas(made, 5)
    assert len(frame) == 5 and all(int(index) < made.count() for index in frame["index"])
