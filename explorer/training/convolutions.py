"""Workarounds for convolutions that oneDNN computes incorrectly on a CPU.

The faults were found with torch 2.13.0 (oneDNN on a processor with AVX-512), by comparing single convolutions with
their float64 result, each in its own process and with guard pages around its memory:

- The backward pass of a strided 1x1 convolution with fewer than 16 input channels writes beyond its buffer (channels
  last, a side that is divisible by the stride; float32 and bfloat16): the process is killed by SIGSEGV or SIGABRT, or
  its heap is corrupted. The replacement convolves every stride-th pixel without stride, with bitwise equal results.
- In bfloat16 the weight gradient of some convolutions holds uninitialised memory: of dilated convolutions whose input
  channels per group are not divisible by 16, and of kernels with a position that is on the padding in every window.
  The replacement computes in float32.

The replacements are correct on every CPU and with every version, so neither is checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNEL_BLOCK = 16  # float32 numbers in an AVX-512 register: oneDNN's kernels process channels in blocks of 16


@contextmanager
def replace_faulty_convolutions(net: nn.Module) -> Iterator[None]:
    """Replace the faulty convolutions of a network on a CPU within the ``with`` block.

    The weights keep their memory. On other devices nothing changes.

    Args:
        net: The network; only the forward methods of its ``nn.Conv2d`` are replaced.
    """
    modules = [
        module
        for module in net.modules()
        if isinstance(module, nn.Conv2d) and module.weight.device.type == "cpu" and _may_be_faulty(module)
    ]
    for module in modules:
        module.forward = partial(_forward, module)  # type: ignore[method-assign]  # restored below
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _may_be_faulty(conv: nn.Conv2d) -> bool:
    return is_narrow_projection(conv) or conv.kernel_size != (1, 1)


def is_narrow_projection(conv: nn.Conv2d) -> bool:
    """Return whether ``conv`` is a strided 1x1 convolution whose backward pass writes beyond its buffer."""
    is_strided_pointwise = conv.kernel_size == (1, 1) and max(conv.stride) > 1 and conv.padding == (0, 0)
    return is_strided_pointwise and conv.groups == 1 and conv.in_channels < CHANNEL_BLOCK


def has_faulty_bfloat16_gradient(conv: nn.Conv2d, height: int, width: int) -> bool:
    """Return whether oneDNN leaves parts of the bfloat16 weight gradient uninitialised.

    Args:
        conv: The convolution.
        height: Height of its input in pixels.
        width: Width of its input in pixels.
    """
    is_dilated = max(conv.dilation) > 1 and conv.in_channels // conv.groups % CHANNEL_BLOCK != 0
    if is_dilated or isinstance(conv.padding, str):  # "same" and "valid": float32 is correct for all
        return True
    return any(
        _has_unused_position(*geometry)
        for geometry in zip((height, width), conv.kernel_size, conv.stride, conv.padding, conv.dilation, strict=True)
    )


def _has_unused_position(side: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Return whether some position of the kernel is on the padding in every window, along one axis."""
    last = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride
    starts = range(-padding, last * stride - padding + 1, stride)
    return any(not any(0 <= start + dilation * i < side for start in starts) for i in range(kernel))


def _forward(conv: nn.Conv2d, x: Tensor) -> Tensor:
    down, right = conv.stride
    if is_narrow_projection(conv) and x.shape[2] % down == 0 and x.shape[3] % right == 0:
        standardised = getattr(conv, "standardised_weight", None)
        weight = conv.weight if standardised is None else standardised()
        return F.conv2d(x[:, :, ::down, ::right], weight, conv.bias)
    in_bfloat16 = torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    if not in_bfloat16 or not has_faulty_bfloat16_gradient(conv, *x.shape[2:]):
        return type(conv).forward(conv, x)
    with torch.autocast("cpu", enabled=False):
        return type(conv).forward(conv, x.float()).to(torch.get_autocast_dtype("cpu"))
