"""Activation checkpointing saves memory and changes no bit; networks of 1,001 layers train."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from explorer.costs.analytic import count_cost
from explorer.data.dataset import load_data
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network
from explorer.networks.randomness import dropping_from
from explorer.space.search_space import load_space, parse_space
from explorer.training import activation_checkpointing, loop
from explorer.training.activation_checkpointing import activation_bytes, checkpointed_stages, needs_checkpointing
from explorer.training.cpu.relu import bitwise_relu
from explorer.training.device import autocast
from explorer.training.loop import train_network
from explorer.training.recipe import recipe

CPU = torch.device("cpu")
BLOCKS = {
    "batch norm": "bn relu conv3x3 bn relu conv3x3 +",
    "random": "bn relu conv3x3 drop(0.3) bn relu conv3x3 droppath(0.4) +",
}


def architecture(block: str, depth: int = 7, shape: tuple[int, int, int] = (1, 8, 8)):
    space = parse_space(
        f"""
name: deep
input: {"x".join(map(str, shape))}
classes: 10
stem: conv3x3(4)
stages: {{blocks: {depth}, width: [4, 8], stride: [1, 2]}}
block: {block}
shortcut: {{changed: conv1x1, from: preact}}
head: pre gap fc
"""
    )
    return space.architecture(0)


def step(network, checkpointed: bool, precision: str = "float32"):
    """One forward and backward pass; its loss, with gradients and buffers in the network."""
    draw = torch.Generator().manual_seed(1)
    images, labels = torch.randn(16, *network.architecture.input, generator=draw), torch.arange(16) % 10
    dropout = torch.Generator().manual_seed(2)
    stages = checkpointed_stages(network, dropout) if checkpointed else nullcontext()
    with dropping_from(network.train(), dropout), bitwise_relu(network), stages:
        with autocast(CPU, precision):
            logits = network(images.to(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
    return loss.detach(), dropout.get_state()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_gradients_are_bitwise_the_same(block, precision):
    """Loss, gradients, running statistics and the generator of dropout are those of a step that stores everything."""
    plain, checkpointed = (build_network(architecture(block)) for _ in range(2))
    (loss, state), (other_loss, other_state) = step(plain, False, precision), step(checkpointed, True, precision)
    assert torch.equal(loss, other_loss) and torch.equal(state, other_state)
    for mine, theirs in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        assert mine.grad.abs().sum() > 0 and torch.equal(mine.grad, theirs.grad)
    assert all(map(torch.equal, plain.buffers(), checkpointed.buffers()))


def stored_bytes(network, checkpointed: bool) -> int:
    """The bytes of distinct memory that the forward pass keeps for the backward pass, without the weights."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    stages = checkpointed_stages(network, torch.Generator()) if checkpointed else nullcontext()
    with stages, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network.train()(torch.randn(16, *network.architecture.input))
    assert logits.requires_grad
    return sum(kept.values())


def test_the_estimate_is_near_what_is_stored():
    """The estimate of activation memory is at least what a step stores, and at most twice as much."""
    network = build_network(architecture(BLOCKS["batch norm"]))
    estimate, stored = activation_bytes(network.architecture, 16, "float32"), stored_bytes(network, False)
    assert stored <= estimate <= 2 * stored
    assert activation_bytes(network.architecture, 16, "bfloat16") == estimate / 2


def test_checkpointing_is_chosen_by_memory(monkeypatch):
    """It is needed if activations would fill more than half of the free memory, by the share of the cores in use."""
    deep = architecture(BLOCKS["batch norm"])
    need = activation_bytes(deep, 32, "float32")
    monkeypatch.setattr(activation_checkpointing, "usable_cores", lambda: 4)
    for free, threads, expected in (
        (2 * need, 4, False),
        (2 * need - 2, 4, True),
        (8 * need, 1, False),
        (8 * need - 8, 1, True),
        (2 * need, 64, False),
    ):
        monkeypatch.setattr(activation_checkpointing, "available_memory", lambda free=free: free)
        assert needs_checkpointing(deep, 32, "float32", CPU, threads) is expected


@pytest.mark.parametrize(("setting", "used"), [("auto", 0), ("on", 1), ("off", 0)])
def test_the_setting_decides(monkeypatch, setting, used):
    """``on`` and ``off`` decide, and ``auto`` stores the activations of a small network."""
    digits, calls = load_data("digits", subset=64), []

    def counted(*args):
        calls.append(args)
        return checkpointed_stages(*args)

    monkeypatch.setattr(loop, "checkpointed_stages", counted)
    network = build_network(architecture(BLOCKS["batch norm"], depth=1))
    train_network(
        network, digits, recipe("quick_small"), epochs=1, seed=0, precision="float32", activation_checkpointing=setting
    )
    assert len(calls) == used
    assert all("forward" not in vars(stage) for stage in network.stages)


@pytest.mark.slow  # three steps of 1,001 layers; no shallower network shows that this depth has no limit or recursion
def test_1001_layers_train():
    """A full pre-activation network of 1,001 layers derives, costs, builds, and trains with checkpointing."""
    text = load_space("published/cifar_preact_resnet.yaml").text
    for wide, narrow in (("[16, 32, 64]", "[2, 2, 2]"), ("conv3x3(16) ", "conv3x3(2) "), ("3x32x32", "1x8x8")):
        assert wide in text
        text = text.replace(wide, narrow)
    deep = parse_space(text).architecture({"block": "bottleneck", "depth": "111"})
    assert count_cost(deep).weight_layers == 1001
    assert Architecture.from_json(deep.to_json()) == deep
    network = build_network(deep)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    result = train_network(
        network,
        load_data("digits", subset=64),
        replace(recipe("quick_small"), lr=1e-5),  # so few steps update the running statistics only slightly
        epochs=1,
        seed=0,
        precision="float32",
        activation_checkpointing="on",
    )
    assert 0 < result.curve[0].train_loss < 10
    assert not all(map(torch.equal, before, network.parameters()))
