"""Networks are counted by the identities of their units."""

from __future__ import annotations

import json

import numpy as np
import pytest

from explorer.costs.whole_space import statistics
from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts
from explorer.costs.whole_space.identities import count_distinct, hash_texts, repeated
from explorer.costs.whole_space.statistics import Bounds, cost_ranges, count_networks
from explorer.space.search_space import SearchSpace, load_space
from tests.command_line import run
from tests.costs.whole_space.dead_layers import DEAD_LAYERS
from tests.space.spaces import random_space, space


def agree(made: SearchSpace) -> None:
    """Check that two networks have equal hashes exactly if they have equal digests."""
    columns = ChoiceColumns(made)
    indices = np.arange(made.count())
    hashes = NetworkCosts(made, columns, with_hashes=True).hashes(indices, columns.codes(indices)).T.tolist()
    digests = [made.architecture(derivation).digest for derivation in made]
    pairs = set(zip(digests, map(tuple, hashes)))
    assert len(pairs) == len(set(digests)) == len(set(map(tuple, hashes)))
    assert count_networks(made) == (len(set(digests)), True, None, False)


@pytest.mark.parametrize(
    "sections",
    [
        {"block": "conv3x3 act conv3x3 + act", "stem": "conv3x3(8) post", "head": "pre gap fc"},
        {"block": "(conv3x3(d=far) conv1x1(d=far) +) | (act conv3x3 + act)", "stem": "conv3x3(8) act"},
        {"block": "conv3x3 + scale(f)", "transition": "scale(f) avgpool relu? conv1x1"},
        {"block": "act conv3x3 (scale(f) | act) +", "stem": "conv3x3(8) act maxpool3x3"},
    ],
)
def test_hashes_are_equal_exactly_if_digests_are(sections):
    """Hashes follow digests where units change each other's canonical form: copies, scales and activations."""
    grammar = {"act": "relu | none | relu6", "far": "1 | 2", "f": "1 | 2 | 1/2", "depth": "1 | 2 | 3"}
    agree(space(grammar, {"depth": "stage"}, stages="{blocks: depth, width: [8, 8], stride: [1, 2]}", **sections))


@pytest.mark.parametrize(("grammar", "block"), DEAD_LAYERS.values(), ids=list(DEAD_LAYERS))
def test_hashes_leave_out_dead_layers(grammar, block):
    """Networks that differ only in dead layers have equal hashes, as they have equal digests."""
    agree(space(grammar, {"op": "block"}, block=block))


@pytest.mark.parametrize("seed", range(0, 90, 3))
def test_hashes_of_random_spaces(seed):
    """Hashes are equal exactly if digests are, in random spaces."""
    if (made := random_space(seed, 200)) is not None:
        agree(made)


def test_equal_networks_of_a_shipped_space_count_once():
    """A shipped space with equal networks has as many networks as digests."""
    agree(load_space("published/mobilenet_v2.yaml"))


def test_repeated_parts_hash_like_a_sequence():
    """A part that occurs several times has the factor and summand of the repeated sequence."""
    part = ["a", "b"]
    factor0, _, summand0, _ = (np.array([number] * 4) for number in hash_texts(part))
    factors, summands = repeated(factor0, summand0, np.array([1, 2, 5, 8]))
    for place, times in enumerate((1, 2, 5, 8)):
        assert (factors[place], summands[place]) == hash_texts(part * times)[::2]
    assert count_distinct(np.array([[1, 2, 1, 1], [5, 5, 5, 6]])) == 3


def test_an_estimate_has_an_interval_with_the_exact_count():
    """Beyond the bounds, the number of networks is estimated, and its interval contains the exact number."""
    made = load_space("published/mobilenet_v2.yaml")
    exact = count_networks(made)
    for bounds in (Bounds(1, None), Bounds(200_000, 10)):  # too many derivations, too many units
        estimate = count_networks(made, bounds)
        assert exact.exact and not estimate.exact
        assert estimate.ci95 is not None and estimate.ci95[0] <= exact.networks <= estimate.ci95[1]


def test_a_small_share_of_many_derivations_is_not_rounded_to_one_network():
    """Of 6^32 derivations that give 3^32 networks, the estimate is more than one network, and within its interval."""
    grammar = {"op": "a zero + | conv3x3 + | conv1x1 +", "a": "relu | silu | gelu | elu", "depth": "32"}
    choices = {"op": "block", "a": "block"}
    made = space(grammar, choices, block="op", stages="{blocks: depth, width: [8], stride: [1]}")
    found = count_networks(made, Bounds(1, None))
    assert made.count() == 6**32 and not found.exact and found.ci95 is not None
    assert found.networks > 1 and found.ci95[0] <= found.networks <= found.ci95[1]


def test_blocks_that_are_their_input_give_an_upper_bound():
    """Where a block that is its input can be at several places, the estimate is stated as an upper bound."""
    grammar = {"op": "conv3x3 bn relu + | conv1x1 bn relu + | zero +", "depth": "1 | 2 | 3 | 4 | 5 | 6"}
    made = space(grammar, {"op": "block"}, block="op", stages="{blocks: depth, width: [8], stride: [1]}")
    exact, estimate = count_networks(made), count_networks(made, Bounds(1, None))
    assert exact == (2**7 - 1, True, None, False)
    assert estimate.is_upper_bound and estimate.ci95 is not None
    assert estimate.ci95[0] <= exact.networks <= estimate.ci95[1]
    assert not count_networks(load_space("published/mobilenet_v2.yaml"), Bounds(1, None)).is_upper_bound


def test_sampled_ranges_have_intervals_with_the_exact_values():
    """Beyond the bounds, the median and the feasible share have intervals, which contain the exact values."""
    made = load_space("preact_variants.yaml")
    exact, sampled = cost_ranges(made), cost_ranges(made, Bounds(1, None))
    assert (exact.exact, exact.rows, exact.median_ci95, exact.feasible_ci95) == (True, made.count(), None, None)
    assert not sampled.exact and sampled.median_ci95 is not None and sampled.feasible_ci95 is not None
    for name, (low, high) in sampled.median_ci95.items():
        assert low <= exact.costs[name]["median"] <= high
        assert low <= sampled.costs[name]["median"] <= high
    assert sampled.feasible_ci95[0] <= exact.feasible <= sampled.feasible_ci95[1]


def test_exact_computes_what_is_estimated_otherwise(capsys, monkeypatch):
    """``space`` marks estimates and prints their intervals; ``space --exact`` replaces them."""
    monkeypatch.setattr(statistics, "QUICK", Bounds(1, 100))
    _, out, _ = run(capsys, "space", "he2016_orders.yaml", "--json")
    estimated = json.loads(out)
    assert (estimated["networks_exact"], estimated["costs_exact"]) == (False, False)
    low, high = estimated["networks_ci95"]
    assert not estimated["networks_upper_bound"]
    status, out, err = run(capsys, "space", "he2016_orders.yaml", "--json", "--exact")
    exact = json.loads(out)
    assert (status, err) == (0, "")
    assert (exact["networks_exact"], exact["costs_exact"], exact["networks_ci95"]) == (True, True, None)
    assert low <= exact["networks"] == 5 <= high
    _, out, _ = run(capsys, "space", "he2016_orders.yaml")
    assert "estimated; 95% interval" in out
