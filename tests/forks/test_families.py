"""Families with parallel paths: every step from the file to exported code gives one and the same network."""

from __future__ import annotations

import pickle
import re

import pytest
import torch

from explorer.costs.analytic import count_cost
from explorer.costs.reference import check_cost
from explorer.export.model_py.code import write_code
from explorer.export.space_file import space_text
from explorer.measure.fold import inference_form
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network
from explorer.space.search_space import SearchSpace, parse_space
from tests.forks.families import FAMILIES, PUBLISHED, family
from tests.space.spaces import agrees_with_trying

EACH = pytest.mark.parametrize("name", FAMILIES)


def made(name: str) -> SearchSpace:
    return parse_space(FAMILIES[name], f"{name}.yaml")


def last(name: str) -> Architecture:
    space = made(name)
    return space.architecture(space.unrank(space.count() - 1))


@EACH
def test_counting_agrees_with_trying_every_choice(name):
    """Count, ranks and the derivations of an index are those that an enumeration by derivation finds."""
    assert agrees_with_trying(made(name)) == {
        "inception_resnet": 3,
        "res2net": 2,
        "ghostnet": 2,
        "csp": 2,
        "choices": 12,
    }.get(name, 1)


@EACH
def test_costs_agree_with_three_counters(name):
    """Parameters, MACs and activations equal those of the built network, in total and for each layer in the paths."""
    report = check_cost(last(name))
    assert report.differences == ()
    assert any(re.search(r"branch\.\d+\.\d+", layer.path) for layer in report.layers)


@EACH
def test_networks_run_forward_and_backward(name):
    """Each parameter gets a gradient, and JSON and pickle return the same network."""
    network = last(name)
    for again in (Architecture.from_json(network.to_json()), pickle.loads(pickle.dumps(network))):
        assert (again.digest, again.to_json()) == (network.digest, network.to_json())
    built = build_network(network)
    built(torch.randn(2, *network.input)).sum().backward()
    assert all(parameter.grad is not None for parameter in built.parameters())


@EACH
def test_exported_code_has_the_same_outputs(name):
    """The written model.py takes the weights of the built network and computes the same outputs."""
    network = last(name)
    built, found = build_network(network).eval(), {}
    exec(compile(write_code(network).text, "model.py", "exec"), found)
    exported = found["Network"]().eval()
    exported.load_state_dict(built.state_dict())
    images = torch.randn(2, *network.input)
    assert torch.equal(exported(images), built(images))


@EACH
def test_the_written_space_is_the_same_network(name):
    """The space file of a network gives the network, and its blocks can be read back from ``str``."""
    network = last(name)
    assert parse_space(space_text(network)).architecture(0) == network
    block = network.stages[0].blocks[-1]
    shape = next(placed.x for placed in network.blocks() if placed.block == block)
    way = "none" if block.shortcut is None else " ".join(map(str, block.shortcut)) or "identity"
    written = family(
        f'"{block}"',
        stem=f"conv3x3({shape.channels})",
        stages="{blocks: 1, width: 7}",
        shortcut=f'{{same: "{way}", changed: "{way}"}}',
    )
    again = parse_space(written).architecture(0).stages[0].blocks[0]
    assert (str(again), again.branch, again.shortcut) == (str(block), block.branch, block.shortcut)


@EACH
def test_norms_in_paths_are_folded(name):
    """The inference form folds norms behind convolutions in the paths too, and computes the same outputs."""
    network = build_network(last(name)).eval()
    form = inference_form(network)
    images = torch.randn(2, *network.architecture.input)
    assert form.folded > 0
    assert torch.allclose(form.module(images), network(images), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("repvgg_a0", 9_108_968, 1_512_581_120),
        ("res2net50_26w_4s", 25_699_120, 4_255_166_464),
        ("starnet_s1", 2_869_168, 421_877_376),
        ("vovnet39a", 22_600_296, 7_072_227_328),
    ],
)
def test_published_networks_have_their_costs(name, params, macs):
    """Parameters and MACs of conv and linear layers are those of timm's models of these names."""
    cost = count_cost(parse_space(PUBLISHED[name]).architecture(0))
    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_timm_agrees(name):
    """timm's model has the parameters that the space has."""
    timm = pytest.importorskip("timm")
    model = timm.create_model(name)
    assert count_cost(parse_space(PUBLISHED[name]).architecture(0)).params == sum(p.numel() for p in model.parameters())
