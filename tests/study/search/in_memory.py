"""Searches in the current process, in memory by default."""

from __future__ import annotations

from explorer.study.search import run_search
from tests.study.evaluations import good


def search(space, **settings):
    """Run a search, in memory by default."""
    return run_search(space, **{"evaluate": good, "storage": None, "study": "one", **settings})


def tried(study) -> list[tuple]:
    """Return the content of each trial without times and workers."""
    return [(r.number, r.state, r.digest, r.choices, r.objectives, r.seed, r.same_as, r.reason) for r in study.trials()]
