"""Random numbers from a given generator, in torch code that has no argument for one.

torch's modules draw initial weights and dropout masks from a global generator that all threads share. Two threads that
both seed it disturb each other. ``DrawsFrom`` applies to the calling thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explorer.networks.ops.regularisation import drop_path

_DRAWING = frozenset(
    (
        torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial,
        Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_, Tensor.random_, Tensor.exponential_,
        nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.orthogonal_, nn.init.xavier_uniform_,
        nn.init.xavier_normal_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_,
    )
)  # fmt: skip
_FACTORIES = frozenset((torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn))


@contextmanager
def float32_on_cpu() -> Iterator[None]:
    """Create new tensors of this thread as float32 on the CPU in the ``with`` block, whatever torch's defaults are."""
    if torch.get_default_dtype() is torch.float32 and torch.get_default_device().type == "cpu":
        yield  # the mode would run Python code in each call of a torch function
    else:
        with _Float32OnCPU():
            yield


class _Float32OnCPU(TorchFunctionMode):
    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function in _FACTORIES:
            kwargs["dtype"] = kwargs.get("dtype") or torch.float32
        if function in _FACTORIES or function is torch.tensor:
            kwargs["device"] = kwargs.get("device") or "cpu"
        return function(*args, **kwargs)


class DrawsFrom(TorchFunctionMode):
    """Draw the random numbers of this thread from ``generator`` in the ``with`` block.

    A CPU generator with the seed s gives the same numbers as ``torch.manual_seed(s)``. This holds for functions that
    take a generator and for dropout, which does not.

    Args:
        generator: The source of the random numbers.
    """

    def __init__(self, generator: torch.Generator):
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.dropout:
            return self._dropout(*args, **kwargs)
        if function in _DRAWING and kwargs.get("generator") is None:
            kwargs = {**kwargs, "generator": self._generator}
        return function(*args, **kwargs)

    def _dropout(self, x: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
        """Compute dropout by the same steps as ``torch.dropout`` on a CPU."""
        if not training or p == 0:
            return x
        return x * torch.empty_like(x).bernoulli_(1 - p, generator=self._generator).div_(1 - p)


@contextmanager
def dropping_from(net: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Draw dropout and stochastic depth of ``net`` from ``generator`` in the ``with`` block.

    Args:
        net: The network.
        generator: The generator on the CPU. A generator on a GPU changes nothing: the modules use it anyway.
    """
    is_cpu = generator.device.type == "cpu"
    modules = [module for module in net.modules() if is_cpu and isinstance(module, (nn.Dropout, drop_path()))]
    for module in modules:
        module.forward = partial(_forward, module, generator)
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _forward(module: nn.Module, generator: torch.Generator, x: Tensor) -> Tensor:
    with DrawsFrom(generator):
        y: Tensor = type(module).forward(module, x)
        return y
