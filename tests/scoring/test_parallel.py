"""Scores of several networks in parallel are those of each network alone, in order."""

from __future__ import annotations

import pytest
import torch

from explorer.data.dataset import load_data
from explorer.errors import ExplorerError
from explorer.scoring import parallel
from explorer.scoring.names import NAMES
from explorer.scoring.parallel import Scored, score_all
from explorer.scoring.zero_cost import score_architecture
from explorer.space.search_space import load_space


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture(scope="module")
def wanted(data):
    """Six networks, whose seeds and scores differ."""
    space = load_space("preact_variants.yaml").with_input(data.shape, data.classes)
    networks = [space.architecture(derivation) for derivation in space.sample(6, seed=1)]
    return [Scored(each, NAMES[number % 3 :], seed=number) for number, each in enumerate(networks)]


@pytest.mark.parametrize("cores", [1, 3])
def test_parallel_scores_are_those_of_each_network_alone(wanted, data, cores, monkeypatch):
    """On one core and on three the scores are equal to the last bit, and torch's number of threads is restored."""
    monkeypatch.setattr(parallel, "usable_cores", lambda: cores)
    before = torch.get_num_threads()
    found = list(score_all(wanted, data=data, batch=8))
    assert torch.get_num_threads() == before
    torch.set_num_threads(1)
    try:
        alone = [
            score_architecture(each.architecture, each.names, data=data, batch=8, seed=each.seed) for each in wanted
        ]
    finally:
        torch.set_num_threads(before)
    assert found == alone


@pytest.mark.parametrize("names", [("naswot",), ("snip",), ("jacob_cov", "grad_norm"), ("zen", "synflow")])
def test_shared_passes_change_no_score(wanted, data, names):
    """A score has the same value alone and beside others that share its passes."""
    network = wanted[0].architecture
    whole = score_architecture(network, data=data, batch=8)
    assert score_architecture(network, names, data=data, batch=8) == {
        name: pytest.approx(whole[name], rel=1e-6) for name in names
    }


def test_the_order_of_the_scores_changes_none(wanted, data):
    """Scores that replace weights of the shared network leave it as it was: every order gives the same bits."""
    network = wanted[0].architecture
    whole = score_architecture(network, data=data, batch=8)
    assert score_architecture(network, NAMES[::-1], data=data, batch=8) == whole


def test_large_networks_are_not_computed_in_parallel(wanted, monkeypatch):
    """As many networks are computed in parallel as fit in memory with their activations, and at least one."""
    monkeypatch.setattr(parallel, "usable_cores", lambda: 4)
    monkeypatch.setattr(parallel, "available_memory", lambda: 2**40)
    assert parallel._parallel(wanted, batch=8) == 4
    largest = max(parallel.activation_bytes(each.architecture, 8, "float32") for each in wanted)
    monkeypatch.setattr(parallel, "available_memory", lambda: 5 * largest)
    assert parallel._parallel(wanted, batch=8) == 2
    monkeypatch.setattr(parallel, "available_memory", lambda: 0)
    assert parallel._parallel(wanted, batch=8) == 1


def test_an_error_ends_the_iteration(wanted, data):
    """A network that does not fit the data raises, after the scores of the networks before it."""
    wrong = load_space("preact_variants.yaml").architecture(0)
    scored = score_all([wanted[0], Scored(wrong, NAMES)], data=data, batch=8)
    next(scored)
    with pytest.raises(ExplorerError, match="digits has 1x8x8"):
        next(scored)
