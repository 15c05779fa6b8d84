"""Initialisation of weights, with its sources."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from torch import nn

from explorer.networks.block import Parts
from explorer.networks.ops.base import Op
from explorer.networks.ops.merge import Concatenate
from explorer.networks.ops.nested.fork import Fork, Product
from explorer.networks.ops.nested.nesting import Nested
from explorer.networks.ops.nested.taps import Tap, Tapped

_LINEAR_IN_SCALE = ("attention", "regulariser", "scale")  # roles whose output is 0 for an input of 0, with a gradient


def initialise(network: nn.Module) -> None:
    """Initialise all weights of a network from torch's random generator.

    Convolutions are drawn from N(0, sqrt(2 / (k*k*out))), the fan-out form of He et al. 2015 (arXiv:1502.01852,
    eq. 14) that the CIFAR networks of He et al. 2016 use. Norms have scale 1 and shift 0, the classifier has bias 0.

    The fan-out of a grouped convolution counts the outputs of one group, which are those that depend on an input.
    torch counts the outputs of all groups, which would give a depthwise convolution outputs close to 0. Biases that an
    op sets (gates) do not change.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def zero_last_norm(parts: Parts, branch: nn.Sequential) -> None:
    """Set the scale of the norm that ends a block's branch to 0, so that the block starts as its shortcut.

    Sources: Goyal et al. 2017 (arXiv:1706.02677, 5.1) and He, T. et al. 2019 (arXiv:1812.01187, 3.1). A branch does
    not change if an activation or a conv follows its last norm, as in full pre-activation: before a ReLU a scale of 0
    would get no gradient and stay 0. Nor does a branch
    that ends in a trained factor which starts at 0: two factors of 0 would get no gradient. Blocks without a shortcut
    and blocks that concatenate do not change either.

    Where the branch ends in a fork, these are the norms that end its paths: of all paths of ``sum`` and ``cat``, and of
    the first such path of ``product``, for the same reason. A sum does not change if one of its paths has none.

    Args:
        parts: The ops of the block.
        branch: The modules of its branch.
    """
    if parts.merge is None or isinstance(parts.merge.op, Concatenate):
        return
    for norm in _last_norms([step.op for step in parts.branch], branch) or ():
        nn.init.zeros_(norm.get_parameter("weight"))


def _last_norms(ops: Sequence[Op], modules: nn.Sequential) -> list[nn.Module] | None:
    """Return the norms at the end of a sequence: with scales of 0 its output is 0.

    The list is empty if a trained factor makes the output 0 at the start. None: there are no such norms.
    """
    for op, module in reversed(list(zip(ops, modules, strict=True))):
        if op.role == "norm":
            return [module]
        if isinstance(op, Tap):
            continue
        if isinstance(op, Nested):
            return _ends(op, module)
        if op.role not in _LINEAR_IN_SCALE:
            return None
        if getattr(op, "init", 1.0) == 0:
            return []
    return None


def _ends(op: Nested, module: nn.Module) -> list[nn.Module] | None:
    """Return the norms at the end of a fork, or of ops with taps, as ``_last_norms``."""
    if isinstance(op, Tapped):
        return _last_norms(op.ops, cast(nn.Sequential, module))
    if not isinstance(op, Fork):
        return None  # the tensor of a tap
    paths = cast("nn.ModuleList", module)
    ends = [_last_norms(path, cast(nn.Sequential, inner)) for path, inner in zip(op.paths, paths, strict=True)]
    found = [norms for norms in ends if norms is not None]
    if isinstance(op, Product):
        return min(found, key=bool, default=None)  # a path that starts as 0 comes first
    return [norm for norms in found for norm in norms] if len(found) == len(ends) else None
