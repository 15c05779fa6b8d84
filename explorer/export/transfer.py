"""What transfer learning takes from a network: the feature maps of its stages, or all of it with a new classifier."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from torch import Tensor, nn

from explorer.costs.analytic import count_cost
from explorer.errors import ArchitectureError, ExportError
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network, build_network
from explorer.networks.ops.base import FREE, Op, TensorShape
from explorer.networks.walk import Layer, Segment


class FeatureMap(NamedTuple):
    """What a stage puts out. ``stage`` counts from 1; ``reduction``: the input pixels between neighbours of the map,
    which is the product of all strides so far."""

    stage: int
    shape: TensorShape
    reduction: int

    @property
    def info(self) -> dict[str, int | str]:
        """The entry of ``feature_info``, with timm's names."""
        return {"num_chs": self.shape.channels, "reduction": self.reduction, "module": f"stages.{self.stage - 1}"}


def feature_maps(architecture: Architecture, stages: Iterable[int]) -> tuple[FeatureMap, ...]:
    """The feature maps of these stages, in order. Raises ExportError for a stage that there is not, or named twice."""
    wanted = list(stages)
    count = len(architecture.stages)
    for stage in wanted:
        if not 1 <= stage <= count:
            raise ExportError(f"the network has no stage {stage}; its stages are 1 to {count}")
        if wanted.count(stage) > 1:
            raise ExportError(f"stage {stage} is named twice among the features")
    shapes = architecture.stage_shapes()
    return tuple(FeatureMap(stage, shapes[stage], _reduction(architecture, stage)) for stage in sorted(wanted))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is exported: a network, or the part of it that gives some ``features``, without a head.

    ``head_classes``: the classes of a new, untrained classifier, None where the network has its own.
    ``trained``: False for weights that are an initialisation.
    """

    architecture: Architecture
    features: tuple[FeatureMap, ...] = ()
    head_classes: int | None = None
    trained: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is the network itself: what was measured of that holds of this."""
        return not self.features and self.head_classes is None

    @property
    def costs(self) -> dict[str, int]:
        """Name -> count, as ``count_cost`` names them; of a backbone those that add up over layers."""
        if not self.features:
            return count_cost(self.architecture).to_dict()
        cost = FREE
        for placed in self.layers():
            cost = cost.plus(placed.op.cost(placed.x))
        return {"params": cost.params, "macs": cost.macs, "flops": 2 * cost.macs, "activations": cost.activations}

    def segments(self) -> Iterator[Segment]:
        """The parts of the network that are exported."""
        segments = self.architecture.segments
        return (each for each in segments if not self.features or each.stage <= self.features[-1].stage)

    def layers(self) -> Iterator[Layer]:
        """The layers that are exported."""
        return chain.from_iterable(segment.layers() for segment in self.segments())


def _reduction(architecture: Architecture, stage: int) -> int:
    """The product of the strides on the way through the branches, which a shortcut's equals."""
    layers = (layer for layer in architecture.layers() if layer.stage <= stage and layer.part != "shortcut")
    return math.prod(layer.op.receptive()[1] for layer in layers if isinstance(layer.op, Op))


class Backbone(nn.Module):
    """A network up to the last of some stages; x: (N, C, H, W) images to the list of those stages' feature maps."""

    def __init__(self, network: Network, features: Sequence[FeatureMap]):
        super().__init__()
        self.out_indices = tuple(feature.stage for feature in features)
        self.stem = network.stem
        self.stages = network.stages[: self.out_indices[-1]]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for number, stage in enumerate(self.stages, 1):
            x = stage(x)
            if number in self.out_indices:
                maps.append(x)
        return maps


def fresh_head(
    architecture: Architecture, state_dict: Mapping[str, Tensor] | None, classes: int
) -> tuple[Architecture, dict[str, Tensor]]:
    """The network for another number of classes: its classifier, the last layer of the head that has an output width,
    is made anew and initialised from seed 0; all other weights stay. Returns the network and all its weights.

    Raises ExportError when the head has no such layer.
    """
    place = next((k for k in reversed(range(len(architecture.head))) if hasattr(architecture.head[k], "out")), None)
    classifier: Any = None if place is None else architecture.head[place]
    if place is None or classifier.out != architecture.classes:
        raise ExportError("the head has no layer that puts out the classes; it cannot be made for others")
    head = list(architecture.head)
    try:
        head[place] = replace(classifier, out=classes)
        made = replace(architecture, classes=classes, head=tuple(head))
    except ArchitectureError as error:
        raise ExportError(f"no head for {classes} classes: {error}") from None
    state = build_network(made, seed=0).state_dict()
    kept = {key: value for key, value in (state_dict or {}).items() if not key.startswith(f"head.{place}.")}
    return made, {**state, **kept}
