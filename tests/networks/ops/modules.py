"""Ops as a space file binds them, and their torch modules."""

from __future__ import annotations

import torch
from torch import nn

from explorer.networks.build import instantiate
from explorer.networks.ops import registry
from explorer.networks.ops.base import Context, Op, TensorShape
from explorer.networks.ops.window import Size


def bound(spelling: str, kernel: Size | None, given: dict, x: TensorShape) -> Op:
    """Return the op of this spelling for an input ``x``, in a stage of width 24, with stride 2 and 10 classes."""
    return registry.by_spelling[spelling].bind(kernel, given, Context(x, 24, 2, 10))


def built(op: Op, x: TensorShape) -> nn.Module:
    """Return the torch module of an op, in evaluation mode."""
    torch.manual_seed(0)
    return instantiate(op.module(x)).eval()
