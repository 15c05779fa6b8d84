"""State-dict keys of the published ResNets: which module of theirs each of ours is.

torchvision and timm name the post-activation networks (He et al. 2015, arXiv:1512.03385) alike::

    conv1 bn1   layer1.0.conv1 .bn1 .conv2 .bn2   layer1.0.downsample.0 .1   fc          (timm: layer1.0.se.fc1 .fc2)

timm names the pre-activation ones, ResNetV2 (He et al. 2016, arXiv:1603.05027), so, with a 1x1 convolution as fc::

    stem.conv   stages.0.blocks.0.norm1 .conv1 .norm2 .conv2   stages.0.blocks.0.downsample.conv   norm   head.fc

Layers are counted in the order of computation, so widths, groups and depths do not matter; the deep stems of the D
variants have names of their own and are not covered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from explorer.errors import ExportError
from explorer.networks.architecture import Architecture

COUNTER = "num_batches_tracked"  # of batch norms; older files do not have it


class Naming(NamedTuple):
    """Where -> role of the layer -> its name; ``{k}`` counts the layers of a role in a block from 1."""

    about: str
    sign: str  # a key that tells the naming
    stem: Mapping[str, str]
    block: str
    branch: Mapping[str, str]
    shortcut: Mapping[str, str]
    head: Mapping[str, str]


NAMINGS = (
    Naming(
        about="torchvision's and timm's ResNet",
        sign="conv1.weight",
        stem={"conv": "conv1", "norm": "bn1"},
        block="layer{stage}.{block}",
        branch={"conv": "conv{k}", "norm": "bn{k}", "attention": "se"},
        shortcut={"conv": "downsample.0", "norm": "downsample.1"},
        head={"linear": "fc"},
    ),
    Naming(
        about="timm's ResNetV2",
        sign="stem.conv.weight",
        stem={"conv": "stem.conv"},
        block="stages.{before}.blocks.{block}",
        branch={"conv": "conv{k}", "norm": "norm{k}"},
        shortcut={"conv": "downsample.conv"},
        head={"norm": "norm", "linear": "head.fc"},
    ),
)
INNER = {"reduce": "fc1", "expand": "fc2"}  # the two layers of squeeze-and-excitation in timm


def renamed(
    weights: Mapping[str, Tensor], architecture: Architecture, expected: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """The weights under the keys ``expected`` of our network, where they have one of the ``NAMINGS``; else as they are.

    Raises ExportError when the network has a layer that the naming has no name for, or the weights one too many.
    """
    naming = next((each for each in NAMINGS if each.sign in weights and each.sign not in expected), None)
    if naming is None:
        return weights
    modules = dict(_modules(architecture, naming))
    rest = dict(weights)
    found = {}
    for key, own in expected.items():
        module, _, field = key.rpartition(".")
        theirs = f"{modules[module]}.{field}" if module in modules else None
        if theirs in rest:
            value = rest.pop(theirs)
            found[key] = value.flatten(1) if value.dim() == 4 and own.dim() == 2 else value
        elif field == COUNTER:
            found[key] = own
        else:
            wanted = f"lack {theirs!r}" if theirs else f"have no name for the layer {module!r}"
            raise ExportError(f"the weights have the keys of {naming.about}, and {wanted}; they are of another network")
    if rest:
        raise ExportError(
            f"the weights have the keys of {naming.about}, and hold {next(iter(rest))!r}, which this network has not"
        )
    return found


def _modules(architecture: Architecture, naming: Naming) -> Iterator[tuple[str, str]]:
    """(module of ours, module of theirs) for each layer that the naming has a name for."""
    counts: Counter[tuple[int, int, str, str]] = Counter()
    for layer in architecture.layers():
        where, role = "branch" if layer.part == "pre" else layer.part, layer.op.role
        place = layer.stage, layer.block, where, role
        counts[place] += 1
        pattern = getattr(naming, where, {}).get(role)
        if pattern is None or (counts[place] > 1 and "{k}" not in pattern):
            continue
        theirs = pattern.format(k=counts[place])
        if layer.block:
            block = naming.block.format(stage=layer.stage, before=layer.stage - 1, block=layer.block - 1)
            theirs = f"{block}.{theirs}"
        if role == "attention":
            yield from ((f"{layer.module}.{inner}", f"{theirs}.{name}") for inner, name in INNER.items())
        else:
            yield layer.module, theirs
