"""Shortcuts of option A whose gradient has the memory format channels last.

The gradient of a strided slice has torch's default memory format. On a CPU its sum with the gradient of the residual
branch, in channels last, then takes ten times as long, and the layers before it convert the sum. The results are
bitwise equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.networks.build import module_class
from explorer.networks.ops.base import Call
from explorer.networks.ops.pool import subsample


class _Subsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, down: int, right: int) -> Tensor:
        ctx.shape, ctx.strides = x.shape, (down, right)
        return x[:, :, ::down, ::right].contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        down, right = ctx.strides
        dx = torch.empty(ctx.shape, dtype=gradient.dtype, memory_format=torch.channels_last).zero_()
        dx[:, :, ::down, ::right] = gradient
        return dx, None, None


def _forward(module: Any, x: Tensor) -> Tensor:
    pixels = _Subsample.apply(x, module.down, module.right)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return F.pad(cast(Tensor, pixels), (0, 0, 0, 0, 0, module.extra_channels))


@contextmanager
def subsampling_in_channels_last(net: nn.Module) -> Iterator[None]:
    """Make the gradients of a network's ``subsample`` layers channels last within the ``with`` block."""
    modules = [module for module in net.modules() if isinstance(module, module_class(Call(subsample)))]
    for module in modules:
        module.forward = partial(_forward, module)
    try:
        yield
    finally:
        for module in modules:
            del module.forward
