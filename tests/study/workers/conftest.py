"""Pools of child processes, and jobs for them."""

from __future__ import annotations

import pytest

from explorer.study.workers.jobs import Evaluation, Job
from explorer.study.workers.pool import ProcessPool


@pytest.fixture
def workplace():
    """Create a workplace for an evaluation and stop it afterwards."""
    made = []

    def make(evaluate, workers=1, reused=False, work=None):
        made.append(
            ProcessPool(
                work or Evaluation(evaluate, None, ("accuracy",)), workers, is_user_function=True, reused=reused
            )
        )
        return made[-1]

    yield make
    for workplace in made:
        workplace.stop()


@pytest.fixture
def job(space):
    """Make the job of a derivation of the small space, numbered by its index."""

    def make(number: int) -> Job:
        derivation = space.unrank(number)
        architecture = space.architecture(derivation)
        return Job(number, architecture.digest, architecture.to_json(), dict(derivation.choices), seed=number)

    return make
