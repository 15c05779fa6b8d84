"""Analytic costs compared with external counters on the shipped spaces."""

from importlib import import_module

import pytest
import torch

from explorer.costs.op_traits import traits_of
from explorer.costs.reference import check_cost
from explorer.space.search_space import load_space, parse_space

SPACES = ("preact_variants.yaml", "se_dilation_bottleneck.yaml", "he2016_orders.yaml")

# Every kind of product: convs with and without bias, linear, SE, ECA, CBAM, attention, both gates, a transition.
EVERYTHING = """
input: 3x8x8
classes: 4
stem: conv3x3(8, bias=1) post
stages: {blocks: 1, width: [8, 8], stride: [1, 2]}
transition: bn conv2x2(w, s=s)
block: conv3x3 bn se(r=2, act=silu) eca cbam(r=2) mhsa(heads=2) dwconv3x3 gate(b=-1) relu
shortcut: {same: shortcut_gate(b=-2)}
head: gap fc(8) relu fc
"""


@pytest.fixture(autouse=True)
def one_thread():
    """Small maps gain nothing from threads, which are slow if other processes use the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", SPACES)
def test_counters_agree_exactly(name):
    """For sampled networks of each shipped space, fvcore, torch and ptflops agree with the explorer layer by layer."""
    space = load_space(name).with_input((3, 16, 16), 10)
    for derivation in list(space)[:5] if space.count() <= 5 else space.sample(3, seed=5):
        report = check_cost(space.architecture(derivation))
        assert report.differences == (), str(derivation)
        assert report.fvcore_macs == report.torch_macs == report.macs > 0
        assert report.params == report.params_built
        assert report.activations == report.fvcore_activations > 0


def test_every_kind_of_product_is_compared():
    """For a network with every op that has products, the four totals and the reasons for their differences are
    correct."""
    report = check_cost(parse_space(EVERYTHING).architecture(0))
    assert report.differences == ()
    fvcore, torchs, ptflops = report.counters
    assert [c.counter for c in report.counters] == ["fvcore", "torch", "ptflops"]
    assert {c.products for c in report.counters} == {report.macs}
    assert len({fvcore.total, torchs.total, ptflops.total}) == 3 and torchs.total == report.macs
    assert fvcore.left_out["batch_norm"] > 0 and {"add", "sigmoid", "softmax"} <= set(fvcore.not_counted)
    assert ptflops.left_out["biases"] == report.ptflops_biases == sum(layer.biases for layer in report.layers) > 0
    for counter in ("ours", "fvcore", "torch"):
        assert sum(getattr(layer, counter) for layer in report.layers) == report.macs
    assert sum(layer.activations for layer in report.layers) == report.activations


WRONG = {
    "macs of a strided conv": ("conv.Conv", {"macs": 1}, "stage2.transition.1", ("fvcore", "torch", "ptflops")),
    "macs of attention": ("self_attention.SelfAttention", {"macs": -8}, "branch", ("fvcore", "torch", "ptflops")),
    "macs of a gate": ("merge.Gate", {"macs": 64}, "merge", ("fvcore", "torch", "ptflops")),
    "biases counted as macs": ("linear.Linear", {"macs": 4}, "head", ("fvcore", "torch", "ptflops")),
    "macs of what has no products": ("norm.BatchNorm", {"macs": 16}, "branch", ("fvcore", "torch", "ptflops")),
    "params": ("squeeze_excitation.SqueezeExcitation", {"params": 1}, "params", ("the built network",)),
    "activations": ("convolutional_attention.ConvolutionalAttention", {"activations": 1}, "branch", ("fvcore",)),
}


@pytest.fixture
def changing_costs(monkeypatch):
    """Costs of ops may change: their functions are looked up again."""
    traits_of.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    traits_of.cache_clear()


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_cost_is_named(what, changing_costs):
    """An op with a wrong cost is found with its position by every counter that covers it."""
    name, change, place, counters = WRONG[what]
    module, op = name.split(".")
    cls = getattr(import_module(f"explorer.networks.ops.{module}"), op)
    architecture = parse_space(EVERYTHING).architecture(0)
    right = cls.cost

    def wrong(op, x):
        cost = right(op, x)
        return cost._replace(**{key: getattr(cost, key) + more for key, more in change.items()})

    changing_costs.setattr(cls, "cost", wrong)
    differences = check_cost(architecture).differences
    assert any(place in line for line in differences)
    for counter in counters:
        assert any(counter in line for line in differences)


def test_a_difference_ends_the_command_with_1(changing_costs, capsys):
    """``explorer cost --check`` exits with status 1 and names the counter if a difference has no explanation."""
    from explorer.cli import main
    from explorer.networks.ops.conv import Conv

    right = Conv.cost
    changing_costs.setattr(Conv, "cost", lambda op, x: right(op, x)._replace(macs=right(op, x).macs + (op.stride == 2)))
    with pytest.raises(SystemExit) as ended:
        main(["cost", "he2016_orders.yaml#0", "--input", "3x8x8", "--classes", "10", "--check"])
    assert ended.value.code == 1
    assert "stage2.block1.branch.0 (conv3x3(out=32, s=2))" in capsys.readouterr().err
