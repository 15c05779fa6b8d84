"""Initialisation, with its sources."""

from __future__ import annotations

import math

from torch import nn


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
