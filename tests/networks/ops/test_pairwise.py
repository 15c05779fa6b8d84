"""The pairwise design covers all pairs."""

from __future__ import annotations

from itertools import combinations, product

from tests.networks.ops.pairwise import all_pairs

FACTORS = {"a": range(5), "b": range(4), "c": range(3), "d": range(3)}


def pairs(rows):
    return {pair for row in rows for pair in combinations(row.items(), 2)}


def fits(row):
    return (row["a"] + row["b"] + row["c"]) % 4 > 0 and row["a"] != row["d"]


def test_every_valid_pair_is_covered():
    """Every pair of a valid row of the full product is in the design, which has only valid rows and few of them."""
    whole = [dict(zip(FACTORS, values)) for values in product(*FACTORS.values())]
    for allowed, most in ((lambda row: True, 24), (fits, 30)):
        rows = all_pairs(FACTORS, allowed)
        assert pairs(rows) == pairs(filter(allowed, whole)) and all(map(allowed, rows))
        assert len(rows) <= most
    assert len(whole) == 180
