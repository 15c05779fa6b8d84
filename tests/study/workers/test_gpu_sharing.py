"""How many trainings share a device: decided by what they do together, tried with real ones."""

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
def test_doubling_goes_on_while_it_pays(rates, expected):
    """The last doubling that made them together at least 15% faster."""
    assert choose_count(rates) == expected


def test_the_typical_network_is_of_median_cost(space):
    """Of the draws as many cost less as cost more."""
    drawn = sorted(count_cost(space.architecture(d)).macs for d in space.sample(9, seed=0))
    assert count_cost(median_network(space)).macs == drawn[4]


def test_a_probe_tries_and_ends(space, monkeypatch):
    """It answers with a number it tried, and leaves no process behind."""
    monkeypatch.setattr(gpu_sharing, "WINDOW_SECONDS", 0.3)
    before = set(multiprocessing.active_children())
    assert probe_side_by_side(space.architecture(0), recipe("quick_small"), "cpu", "float32", most=2) in (1, 2)
    assert set(multiprocessing.active_children()) == before


def test_what_cannot_be_tried_is_tried_by_the_search(space):
    """On a device that is not there the answer is 1, at once: the first trial will say why."""
    assert probe_side_by_side(space.architecture(0), recipe("quick_small"), "cuda:99", "float32", most=2) == 1
