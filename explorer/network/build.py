"""Architecture to ``torch.nn.Module``: the same tree of stem, stages, blocks and head."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from explorer.architecture import Architecture, Block, require_architecture
from explorer.network.init import initialise, silence_last_norm
from explorer.network.randomness import DrawsFrom, float32_on_cpu
from explorer.ops.base import Call, Op, TensorShape


def build_network(architecture: Architecture, seed: int = 0, *, zero_init_last_norm: bool = False) -> Network:
    """The network, initialised from ``seed``: neither torch's random state nor its default dtype and device matter,
    and none of them changes. The weights are float32, on the CPU.

    ``zero_init_last_norm``: residual blocks begin as their shortcut (``silence_last_norm``).
    """
    require_architecture(architecture)
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False), torch.enable_grad(), DrawsFrom(generator), float32_on_cpu():
        network = Network(architecture)
        initialise(network)
        if zero_init_last_norm:
            blocks = (block for stage in architecture.stages for block in stage.blocks)
            modules = (module for module in network.modules() if isinstance(module, ResidualBlock))
            for block, module in zip(blocks, modules):
                silence_last_norm(block, module.branch)
    return network


def instantiate(call: Call) -> nn.Module:
    """The torch module that a constructor call describes; calls among its arguments come first."""

    def value(argument: Any) -> Any:
        return instantiate(argument) if isinstance(argument, Call) else argument

    torch_class = getattr(nn, call.torch_class) if isinstance(call.torch_class, str) else _own_class(call.torch_class)
    return torch_class(*map(value, call.args), **{key: value(argument) for key, argument in call.kwargs.items()})


@functools.cache
def _own_class(make: Callable[[], type]) -> type:
    """The class that ``make`` returns. Its instances are pickled by the name of ``make``, as the class has none."""
    made = make()
    made.__reduce_ex__ = lambda self, protocol: (_blank, (make,), self.__dict__)
    return made


def _blank(make: Callable[[], type]) -> nn.Module:
    """A module without state, for pickle."""
    own = _own_class(make)
    return own.__new__(own)


def _sequence(ops: tuple[Op, ...], x: TensorShape) -> tuple[nn.Sequential, TensorShape]:
    modules = []
    for op in ops:
        modules.append(instantiate(op.module(x)))
        x = op.output_shape(x)
    return nn.Sequential(*modules), x


class ResidualBlock(nn.Module):
    """``after(merge(branch(pre(x)), shortcut(pre(x))))``, x: (N, C, H, W).

    ``pre`` holds the layers that branch and shortcut share, mostly none.
    """

    def __init__(self, block: Block, x: TensorShape):
        super().__init__()
        self.pre, start = _sequence(block.branch[: block.shared], x)
        self.branch, y = _sequence(block.branch[block.shared :], start)
        self.shortcut: nn.Module | None = None
        self.merge: nn.Module | None = None
        if block.shortcut is not None:
            self.shortcut, arriving = _sequence(block.shortcut, start)
            merge = block.merge.module(arriving)
            self.merge = None if merge is None else instantiate(merge)
            y = block.merge.output_shape(y, arriving)
        self.after, self.output_shape = _sequence(block.after, y)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        y = self.branch(x)
        if self.shortcut is not None:
            shortcut = self.shortcut(x)
            y = y + shortcut if self.merge is None else self.merge(y, shortcut)
        return self.after(y)


class Network(nn.Module):
    """Stem, stages, head; x: (N, C, H, W) images to (N, classes) logits. It keeps its ``architecture``."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        self.stem, x = _sequence(architecture.stem, architecture.input)
        self.stages = nn.ModuleList()
        for stage in architecture.stages:
            transition, x = _sequence(stage.transition, x)
            modules = nn.Sequential(*transition)
            for block in stage.blocks:
                made = ResidualBlock(block, x)
                modules.append(made)
                x = made.output_shape
            self.stages.append(modules)
        self.head, _ = _sequence(architecture.head, x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x).flatten(1)
