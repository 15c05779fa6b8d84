"""The layers of an architecture agree with the network built from it."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor, nn

from explorer.networks.architecture import Architecture
from explorer.networks.build import Network
from explorer.networks.ops.base import TensorShape
from explorer.networks.ops.merge import Add
from explorer.networks.ops.nested.fork import Fork
from explorer.space.search_space import load_space, parse_space
from explorer.space.shipped import shipped_spaces
from tests.space.spaces import random_space

EVERY_PART = """
input: 3x16x16
classes: 4
stem: conv3x3(8)
stages: {blocks: 2, width: [8, 16], stride: [1, 2]}
transition: bn conv2x2(w, s=s)
block: bn relu conv3x3 bn relu conv3x3 gate(b=-1) relu
shortcut: {changed: conv1x1, from: preact}
head: pre gap fc
"""


def shipped_network(name: str) -> Architecture:
    """The network with the fewest layers of three drawn from a shipped space."""
    space = load_space(name)
    drawn = [space.architecture(derivation) for derivation in space.sample(3, seed=5)]
    return min(drawn, key=lambda architecture: len(list(architecture.layers())))


@pytest.fixture
def every_part() -> Architecture:
    """A network with every part."""
    return parse_space(EVERY_PART).architecture(0)


def shape_of(x: Tensor) -> TensorShape:
    """Return the shape of one image's map; a vector is a map of one position."""
    return TensorShape(*(*x.shape[1:], 1, 1)[:3])


def recorded_shapes(network: Network) -> dict[str, tuple[TensorShape, TensorShape]]:
    """Return the shapes of each module's last argument and output, by module name."""
    found = {}
    for name, module in network.named_modules():

        def note(_: nn.Module, arguments: tuple[Tensor, ...], y: Tensor, name: str = name) -> None:
            found[name] = shape_of(arguments[-1]), shape_of(y)

        module.register_forward_hook(note)
    with torch.no_grad():
        network(torch.empty(2, *network.architecture.input))
    return found


def is_frame(module: nn.Module) -> bool:
    """Return whether a module is a fork, one of its paths, or a tap: none of them is a layer."""
    return isinstance(module, (nn.Sequential, nn.ModuleList)) or hasattr(module, "saved") or hasattr(module, "read")


def agrees(architecture: Architecture) -> None:
    """The layers are the modules of the built network under their names, and have the shapes that are recorded."""
    with torch.device("meta"):
        network = Network(architecture).eval()
        found = recorded_shapes(network)
    layers = [layer for layer in architecture.layers() if not isinstance(layer.op, (Add, Fork))]
    assert [(layer.module, layer.x, layer.y) for layer in layers] == [
        (layer.module, *found[layer.module]) for layer in layers
    ]
    holders = {"", "stem", "stages", "head", *(f"stages.{index}" for index in range(len(architecture.stages)))}
    for placed in architecture.blocks():
        assert network.block(placed) is network.get_submodule(placed.module)
        holders |= {placed.module, *(f"{placed.module}.{part}" for part in ("pre", "branch", "shortcut", "after"))}
    names = [layer.module for layer in layers]
    inner = tuple(f"{each}." for each in names)
    built = [
        each
        for each, module in network.named_modules()
        if each not in holders and not each.startswith(inner) and (each in names or not is_frame(module))
    ]
    assert built == names


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_layers_have_the_shapes_and_modules_of_the_built_network(name):
    """The layers are the modules of stem, stages and head under their names, with the recorded shapes."""
    agrees(shipped_network(name))


def test_the_walk_agrees_with_the_built_network_in_random_spaces(every_part):
    """The same of a network with every part, and of networks of random spaces."""
    agrees(every_part)
    spaces = [space for seed in range(12) if (space := random_space(seed, largest=10**9)) is not None]
    assert len(spaces) > 6
    for space in spaces:
        agrees(space.architecture(space.sample(1, seed=0)[0]))


def test_every_layer_knows_its_position(every_part):
    """In a network with every part, each layer has its stage, block, part, path and module."""
    layers = [
        (layer.stage, layer.block, layer.part, layer.path, layer.module, layer.section) for layer in every_part.layers()
    ]
    assert layers[0] == (0, 0, "stem", "stem.0", "stem.0", "stem")
    assert [layer for layer in layers if layer[:2] == (1, 1)] == [
        (1, 1, "pre", "stage1.block1.branch.0", "stages.0.0.pre.0", "stage1"),
        (1, 1, "pre", "stage1.block1.branch.1", "stages.0.0.pre.1", "stage1"),
        *((1, 1, "branch", f"stage1.block1.branch.{2 + k}", f"stages.0.0.branch.{k}", "stage1") for k in range(4)),
        (1, 1, "merge", "stage1.block1.merge", "stages.0.0.merge", "stage1"),
        (1, 1, "after", "stage1.block1.after.0", "stages.0.0.after.0", "stage1"),
    ]
    assert [layer for layer in layers if layer[2] == "transition"] == [
        (2, 0, "transition", f"stage2.transition.{k}", f"stages.1.{k}", "stage2") for k in range(2)
    ]
    assert (2, 2, "branch", "stage2.block2.branch.0", "stages.1.3.branch.0", "stage2") in layers
    assert layers[-1] == (3, 0, "head", "head.3", "head.3", "head")


def test_a_pickle_leaves_out_the_segments(every_part):
    """A pickled architecture contains only its fields, and has the same layers after loading."""
    layers = list(every_part.layers())
    loaded = pickle.loads(pickle.dumps(every_part))
    assert "segments" in vars(every_part) and "segments" not in vars(loaded)
    assert list(loaded.layers()) == layers
