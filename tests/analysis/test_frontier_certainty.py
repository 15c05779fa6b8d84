"""The certainty of a front: its noise, the probability that a network stays, and the repeats that tell most."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.analysis.frontier_certainty import (
    FrontierCertainty,
    TrainingNoise,
    Trainings,
    certainty_text,
    frontier_certainty,
    next_repeats,
    stay_probabilities,
    training_noise,
)
from explorer.analysis.pareto import non_dominated


def networks(costs, values) -> list[Trainings]:
    return [Trainings(place, f"v1-{place}", cost, tuple(own)) for place, (cost, own) in enumerate(zip(costs, values))]


def constant(std: float, degrees: int = 10_000) -> TrainingNoise:
    """Noise that is known and the same at every level."""
    return TrainingNoise(std, degrees, degrees, std, False)


def test_the_noise_is_pooled_over_repeated_networks():
    """Each network with K values adds its squared deviations and K - 1 degrees of freedom, others add nothing. The
    noise of fractions is also that of arcsin(sqrt(p)), which is the same at every level."""
    noise = training_noise([[0.5, 0.54], [0.9], [0.2, 0.3, 0.4]], is_fraction=True)
    squares = [2 * 0.02**2, 2 * 0.1**2]
    assert noise.std == pytest.approx(np.sqrt(sum(squares) / 3))
    assert (noise.degrees_of_freedom, noise.networks) == (3, 2)
    dispersion = (squares[0] / (0.52 * 0.48) + squares[1] / (0.3 * 0.7)) / 3
    assert noise.stable_std == pytest.approx(np.sqrt(dispersion) / 2, rel=0.02)
    losses = training_noise([[-1.0, -1.4], [-3.0]], is_fraction=False)
    assert losses.stable_std == losses.std == pytest.approx(0.4 / np.sqrt(2))
    assert training_noise([[0.0, 0.0], [1.0, 1.0 + 1e-12]], is_fraction=True).stable_std == 0.0


def test_the_noise_of_a_fraction_shrinks_towards_its_ends():
    """With the same noise a gain of a point is less certain at an accuracy of 60% than at one of 97%."""
    draw, noise = np.random.default_rng(0), TrainingNoise(0.01, 1_000, 1_000, 0.01, True)
    others = 0.003 * draw.standard_normal(20)
    low, high = (
        stay_probabilities([2.0] + [1.0] * 20, [[level + 0.01], *[[level + each] for each in others]], noise)[0]
        for level in (0.6, 0.97)
    )
    assert low < high - 0.1


def test_without_repeats_there_is_no_number():
    """Single trainings tell neither the noise nor a probability, whatever their number."""
    assert training_noise([[0.1], [0.2], []], is_fraction=True) is None
    assert frontier_certainty(networks([1, 2, 3], [[0.1], [0.2], [0.3]]), "accuracy") is None
    assert frontier_certainty([], "accuracy") is None


def test_networks_without_noise_stay_or_do_not():
    """Where every repeat gives the same value, the front stays as it is, the first of equal points on it."""
    found = frontier_certainty(networks([1, 2, 2, 3], [[0.5, 0.5], [0.7], [0.7], [0.6]]), "accuracy")
    assert list(found.probabilities.values()) == [1.0, 1.0, 0.0, 0.0]


def test_probabilities_of_networks_trained_often():
    """After many trainings the true values are known, and what is left is the noise of the next one: as in a
    simulation, in which equal networks of one cost share a place, and the cheapest always stays."""
    costs, means = [1.0, 2.0, 2.0, 3.0, 4.0], np.array([0.5, 0.6, 0.6, 0.61, 0.4])
    values = [[mean] * 4_000 for mean in means]
    found = stay_probabilities(costs, values, constant(0.02))
    draw = means + 0.02 * np.random.default_rng(0).standard_normal((1_000, 5))
    fronts = [non_dominated([(cost, -value) for cost, value in zip(costs, row)]) for row in draw]
    expected = np.bincount(np.concatenate(fronts), minlength=5) / len(draw)
    assert found == pytest.approx(expected, abs=0.05)
    assert found[0] == 1.0 and found[1] == found[2] and found[4] < 1e-6


def test_a_lucky_value_is_shrunk():
    """Of 60 equally good networks at one cost the best value was luck: it stays hardly likelier than another, as far
    as 60 values can tell, and several trainings of the same mean make it much likelier."""
    found = []
    for seed in range(5):
        values = 0.6 + 0.02 * np.random.default_rng(seed).standard_normal(60)
        best = int(np.argmax(values))
        once = stay_probabilities([1.0] * 60, [[value] for value in values], constant(0.02))
        often = [[value] * (9 if place == best else 1) for place, value in enumerate(values)]
        found.append((once[best], stay_probabilities([1.0] * 60, often, constant(0.02))[best]))
        assert sum(once) == pytest.approx(1, abs=0.01)
    once, often = zip(*found)
    assert 1 / 60 < np.median(once) < 0.08 and np.median(often) > 4 * np.median(once)


def test_an_uncertain_noise_makes_probabilities_less_certain():
    """With two degrees of freedom the noise may be several times as large: a clear lead is less certain than with
    many."""
    costs, values = np.linspace(1, 2, 30), [[0.3 + 0.01 * place] for place in range(30)]
    values[15] = [0.57]
    few, many = (stay_probabilities(costs, values, constant(0.02, degrees))[15] for degrees in (2, 1_000))
    assert 0.5 < few < many


def test_the_result_depends_on_values_alone():
    """The same networks in another order, and a second call, give the same probabilities; costs may be 0 or equal."""
    draw = np.random.default_rng(1)
    costs, values = draw.integers(0, 5, 40) * 1.0, [[value] for value in draw.random(40)]
    order = draw.permutation(40)
    found = stay_probabilities(costs, values, constant(0.1))
    assert found == stay_probabilities(costs, values, constant(0.1))
    shuffled = stay_probabilities(costs[order], [values[place] for place in order], constant(0.1))
    assert shuffled == pytest.approx([found[place] for place in order], abs=1e-6)


@pytest.mark.parametrize("number", [1, 2, 3, 9])
def test_few_and_equal_networks_have_probabilities_too(number):
    """One network stays for certain, equal ones share the front by their costs, and no number is too small."""
    costs = [2.0] * number, range(number)
    same, apart = (stay_probabilities(each, [[0.5]] * number, constant(0.05)) for each in costs)
    assert same == pytest.approx([1 / number] * number)
    assert apart == pytest.approx([1 / (place + 1) for place in range(number)], abs=0.02)
    spread = stay_probabilities(range(number), [[0.1 * place] for place in range(number)], constant(1e-6))
    assert spread == pytest.approx([1.0] * number)


def test_calibration_on_a_made_up_space():
    """Over simulated studies the probabilities of the front's networks are the shares of runs in which they stay:
    over all, and for those said to stay with about 0.8."""
    draw = np.random.default_rng(7)
    said, stayed = [], []
    for _ in range(30):
        costs = np.exp(draw.uniform(0, 3, 60))
        truth = 0.5 + 0.3 * np.log(costs) / 3 - draw.gamma(1.0, 0.06, 60)
        values = truth + 0.02 * draw.standard_normal(60)
        front = non_dominated([(cost, -value) for cost, value in zip(costs, values)])
        found = stay_probabilities(costs, [[value] for value in values], constant(0.02))
        again = (truth + 0.02 * draw.standard_normal((100, 60)))[:, np.argsort(costs)]
        best_so_far = np.maximum.accumulate(np.pad(again, ((0, 0), (1, 0)), constant_values=-1), axis=1)[:, :-1]
        share = (again > best_so_far).mean(0)[np.argsort(np.argsort(costs))]
        said += [found[place] for place in front]
        stayed += [share[place] for place in front]
    said, stayed = np.array(said), np.array(stayed)
    assert said.mean() == pytest.approx(stayed.mean(), abs=0.03)
    high = (said > 0.7) & (said < 0.9)
    assert high.sum() >= 20 and stayed[high].mean() == pytest.approx(said[high].mean(), abs=0.1)


def test_repeats_go_where_the_front_is_uncertain():
    """Before the noise is known, the network of the front that gains least is trained first, and each of the front
    before any twice; later the networks whose place is most uncertain, on the front or just below it."""
    single = networks([1, 2, 3, 4], [[0.5], [0.6], [0.61], [0.3]])
    assert next_repeats(single, "accuracy", 4, {}) == [2, 1, 0]
    assert next_repeats(single, "accuracy", 1, {"v1-2": 1}) == [1]
    known = networks([1, 2, 3, 4, 5], [[0.5, 0.51, 0.49], [0.6, 0.62, 0.61], [0.62], [0.615], [0.3]])
    assert set(next_repeats(known, "accuracy", 2, {})) == {2, 3}
    assert next_repeats(known, "accuracy", 1, {"v1-2": 50}) == [3]
    assert next_repeats([], "accuracy", 3, {}) == []


def test_the_sentence_on_one_network_is_singular():
    """A front of one network has a probability, not a number of networks."""
    certainty = FrontierCertainty(TrainingNoise(0.01, 2, 1, 0.01, True), {0: 0.3, 1: 0.7})
    assert "this one stays on the frontier with a probability of 30%" in certainty_text(certainty, [0], "accuracy")
    assert "1.0 of these 2 are expected to stay" in certainty_text(certainty, [0, 1], "accuracy")
