"""Random streams that depend on nothing but the study's seed and the trial's number, so that resuming repeats them."""

from __future__ import annotations

import hashlib


def seed_for(purpose: str, seed: int, number: int) -> int:
    """A seed in 0..2**31-1 for one ``purpose`` of one trial."""
    text = f"{purpose}:{seed}:{number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4]) >> 1
