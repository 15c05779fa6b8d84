"""Convolutions that oneDNN computes wrongly on a CPU, computed by another of its kernels.

Found with torch 2.13.0 (oneDNN on a processor with AVX-512) by comparing single convolutions with their float64 result,
each in a process of its own, under guard pages:

- The backward pass of a strided 1x1 convolution with fewer than 16 input channels writes beyond its buffer (channels
  last, a side that the stride divides; float32 and bfloat16): the process dies of SIGSEGV or SIGABRT, or its heap is
  corrupted. It is computed as the 1x1 convolution of every stride-th pixel: the same function, and the same bits.
- In bfloat16 the weight gradient of some convolutions holds uninitialised memory: of a dilated convolution whose groups
  have a number of input channels that 16 does not divide, and of a kernel of which some positions lie on the padding in
  every window. These are computed in float32.

The replacements are correct on every CPU and with every version, so neither is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNEL_BLOCK = 16  # float32 numbers in an AVX-512 register: oneDNN's kernels take channels in blocks of 16


@contextmanager
def sound_convolutions(net: nn.Module) -> Iterator[None]:
    """Within the ``with`` block the network's convolutions are safe to train on a CPU; its weights stay where they are.

    On another device nothing changes.
    """
    modules = [
        module
        for module in net.modules()
        if type(module) is nn.Conv2d and module.weight.device.type == "cpu" and _may_be_faulty(module)
    ]
    for module in modules:
        module.forward = partial(_forward, module)  # type: ignore[method-assign]  # it is taken back below
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _may_be_faulty(conv: nn.Conv2d) -> bool:
    return is_narrow_projection(conv) or conv.kernel_size != (1, 1)


def is_narrow_projection(conv: nn.Conv2d) -> bool:
    """Whether ``conv`` is a strided 1x1 convolution whose backward pass writes beyond its buffer."""
    is_strided_pointwise = conv.kernel_size == (1, 1) and max(conv.stride) > 1 and conv.padding == (0, 0)
    return is_strided_pointwise and conv.groups == 1 and conv.in_channels < CHANNEL_BLOCK


def has_faulty_bfloat16_gradient(conv: nn.Conv2d, height: int, width: int) -> bool:
    """Whether oneDNN leaves parts of the weight gradient unset, in bfloat16, on maps of ``height`` x ``width``."""
    is_dilated = max(conv.dilation) > 1 and conv.in_channels // conv.groups % CHANNEL_BLOCK != 0
    if is_dilated or isinstance(conv.padding, str):  # "same" and "valid" are not worked out: float32 is right for all
        return True
    return any(
        _has_unused_position(*geometry)
        for geometry in zip((height, width), conv.kernel_size, conv.stride, conv.padding, conv.dilation, strict=True)
    )


def _has_unused_position(side: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Whether some position of the kernel lies on the padding in every window, along one axis."""
    last = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride
    starts = range(-padding, last * stride - padding + 1, stride)
    return any(not any(0 <= start + dilation * i < side for start in starts) for i in range(kernel))


def _forward(conv: nn.Conv2d, x: Tensor) -> Tensor:
    down, right = conv.stride
    if is_narrow_projection(conv) and x.shape[2] % down == 0 and x.shape[3] % right == 0:
        return F.conv2d(x[:, :, ::down, ::right], conv.weight, conv.bias)
    in_bfloat16 = torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    if not in_bfloat16 or not has_faulty_bfloat16_gradient(conv, *x.shape[2:]):
        return nn.Conv2d.forward(conv, x)
    with torch.autocast("cpu", enabled=False):
        return nn.Conv2d.forward(conv, x.float()).to(torch.get_autocast_dtype("cpu"))
