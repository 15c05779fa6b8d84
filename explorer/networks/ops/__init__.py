"""All ops. Importing a module registers its ops: a new op is one file in this folder and one line below."""

from explorer.networks.ops import (  # noqa: F401
    activation,
    context_attention,
    conv,
    convolutional_attention,
    fork,
    linear,
    norm,
    normalised_activation,
    pool,
    regularisation,
    scale,
    self_attention,
    space_to_depth,
    split_attention,
    squeeze_excitation,
    standardised_conv,
    taps,
    zero,
    zero_padding,
)
from explorer.networks.ops.base import registry

__all__ = ["registry"]
