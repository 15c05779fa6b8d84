"""Scores of several networks, computed in parallel: one network a core."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import torch

from explorer.data.dataset import Dataset
from explorer.networks.architecture import Architecture
from explorer.scoring.zero_cost import BATCH, score_architecture
from explorer.system.cores import usable_cores
from explorer.system.memory import available_memory
from explorer.training.activation_checkpointing import activation_bytes

MEMORY_SHARE = 0.5  # of the free memory that the activations of all networks in parallel may fill

Scores = dict[str, float | None]


class Scored(NamedTuple):
    """A network to score.

    Attributes:
        architecture: The network.
        names: The scores to compute.
        seed: Seed of the initialisation, the shuffle and the noise.
    """

    architecture: Architecture
    names: Sequence[str]
    seed: int = 0


def score_all(wanted: Sequence[Scored], *, data: Dataset | None = None, batch: int = BATCH) -> Iterator[Scores]:
    """Compute the scores of several networks, each on one thread, so that they do not depend on the number of cores.

    Threads share the data and torch, and torch computes without Python's lock. Of networks with large activations
    fewer are computed in parallel.

    Args:
        wanted: The networks.
        data: As for ``score_architecture``.
        batch: As for ``score_architecture``.

    Yields:
        What ``score_architecture`` returns for each network, in the order given, as soon as it is known.

    Raises:
        ExplorerError: As for ``score_architecture``.
    """
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)  # also that of threads which start now
    waiting: deque[Future[Scores]] = deque()
    parallel = _parallel(wanted, batch)
    try:
        with ThreadPoolExecutor(parallel) as threads:
            try:
                for each in wanted:
                    job = partial(score_architecture, data=data, batch=batch, seed=each.seed)
                    waiting.append(threads.submit(job, each.architecture, each.names))
                    while len(waiting) > parallel:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)  # after an error or Ctrl-C the rest is not wanted
    finally:
        torch.set_num_threads(threads_before)


def _parallel(wanted: Sequence[Scored], batch: int) -> int:
    """Return how many networks to compute in parallel: one a core, as far as their activations fit in memory."""
    largest = max((activation_bytes(each.architecture, batch, "float32") for each in wanted), default=0)
    fitting = int(MEMORY_SHARE * available_memory() / max(1, largest))
    return max(1, min(usable_cores(), len(wanted), fitting))
