"""The choices and one cost of the networks of a space, for analyses that compare all of them."""

from __future__ import annotations

from explorer.costs.whole_space.choices import ABSENT
from explorer.costs.whole_space.drawn import columns_of
from explorer.costs.whole_space.table import cost_batches
from explorer.space.search_space import SearchSpace

MAX_DRAWN = 1_000  # derivations of a space that is not counted
MAX_DRAWN_STEPS = 20_000  # decisions of drawing them, some 1.5 s


def list_networks(space: SearchSpace, cost: str, n: int, seed: int = 0) -> list[tuple[dict[str, str], float]]:
    """Return choices and cost of derivations of a space, without building networks.

    Args:
        space: The space.
        cost: The name of an analytic cost, one of ``COSTS``.
        n: The number of distinct derivations to draw uniformly; all if there are fewer. At most ``MAX_DRAWN`` if
            the derivations are not counted, and fewer if each takes long to draw.
        seed: The seed of the draw.

    Raises:
        SpaceError: A network cannot be built.
    """
    n = min(n, space.indices if space.is_counted else MAX_DRAWN)
    columns = columns_of(space, n, seed, MAX_DRAWN_STEPS)
    listed: list[tuple[dict[str, str], float]] = []
    for _, codes, costs in cost_batches(space, n, seed, columns):
        for row, value in zip(codes.T.tolist(), costs[cost].tolist()):
            choices = {
                column.name: column.options[code] for column, code in zip(columns.columns, row) if code != ABSENT
            }
            listed.append((choices, float(value)))
    return listed
