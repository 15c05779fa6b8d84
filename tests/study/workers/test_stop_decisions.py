"""A training in a child stops after the epoch at which its parent decides so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from explorer.records import Epoch
from explorer.study.workers.jobs import Job, Outcome
from explorer.study.workers.pool import ProcessPool
from tests.polling import PATIENCE
from tests.study import evaluations


def outcome_of(place: ProcessPool, job: Job, on_epoch: Callable[[int], object]) -> Outcome:
    """Run a job, call ``on_epoch`` with the number of each epoch that it reports, and return what it gave."""
    place.start(job)
    while True:
        for _, message in place.messages(0.2):
            if not isinstance(message, Epoch):
                return message
            on_epoch(message.epoch)


@pytest.mark.parametrize("stop_after", [1, 3, None])
def test_a_stop_decision_ends_a_training_after_that_epoch(workplace, job, stop_after):
    """The parent checks some epochs: a stopped training starts no further epoch, the others continue."""
    place, heard = workplace(None, work=evaluations.epochs_until_stopped), []

    def decide(epoch: int) -> None:
        heard.append(epoch)
        if epoch in (1, 3, 9):
            place.answer(0, epoch, stop=epoch == stop_after)

    outcome = outcome_of(place, replace(job(0), decision_epochs=(1, 3, 9), verdict_seconds=PATIENCE), decide)
    assert outcome.result.epochs == (stop_after or 10) and heard == list(range(1, (stop_after or 10) + 1))


def test_a_late_stop_decision_still_applies(workplace, job):
    """A training without an answer continues after a while and ends at whichever epoch the stop decision arrives."""
    place = workplace(None, work=partial(evaluations.epochs_until_stopped, most=10**6, pause=0.05))

    def decide(epoch: int) -> None:
        if epoch == 2:
            place.answer(0, 1, stop=True)

    outcome = outcome_of(place, replace(job(0), decision_epochs=(1,)), decide)
    assert 2 <= outcome.result.epochs < 10**6
