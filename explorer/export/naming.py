"""Conversion of the state-dict keys of torchvision's and timm's ResNets to the keys of this package.

torchvision and timm use the same keys for post-activation networks (He et al. 2015, arXiv:1512.03385)::

    conv1 bn1   layer1.0.conv1 .bn1 .conv2 .bn2   layer1.0.downsample.0 .1   fc          (timm: layer1.0.se.fc1 .fc2)

timm's pre-activation networks, ResNetV2 (He et al. 2016, arXiv:1603.05027), have a 1x1 convolution as fc::

    stem.conv   stages.0.blocks.0.norm1 .conv1 .norm2 .conv2   stages.0.blocks.0.downsample.conv   norm   head.fc

Layers are numbered in the order of computation, so the conversion works for all widths, groups and depths. The deep
stems of the D variants have other keys and are not supported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from explorer.errors import ExportError
from explorer.networks.architecture import Architecture

BATCH_COUNTER = "num_batches_tracked"  # a buffer of batch norm; files of old PyTorch versions lack it


class Naming(NamedTuple):
    """The module names of one family of published networks.

    The mappings are role of a layer -> module name. ``{k}`` is the number of the layer among those of its role in the
    block, from 1.

    Attributes:
        family: The family, for messages.
        marker_key: A key that only state dicts with this naming have.
        stem: Names in the stem.
        block: Prefix of a block. ``{stage}`` and ``{before}`` are the stage's number from 1 and from 0, ``{block}`` the
            block's number from 0.
        branch: Names in the residual branch.
        shortcut: Names in the shortcut.
        head: Names in the head.
    """

    family: str
    marker_key: str
    stem: Mapping[str, str]
    block: str
    branch: Mapping[str, str]
    shortcut: Mapping[str, str]
    head: Mapping[str, str]


NAMINGS = (
    Naming(
        family="torchvision's and timm's ResNet",
        marker_key="conv1.weight",
        stem={"conv": "conv1", "norm": "bn1"},
        block="layer{stage}.{block}",
        branch={"conv": "conv{k}", "norm": "bn{k}", "attention": "se"},
        shortcut={"conv": "downsample.0", "norm": "downsample.1"},
        head={"linear": "fc"},
    ),
    Naming(
        family="timm's ResNetV2",
        marker_key="stem.conv.weight",
        stem={"conv": "stem.conv"},
        block="stages.{before}.blocks.{block}",
        branch={"conv": "conv{k}", "norm": "norm{k}"},
        shortcut={"conv": "downsample.conv"},
        head={"norm": "norm", "linear": "head.fc"},
    ),
)
SE_LAYERS = {"reduce": "fc1", "expand": "fc2"}  # the two layers of squeeze-and-excitation -> their names in timm


def convert_keys(
    weights: Mapping[str, Tensor], architecture: Architecture, expected: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Convert published keys to the keys of this package.

    Args:
        weights: A state dict.
        architecture: The network that the weights are for.
        expected: The state dict of that network in this package.

    Returns:
        The weights under the keys of ``expected`` if their keys follow one of the ``NAMINGS``; else ``weights``.

    Raises:
        ExportError: The weights follow a naming, and either lack a weight of the network or have one that the network
            does not have.
    """
    naming = next((each for each in NAMINGS if each.marker_key in weights and each.marker_key not in expected), None)
    if naming is None:
        return weights
    modules = dict(_module_pairs(architecture, naming))
    unused = dict(weights)
    converted = {}
    for key, own in expected.items():
        module, _, field = key.rpartition(".")
        published = f"{modules[module]}.{field}" if module in modules else None
        if published in unused:
            value = unused.pop(published)
            converted[key] = value.flatten(1) if value.dim() == 4 and own.dim() == 2 else value
        elif field == BATCH_COUNTER:
            converted[key] = own
        else:
            lacking = f"lack {published!r}" if published else f"have no name for the layer {module!r}"
            keys = f"the weights have the keys of {naming.family}"
            raise ExportError(f"{keys}, and {lacking}; they are of another network")
    if unused:
        raise ExportError(
            f"the weights have the keys of {naming.family}, and hold {next(iter(unused))!r}, which this network lacks"
        )
    return converted


def _module_pairs(architecture: Architecture, naming: Naming) -> Iterator[tuple[str, str]]:
    """Yield (module of this package, published module) for each layer that the naming supports."""
    counts: Counter[tuple[int, int, str, str]] = Counter()
    for layer in architecture.layers():
        where, role = "branch" if layer.part == "pre" else layer.part, layer.op.role
        place = layer.stage, layer.block, where, role
        counts[place] += 1
        pattern = getattr(naming, where, {}).get(role)
        if pattern is None or (counts[place] > 1 and "{k}" not in pattern):
            continue
        published = pattern.format(k=counts[place])
        if layer.block:
            block = naming.block.format(stage=layer.stage, before=layer.stage - 1, block=layer.block - 1)
            published = f"{block}.{published}"
        if role == "attention":
            yield from ((f"{layer.module}.{inner}", f"{published}.{name}") for inner, name in SE_LAYERS.items())
        else:
            yield layer.module, published
