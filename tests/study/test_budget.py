"""When a search starts no further trial, and when it gives up."""

from __future__ import annotations

import math
import time

import pytest

from explorer.study.budget import FAILURE_WINDOW, Budget
from explorer.study.stopping.rules import Allowance


@pytest.mark.parametrize(
    "done, in_flight, begins",
    [(0, 0, True), (8, 1, True), (8, 2, False), (10, 0, False), (11, 0, False)],
)
def test_the_total_of_trials_is_reached_and_not_exceeded(done, in_flight, begins):
    """Trials start while finished plus running trials are fewer than the total."""
    assert (Budget(10, None).spent(done, in_flight, 5.0) == "") == begins


@pytest.mark.parametrize("left, median, begins", [(10, None, True), (10, 9, True), (10, 11, False), (0, None, False)])
def test_no_trial_starts_that_would_end_too_late(left, median, begins):
    """A trial starts if the median trial fits into the remaining time; the first one starts if any time remains."""
    budget = Budget(None, 100.0, began=time.monotonic() - 100 + left)
    assert (budget.spent(3, 0, median) == "") == begins


@pytest.mark.parametrize("late, overdue", [(-1, False), (15, False), (25, True)])
def test_running_trials_have_a_grace_period(late, overdue):
    """After its time limit a search waits for running trials for another fifth of that limit."""
    assert Budget(None, 100.0, began=time.monotonic() - 100 - late).overdue() == overdue


def test_without_bounds_nothing_ends():
    """A budget without bounds is never exhausted and never overdue."""
    budget = Budget(None, None)
    assert budget.spent(10**6, 0, 10.0) == "" and not budget.overdue() and budget.seconds_left() is None


def test_more_than_half_of_the_last_twenty_failures_end_a_search():
    """Eleven failures among the last twenty trials end a search, ten do not, and older ones are not counted."""
    budget = Budget(None, None)
    for failed in [True, False] * FAILURE_WINDOW:
        budget.note(failed)
    assert not budget.has_failed()
    budget.note(True)
    budget.note(True)
    assert budget.has_failed()
    for _ in range(FAILURE_WINDOW // 2):
        budget.note(False)
    assert not budget.has_failed()


@pytest.mark.parametrize(
    "budget, begun, unchanged, is_exhausted, new, trials",
    [
        (Budget(10, None), 4, 0, False, 6, 10),
        (Budget(10, None), 10, 0, False, 0, 10),
        (Budget(10, None), 12, 0, False, 0, 12),
        (Budget(10, None), 4, 0, True, 0, 4),
        (Budget(None, None, 5), 8, 4, False, math.inf, 8),
        (Budget(None, None, 5), 8, 5, False, 0, 8),
        (Budget(10, None, 5), 8, 5, False, 0, 8),
    ],
)
def test_paused_trials_may_use_what_the_trials_leave(budget, begun, unchanged, is_exhausted, new, trials):
    """A number of trials allows their share of epochs; when no trial may begin any more, those begun have theirs."""
    allowance = budget.allowance(begun, unchanged, is_exhausted)
    assert (allowance.new, allowance.trials) == (new, trials)


@pytest.mark.parametrize("spent, new", [(0.5, math.inf), (0.7, 0)])
def test_the_last_third_of_the_time_is_for_paused_trials(spent, new):
    """After two thirds of the time no trial begins while a paused one is worth its epochs; only time limits these."""
    began = time.monotonic() - 3000 * spent
    assert Budget(None, 3000.0, began=began).allowance(40, 0, False) == Allowance(new, math.inf)
    assert Budget(100, 3000.0, began=began).allowance(40, 0, False) == Allowance(min(new, 60), 100)
