"""Build an architecture as a ``torch.nn.Module`` with the same tree of stem, stages, blocks and head."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from explorer.networks.architecture import Architecture, require_architecture
from explorer.networks.block import Parts, Step
from explorer.networks.init import initialise, zero_last_norm
from explorer.networks.ops.base import Call
from explorer.networks.randomness import DrawsFrom, float32_on_cpu
from explorer.networks.walk import PlacedBlock


def build_network(architecture: Architecture, seed: int = 0, *, zero_init_last_norm: bool = False) -> Network:
    """Build and initialise a network. Its weights are float32 on the CPU.

    The function neither depends on torch's global random state, default dtype and default device nor changes them.

    Args:
        architecture: The network to build.
        seed: The seed of the initial weights.
        zero_init_last_norm: Whether residual blocks start as their shortcut (``zero_last_norm``); default False.

    Returns:
        The network, in training mode.
    """
    require_architecture(architecture)
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False), torch.enable_grad(), DrawsFrom(generator), float32_on_cpu():
        network = Network(architecture)
        initialise(network)
        if zero_init_last_norm:
            for placed in architecture.blocks():
                zero_last_norm(placed.parts, network.block(placed).branch)
    return network


def instantiate(call: Call) -> nn.Module:
    """Return the torch module that a constructor call describes. Calls among its arguments are instantiated first."""

    def value(argument: Any) -> Any:
        return instantiate(argument) if isinstance(argument, Call) else argument

    return module_class(call)(*map(value, call.args), **{key: value(each) for key, each in call.kwargs.items()})


def module_class(call: Call) -> type[nn.Module]:
    """Return the class that a constructor call instantiates."""
    name = call.torch_class
    torch_class: type[nn.Module] = getattr(nn, name) if isinstance(name, str) else _own_class(name)
    return torch_class


@functools.cache
def _own_class(make: Callable[[], type]) -> type[nn.Module]:
    """Return the class that ``make`` returns. Its instances are pickled by the name of ``make``: the class is local."""
    made: Any = make()
    made.__reduce_ex__ = lambda self, protocol: (_blank, (make,), self.__dict__)
    own: type[nn.Module] = made
    return own


def _blank(make: Callable[[], type]) -> nn.Module:
    """Return a module without state, which pickle fills."""
    own = _own_class(make)
    return own.__new__(own)


def _sequence(steps: Iterable[Step]) -> nn.Sequential:
    return nn.Sequential(*(instantiate(step.op.module(step.x)) for step in steps))


class ResidualBlock(nn.Module):
    """``after(merge(branch(pre(x)), shortcut(pre(x))))``, x: (N, C, H, W).

    ``pre`` has the layers that branch and shortcut share, mostly none.
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
    """A network of stem, stages and head, from images (N, C, H, W) to logits (N, classes).

    Attributes:
        architecture: The architecture that was built.
    """

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
        """Return the module of a block of the architecture."""
        module = self.get_submodule(placed.module)
        assert isinstance(module, ResidualBlock)
        return module

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = self.head(x)
        return x.flatten(1)
