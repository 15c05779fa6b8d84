"""A faster ReLU for bfloat16 on CPUs, which treats the numbers as integers.

torch converts bfloat16 to float32 for ReLU on a CPU, which takes longer than the maximum itself. Read as int16, a
bfloat16 number is negative exactly if its sign bit is set. ReLU is therefore the maximum of the integer and 0, and the
gradient passes where the output's integer is positive. The results equal those of torch's ReLU bit by bit for all
numbers. A NaN with its sign bit set becomes 0, so the training loop checks that the weights are finite.
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
        mask = y.neg().bitwise_right_shift_(15)  # all bits set where y is positive, none where it is 0
        return cast(Tensor, mask.bitwise_and_(gradient.view(torch.int16)).view(torch.bfloat16))


def relu(x: Tensor) -> Tensor:
    """Return max(x, 0), with integer arithmetic if ``x`` is bfloat16."""
    if x.dtype is not torch.bfloat16:
        return F.relu(x)
    return cast(Tensor, _BitwiseReLU.apply(x))  # type: ignore[no-untyped-call]  # torch does not annotate it


@contextmanager
def bitwise_relu(net: nn.Module) -> Iterator[None]:
    """Make the network's ReLU modules compute with ``relu`` within the ``with`` block, except those that are fused."""
    modules = [module for module in net.modules() if type(module) is nn.ReLU and "forward" not in vars(module)]
    for module in modules:
        module.forward = relu  # type: ignore[method-assign, assignment]  # restored below
    try:
        yield
    finally:
        for module in modules:
            del module.forward
