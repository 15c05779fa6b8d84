"""The best estimate of an objective: of the trial's own training, or of trainings from fresh seeds."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from explorer.analysis.estimates import best_estimates, with_estimates
from explorer.analysis.frontier_certainty import all_trainings
from explorer.analysis.pareto import non_dominated
from explorer.records import ConfirmationRecord, TrainingResult, TrialRecord

TRIALS = [
    TrialRecord(0, "complete", "a", objectives={"accuracy": 0.95, "macs": 1.0}, costs={"macs": 1.0}),
    TrialRecord(1, "complete", "b", objectives={"accuracy": 0.90, "macs": 2.0}, costs={"macs": 2.0}),
    TrialRecord(2, "stopped", "c", objectives={}),
]


def again(seed: int, value: float, epochs: int = 3, state="complete") -> ConfirmationRecord:
    """Return a training of network a from a fresh seed."""
    return ConfirmationRecord("a", seed, epochs, state, test={"accuracy": value} if state == "complete" else {})


def test_fresh_seeds_replace_the_selected_value():
    """The mean over fresh seeds of the study's epochs is the estimate, with its interval; what they are expected to
    give replaces the value of other networks."""
    fresh = [again(1, 0.80), again(2, 0.84), again(3, 0.99, epochs=9), again(4, 0.0, state="failed")]
    found = best_estimates(TRIALS, fresh, "accuracy", 3)
    assert found.keys() == {0, 1}
    assert (found[0].value, found[0].seeds) == (pytest.approx(0.82), 2)
    # s = 0.0283 with one degree of freedom: t = 12.706, half = 12.706 * 0.0283 / sqrt(2)
    assert found[0].ci95 == pytest.approx(12.706 * 0.02, rel=1e-3)
    assert str(found[0]) == "82.0% ± 25.4 (test, 2 fresh seeds)"
    assert found[1].value == pytest.approx(0.9) and found[1].source == "expected, one seed: 90.0%"
    assert with_estimates(TRIALS, fresh, ["accuracy", "macs"], 3)[0].objectives == {
        "accuracy": pytest.approx(0.82),
        "macs": 1.0,
    }


def test_one_fresh_seed_has_no_interval():
    """One fresh seed gives a value without an interval, and no fresh seed leaves the trials as they are."""
    assert str(best_estimates(TRIALS, [], "accuracy", 3)[1]) == "90.0% (validation, one seed)"
    assert str(best_estimates(TRIALS, [again(1, 0.8)], "accuracy", 3)[0]) == "80.0% (test, 1 fresh seed)"
    assert with_estimates(TRIALS, [], ["accuracy"], 3) == TRIALS


def test_repeats_of_a_callers_function_have_no_split():
    """A repeat of ``evaluate`` counts with the value that it returned, of no split."""
    repeat = ConfirmationRecord("b", 7, 1, "complete", measured={"accuracy": 0.7})
    assert str(best_estimates(TRIALS, [repeat], "accuracy", None)[1]) == "70.0% (1 fresh seed)"


NOISE, APART, SHIFT = 0.07, 0.06, -0.02  # of one training, between networks of like cost, from validation to test


def simulated(source: random.Random) -> tuple[list[float], list[TrialRecord], list[ConfirmationRecord]]:
    """Return the true test values of 24 networks, their trials, and three fresh seeds of each on the frontier."""
    truth, trials, fresh = [], [], []
    for number in range(24):
        macs = 4e5 * 10 ** source.random()
        mean = 0.55 + 0.25 * math.log10(macs / 4e5) + source.gauss(0, APART)
        truth.append(mean + SHIFT)
        values = {"accuracy": min(1.0, mean + source.gauss(0, NOISE)), "macs": macs}
        trials.append(TrialRecord(number, "complete", str(number), objectives=values, costs={"macs": macs}))
    for number in non_dominated([(each.costs["macs"], -each.objectives["accuracy"]) for each in trials]):
        for seed in (1, 2, 3):
            value = truth[number] - SHIFT + source.gauss(0, NOISE)
            result = TrainingResult(value, 1.0, value, 3, 1.0, 1.0, ())
            fresh.append(
                ConfirmationRecord(str(number), seed, 3, "complete", test={"accuracy": value + SHIFT}, result=result)
            )
    return truth, trials, fresh


def test_a_lucky_training_does_not_beat_a_confirmed_network():
    """The best network by expected values is better on average than the best by values of one training, and the best of
    the networks without fresh seeds is as good as its expected value says."""
    source, studies = random.Random(5), 40
    lost, lost_by_one, bias = 0.0, 0.0, 0.0
    for _ in range(studies):
        truth, trials, fresh = simulated(source)
        found = best_estimates(trials, fresh, "accuracy", 3)
        by_one = {k: each.value if each.searched is None else each.searched for k, each in found.items()}
        lost += max(truth) - truth[max(found, key=lambda number: found[number].value)]
        lost_by_one += max(truth) - truth[max(by_one, key=lambda number: by_one[number])]
        best = max((k for k, each in found.items() if not each.seeds), key=lambda number: found[number].value)
        bias += found[best].value - truth[best]
    assert lost < lost_by_one
    assert abs(bias) / studies < NOISE / 3


def test_a_training_from_the_seed_of_its_trial_is_not_another_one():
    """In a reproduction the first trainings are trials and trainings from fresh seeds at once: they show no noise."""
    result = TrainingResult(0.95, 1.0, 1.0, 3, 1.0, 1.0, ())
    same = replace(again(0, 0.94), result=result)
    assert [each.values for each in all_trainings(TRIALS, [same], "macs", "accuracy", 1, 3)] == [(0.95,), (0.90,)]
    found = best_estimates(TRIALS, [same], "accuracy", 3)
    assert str(found[0]) == "94.0% (test, 1 fresh seed)" and str(found[1]) == "90.0% (validation, one seed)"
    other = replace(same, seed=1)
    assert all_trainings(TRIALS, [same, other], "macs", "accuracy", 1, 3)[0].values == (0.95, 0.95)


def test_an_expected_value_of_a_loss_is_not_cut_to_a_fraction():
    """Objectives that are no fractions have expected values too; networks without MACs count as of one cost."""
    trials = [TrialRecord(k, "complete", str(k), objectives={"loss": 2.0 + k / 10}) for k in range(8)]
    fresh = [ConfirmationRecord("0", seed, 1, "complete", measured={"loss": 2.3 + seed / 5}) for seed in (1, 2, 3)]
    found = best_estimates(trials, fresh, "loss", None)
    assert found[0].value == pytest.approx(2.7) and found[0].split == ""
    assert all(2.1 < found[k].value < 2.8 for k in range(1, 8))
    assert found[1].value > 2.1 and found[7].value < 2.7
