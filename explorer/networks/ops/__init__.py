"""All ops. Importing a module registers its ops: a new op is one file in this folder and one line below."""

from explorer.extensions.registry import serve
from explorer.networks.ops import (  # noqa: F401
    activation,
    context_attention,
    conv,
    convolutional_attention,
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
    zero,
)
from explorer.networks.ops.attention import bilinear, halo, positions, spatial_reduction  # noqa: F401
from explorer.networks.ops.nested import fork, slices, taps  # noqa: F401
from explorer.networks.ops.registry import registry

__all__ = ["registry"]

serve("op", tuple(registry.own()), registry.add_extension)
