"""The model of learning curves that pauses and continues trials, on synthetic curves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from explorer.study.stopping.freeze_thaw import expected_gains, predict_last
from explorer.study.stopping.rules import Allowance, FreezeThaw, Run

EPOCHS = 9
RULE = FreezeThaw()


def made_up(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values (count, 4, 2) of runs after four epochs and one feature (count, 1) that decides much of them."""
    draw = np.random.default_rng(seed)
    feature = draw.normal(size=(count, 1))
    level = 0.7 * feature + 0.5 * draw.normal(size=(count, 1))
    steps = [level * (0.6 + 0.2 * epoch) + epoch + 0.3 * draw.normal(size=(count, 2)) for epoch in range(4)]
    return np.stack(steps, axis=1), feature


def test_intervals_contain_the_final_values():
    """About nine in ten runs end within 1.645 predicted standard deviations, whatever they have reached."""
    inside: list[bool] = []
    for seed in range(30):
        values, features = made_up(30, seed)
        reached = np.arange(30) % 5
        mean, sd = predict_last(values, reached, features)
        open_ = reached < 4
        inside += list((abs(values[open_, -1] - mean[open_]) < 1.645 * sd[open_]).ravel())
    assert 0.85 <= np.mean(inside) <= 0.96


def test_values_that_were_not_reached_are_ignored():
    """A prediction depends only on the epochs that a run has reached; a complete run keeps its values."""
    values, features = made_up(12, 2)
    reached = np.arange(12) % 5
    hidden = np.where(np.arange(4)[None, :, None] < reached[:, None, None], values, 1e6)
    mean, sd = predict_last(hidden, reached, features)
    for found, expected in zip((mean, sd), predict_last(values, reached, features)):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(mean[reached == 4], values[reached == 4, -1])
    assert (sd[reached == 4] == 0).all() and (sd[reached < 4] > 0).all()


def test_paused_runs_improve_the_predictions():
    """Beside three complete runs, 37 that were paused at the third of four epochs reduce the error of runs with one
    epoch."""
    errors = {0: 0.0, 37: 0.0}
    for paused in errors:
        for seed in range(30):
            values, features = made_up(60, seed)
            chosen = [*range(3 + paused), *range(40, 60)]
            reached = np.array([4] * 3 + [3] * paused + [1] * 20)
            mean, _ = predict_last(values[chosen], reached, features[chosen])
            errors[paused] += abs(mean[-20:] - values[-20:, -1]).mean()
    assert errors[37] < 0.9 * errors[0]


def test_the_gain_is_that_of_random_final_values():
    """The expected gain of a run is the mean enlargement of the hypervolume over its predicted final values."""
    values, features = made_up(12, 5)
    reached = np.array([4] * 6 + [2] * 6)
    costs, worst = np.linspace(1.0, 2.0, 12)[:, None], values[:, :, :1].max((0, 1))
    gains, of_new = expected_gains(values, reached, features, costs, worst)
    mean, sd = predict_last(values, reached, features)
    reference = (worst[0], 2.1 + 1e-9)
    complete = [(values[each, -1, 0], costs[each, 0]) for each in range(6)]

    def volume(points) -> float:
        inside = sorted((cost, value) for value, cost in points if value < reference[0])
        total, best = 0.0, reference[0]
        for (cost, value), (following, _) in zip(inside, [*inside[1:], (reference[1], 0.0)]):
            best = min(best, value)
            total += (following - cost) * (reference[0] - best)
        return total

    draws = np.random.default_rng(0).standard_normal(4000)
    for each in range(6, 12):
        drawn = [volume([*complete, (mean[each, 0] + sd[each, 0] * draw, costs[each, 0])]) for draw in draws]
        assert gains[each] == pytest.approx(np.mean(drawn) - volume(complete), rel=0.1, abs=2e-3)
    assert (gains[:6] < 1e-9).all() and of_new > 0


def run(final: float, cost: float, epochs: int, noise: float = 0.0) -> Run:
    """Return a run of some epochs whose accuracy grows towards a final value; its losses follow its accuracy."""
    accuracies = [final * (0.4 + 0.6 * epoch / EPOCHS) + noise * math.sin(7 * epoch) for epoch in range(1, epochs + 1)]
    return Run(
        tuple((-accuracy,) for accuracy in accuracies),
        (cost,),
        tuple((accuracy, -accuracy, math.log(cost), 1.0) for accuracy in accuracies),
        epochs == EPOCHS,
        tuple(-accuracy for accuracy in accuracies),
    )


COMPLETE = [run(0.5 + 0.02 * (each % 3), 100.0 + each, EPOCHS, 0.01) for each in range(6)]


def test_the_run_that_gains_most_per_epoch_is_chosen():
    """Of runs with equal costs that reached the same epoch, the most accurate continues."""
    paused = [run(final, 100.0, 3) for final in (0.5, 0.8, 0.6)]
    assert RULE.choose(paused, COMPLETE, EPOCHS, Allowance(new=0, trials=100)) == 1


def test_a_run_whose_checkpoint_is_lost_costs_its_epochs_again():
    """Of two equal runs, the one with a checkpoint continues; a lost run continues only if all its epochs are
    allowed."""
    one, other = run(0.8, 100.0, 4), replace(run(0.8, 100.0, 4), lost_epochs=4)
    assert RULE.choose([other, one], COMPLETE, EPOCHS, Allowance(new=0, trials=100)) == 1
    spent = 4 + 6 * EPOCHS  # epochs of a lost run and of the complete ones; 5 more end it from its checkpoint
    for allowed, chosen in ((5, None), (8, None), (9, 0)):
        allowance = Allowance(new=0, trials=(spent + allowed + 0.01) / (RULE.share * EPOCHS))
        assert RULE.choose([other], COMPLETE, EPOCHS, allowance) == chosen


def test_a_new_run_comes_first_if_it_gains_more():
    """A hopeless run waits while new ones may begin; a good one continues."""
    hopeless, good = run(0.1, 150.0, 3), run(0.9, 100.0, 3)
    many = Allowance(new=10, trials=100)
    assert RULE.choose([hopeless], COMPLETE, EPOCHS, many) is None
    assert RULE.choose([hopeless, good], COMPLETE, EPOCHS, many) == 1
    assert RULE.choose([], COMPLETE, EPOCHS, many) is None


def test_an_epoch_is_reserved_for_each_run_that_may_begin():
    """A run continues to its next decision epoch only if each new run can still have an epoch."""
    good = run(0.9, 100.0, 4)  # the next decision epoch is the sixth
    spent = 4 + 6 * EPOCHS
    for allowed, chosen in ((11, None), (12, 0)):
        allowance = Allowance(new=10, trials=(spent + allowed + 0.01) / (RULE.share * EPOCHS))
        assert RULE.choose([good], COMPLETE, EPOCHS, allowance) == chosen
        assert RULE.choose([good], COMPLETE[1:], EPOCHS, replace(allowance, spent=EPOCHS)) == chosen


def test_runs_that_train_elsewhere_have_the_rest_of_their_epochs():
    """When no new run may begin, the epochs that running trials still need are not given to another."""
    good, running = run(0.9, 100.0, 6), run(0.7, 90.0, 2)
    spent = 6 + 2 + 6 * EPOCHS
    for allowed, chosen in ((9, None), (10, 0)):  # 3 of the run, 7 of the other
        allowance = Allowance(new=0, trials=(spent + allowed + 0.01) / (RULE.share * EPOCHS))
        assert RULE.choose([good], [*COMPLETE, running], EPOCHS, allowance) == chosen


def test_one_run_is_trained_to_its_end_whatever_is_allowed():
    """When no new run may begin and none is complete or being trained, the best one continues; otherwise none does."""
    paused, none_left = [run(final, 100.0, 1) for final in (0.5, 0.8, 0.6)], Allowance(new=0, trials=3)
    few = [replace(each, metrics=each.metrics[:1]) for each in paused]
    assert RULE.choose(few, [], 3, none_left) == 1
    assert RULE.choose(few, [run(0.1, 100.0, 2)], 3, none_left) is None
    assert RULE.choose(few, [], 3, replace(none_left, new=1)) is None


@pytest.mark.parametrize("costs", [(), (100.0,), (-3.0,), (0.0, 5.0)])
def test_any_number_of_costs_and_of_runs_will_do(costs):
    """One run alone, without costs, or with costs that have no logarithm, is judged too."""
    alone = replace(run(0.5, 100.0, 1), costs=costs)
    assert RULE.choose([alone], [], EPOCHS) in (0, None)
    others = [replace(each, costs=costs) for each in COMPLETE]
    assert RULE.choose([replace(run(0.95, 100.0, 4), costs=costs)], others, EPOCHS, Allowance(0, 100)) == 0


def test_several_measured_objectives_count():
    """A run that is good in a second measured objective only continues too."""
    both = [replace(each, metrics=tuple((a[0], 1.0) for a in each.metrics)) for each in COMPLETE]
    good = run(0.5, 100.0, 6)
    good = replace(good, metrics=tuple((a[0], 1.0 - 0.1 * at) for at, a in enumerate(good.metrics)))
    assert RULE.choose([good], both, EPOCHS, Allowance(0, 100)) == 0
