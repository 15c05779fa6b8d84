"""The mailbox of a search on a Ray cluster: an actor that tasks send reports to, and receive verdicts from.

A lost mailbox loses no result: each task also returns all its reports.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from explorer.records import Epoch, GradientFlow

VERDICT_SECONDS = 60.0  # that a task waits for a verdict, which it no longer needs after its next decision


class Posted(NamedTuple):
    """A report of a task.

    Attributes:
        run: Number of the task.
        position: Number of the report among those of the task, from 0.
        report: The report.
    """

    run: int
    position: int
    report: Epoch | GradientFlow


@dataclass
class Batch:
    """What arrived since the last batch.

    Attributes:
        posted: The reports in the order of their arrival.
        places: Number of a task to the host and the device on which it has begun.
        checkpoints: Number of a task to the content of its last checkpoint.
    """

    posted: list[Posted] = field(default_factory=list)
    places: dict[int, tuple[str, str]] = field(default_factory=dict)
    checkpoints: dict[int, bytes] = field(default_factory=dict)


class Mailbox:
    """Holds messages until they are fetched. Ray runs its methods in one event loop."""

    def __init__(self) -> None:
        self._batch = Batch()
        self._arrived = asyncio.Event()
        self._verdicts: dict[tuple[int, int], asyncio.Future[bool]] = defaultdict(asyncio.Future)

    async def post(self, posted: Posted) -> None:
        """Add a report of a task."""
        self._batch.posted.append(posted)
        self._arrived.set()

    async def begin(self, run: int, host: str, device: str) -> None:
        """Note where a task has begun."""
        self._batch.places[run] = host, device
        self._arrived.set()

    async def keep(self, run: int, checkpoint: bytes) -> None:
        """Replace the checkpoint of a task."""
        self._batch.checkpoints[run] = checkpoint
        self._arrived.set()

    async def take(self) -> Batch:
        """Wait for a message and return all that have arrived."""
        await self._arrived.wait()
        self._arrived.clear()
        taken, self._batch = self._batch, Batch()
        return taken

    async def answer(self, run: int, epoch: int, stop: bool) -> None:
        """Give the verdict on an epoch of a task."""
        verdict = self._verdicts[run, epoch]
        if not verdict.done():
            verdict.set_result(stop)

    async def verdict(self, run: int, epoch: int) -> bool | None:
        """Wait for the verdict on an epoch of a task; return None if it takes too long."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._verdicts[run, epoch]), VERDICT_SECONDS)
        except TimeoutError:
            return None
        finally:
            self._verdicts.pop((run, epoch), None)
