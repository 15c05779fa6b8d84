"""Architecture to ``torch.nn.Module``: the same tree of stem, stages, blocks and head."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from explorer.networks.architecture import Architecture, require_architecture
from explorer.networks.block import Parts, Step
from explorer.networks.init import initialise, silence_last_norm
from explorer.networks.ops.base import Call
from explorer.networks.randomness import DrawsFrom, float32_on_cpu
from explorer.networks.walk import PlacedBlock


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
            for placed in architecture.blocks():
                silence_last_norm(placed.parts, network.block(placed).branch)
    return network


def instantiate(call: Call) -> nn.Module:
    """The torch module that a constructor call describes; calls among its arguments come first."""

    def value(argument: Any) -> Any:
        return instantiate(argument) if isinstance(argument, Call) else argument

    name = call.torch_class
    torch_class: type[nn.Module] = getattr(nn, name) if isinstance(name, str) else _own_class(name)
    return torch_class(*map(value, call.args), **{key: value(argument) for key, argument in call.kwargs.items()})


@functools.cache
def _own_class(make: Callable[[], type]) -> type[nn.Module]:
    """The class that ``make`` returns. Its instances are pickled by the name of ``make``, as the class has none."""
    made: Any = make()
    made.__reduce_ex__ = lambda self, protocol: (_blank, (make,), self.__dict__)
    own: type[nn.Module] = made
    return own


def _blank(make: Callable[[], type]) -> nn.Module:
    """A module without state, for pickle."""
    own = _own_class(make)
    return own.__new__(own)


def _sequence(steps: Iterable[Step]) -> nn.Sequential:
    return nn.Sequential(*(instantiate(step.op.module(step.x)) for step in steps))


class ResidualBlock(nn.Module):
    """``after(merge(branch(pre(x)), shortcut(pre(x))))``, x: (N, C, H, W).

    ``pre`` holds the layers that branch and shortcut share, mostly none.
    """

    def __init__(self, parts: Parts):
        super().__init__()
        self.pre = _sequence(parts.pre)
        self.branch = _sequence(parts.branch)
        self.shortcut = None if parts.shortcut is None else _sequence(parts.shortcut)
        merge = None if parts.merge is None else parts.merge.op.module(parts.merge.x)
        self.merge = None if merge is None else instantiate(merge)
        self.after = _sequence(parts.after)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        y: Tensor = self.branch(x)
        if self.shortcut is not None:
            shortcut = self.shortcut(x)
            y = y + shortcut if self.merge is None else self.merge(y, shortcut)
        y = self.after(y)
        return y


class Network(nn.Module):
    """Stem, stages, head; x: (N, C, H, W) images to (N, classes) logits. It keeps its ``architecture``."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        stages = [nn.Sequential() for _ in architecture.stages]
        self.stem, self.stages, self.head = nn.Sequential(), nn.ModuleList(stages), nn.Sequential()
        holders = (self.stem, *stages, self.head)  # by the number of the stage
        for segment in architecture.segments:
            if isinstance(segment, PlacedBlock):
                holders[segment.stage].append(ResidualBlock(segment.parts))
            else:
                holders[segment.stage].extend(_sequence(segment.steps))

    def block(self, placed: PlacedBlock) -> ResidualBlock:
        """The module of a block of the architecture."""
        module = self.get_submodule(placed.module)
        assert isinstance(module, ResidualBlock)
        return module

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = self.head(x)
        return x.flatten(1)
