"""Fused batch norms compute what torch's batch norm, sum and ReLU compute, up to rounding."""

from __future__ import annotations

import copy
import statistics
from contextlib import ExitStack, nullcontext
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from explorer.data.dataset import load_data
from explorer.networks.build import ResidualBlock, build_network
from explorer.space.search_space import load_space
from explorer.training import checkpoint
from explorer.training.activation_checkpointing import checkpointed_stages
from explorer.training.cpu import fused_norm
from explorer.training.cpu.fused_norm import batch_norm, fused_norms
from explorer.training.cpu.relu import bitwise_relu
from explorer.training.device import autocast
from explorer.training.loop import train_network
from explorer.training.recipe import recipe
from tests.training.small_network import small_network

CPU = torch.device("cpu")
SPACE = load_space("preact_variants.yaml")
ORDERS = ("original", "bn_after_add", "relu_before_add", "relu_only_preact", "full_preact", "preact_bottleneck")
SHAPES = [(4, 16, 8, 8), (3, 5, 7, 3), (2, 1, 4, 4), (5, 3, 1, 1), (1, 12, 2, 3), (3, 70, 2, 2), (40, 33, 19, 17)]
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2**-7}  # bfloat16 has 8 significant bits

needs_compiler = pytest.mark.skipif(fused_norm._kernels() is None, reason="no C++ compiler")
pytestmark = needs_compiler


def networks(order: str, count: int = 2, **choices: str) -> list[nn.Module]:
    architecture = SPACE.architecture({"order": order, "depth": "2", **choices})
    return [
        build_network(architecture).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        for _ in range(count)
    ]


def batch(images: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    pixels = torch.randn(images, 3, 32, 32, generator=random).to(memory_format=torch.channels_last)
    return pixels, torch.arange(images) % 10


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels).train()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    return norm


def assert_close(mine: torch.Tensor | None, reference: torch.Tensor | None, tolerance: float) -> None:
    """Each number is within the tolerance of the largest of the tensor."""
    assert mine is not None and reference is not None and mine.shape == reference.shape
    error = (mine.double() - reference.double()).abs().max()
    assert error <= tolerance * reference.abs().max().clamp(min=1e-3)


@pytest.mark.parametrize("is_sum", [False, True], ids=["", "sum"])
@pytest.mark.parametrize("is_rectified", [False, True], ids=["", "relu"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_equals_float64(dtype, shape, is_rectified, is_sum):
    """Output, gradients and running statistics are those of float64, for any shape, and a mean far from 0."""
    x = (torch.randn(shape) * 2 + 3).to(dtype, memory_format=torch.channels_last).requires_grad_()
    added = torch.randn(shape).to(dtype, memory_format=torch.channels_last).requires_grad_() if is_sum else None
    gradient = torch.randn(shape).to(dtype)
    norm = norm_of(shape[1])
    exact = copy.deepcopy(norm).double()

    y = batch_norm(norm, is_rectified, x, added)
    assert type(y.grad_fn).__name__ == "_FusedNormBackward"
    y.backward(gradient)

    wide = x.detach().double().requires_grad_()
    wide_added = added.detach().double().requires_grad_() if added is not None else None
    expected = exact(wide) if wide_added is None else exact(wide) + wide_added
    # Where the sum is nearly 0, its sign depends on rounding: the mask is that of the tested output.
    expected = expected * (y > 0) if is_rectified else expected
    expected.backward(gradient.double())

    assert y.dtype == dtype and y.is_contiguous(memory_format=torch.channels_last)
    for mine, reference in [
        (y, expected),
        (x.grad, wide.grad),
        (norm.weight.grad, exact.weight.grad),
        (norm.bias.grad, exact.bias.grad),
        (norm.running_mean, exact.running_mean),
        (norm.running_var, exact.running_var),
    ]:
        assert_close(mine, reference, TOLERANCE[dtype])
    if added is not None and wide_added is not None:
        assert_close(added.grad, wide_added.grad, TOLERANCE[dtype])
    assert norm.num_batches_tracked == 1


def test_the_variance_does_not_cancel():
    """The variance of 1 of numbers around 4,000 is exact to 1e-3 in float32."""
    norm, x = norm_of(16), torch.randn(32, 16, 8, 8).double() + 4000
    exact = copy.deepcopy(norm).double()
    y = batch_norm(norm, False, x.float().to(memory_format=torch.channels_last))
    assert_close(y, exact(x.float().double()), 1e-3)


@pytest.mark.parametrize("outlier", [1.0, 10.0])
def test_an_outlier_does_not_cancel_the_variance(outlier):
    """Neither does the first element, if it is far from all others."""
    x = (torch.full((32, 16, 32, 32), 0.1)).to(memory_format=torch.channels_last)
    x[0, :, 0, 0] = outlier
    norm = norm_of(16)
    exact = copy.deepcopy(norm).double()
    assert_close(batch_norm(norm, False, x), exact(x.double()), 1e-3)
    assert_close(norm.running_var, exact.running_var, 1e-3)


def test_nan_stays_nan():
    """A NaN in the input or in the weight reaches the output through ReLU."""
    for dtype in TOLERANCE:
        norm, x = norm_of(2), torch.ones(2, 2, 2, 2, dtype=dtype).to(memory_format=torch.channels_last)
        x[0, 0] = float("nan")
        norm.weight.data[1] = float("nan")
        assert batch_norm(norm, True, x).isnan().all()


@pytest.mark.parametrize("is_sum", [False, True], ids=["", "sum"])
def test_infinity_is_not_hidden(is_sum):
    """An infinite input makes the output and the running variance of its channel NaN, as in torch."""
    for dtype in TOLERANCE:
        norm, x = norm_of(2), torch.randn(8, 2, 4, 4).to(dtype, memory_format=torch.channels_last)
        x[0, 0, 0, 0] = float("inf")
        y = batch_norm(norm, True, x, x.clone() if is_sum else None)
        assert y[:, 0].isnan().all() and y[:, 1].isfinite().all()
        assert norm.running_var[0].isnan() and norm.running_var[1].isfinite()


def test_threads_change_no_bit():
    """Output and gradients with two and three threads are those with one."""
    results = []
    threads = torch.get_num_threads()
    for number in (1, 2, 3):
        torch.manual_seed(0)
        norm, x = norm_of(24), torch.randn(32, 24, 20, 20).to(memory_format=torch.channels_last).requires_grad_()
        torch.set_num_threads(number)
        try:
            y = batch_norm(norm, True, x, x * 0.5)
            y.square().sum().backward()
        finally:
            torch.set_num_threads(threads)
        results.append((y, x.grad, norm.weight.grad, norm.bias.grad, norm.running_var))
    assert all(map(torch.equal, results[0], results[1])) and all(map(torch.equal, results[0], results[2]))


def test_other_inputs_are_left_to_torch():
    """Other memory formats, dtypes and modes have torch's results bit by bit, and one value a channel its error."""
    norm = norm_of(6)
    maps = torch.randn(2, 6, 4, 4)
    for x in (maps, maps.double().to(memory_format=torch.channels_last)):
        copied = copy.deepcopy(norm).to(x.dtype)
        other = copy.deepcopy(copied)
        y = batch_norm(copied, True, x, x)
        assert torch.equal(y, F.relu(other(x) + x)) and torch.equal(copied.running_var, other.running_var)
    x = maps.to(memory_format=torch.channels_last)
    assert torch.equal(batch_norm(norm.eval(), True, x), F.relu(norm(x)))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        batch_norm(norm.train(), True, torch.randn(1, 6, 1, 1))
    with pytest.raises(RuntimeError, match="running_mean should contain 12 elements"):
        batch_norm(norm, True, torch.randn(2, 12, 4, 4).to(memory_format=torch.channels_last))


def passes(network: nn.Module, is_fused: bool, precision: str) -> list[torch.Tensor]:
    """Run a forward and a backward pass; return logits, gradients and buffers."""
    images, labels = batch()
    with ExitStack() as settings:
        assert settings.enter_context(fused_norms(network) if is_fused else nullcontext()) in (True, None)
        settings.enter_context(bitwise_relu(network))
        with autocast(CPU, precision):
            logits = network(images)
        F.cross_entropy(logits.float(), labels).backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return [logits.detach().float(), *gradients, *(buffer.float() for buffer in network.buffers())]


@pytest.mark.parametrize("act", ["relu", "silu"])
@pytest.mark.parametrize("order", ORDERS)
def test_networks_compute_the_same(order, act):
    """Logits, gradients and running statistics of all block orders equal those without fusing."""
    plain, fused = networks(order, act=act, attn="se(r=4)")
    pairs = zip(passes(fused, True, "float32"), passes(plain, False, "float32"), strict=True)
    distances = [float((mine - true).norm() / true.norm().clamp(min=1e-3)) for mine, true in pairs]
    # Rounding may change the sign of an input of ReLU near 0, and so the gradient of what is before it.
    assert max(distances) < (0.05 if act == "relu" else 1e-3)
    assert statistics.median(distances) < 1e-4


@pytest.mark.parametrize("order", ORDERS)
def test_bfloat16_is_as_near_to_float32(order):
    """In bfloat16 the gradients are at most slightly farther from those of float32 than without fusing."""
    exact, plain, fused = networks(order, 3)
    reference = passes(exact, False, "float32")

    def distance(network: nn.Module, is_fused: bool) -> float:
        found = passes(network, is_fused, "bfloat16")
        return sum(float((mine - true).norm() / true.norm().clamp(min=1e-3)) for mine, true in zip(found, reference))

    assert distance(fused, True) <= 1.1 * distance(plain, False)


def test_what_is_fused(monkeypatch):
    """A post-activation network leaves no ReLU and no sum to torch; its modules are as before after the block."""
    (network,) = networks("original", 1)
    calls = []
    kernel = fused_norm._FusedNorm.apply
    monkeypatch.setattr(fused_norm._FusedNorm, "apply", lambda *given: (calls.append(given), kernel(*given))[1])
    with fused_norms(network):
        network(batch()[0])
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    projections = sum(bool(block.shortcut) for block in blocks)  # conv1x1 bn
    assert len(calls) == len(norms)
    assert sum(is_rectified for *_, is_rectified in calls) == len(norms) - projections
    assert sum(added is not None for _, added, *_ in calls) == len(blocks)
    assert all("forward" not in vars(module) for module in network.modules())


def test_other_norms_and_modules_with_several_uses_are_not_fused():
    """A norm without weights, statistics or momentum, and a ReLU that occurs twice, compute as before."""
    network, other = networks("original")
    relu = nn.ReLU()
    for net in (network, other):
        first = nn.Sequential(nn.BatchNorm2d(3, affine=False), relu)
        second = nn.Sequential(nn.BatchNorm2d(3, momentum=None), nn.BatchNorm2d(3, track_running_stats=False), relu)
        net.extra = nn.ModuleList([first, second])
    pixels, _ = batch()
    with fused_norms(network) as is_fused:
        mine = [part(pixels) for part in network.extra]
    assert is_fused
    for own, part in zip(mine, other.extra, strict=True):
        assert_close(own, part(pixels), 1e-5)


def test_layers_that_an_extension_calls_by_themselves_are_not_fused():
    """A module of an extension may call the norm of a sequence without the ReLU after it."""

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())

        def forward(self, x):
            y = self.layers[0](x)
            return y - self.layers[1](y)

    network, other = networks("original")
    network.stem.append(Gated())
    other.stem.append(Gated())
    pixels, _ = batch()
    with fused_norms(network) as is_fused:
        mine = network.stem[-1](pixels)
    assert is_fused
    assert_close(mine, other.stem[-1](pixels), 1e-5)


def test_hooks_are_called():
    """Forward hooks of norms, ReLUs and blocks are called once a pass."""
    (network,) = networks("original", 1)
    called = []
    hooked = [m for m in network.modules() if isinstance(m, (nn.BatchNorm2d, nn.ReLU, ResidualBlock))]
    for module in hooked:
        module.register_forward_hook(lambda *given: called.append(given[0]))
    with fused_norms(network):
        network(batch()[0])
    assert sorted(map(id, called)) == sorted(map(id, hooked))


def test_activation_checkpointing_changes_no_bit():
    """Gradients and running statistics are those of a step that stores everything."""
    stored, recomputed = networks("full_preact")
    reference = passes(stored, True, "bfloat16")
    with checkpointed_stages(recomputed, torch.Generator()):
        assert all(map(torch.equal, passes(recomputed, True, "bfloat16"), reference))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_interrupted_training_resumes_bitwise(tmp_path, monkeypatch, precision):
    """A training that stops after two epochs and is repeated has the weights of one that was not interrupted."""
    monkeypatch.setattr(checkpoint, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "TIME_FACTOR", 0.0)
    digits = load_data("digits", subset=128)
    architecture = replace(SPACE.architecture(0), input=digits.shape)
    path = tmp_path / "training.checkpoint"

    class Interrupted(Exception):
        pass

    def interrupt(epoch):
        if epoch.epoch == 2 and not path.with_suffix(".seen").exists():
            path.with_suffix(".seen").touch()
            raise Interrupted

    def train(**options):
        network = build_network(architecture)
        train_network(network, digits, recipe("quick_small"), epochs=3, seed=0, precision=precision, **options)
        return network.state_dict().values()

    with pytest.raises(Interrupted):
        train(checkpoint=path, on_epoch=interrupt)
    assert path.exists()
    assert all(map(torch.equal, train(checkpoint=path), train()))


def test_without_a_compiler_nothing_changes(monkeypatch):
    """Without kernels, for modules that are not built from an architecture, nothing is fused."""
    with fused_norms(small_network()) as is_fused:
        assert not is_fused
    monkeypatch.setattr(fused_norm, "_kernels", lambda: None)
    (network,) = networks("original", 1)
    with fused_norms(network) as is_fused:
        assert not is_fused and all("forward" not in vars(module) for module in network.modules())
