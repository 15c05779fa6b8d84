"""The built network: the architecture's layers, shapes and weights, and nothing else."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from explorer.grammar.parse import load_space
from explorer.network.build import build_network


@pytest.mark.parametrize("name", ["preact_variants.yaml", "se_dilation_bottleneck.yaml"])
def test_sampled_networks_run_forward_and_backward(name):
    """Sampled networks give logits of the declared shape, and a gradient for every parameter."""
    space = load_space(name).with_input((1, 12, 12), 7)
    for derivation in space.sample(12, seed=1):
        network = build_network(space.architecture(derivation))
        out = network(torch.randn(3, 1, 12, 12))
        assert out.shape == (3, 7)
        out.sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())


def test_seed_fixes_the_weights_and_leaves_the_global_state():
    """Equal seeds give equal weights, others others; the caller's random state is untouched."""
    architecture = load_space("he2016_orders.yaml").architecture(0)
    before = torch.random.get_rng_state()
    first, again, other = (build_network(architecture, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_convolutions_start_as_he_2015():
    """Weights have the standard deviation sqrt(2 / (k * k * out))."""
    network = build_network(load_space("he2016_orders.yaml").architecture(0))
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5_000:
            expected = (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05)


def reference(state, x, order):
    """He et al. 2016, Fig. 4 (a) and (e), written from the paper: three stages of three basic blocks."""

    def bn(x, name):
        return F.batch_norm(x, state[f"{name}.running_mean"], state[f"{name}.running_var"], state[f"{name}.weight"], state[f"{name}.bias"])

    x = F.conv2d(x, state["stem.0.weight"], padding=1)
    if order == "original":
        x = F.relu(bn(x, "stem.1"))
    for s in range(3):
        for b in range(3):
            at, stride = f"stages.{s}.{b}", 2 if s and not b else 1
            if order == "original":
                y = F.relu(bn(F.conv2d(x, state[f"{at}.branch.0.weight"], stride=stride, padding=1), f"{at}.branch.1"))
                y = bn(F.conv2d(y, state[f"{at}.branch.3.weight"], padding=1), f"{at}.branch.4")
                if stride == 2:
                    x = bn(F.conv2d(x, state[f"{at}.shortcut.0.weight"], stride=2), f"{at}.shortcut.1")
                x = F.relu(x + y)
                continue
            shared = b == 0  # the first block of each stage takes its shortcut after BN-ReLU
            y = F.relu(bn(x, f"{at}.pre.0" if shared else f"{at}.branch.0"))
            if shared:
                x = F.conv2d(y, state[f"{at}.shortcut.0.weight"], stride=2) if stride == 2 else y
            k = 0 if shared else 2
            y = F.conv2d(y, state[f"{at}.branch.{k}.weight"], stride=stride, padding=1)
            y = F.conv2d(F.relu(bn(y, f"{at}.branch.{k + 1}")), state[f"{at}.branch.{k + 3}.weight"], padding=1)
            x = x + y
    if order == "full_preact":
        x = F.relu(bn(x, "head.0"))
    last = max(int(name.split(".")[1]) for name in state if name.startswith("head."))
    return F.linear(x.mean((2, 3)), state[f"head.{last}.weight"], state[f"head.{last}.bias"])


@pytest.mark.parametrize("order", ["original", "full_preact"])
def test_same_weights_same_output_as_the_paper(order):
    """With the same weights the network's logits are those of a forward written from the paper."""
    space = load_space("he2016_orders.yaml")
    network = build_network(space.architecture(space.named({"order": order})), seed=3)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():  # norms away from the identity, so that their places matter
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
            for values in (module.bias.data, module.running_mean):
                values.copy_(torch.randn(values.shape, generator=generator) * 0.1)
    x = torch.randn(2, 3, 32, 32, generator=generator)
    with torch.no_grad():
        expected = reference(network.eval().state_dict(), x, order)
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


def test_a_zeroed_last_norm_makes_a_block_its_shortcut():
    """With the last norm of the branch at zero an identity block of the original order is its final ReLU."""
    space = load_space("he2016_orders.yaml")
    block = build_network(space.architecture(0)).stages[0][1]
    nn.init.zeros_(block.branch[-1].weight)
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(block(x), x.relu())
