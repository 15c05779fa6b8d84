"""The number of trainings that share a device, measured by their joint throughput."""

from __future__ import annotations

import multiprocessing

import pytest

from explorer.costs.analytic import count_cost
from explorer.study.workers import gpu_sharing
from explorer.study.workers.gpu_sharing import choose_count, median_network, probe_side_by_side
from explorer.training.recipe import recipe


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, 1),
        ({1: 10.0}, 1),
        ({1: 10.0, 2: 11.0}, 1),
        ({1: 10.0, 2: 19.0, 4: 30.0, 8: 31.0}, 4),
        ({1: 10.0, 2: 20.0, 4: 40.0, 8: 80.0}, 8),
        ({1: 10.0, 2: 11.0, 4: 40.0}, 1),
    ],
)
def test_the_number_doubles_while_throughput_grows(rates, expected):
    """The result is the last doubling that raised the joint throughput by at least 15%."""
    assert choose_count(rates) == expected


def test_the_typical_network_is_of_median_cost(space):
    """As many draws cost less than the typical network as cost more."""
    drawn = sorted(count_cost(space.architecture(d)).macs for d in space.sample(9, seed=0))
    assert count_cost(median_network(space)).macs == drawn[4]


def test_a_probe_measures_and_ends(space, monkeypatch):
    """The probe returns a number that it measured and leaves no process running."""
    monkeypatch.setattr(gpu_sharing, "WINDOW_SECONDS", 0.3)
    before = set(multiprocessing.active_children())
    assert probe_side_by_side(space.architecture(0), recipe("quick_small"), "cpu", "float32", most=2) in (1, 2)
    assert set(multiprocessing.active_children()) == before


def test_an_unusable_device_gives_one_training(space):
    """For a missing device the answer is 1 at once, and the first trial reports the reason."""
    assert probe_side_by_side(space.architecture(0), recipe("quick_small"), "cuda:99", "float32", most=2) == 1
