"""Our costs beside those of the outside counters, on the shipped spaces."""

import pytest

from explorer.costing.reference import check_cost, module_names
from explorer.grammar.parse import load_space, parse_space
from explorer.network.build import build_network

SPACES = ("preact_variants.yaml", "se_dilation_bottleneck.yaml", "he2016_orders.yaml")


@pytest.mark.parametrize("name", SPACES)
def test_counters_agree_to_the_last_unit(name):
    """On 17 sampled networks of each shipped space fvcore, torch and ptflops count what we count, layer by layer."""
    space = load_space(name).with_input((3, 16, 16), 10)
    for derivation in space.sample(17, seed=5):
        report = check_cost(space.architecture(derivation))
        assert report.differences == (), str(derivation)
        assert report.fvcore_macs == report.torch_macs == report.macs > 0
        assert report.params == report.params_built


def test_a_difference_is_named(monkeypatch):
    """A layer whose cost is wrong is reported with its path and both counts."""
    from explorer.ops.conv import Conv

    architecture = load_space("he2016_orders.yaml").architecture(0)
    right = Conv.cost
    monkeypatch.setattr(Conv, "cost", lambda op, x: right(op, x)._replace(macs=right(op, x).macs + (op.stride == 2)))
    report = check_cost(architecture)
    assert any("stage2.block1.branch.0" in line and "fvcore" in line for line in report.differences)
    assert any(line.startswith("ptflops") for line in report.differences)


def test_every_layer_has_its_module():
    """Every op of a network is found in the built one under the name given, shared layers and transitions too."""
    text = """
input: 3x16x16
classes: 4
stem: conv3x3(8)
stages: {blocks: 2, width: [8, 16], stride: [1, 2]}
transition: bn conv2x2(w, s=s)
block: bn relu conv3x3 bn relu conv3x3 gate(b=-1)
shortcut: {changed: conv1x1, from: preact}
head: pre gap fc
"""
    architecture = parse_space(text).architecture(0)
    modules = dict(build_network(architecture).named_modules())
    names = dict(module_names(architecture))
    for placed in architecture.layers():
        assert names[placed.path] in modules
