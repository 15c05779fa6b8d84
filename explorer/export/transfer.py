"""Networks for transfer learning: a backbone that returns feature maps, or the network with a new classifier."""

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
from explorer.networks.ops.base import FREE, TensorShape
from explorer.networks.walk import Layer, Segment


class FeatureMap(NamedTuple):
    """The output of a stage.

    Attributes:
        stage: Number of the stage, from 1.
        shape: Shape of the map.
        reduction: Input pixels between neighbours of the map: the product of all strides up to this stage, the
            larger of height and width.
    """

    stage: int
    shape: TensorShape
    reduction: int

    @property
    def info(self) -> dict[str, int | str]:
        """The entry of ``feature_info``, with timm's keys."""
        return {"num_chs": self.shape.channels, "reduction": self.reduction, "module": f"stages.{self.stage - 1}"}


def feature_maps(architecture: Architecture, stages: Iterable[int]) -> tuple[FeatureMap, ...]:
    """Describe the feature maps of some stages.

    Args:
        architecture: The network.
        stages: Numbers of stages, from 1.

    Returns:
        The feature maps, in the order of the stages.

    Raises:
        ExportError: The network has no such stage, or a stage is given twice.
    """
    numbers = list(stages)
    count = len(architecture.stages)
    for stage in numbers:
        if not 1 <= stage <= count:
            raise ExportError(f"the network has no stage {stage}; its stages are 1 to {count}")
        if numbers.count(stage) > 1:
            raise ExportError(f"the features name stage {stage} twice")
    shapes = architecture.stage_shapes()
    return tuple(FeatureMap(stage, shapes[stage], _reduction(architecture, stage)) for stage in sorted(numbers))


@dataclass(frozen=True, slots=True)
class Subject:
    """The network that is exported, whole or as a backbone.

    Attributes:
        architecture: The network.
        features: Feature maps that a backbone returns; empty for a whole network.
        head_classes: Number of classes of a new, untrained classifier; None if the network keeps its own.
        trained: False if the weights are an initialisation.
    """

    architecture: Architecture
    features: tuple[FeatureMap, ...] = ()
    head_classes: int | None = None
    trained: bool = False

    @property
    def whole(self) -> bool:
        """Whether this is the whole network with its own classifier, so that its measured accuracy applies."""
        return not self.features and self.head_classes is None

    @property
    def costs(self) -> dict[str, int]:
        """Cost -> count, with the names of ``count_cost``; for a backbone only costs that are sums over layers."""
        if not self.features:
            return count_cost(self.architecture).to_dict()
        cost = FREE
        for placed in self.layers():
            cost = cost.plus(placed.op.cost(placed.x))
        return {"params": cost.params, "macs": cost.macs, "flops": 2 * cost.macs, "activations": cost.activations}

    def segments(self) -> Iterator[Segment]:
        """Return the exported segments of the network."""
        segments = self.architecture.segments
        return (each for each in segments if not self.features or each.stage <= self.features[-1].stage)

    def layers(self) -> Iterator[Layer]:
        """Return the exported layers."""
        return chain.from_iterable(segment.layers() for segment in self.segments())


def _reduction(architecture: Architecture, stage: int) -> int:
    """Return the product of the strides along the residual branches; a shortcut has the stride of its branch."""
    segments = (segment for segment in architecture.segments if segment.stage <= stage)
    shrinks = [step.op.shrinks() for segment in segments for step in segment.main]
    return int(max(map(math.prod, zip(*shrinks)), default=1))


class Backbone(nn.Module):
    """A network without its head, up to the last stage whose feature map is returned.

    Attributes:
        out_indices: Numbers of the stages whose maps are returned, from 1.
        stem: The stem of the network.
        stages: The stages up to the last of ``out_indices``.
    """

    def __init__(self, network: Network, features: Sequence[FeatureMap]):
        super().__init__()
        self.out_indices = tuple(feature.stage for feature in features)
        self.stem = network.stem
        self.stages = network.stages[: self.out_indices[-1]]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps of the stages ``out_indices`` for ``x``, (N, C, H, W) images."""
        x = self.stem(x)
        maps = []
        for number, stage in enumerate(self.stages, 1):
            x = stage(x)
            if number in self.out_indices:
                maps.append(x)
        return maps


def replace_classifier(
    architecture: Architecture, state_dict: Mapping[str, Tensor] | None, classes: int
) -> tuple[Architecture, dict[str, Tensor]]:
    """Replace the classifier of a network by an untrained one for another number of classes.

    The classifier is the last layer of the head that has an output width. All other weights are kept.

    Args:
        architecture: The network.
        state_dict: Its weights; None for the initialisation of seed 0.
        classes: Number of classes of the new classifier, which is initialised with seed 0.

    Returns:
        The new architecture and its state dict.

    Raises:
        ExportError: The head has no layer whose output width is the number of classes, or no valid network has this
            number of classes.
    """
    place = next((k for k in reversed(range(len(architecture.head))) if hasattr(architecture.head[k], "out")), None)
    classifier: Any = None if place is None else architecture.head[place]
    if place is None or classifier.out != architecture.classes:
        raise ExportError("the head has no layer with one output per class; its classifier cannot be replaced")
    head = list(architecture.head)
    try:
        head[place] = replace(classifier, out=classes)
        changed = replace(architecture, classes=classes, head=tuple(head))
    except ArchitectureError as error:
        raise ExportError(f"cannot build a head for {classes} classes: {error}") from None
    state = build_network(changed, seed=0).state_dict()
    kept = {key: value for key, value in (state_dict or {}).items() if not key.startswith(f"head.{place}.")}
    return changed, {**state, **kept}
