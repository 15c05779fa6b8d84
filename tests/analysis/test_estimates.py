"""The best estimate of an objective: of the trial's own training, or of trainings from fresh seeds."""

from __future__ import annotations

import pytest

from explorer.analysis.estimates import best_estimates, with_estimates
from explorer.records import ConfirmationRecord, TrialRecord

TRIALS = [
    TrialRecord(0, "complete", "a", objectives={"accuracy": 0.95, "macs": 1.0}, costs={"macs": 1.0}),
    TrialRecord(1, "complete", "b", objectives={"accuracy": 0.90, "macs": 2.0}, costs={"macs": 2.0}),
    TrialRecord(2, "stopped", "c", objectives={}),
]


def again(seed: int, value: float, epochs: int = 3, state="complete") -> ConfirmationRecord:
    """Return a training of network a from a fresh seed."""
    return ConfirmationRecord("a", seed, epochs, state, test={"accuracy": value} if state == "complete" else {})


def test_fresh_seeds_replace_the_selected_value():
    """The mean over fresh seeds of the study's epochs is the estimate, with its interval; other networks keep the value
    of their trial."""
    fresh = [again(1, 0.80), again(2, 0.84), again(3, 0.99, epochs=9), again(4, 0.0, state="failed")]
    found = best_estimates(TRIALS, fresh, "accuracy", 3)
    assert found.keys() == {0, 1}
    assert (found[0].value, found[0].seeds) == (pytest.approx(0.82), 2)
    # s = 0.0283 with one degree of freedom: t = 12.706, half = 12.706 * 0.0283 / sqrt(2)
    assert found[0].ci95 == pytest.approx(12.706 * 0.02, rel=1e-3)
    assert str(found[0]) == "82.0% ± 25.4 (test, 2 fresh seeds)"
    assert str(found[1]) == "90.0% (validation, one seed)"
    assert with_estimates(TRIALS, fresh, ["accuracy", "macs"], 3)[0].objectives == {
        "accuracy": pytest.approx(0.82),
        "macs": 1.0,
    }


def test_one_fresh_seed_has_no_interval():
    """One fresh seed gives a value without an interval, and no fresh seed leaves the trials as they are."""
    assert str(best_estimates(TRIALS, [again(1, 0.8)], "accuracy", 3)[0]) == "80.0% (test, 1 fresh seed)"
    assert with_estimates(TRIALS, [], ["accuracy"], 3) == TRIALS


def test_repeats_of_a_callers_function_have_no_split():
    """A repeat of ``evaluate`` counts with the value that it returned, of no split."""
    repeat = ConfirmationRecord("b", 7, 1, "complete", measured={"accuracy": 0.7})
    assert str(best_estimates(TRIALS, [repeat], "accuracy", None)[1]) == "70.0% (1 fresh seed)"
