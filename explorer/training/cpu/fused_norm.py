"""Batch norm, ReLU and the residual sum in one pass over memory, in training on a CPU.

torch computes them one after the other, each reading and writing all activations, and batch norm itself in several
passes. The functions in ``fused_norm.cpp`` read the activations twice forward, once for the statistics and once for
norm, sum and ReLU, and twice backward. They need a C++ compiler; without one, networks compute as before.

Fused are, wherever they follow each other in a network of ``build_network``, but not within the own module of an op:
norm, ReLU; norm, residual sum; norm, residual sum, ReLU. Results differ from those of torch by rounding only:
intermediate results are not rounded to bfloat16, and sums have another order.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CDLL, c_double, c_int, c_int64, c_void_p
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from explorer.networks.build import Network, ResidualBlock
from explorer.system.native_code import native_library
from explorer.training.cpu.relu import relu

_DTYPES = (torch.bfloat16, torch.float32)
_SHAPE = (c_int, c_int, c_int64, c_int64, c_int)  # of bfloat16, with ReLU, rows, channels, threads


@functools.cache
def _kernels() -> CDLL | None:
    """Return the compiled functions, if there are any."""
    library = native_library(Path(__file__).with_suffix(".cpp"))
    if library is not None:
        library.norm_forward.argtypes = (*_SHAPE, *[c_void_p] * 6, c_double, c_double, c_void_p, c_void_p)
        library.norm_backward.argtypes = (*_SHAPE, *[c_void_p] * 10)
        library.norm_forward.restype = library.norm_backward.restype = None
    return library


@contextmanager
def fused_norms(net: nn.Module) -> Iterator[bool]:
    """Fuse the batch norms of a network on a CPU with the ReLU and the residual sum after them, in the ``with`` block.

    Evaluation is not changed.

    Args:
        net: The network; only networks of ``build_network`` are changed.

    Yields:
        Whether batch norms are fused.
    """
    if not isinstance(net, Network) or _kernels() is None:
        yield False
        return
    forwards = _fused_forwards(net)
    for module, forward in forwards.items():
        module.forward = forward
    try:
        yield True
    finally:
        for module in forwards:
            del module.forward


def _fused_forwards(net: nn.Module) -> dict[nn.Module, Any]:
    """Return the modules that compute otherwise, with their functions: norms, the ReLUs after them, blocks."""
    forwards: dict[nn.Module, Any] = {}

    def fuse(norm: nn.Module, following: nn.Module | None) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        is_rectified = type(following) is nn.ReLU
        forwards[norm] = partial(batch_norm, norm, is_rectified)
        if following is not None and is_rectified:
            forwards[following] = _identity

    for module in net.modules():
        if _is_batch_norm(module):
            fuse(module, None)
    # In an op of an extension a module may occur twice, followed by different modules.
    uses = Counter(module for _, module in net.named_modules(remove_duplicate=False))
    for module in _containers(net):
        if type(module) is nn.Sequential:
            for norm, following in pairwise(module):
                if _is_batch_norm(norm) and uses[norm] == uses[following] == 1:
                    fuse(norm, following)
        if isinstance(module, ResidualBlock) and _ends_with_normalised_sum(module):
            fuse(module.branch[-1], next(iter(module.after), None))
            forwards[module] = partial(_block_forward, module)
    return forwards


def _containers(module: nn.Module) -> Iterator[nn.Module]:
    """Return a network and the containers in it that are not within an op's own module.

    That may call the layers of a container one by one, and use the output of a norm without the ReLU after it.
    """
    yield module
    for child in module.children():
        if isinstance(child, (nn.Sequential, nn.ModuleList, ResidualBlock)):
            yield from _containers(child)


def _is_batch_norm(module: nn.Module) -> bool:
    if type(module) is not nn.BatchNorm2d or not module.affine or not module.track_running_stats:
        return False
    return module.momentum is not None and module.weight.dtype == torch.float32


def _ends_with_normalised_sum(block: ResidualBlock) -> bool:
    """Return whether the block adds its shortcut to the output of a batch norm."""
    is_sum = block.shortcut is not None and block.merge is None
    return is_sum and len(block.branch) > 0 and _is_batch_norm(block.branch[-1])


def _identity(x: Tensor) -> Tensor:
    return x


def _block_forward(block: ResidualBlock, x: Tensor) -> Tensor:
    """Compute a block whose branch ends with a batch norm; the norm adds the shortcut."""
    x = y = block.pre(x)
    *layers, norm = block.branch
    for layer in layers:
        y = layer(y)
    assert block.shortcut is not None
    y = norm(y, block.shortcut(x))
    return cast(Tensor, block.after(y))


def batch_norm(norm: nn.BatchNorm2d, is_rectified: bool, x: Tensor, added: Tensor | None = None) -> Tensor:
    """Return batch norm of ``x``, plus ``added`` if given, rectified if ``is_rectified``."""
    is_fusible = _is_fusible(x) and x.shape[1] == norm.num_features and (added is None or _is_alike(added, x))
    if norm.training and is_fusible:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        y = _FusedNorm.apply(x, added, norm.weight, norm.bias, norm, is_rectified)  # type: ignore[no-untyped-call]
        return cast(Tensor, y)
    y = nn.BatchNorm2d.forward(norm, x)
    if added is not None:
        y = y + added
    return relu(y) if is_rectified else y


def _is_fusible(x: Tensor) -> bool:
    """Return whether the functions in C++ take a tensor: its dtype, memory format, and at least two rows."""
    is_known = x.dtype in _DTYPES and x.is_contiguous(memory_format=torch.channels_last)
    return is_known and x.numel() > x.shape[1]


def _is_alike(added: Tensor, x: Tensor) -> bool:
    return _is_fusible(added) and added.dtype == x.dtype and added.shape == x.shape


class _FusedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        added: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        norm: nn.BatchNorm2d,
        is_rectified: bool,
    ) -> Tensor:
        y, statistics = torch.empty_like(x), weight.new_empty(2, x.shape[1])
        kernels = _kernels()
        assert kernels is not None and norm.running_mean is not None and norm.running_var is not None
        kernels.norm_forward(
            *_shape(x, is_rectified), x.data_ptr(), None if added is None else added.data_ptr(),
            weight.data_ptr(), bias.data_ptr(), norm.running_mean.data_ptr(), norm.running_var.data_ptr(),
            norm.momentum, norm.eps, statistics.data_ptr(), y.data_ptr(),
        )  # fmt: skip
        ctx.is_rectified, ctx.is_sum = is_rectified, added is not None
        ctx.save_for_backward(x, y if is_rectified and added is not None else None, weight, bias, statistics)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, bias, statistics = ctx.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        dsum = dy if y is None else torch.empty_like(x)
        kernels = _kernels()
        assert kernels is not None
        kernels.norm_backward(
            *_shape(x, ctx.is_rectified), x.data_ptr(), None if y is None else y.data_ptr(),
            weight.data_ptr(), bias.data_ptr(), statistics.data_ptr(), dy.data_ptr(),
            dsum.data_ptr(), dx.data_ptr(), dweight.data_ptr(), dbias.data_ptr(),
        )  # fmt: skip
        return dx, dsum if ctx.is_sum else None, dweight, dbias, None, None


def _shape(x: Tensor, is_rectified: bool) -> tuple[int, ...]:
    """Return the first arguments of the functions in C++ for maps as ``x``."""
    channels = x.shape[1]
    return x.dtype == torch.bfloat16, is_rectified, x.numel() // channels, channels, torch.get_num_threads()
