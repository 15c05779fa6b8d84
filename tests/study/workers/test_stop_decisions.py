"""A training in a child stops after the epoch at which its parent decides so."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from explorer.records import Epoch
from tests.study import evaluations


@pytest.mark.parametrize("stop_after", [1, 3, None])
def test_a_stop_decision_ends_a_training_after_that_epoch(workplace, job, stop_after):
    """The parent checks some epochs: a stopped training starts no further epoch, the others continue."""
    place = workplace(None, work=evaluations.epochs_until_stopped)
    place.start(replace(job(0), decision_epochs=(1, 3, 9)))
    heard, outcome = [], None
    end = time.monotonic() + 60
    while outcome is None and time.monotonic() < end:
        for number, message in place.messages(0.2):
            if isinstance(message, Epoch):
                heard.append(message.epoch)
                if message.epoch in (1, 3, 9):
                    place.answer(number, message.epoch, stop=message.epoch == stop_after)
            else:
                outcome = message
    assert outcome.result.epochs == (stop_after or 10) and heard == list(range(1, (stop_after or 10) + 1))


def test_a_late_stop_decision_still_applies(workplace, job, monkeypatch):
    """A training without an answer continues after a while and ends at whichever epoch the stop decision arrives."""
    place = workplace(None, work=evaluations.epochs_until_stopped)
    place.start(replace(job(0), decision_epochs=(1, 9)))
    outcome, told = None, False
    end = time.monotonic() + 60
    while outcome is None and time.monotonic() < end:
        for number, message in place.messages(0.2):
            if not isinstance(message, Epoch):
                outcome = message
            elif message.epoch > 1 and not told:
                place.answer(number, 1, stop=True)
                told = True
    assert 2 <= outcome.result.epochs < 10
