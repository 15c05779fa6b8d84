"""Initialisation, with its sources."""

from __future__ import annotations

import math

from torch import nn

from explorer.networks.block import Parts
from explorer.networks.ops.merge import Concatenate

_LINEAR_IN_SCALE = ("attention", "regulariser", "scale")  # ops that pass a scale of 0 on, and its gradient back


def initialise(network: nn.Module) -> None:
    """Convolutions N(0, sqrt(2 / (k*k*out))), the fan-out form of He et al. 2015 (arXiv:1502.01852, eq. 14),
    as the CIFAR networks of He et al. 2016 use it; norms 1 and 0, the classifier's bias 0.

    A grouped convolution's fan-out counts the outputs of one group, those that an input reaches: torch's own
    count of all of them would start a depthwise convolution with an almost silent output. Biases that an op
    sets on purpose (gates) stay as they are.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def silence_last_norm(parts: Parts, branch: nn.Sequential) -> None:
    """Sets the scale of the norm that ends a block's ``branch`` to 0: the block begins as its shortcut.

    Goyal et al. 2017 (arXiv:1706.02677, 5.1) and He, T. et al. 2019 (arXiv:1812.01187, 3.1). A branch whose
    last norm has an activation or a conv behind it, as in full pre-activation, stays as it is: behind a ReLU
    a scale of 0 would get no gradient and never leave 0. So do blocks without a shortcut or that concatenate.
    """
    if parts.merge is None or isinstance(parts.merge.op, Concatenate):
        return
    for step, module in reversed(list(zip(parts.branch, branch, strict=True))):
        if step.op.role == "norm":
            nn.init.zeros_(module.get_parameter("weight"))
        if step.op.role not in _LINEAR_IN_SCALE:
            return
