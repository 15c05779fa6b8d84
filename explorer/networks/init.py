"""Initialisation of weights, with its sources."""

from __future__ import annotations

import math

from torch import nn

from explorer.networks.block import Parts
from explorer.networks.ops.merge import Concatenate

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

    Args:
        parts: The ops of the block.
        branch: The modules of its branch.
    """
    if parts.merge is None or isinstance(parts.merge.op, Concatenate):
        return
    for step, module in reversed(list(zip(parts.branch, branch, strict=True))):
        if step.op.role == "norm":
            nn.init.zeros_(module.get_parameter("weight"))
        if step.op.role not in _LINEAR_IN_SCALE or getattr(step.op, "init", 1.0) == 0:
            return
