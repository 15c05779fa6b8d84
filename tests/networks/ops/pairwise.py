"""All-pairs designs: few rows in which any two values of different factors meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Row = tuple[int, ...]  # the index of each factor's value


def all_pairs(
    factors: Mapping[str, Sequence[Any]], fits: Callable[[dict[str, Any]], bool] = lambda row: True
) -> list[dict[str, Any]]:
    """Return rows, each with a value for every factor, that hold every pair of values of two factors.

    Greedy and deterministic: a row starts with a pair that no row holds yet and takes, factor by factor, the value
    that adds most new pairs.

    Args:
        factors: The values of each factor.
        fits: Whether a row may be used. A pair that no such row holds is left out.
    """
    sizes = [len(values) for values in factors.values()]

    def filled(row: Row) -> dict[str, Any]:
        return {name: values[place] for (name, values), place in zip(factors.items(), row)}

    def pairs(row: Mapping[int, int]) -> set[tuple]:
        return set(combinations(sorted(row.items()), 2))

    def completions(start: dict[int, int]) -> Iterator[Row]:
        row = dict(start)
        for factor in sorted(set(range(len(sizes))) - set(start), key=lambda factor: -sizes[factor]):
            row[factor] = max(
                range(sizes[factor]), key=lambda place: len(pairs({**row, factor: place}) & missing.keys())
            )
        yield tuple(row[factor] for factor in range(len(sizes)))
        yield from product(*([start[factor]] if factor in start else range(size) for factor, size in enumerate(sizes)))

    every = combinations(enumerate(map(range, sizes)), 2)
    missing = dict.fromkeys(((i, a), (j, b)) for (i, left), (j, right) in every for a, b in product(left, right))
    rows = []
    while missing:
        start = next(iter(missing))
        row = next((row for row in completions(dict(start)) if fits(filled(row))), None)
        if row is not None:
            rows.append(filled(row))
        for pair in [start] if row is None else pairs(dict(enumerate(row))):
            missing.pop(pair, None)
    return rows
