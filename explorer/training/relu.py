"""ReLU on the bits of bfloat16 numbers, for CPUs: they compute in float32, and converting costs more than the maximum.

A bfloat16 number with its sign bit set is a negative int16, and a positive one a positive int16, so ReLU is the
integers' maximum with 0, and its gradient passes where the output's integer is positive. The same bits as torch's own
ReLU for all numbers; a NaN with its sign bit set becomes 0, so whoever trains with it must look whether the weights
are finite.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _BitwiseReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.view(torch.int16).clamp_min(0)
        ctx.save_for_backward(y)
        return y.view(torch.bfloat16)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        passes = y.neg().bitwise_right_shift_(15)  # all bits where y is positive, none where it is 0
        return cast(Tensor, passes.bitwise_and_(gradient.view(torch.int16)).view(torch.bfloat16))


def relu(x: Tensor) -> Tensor:
    """max(x, 0), on the bits where x is bfloat16."""
    if x.dtype is not torch.bfloat16:
        return F.relu(x)
    return cast(Tensor, _BitwiseReLU.apply(x))  # type: ignore[no-untyped-call]  # torch does not annotate it


@contextmanager
def bitwise_relu(net: nn.Module) -> Iterator[None]:
    """Within the ``with`` block the network's ReLU modules compute on bits."""
    modules = [module for module in net.modules() if type(module) is nn.ReLU]
    for module in modules:
        module.forward = relu  # type: ignore[method-assign, assignment]  # it is taken back below
    try:
        yield
    finally:
        for module in modules:
            del module.forward
