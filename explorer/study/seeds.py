"""Seeds that depend only on the study's seed and the trial's number, also in a resumed study."""

from __future__ import annotations

import hashlib


def seed_for(purpose: str, seed: int, number: int) -> int:
    """Return a seed in 0..2**31-1.

    Args:
        purpose: Use of the random numbers; each purpose has its own stream.
        seed: Seed of the study.
        number: Number of the trial.
    """
    text = f"{purpose}:{seed}:{number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4]) >> 1
