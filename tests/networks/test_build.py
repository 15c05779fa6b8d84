"""The torch network of an architecture computes the papers' function and is initialised as in the papers."""

from __future__ import annotations

import copy
import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from explorer.export.model_py.code import write_code
from explorer.networks.build import build_network
from explorer.networks.ops import registry
from explorer.space.search_space import load_space, parse_space
from explorer.space.shipped import shipped_spaces
from tests.networks.random_values import images, randomised
from tests.space.spaces import only, random_space


def conv(x: Tensor, weights: list[Tensor], stride: int = 1) -> Tensor:
    w = weights.pop(0)
    return F.conv2d(x, w, stride=stride, padding=w.shape[-1] // 2)


def bn(x: Tensor, weights: list[Tensor]) -> Tensor:
    scale, shift, mean, variance, _ = (weights.pop(0) for _ in range(5))
    return F.batch_norm(x, mean, variance, scale, shift)


def reference(x: Tensor, weights: list[Tensor], order: str, depth: int) -> Tensor:
    """He et al. 2016 by hand: Fig. 4 (a) and (e), stem and head of the appendix; ``weights`` are in the order of the
    network: branch, then shortcut, block by block."""
    full = order == "full_preact"
    x = conv(x, weights)
    if not full:
        x = F.relu(bn(x, weights))
    for stage in range(3):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            if full:
                a = F.relu(bn(x, weights))
                shared = (stage == 0 or stride == 2) and block == 0
                y = conv(F.relu(bn(conv(a, weights, stride), weights)), weights)
                start = a if shared else x
                x = y + (conv(start, weights, stride) if stride == 2 else start)
            else:
                y = bn(conv(F.relu(bn(conv(x, weights, stride), weights)), weights), weights)
                x = F.relu(y + (bn(conv(x, weights, stride), weights) if stride == 2 else x))
    if full:
        x = F.relu(bn(x, weights))
    return F.linear(x.mean((2, 3)), weights.pop(0), weights.pop(0))


@pytest.mark.parametrize("order", ["original", "full_preact"])
@pytest.mark.parametrize("depth", [1, 3])
def test_the_same_weights_give_the_papers_output(order, depth):
    """With the same weights the network's output equals that of the paper's residual units, written by hand."""
    made = load_space("preact_variants")
    arch = made.architecture(made.named({"order": order, "depth": str(depth)}))
    network = randomised(build_network(arch))
    weights = list(network.state_dict().values())
    with torch.no_grad():
        expected = reference(images(arch), weights, order, depth)
        assert not weights
        assert torch.allclose(network(images(arch)), expected, rtol=1e-4, atol=1e-5)


def test_the_inner_orders_differ_as_in_the_figure():
    """BN after addition normalises the sum; ReLU before addition makes each branch non-negative."""
    made = load_space("he2016_orders")
    arch = made.architecture(made.named({"order": "bn_after_add"}))
    first = build_network(arch).stages[0][0].train()
    out = first(torch.randn(8, 16, 8, 8))
    assert (out >= 0).all() and first.after[0].num_batches_tracked == 1
    arch = made.architecture(made.named({"order": "relu_before_add"}))
    block = build_network(arch).stages[0][0]
    x = torch.randn(8, 16, 8, 8)
    assert (block(x) - x >= -1e-6).all()


@pytest.mark.parametrize("name", sorted(name for name in shipped_spaces() if "published" not in name))
def test_sampled_derivations_can_be_trained(name):
    """Sampled networks of each shipped space run forward and backward, and every parameter gets a gradient."""
    made = load_space(name).with_input((3, 16, 16), 10)
    for derivation in made.sample(4, seed=7):
        arch = made.architecture(derivation)
        network = build_network(arch).train()
        logits = network(images(arch, 4))
        assert logits.shape == (4, 10)
        F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
        assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("seed", range(0, 60, 5))
def test_blocks_have_the_declared_shapes(seed):
    """On random spaces with every construct, the maps between stages have the architecture's shapes."""
    made = random_space(seed, largest=10**9)
    if made is None:
        pytest.skip("rejected")
    arch = made.architecture(made.sample(1, seed=seed)[0])
    network = build_network(arch).eval()
    with torch.no_grad():
        x = network.stem(images(arch))
        shapes = [tuple(x.shape[1:])]
        for stage in network.stages:
            x = stage(x)
            shapes.append(tuple(x.shape[1:]))
        assert shapes == arch.stage_shapes()
        assert network.head(x).flatten(1).shape == (2, 10)


@pytest.mark.parametrize("order", ["original", "bn_after_add", "relu_before_add"])
def test_a_block_with_a_zero_last_norm_is_its_shortcut(order):
    """If the branch's last norm is zero, a block is its shortcut followed by the ops after the addition."""
    made = load_space("preact_variants")
    network = build_network(made.architecture(made.named({"order": order, "depth": "2"}))).eval()
    block = network.stages[0][1]
    norms = [module for module in block.branch if isinstance(module, torch.nn.BatchNorm2d)]
    if order == "bn_after_add":  # its last norm is after the sum: set the last conv to zero
        torch.nn.init.zeros_(block.branch[-1].weight)
    else:
        torch.nn.init.zeros_(norms[-1].weight)
    x = torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        after = {"original": x.relu(), "bn_after_add": (x / math.sqrt(1 + 1e-5)).relu(), "relu_before_add": x}[order]
        assert torch.allclose(block(x), after)


@pytest.mark.parametrize(
    ("block", "silent"),
    [
        ("conv3x3 bn relu conv3x3 bn + relu", True),
        ("relu conv3x3 bn relu conv3x3 bn se(r=4) drop(0.1) +", True),
        ("conv3x3 bn gate(b=-6)", True),
        ("bn relu conv3x3 bn relu conv3x3 +", False),
        ("conv3x3 bn relu conv3x3 + bn relu", False),
        ("conv3x3 bn relu +", False),
        ("conv3x3 bn cat", False),
        ("sum(conv3x3 bn, identity) +", False),
        ("sum(conv3x3 bn, conv1x1 relu) +", False),
        ("sum(conv3x3 bn, skipinit) +", True),
        ("product(conv3x3, conv1x1 sigmoid) +", False),
        ("product(conv3x3 bn, conv1x1 skipinit) +", False),
        ("cat(conv3x3(4) bn, conv5x5(4) bn) se(r=4) +", 2),
        ("sum(conv3x3 bn, sum(conv5x5 bn, conv1x1 bn)) + relu", 3),
        ("product(conv1x1 sigmoid, conv3x3 bn, conv5x5 bn) +", True),
        ("tap(a) conv3x3 bn relu tap(b) conv5x5 cat(conv1x1(4) bn, from(b) conv3x3(4) bn) +", 2),
        ("tap(a) conv3x3 bn relu conv5x5 sum(bn, relu, from(a)) +", False),
    ],
)
def test_zero_initialised_last_norms(block, silent):
    """The norms that end a branch start at 0 and learn, so the block starts as its shortcut; other norms do not.

    ``silent``: their number in a block.
    """
    arch = only(block=f'"{block}"', stages="{blocks: 2, width: 8}")
    plain, zeroed = build_network(arch, seed=1), build_network(arch, seed=1, zero_init_last_norm=True)
    scales = {name for name, tensor in plain.state_dict().items() if not torch.equal(tensor, zeroed.state_dict()[name])}
    assert len(scales) == 2 * silent
    x = torch.randn(2, 8, 16, 16)
    if silent:
        assert torch.equal(zeroed.stages[0][0].branch(x), torch.zeros_like(x))
    zeroed.train()(images(arch, 4)).square().sum().backward()
    for name, parameter in zeroed.named_parameters():
        assert name not in scales or (not parameter.any() and parameter.grad.any())


def test_shortcuts_of_table_1():
    """Scaling, dropout, 1x1 convs and gates on the shortcut compute what section 3 of He 2016 defines."""
    x = torch.randn(2, 8, 16, 16)
    for shortcut, expected in [
        ("scale(0.5)", lambda b: 0.5 * x),
        ("drop(0.5)", lambda b: x),
        ("conv1x1", lambda b: b.shortcut(x)),
        ("shortcut_gate(b=-6)", lambda b: x * (1 - torch.sigmoid(b.shortcut[0].conv(x)))),
        ("identity", lambda b: x),
    ]:
        block = (
            build_network(only(shortcut=f"{{same: {shortcut}}}", block="conv3x3 bn +", stages="{blocks: 1, width: 8}"))
            .eval()
            .stages[0][0]
        )
        with torch.no_grad():
            assert torch.allclose(block(x), block.branch(x) + expected(block), atol=1e-6)
    gated = build_network(only(block="conv3x3 bn gate(b=-6)", stages="{blocks: 1, width: 8}")).eval().stages[0][0]
    with torch.no_grad():
        g = torch.sigmoid(gated.merge.conv(x))
        assert torch.allclose(gated(x), g * gated.branch(x) + (1 - g) * x, atol=1e-6)


# Initialisation


def test_convolutions_are_initialised_as_in_he_2015():
    """Conv weights are N(0, sqrt(2 / (k k out))), norms 1 and 0, the classifier's bias 0."""
    network = build_network(
        only(stages="{blocks: 1, width: 256}", stem="conv3x3(256) bn", block="conv3x3 bn conv1x1(512) conv5x5 +")
    )
    sizes = {3: 256, 1: 512, 5: 256}
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 5_000:
            k = module.kernel_size[0]
            weights = module.weight.detach()
            assert weights.std().item() == pytest.approx(math.sqrt(2 / (k * k * sizes[k])), rel=0.05)
            assert abs(weights.mean().item()) < 0.01 * weights.std().item() + 1e-3
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
        elif isinstance(module, torch.nn.Linear):
            assert (module.bias == 0).all()


def test_grouped_convolutions_use_the_fan_out_of_a_group():
    """A grouped or depthwise conv is initialised with the variance of its group's fan-out."""
    network = build_network(
        only(stages="{blocks: 1, width: 512}", stem="conv1x1(512)", block="dwconv3x3 conv3x3(g=8) +")
    )
    depthwise, grouped = network.stages[0][0].branch
    assert depthwise.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    assert grouped.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 512 / 8)), rel=0.05)


def test_given_biases_are_kept():
    """The gates' biases are those of the space file, not zero."""
    network = build_network(
        only(block="conv3x3 gate(b=-6)", shortcut="{same: shortcut_gate(b=-3)}", stages="{blocks: 1, width: 8}")
    )
    assert (network.stages[0][0].merge.conv.bias == -6).all()
    assert (network.stages[0][0].shortcut[0].conv.bias == -3).all()


def test_a_seed_fixes_the_weights_and_keeps_the_global_state():
    """The same seed gives the same weights, another one gives others, and the global random state is unchanged."""
    arch = only()
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first, again, other = build_network(arch, seed=5), build_network(arch, seed=5), build_network(arch, seed=6)
    assert torch.equal(torch.get_rng_state(), before)
    state = first.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())
    assert any(not torch.equal(tensor, state[name]) for name, tensor in other.state_dict().items())


def test_the_signal_keeps_its_scale_at_initialisation():
    """At initialisation the logits of a network of 56 layers neither vanish nor explode."""
    text = (
        "input: 3x32x32\nclasses: 10\nstem: conv3x3(16) post\n"
        "stages: {blocks: 9, width: [16, 32, 64], stride: [1, 2, 2]}\n"
        "block: conv3x3 bn relu conv3x3 bn + relu\nhead: pre gap fc\n"
    )
    arch = parse_space(text).architecture(0)
    with torch.no_grad():
        logits = build_network(arch).train()(images(arch, 8))
    assert 0.05 < logits.std().item() < 50


def test_the_module_tree_follows_the_architecture():
    """stem, stages, blocks and head are separate modules, in the order of the architecture."""
    network = build_network(only(transition="bn avgpool conv1x1"))
    assert [name for name, _ in network.named_children()] == ["stem", "stages", "head"]
    assert [len(stage) for stage in network.stages] == [2, 3 + 2]
    names = [name for name, _ in network.stages[0][0].named_children()]
    assert names == ["pre", "branch", "shortcut", "after"]


def test_networks_can_be_pickled(tmp_path):
    """``torch.save`` stores a network for another process, and copies are equal."""
    space = load_space("preact_variants.yaml")
    network = build_network(space.architecture("order=full_preact,attn@stage1=se(r=4)"), seed=3).eval()
    x = images(network.architecture)
    network_file, file = tmp_path / "network.pt", tmp_path / "x.pt"
    torch.save(network, network_file)
    torch.save(x, file)
    code = "import sys, torch; network, x = sys.argv[1:]; y = torch.load(network, weights_only=False)(torch.load(x))"
    subprocess.run([sys.executable, "-c", f"{code}; torch.save(y, x)", network_file, file], check=True)
    assert torch.allclose(torch.load(file), network(x), atol=1e-5)
    assert torch.equal(copy.deepcopy(network)(x), network(x))


@pytest.mark.parametrize("act", [name for name, op in registry.by_spelling.items() if op.role == "activation"])
def test_activations_after_a_linear_layer(act):
    """An activation of the vectors that ``fc`` puts out is that of a map of one pixel, also in exported code."""
    made = only(head=f"gap fc(16) {act} fc")
    network, code = randomised(build_network(made)).eval(), {}
    exec(write_code(made).text, code)
    exported = code["Network"]().eval()
    exported.load_state_dict(network.state_dict())
    x, vectors = images(made, 3), torch.randn(3, 16)
    assert network(x).shape == (3, 10) and torch.allclose(exported(x), network(x), atol=1e-5)
    assert torch.equal(network.head[2](vectors), network.head[2](vectors[:, :, None, None]).flatten(1))
