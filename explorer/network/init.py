"""Initialisation, with its sources."""

from __future__ import annotations

from torch import nn


def initialise(network: nn.Module) -> None:
    """Convolutions N(0, sqrt(2 / (k*k*out))), the fan-out form of He et al. 2015 (arXiv:1502.01852, eq. 14),
    as the CIFAR networks of He et al. 2016 use it; norms 1 and 0, the classifier's bias 0.

    A grouped convolution's fan-out counts the channels of one group, as torch does. Biases that an op
    sets on purpose (gates) stay as they are.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
