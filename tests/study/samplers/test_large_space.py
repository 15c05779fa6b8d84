"""Every sampler searches a space whose derivations are not counted."""

import pytest

import explorer
from explorer.costs.whole_space.statistics import cost_ranges, count_networks
from explorer.scoring.space import sample_indices
from explorer.space.search_space import parse_space
from tests.space.test_estimated_spaces import LARGE

TIED = """input: 3x16x16
classes: 10
stem: conv3x3(8) bn relu
stages: {blocks: [1, 1, 1], width: [w1, w2, w3], stride: [1, 2, 2]}
block: conv3x3 bn act conv3x3 bn + act
head: gap fc
grammar: {w1: "range(8, 512, 8)", w2: "range(8, 512, 8)", w3: "range(8, 512, 8)", act: relu | silu}
vary: {act: stage}
where: [w1 * w3 <= w2 * w2, w1 + w2 + w3 <= 640]
"""


@pytest.mark.parametrize("sampler", ["frontier", "evolution", "random", "tpe", "nsga2", "gp"])
@pytest.mark.parametrize("text", [LARGE, TIED], ids=["choices in a shortcut", "conditions"])
def test_a_sampler_searches_a_large_space(sampler, text):
    """A search completes its trials; each network is one of the space, and the costs are those of its choices."""
    space = parse_space(text)
    assert not space.is_counted

    def accuracy(arch, *, choices, epochs, seed):
        return {"accuracy": 1 - 1 / arch.layer_count}

    study = explorer.search(
        space, objectives={"accuracy": "max", "macs": "min"}, trials=6, sampler=sampler, storage=None, evaluate=accuracy
    )
    frame = study.to_frame()
    assert (frame.state == "complete").sum() == 6
    for record in study.trials():
        derivation = space.derivation(dict(record.choices))
        assert space.architecture(derivation).digest == record.digest
        assert space.unrank(space.rank(derivation)) == derivation


@pytest.mark.parametrize("text", [LARGE, TIED], ids=["choices in a shortcut", "conditions"])
def test_costs_of_a_large_space(text):
    """The atlas has the costs of the networks of its indices; ranges and numbers of networks are estimates."""
    space = parse_space(text)
    table = explorer.atlas(space, 20, seed=1)
    assert len(table) == 20 and table["index"].is_unique
    for index, macs in zip(table["index"], table["macs"]):
        assert explorer.cost(space.architecture(int(index))).macs == macs
    ranges, networks = cost_ranges(space), count_networks(space)
    assert not ranges.exact and ranges.rows > 20 and not networks.exact
    assert networks.ci95[0] <= networks.networks <= networks.ci95[1]
    assert len(set(sample_indices(space, 10, 0))) == 10
