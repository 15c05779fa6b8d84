"""Identities of many networks at once, to count distinct ones.

The canonical form of a network is a sequence of texts. Each unit adds some texts, which depend on earlier units only by
the open end of the sequence (``explorer.networks.canonical``). So each distinct unit is canonicalised once, and the
identity of a network is a hash of its sequence that is computed from the hashes of its units.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache

import numpy as np

LANES = 2  # 64 bits each, as many in total as a digest has
BASES = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)  # odd numbers, so that multiplication loses nothing
WORD = 2**64

Hashed = tuple[int, ...]  # a factor and a summand for each lane, as signed integers


def hash_texts(texts: Iterable[str]) -> Hashed:
    """Return the hash of a part of a sequence: what it does to the hash of all texts before it.

    In each lane a sequence of texts has the hash ((t1 * b + t2) * b + t3) ... modulo 2^64, with the texts' own hashes
    t and a constant b. So texts after a sequence multiply its hash by a factor and add a summand.
    """
    factors, summands = [1] * LANES, [0] * LANES
    for text in texts:
        for lane, (own, base) in enumerate(zip(_hash_text(text), BASES)):
            factors[lane] = factors[lane] * base % WORD
            summands[lane] = (summands[lane] * base + own) % WORD
    return tuple(map(_signed, (*factors, *summands)))


@cache
def _hash_text(text: str) -> tuple[int, ...]:
    data = hashlib.sha256(text.encode()).digest()
    return tuple(int.from_bytes(data[8 * lane : 8 * lane + 8], "little") for lane in range(LANES))


def _signed(number: int) -> int:
    return number - WORD if number >= WORD // 2 else number


def repeated(factor: np.ndarray, summand: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and summand of a part that occurs ``times`` times in a row, from 1."""
    all_factors, all_summands = np.ones_like(factor), np.zeros_like(summand)
    while times.any():
        odd = times % 2 == 1
        all_summands = np.where(odd, all_summands * factor + summand, all_summands)
        all_factors = np.where(odd, all_factors * factor, all_factors)
        summand = summand * factor + summand
        factor = factor * factor
        times = times // 2
    return all_factors, all_summands


def number_distinct(hashes: np.ndarray) -> np.ndarray:
    """Return numbers from 0, (rows,), that are equal exactly for equal columns of (lanes, rows)."""
    order = np.lexsort(hashes)
    differs = np.any(hashes[:, order[1:]] != hashes[:, order[:-1]], axis=0)
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(differs)])
    return numbers


def count_distinct(hashes: np.ndarray) -> int:
    """Return the number of distinct columns of (lanes, rows)."""
    return int(number_distinct(hashes).max()) + 1
