"""The inference form computes the same function with fewer operations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import explorer
from explorer.measure.fold import inference_form
from explorer.space.search_space import load_space
from tests.networks.random_values import images, randomised
from tests.space.spaces import only


def outputs_equal(network: nn.Module, x: torch.Tensor) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(inference_form(network).module(x), network(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("order", ["original", "bn_after_add", "relu_before_add", "relu_only_preact", "full_preact"])
def test_same_function_in_every_order(order):
    """In any order of ops, with non-trivial norms, the folded network has the network's output."""
    architecture = load_space("he2016_orders.yaml").architecture(
        load_space("he2016_orders.yaml").named({"order": order})
    )
    outputs_equal(randomised(explorer.build(architecture)), images(architecture))


def test_same_function_in_a_whole_space():
    """Random networks of the default space have the same output after folding."""
    space = load_space("preact_variants.yaml")
    for architecture in map(space.architecture, space.sample(6, seed=1)):
        outputs_equal(randomised(explorer.build(architecture)), images(architecture))


@pytest.mark.parametrize("name", ["botnet", "densenet", "mobilenet_v3_small", "convnext"])
def test_every_kind_of_layer_can_be_traced(name):
    """Attention, concatenation, gates and layer norms can be traced, so folding never fails silently."""
    form = inference_form(explorer.build(load_space(f"published/{name}.yaml").architecture(0)))
    kinds = [type(module) for module in form.module.modules()]
    assert form.traced and kinds.count(nn.BatchNorm2d) == form.kept


def test_standardised_weights_become_constants():
    """A convolution with standardised weights becomes a plain one, which takes the batch norm after it."""
    for given in ("", ", gain=1, gamma=1.7, bias=1"):
        text = f"""
input: 3x8x8
classes: 4
stem: wsconv3x3(8{given}) bn relu
stages: {{blocks: 2, width: [8, 16], stride: [1, 2]}}
block: wsconv3x3(w, g=2{given}) bn relu wsconv3x3(w{given}) +
shortcut: {{changed: wsconv1x1 bn}}
head: gap fc
"""
        network = randomised(explorer.build(explorer.parse_space(text).architecture(0)))
        outputs_equal(network, images(network.architecture))
        form = inference_form(network)
        assert (form.folded, form.kept) == (6, 0)
        assert not any(hasattr(module, "standardised_weight") for module in form.module.modules())


def test_convolutions_with_asymmetric_padding_are_folded():
    """Norms behind convolutions with TensorFlow's padding, rectangular ones too, are folded, with equal outputs."""
    block = "conv3x3(s=s, pad=same) bn relu conv1x7 bn conv2x1(pad=same) bn +"
    network = only(block=block, stem="conv3x3(8, s=2, pad=same) bn relu maxpool3x3(pad=same)")
    form = inference_form(randomised(explorer.build(network)))
    assert form.traced and form.kept == 0
    outputs_equal(randomised(explorer.build(network)), images(network))


def counted(*layers: nn.Module) -> tuple[int, int]:
    form = inference_form(nn.Sequential(*layers))
    return form.folded, form.kept


def test_folds_only_what_is_exact():
    """A norm directly after a convolution is folded; one after an activation, without statistics, or before a
    convolution is not."""
    conv, norm, relu = (lambda: nn.Conv2d(3, 3, 3)), (lambda: nn.BatchNorm2d(3)), nn.ReLU
    assert counted(conv(), norm()) == (1, 0)
    assert counted(conv(), norm(), norm()) == (2, 0)
    assert counted(conv(), relu(), norm()) == (0, 1)
    assert counted(norm(), conv()) == (0, 1)
    assert counted(conv(), nn.BatchNorm2d(3, track_running_stats=False)) == (0, 1)
    twice = conv()
    assert counted(twice, norm(), twice, norm()) == (0, 2)


class Read(nn.Module):
    """Read the convolution's output twice: after the norm and before it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.conv(x)
        return x + self.norm(x)


class Untraceable(Read):
    def forward(self, x):
        return self.norm(self.conv(x)) if x.sum() > 0 else x


def test_keeps_a_norm_if_its_convolution_has_another_reader():
    """A convolution whose output is read elsewhere keeps its own output."""
    form = inference_form(randomised(Read()))
    assert (form.folded, form.kept, form.traced) == (0, 1, True)


def test_reports_a_failed_trace():
    """Control flow that depends on data is left unchanged, and the form reports it."""
    form = inference_form(Untraceable())
    assert (form.folded, form.kept, form.traced) == (0, 1, False)
    assert "no norms folded" in str(form)
    assert not form.module.training


def test_the_given_network_is_unchanged():
    """Mode and weights of the given network do not change."""
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    inference_form(network)
    assert network.training and isinstance(network[1], nn.BatchNorm2d)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
