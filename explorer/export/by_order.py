"""Pairing of the weights of another library with the layers of a network, by the order of computation and by shape.

The names of other libraries differ, but their modules mostly form the same tree: a subtree for each block, with numbers
in the order of computation. The pairing has three steps:

1. A block of the network is paired with a subtree of the state dict that has layers of the same shapes. Blocks with
   equal shapes are paired in order.
2. In a block, layers with equal shapes are paired in order. Layers of the shortcut are paired with layers that only
   blocks with such a shortcut have, or whose names say so.
3. The other layers are paired in order in the same way.

The order of a state dict is the order in which its modules were registered. A safetensors file has no order: there the
numbers in the names give it, and a pairing that depends on the order of other names is an error.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from explorer.errors import ExportError
from explorer.export.weight_layers import (
    STATISTICS,
    Order,
    Shape,
    Signature,
    WeightLayer,
    by_name,
    by_place,
    describe_layer,
    group_layers,
)
from explorer.networks.architecture import Architecture

SHORTCUT_WORDS = {"downsample", "shortcut", "skip", "skipbn", "identity", "proj", "projection", "residual"}
WINDOW = 6  # layers that are compared with a step before it counts as different


class Pair(NamedTuple):
    """A tensor of the other library and the tensor of the network that it becomes.

    Attributes:
        theirs: The key in the other library's state dict.
        ours: The key in the network's state dict.
        shape: The shape in the network.
    """

    theirs: str
    ours: str
    shape: Shape


class Pairing(NamedTuple):
    """The tensors of a state dict, paired with those of a network.

    Attributes:
        pairs: The pairs, in the network's order of computation.
        notes: What the pairing could not decide from names and shapes, one sentence each.
        weights: The tensors under the network's keys, with the network's shapes.
    """

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]
    weights: Mapping[str, Tensor]


def pair_by_order(
    weights: Mapping[str, Tensor], architecture: Architecture, expected: Mapping[str, Tensor], *, ordered: bool
) -> Pairing:
    """Pair the tensors of a state dict with those of a network.

    Args:
        weights: The state dict of the other library.
        architecture: The network.
        expected: The network's own state dict.
        ordered: Whether the order of ``weights`` is that in which the modules were registered.

    Returns:
        The pairing. Equal shapes that were computed in another order cannot be detected.

    Raises:
        ExportError: The shapes differ from the network's, or ``ordered`` is False and the names leave the order open.
    """
    floating = {key: value for key, value in weights.items() if value.is_floating_point()}  # no counters, no indices
    if weights and not floating:
        kind = next(iter(weights.values())).dtype
        raise ExportError(f"the weights are {kind}, expected floating-point numbers; dequantise them")
    has_statistics = any(key.endswith(STATISTICS) for key in floating)
    ours = group_layers(expected, has_statistics, [], _shortcut_modules(architecture))
    theirs = group_layers(floating, has_statistics, [shape for layer in ours for _, shape in layer.signature])
    if Counter(layer.signature for layer in ours) != Counter(layer.signature for layer in theirs):
        difference = _first_difference if ordered else _surplus
        raise ExportError(f"{difference(ours, theirs, expected, floating)}; {_reason(ours, theirs)}")
    segments = _segments(architecture, ours)
    if ordered:
        partners = _match(segments, ours, theirs, by_place)
    else:
        partners = _match(segments, ours, theirs, by_name(theirs))
        _require_one_order(ours, partners, _match(segments, ours, theirs, by_name(theirs, descending=True)))
    notes = [] if has_statistics else list(_missing_statistics(expected))
    if ordered:
        notes += _registered_otherwise(segments, partners)
    pairs = []
    for layer in ours:
        other = partners[layer.path]
        fields = [field for field in layer.keys if field in other.keys]
        pairs += [Pair(other.keys[f], layer.keys[f], tuple(expected[layer.keys[f]].shape)) for f in fields]
    # A reshape that does not fit is left to the caller, whose message names the key.
    taken = {pair.ours: _reshaped(floating[pair.theirs], pair.shape) for pair in pairs}
    return Pairing(tuple(pairs), tuple(notes), taken)


def _reshaped(value: Tensor, shape: Shape) -> Tensor:
    return value.reshape(shape) if value.numel() == math.prod(shape) else value


def _shortcut_modules(architecture: Architecture) -> list[str]:
    return [f"{placed.module}.shortcut." for placed in architecture.blocks()]


def _segments(architecture: Architecture, ours: Sequence[WeightLayer]) -> list[list[WeightLayer]]:
    """Return the layers of the stem, of each transition, of each block and of the head."""
    owner = {layer.module: number for number, part in enumerate(architecture.segments) for layer in part.layers()}
    segments: dict[int, list[WeightLayer]] = defaultdict(list)
    for each in ours:
        parts = each.path.split(".")
        prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        segments[next(owner[prefix] for prefix in prefixes if prefix in owner)].append(each)
    return list(segments.values())


def _match(
    segments: Sequence[Sequence[WeightLayer]], ours: Sequence[WeightLayer], theirs: Sequence[WeightLayer], order: Order
) -> dict[str, WeightLayer]:
    """Return the path of each layer of the network -> its partner."""
    blocks = list(_match_blocks(segments, theirs, order))
    plain = {name for own, subtree in blocks if not any(each.shortcut for each in own) for name in subtree}
    partners = {}
    for own, subtree in blocks:
        flagged = {each.path for name, each in subtree.items() if plain and name not in plain}
        partners.update(_match_layers(own, list(subtree.values()), flagged, order))
    used = {each.path for each in partners.values()}
    rest = [each for each in ours if each.path not in partners]
    partners.update(_match_layers(rest, [each for each in theirs if each.path not in used], set(), order))
    return partners


def _match_blocks(
    segments: Sequence[Sequence[WeightLayer]], theirs: Sequence[WeightLayer], order: Order
) -> Iterator[tuple[Sequence[WeightLayer], dict[str, WeightLayer]]]:
    """Yield (layers of a segment, the subtree of equal shapes: name in the subtree -> layer), largest segments first.

    A segment without a subtree of its own is left out.
    """
    subtrees: dict[str, list[WeightLayer]] = defaultdict(list)
    for layer in sorted(theirs, key=order):
        parts = layer.path.split(".")
        for length in range(1, len(parts)):
            subtrees[".".join(parts[:length])].append(layer)
    by_shapes: dict[tuple[Signature, ...], list[str]] = defaultdict(list)
    for prefix, inside in subtrees.items():
        by_shapes[_shapes(inside)].append(prefix)
    alike: dict[tuple[Signature, ...], list[Sequence[WeightLayer]]] = defaultdict(list)
    for segment in segments:
        alike[_shapes(segment)].append(segment)
    used: set[str] = set()
    for shapes in sorted((each for each in alike if len(each) > 1), key=len, reverse=True):
        # Of nested subtrees with the same layers, the outermost counts.
        free = {
            subtrees[prefix][0].path: prefix
            for prefix in sorted(by_shapes[shapes], key=len, reverse=True)
            if not any(layer.path in used for layer in subtrees[prefix])
        }
        chosen = sorted(free.values(), key=lambda prefix: order(subtrees[prefix][0]))
        if len(chosen) != len(alike[shapes]):
            continue
        for segment, prefix in zip(alike[shapes], chosen):
            used |= {layer.path for layer in subtrees[prefix]}
            yield segment, {layer.path.removeprefix(f"{prefix}."): layer for layer in subtrees[prefix]}


def _shapes(layers: Iterable[WeightLayer]) -> tuple[Signature, ...]:
    return tuple(sorted(layer.signature for layer in layers))


def _match_layers(
    ours: Sequence[WeightLayer], theirs: Sequence[WeightLayer], flagged: set[str], order: Order
) -> dict[str, WeightLayer]:
    """Pair layers of equal shapes in order, those of shortcuts with each other if their number agrees.

    A layer that stands beside the partner of the previous layer comes first: without a registration order in any
    module, else in a module of two layers, as of a convolution and its norm.

    Args:
        ours: Layers of the network in order.
        theirs: Layers of the state dict with the same shapes.
        flagged: Paths of those that only blocks with a projection have.
        order: The order of ``theirs``.
    """
    partners: dict[str, WeightLayer] = {}
    given: dict[Signature, list[WeightLayer]] = defaultdict(list)
    for layer in sorted(theirs, key=order):
        given[layer.signature].append(layer)
    wanted: dict[Signature, list[WeightLayer]] = defaultdict(list)
    for layer in ours:
        wanted[layer.signature].append(layer)
    sizes = Counter(map(_parent, theirs))
    previous = {after.path: before.path for before, after in pairwise(ours)}
    for signature, own in sorted(wanted.items(), key=lambda item: len(item[1])):  # the unique ones first
        others = given[signature]
        count = sum(layer.shortcut for layer in own)
        named = {layer.path for layer in others if SHORTCUT_WORDS.intersection(re.split(r"[._]", layer.path.lower()))}
        inside = {layer.path for layer in others if layer.path in flagged}
        apart = next((each for each in (named, inside) if len(each) == count), set())
        others = [layer for layer in others if layer.path not in apart] + [x for x in others if x.path in apart]
        for layer in sorted(own, key=lambda layer: layer.shortcut):  # sorted() keeps the order of equal keys
            beside = _parent(partners.get(previous.get(layer.path, "")))
            if order is by_place and sizes[beside] != 2:
                beside = None
            chosen = next((other for other in others if beside is not None and _parent(other) == beside), others[0])
            partners[layer.path] = chosen
            others.remove(chosen)
    return partners


def _parent(layer: WeightLayer | None) -> str | None:
    """Return the name of the module that contains the layer's module; None for no layer."""
    return None if layer is None else layer.path.rpartition(".")[0]


def _first_difference(
    ours: Sequence[WeightLayer],
    theirs: Sequence[WeightLayer],
    expected: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
) -> str:
    """Name the first step of the computation at which the shapes differ."""
    waiting, since = list(theirs), 0
    for step, layer in enumerate(ours):
        near = next((k for k, other in enumerate(waiting[:WINDOW]) if other.signature == layer.signature), None)
        if near is None or (near and step - since > WINDOW):
            break
        del waiting[near]
        since = since if near else step + 1
    if since == len(ours):
        return f"the weights hold {describe_layer(waiting[0], given)}, for which the network has no layer"
    here = describe_layer(ours[since], expected)
    there = describe_layer(waiting[0], given) if waiting else "no layer more"
    return f"the shapes differ at step {since + 1} of the computation: the network has {here}, the weights have {there}"


def _reason(ours: Sequence[WeightLayer], theirs: Sequence[WeightLayer]) -> str:
    """Return why the shapes of two networks differ, and what to do."""
    of_ours, of_theirs = (Counter(layer.signature for layer in layers) for layers in (ours, theirs))
    lacking, extra = of_ours - of_theirs, of_theirs - of_ours
    if not lacking:
        return "leave out the keys of what the network does not have, such as an auxiliary head or a second copy"
    if not extra:
        return "they lack layers of the network, or are of another network"
    if _without_axes(lacking) == _without_axes(extra):
        return "their axes are in another order, as in TensorFlow; permute them to (outputs, inputs, height, width)"
    if _without_biases(lacking) == _without_biases(extra):
        return "they differ in biases, which bias=1 adds to a layer and bias=0 leaves out"
    (own, *others), (other, *more) = lacking, extra
    shapes, found = dict(own), dict(other)
    is_linear = not others and not more and shapes.keys() == found.keys() and len(shapes.get("weight", ())) == 2
    if is_linear and shapes["weight"][1:] == found["weight"][1:]:
        return f"they have {found['weight'][0]} outputs in place of {shapes['weight'][0]}: set the number of classes"
    return "they are of another network"


def _without_axes(layers: Counter[Signature]) -> Counter[Signature]:
    """Return the shapes without the order of their axes, and without axes of 1."""
    found: Counter[Signature] = Counter()
    for signature, count in layers.items():
        found[tuple((field, tuple(sorted(side for side in shape if side != 1))) for field, shape in signature)] += count
    return found


def _without_biases(layers: Counter[Signature]) -> Counter[Signature]:
    """Return the shapes of all parameters but biases."""
    found: Counter[Signature] = Counter()
    for signature, count in layers.items():
        found[tuple((field, shape) for field, shape in signature if field != "bias")] += count
    return found


def _surplus(
    ours: Sequence[WeightLayer],
    theirs: Sequence[WeightLayer],
    expected: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
) -> str:
    """Name the first layers of both sides whose shapes the other side has less often."""
    found = []
    for who, layers, others, state in (("network", ours, theirs, expected), ("weights", theirs, ours, given)):
        left = Counter(layer.signature for layer in others)
        for layer in layers:
            left[layer.signature] -= 1
            if left[layer.signature] < 0:
                verb = "has" if who == "network" else "have"
                found.append(
                    f"the {who} {verb} {describe_layer(layer, state)} and the other side no layer of this shape left"
                )
                break
    return f"the shapes differ: {'; '.join(found)}"


def _require_one_order(
    ours: Sequence[WeightLayer], one: Mapping[str, WeightLayer], other: Mapping[str, WeightLayer]
) -> None:
    """Raise ExportError if the pairing depends on the order of names."""
    for layer in ours:
        first, second = one[layer.path].path, other[layer.path].path
        if first != second:
            raise ExportError(
                f"{first!r} and {second!r} have equal shapes, and both fit {layer.path!r}; their names do not say which"
                " is computed first, and a safetensors file has no order; in Python, give the state dict of the other"
                " library's network: explorer.load_weights(architecture, network.state_dict(), by_order=True)"
            )


def _missing_statistics(expected: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a note if the network's norms have running statistics, which the weights lack."""
    norms = sum(key.endswith(STATISTICS[0]) for key in expected)
    if norms:
        yield (
            f"The weights have no running means and variances. The {norms} norms of the network keep mean 0 and"
            " variance 1: train the network or recompute the statistics."
        )


def _registered_otherwise(
    segments: Sequence[Sequence[WeightLayer]], partners: Mapping[str, WeightLayer]
) -> Iterator[str]:
    """Yield a note on the first two layers that the other library registers in the opposite order.

    Shortcuts and single parameters are left out: libraries register them first or last.
    """
    for segment in segments:
        branch = [layer for layer in segment if not layer.shortcut and "" not in layer.keys]
        for before, after in pairwise(branch):
            first, second = partners[before.path], partners[after.path]
            if first.place > second.place:
                yield (
                    f"The weights hold {second.path!r} before {first.path!r}, but the network computes {before.path!r}"
                    f" before {after.path!r}. Compare the outputs of both networks."
                )
                return
