"""The experiments as data: every case is a network at every scale, with the figures that the paper prints."""

from __future__ import annotations

import re

import pytest

from explorer.costs.analytic import count_cost
from explorer.reproduction.catalogue import EXPERIMENTS
from explorer.reproduction.experiment import SCALES
from explorer.space.search_space import load_space
from explorer.training.recipe import recipe

EACH = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)


@EACH
def test_every_case_is_a_network_of_its_own(experiment):
    """At every scale each case is another network, smaller scales have smaller networks, and the recipe is valid."""
    space = load_space(experiment.space)
    assert tuple(experiment.scales) == SCALES
    largest = 0
    for size in experiment.scales.values():
        networks = [space.architecture(size.choices(case)) for case in experiment.cases]
        assert len({network.digest for network in networks}) == len(networks)
        macs = max(count_cost(network).macs for network in networks)
        assert macs >= largest
        largest = macs
        recipe(size.recipe)
        for name, smaller in size.smaller.items():
            assert set(smaller) <= {case.choices[name] for case in experiment.cases if name in case.choices}


@EACH
def test_cases_are_compared_with_cases(experiment):
    """Names are unique, a compared case exists and comes first, and a case has a number or says what the paper says."""
    names = [case.name for case in experiment.cases]
    assert len(set(names)) == len(names)
    for place, case in enumerate(experiment.cases):
        assert case.against in ("", *names[:place])
        assert case.published is not None or case.note


@pytest.mark.parametrize("name", ["he2016-table1", "he2016-table2", "he2016-table3", "he2016-fig1", "gradient-flow"])
def test_depths_are_the_papers(name):
    """At full scale the networks of He et al. 2016 have the depth in their names, and 110 layers in Table 1."""
    experiment = EXPERIMENTS[name]
    space = load_space(experiment.space)
    for case in experiment.cases:
        found = re.search(r"ResNet-(\d+)", case.name)
        layers = count_cost(space.architecture(experiment.scales["full"].choices(case))).weight_layers
        assert layers == (int(found[1]) if found else 110), case.name
