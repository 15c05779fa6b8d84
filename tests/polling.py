"""Waiting for another process or thread."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 300.0  # seconds that a step may take on a loaded machine; it fails a test only if the step never ends
SHORTEST_PAUSE = 0.02  # seconds between two checks at the start
LONGEST_PAUSE = 0.2  # shorter than any state lasts that a test waits for


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return as soon as ``condition()`` is true; fail after ``seconds``.

    The pauses grow with the time waited: a check that starts a process or opens a database takes processor time from
    what it waits for.
    """
    start = time.monotonic()
    while not condition():
        waited = time.monotonic() - start
        assert waited < seconds, f"not true within {seconds} s"
        time.sleep(min(max(waited / 20, SHORTEST_PAUSE), LONGEST_PAUSE))
