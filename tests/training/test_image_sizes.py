"""Progressive resizing: the sizes of the epochs, and the networks that smaller images fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from explorer.data.dataset import load_data
from explorer.networks.build import build_network
from explorer.training.image_sizes import image_sizes
from explorer.training.loop import train_network
from explorer.training.recipe import recipe
from tests.space.spaces import only
from tests.training.small_network import small_network

HALF = replace(recipe("quick_small"), smaller_images=0.5)


def sides(net, epochs, settings=HALF, batch_size=32):
    return [size and size[0] for size in image_sizes(net, settings, epochs, batch_size)]


def test_sides_grow_from_a_half_by_equal_steps():
    """On images of 32 pixels the sides are 16, 20, 24 and 28 in the first half of eight epochs."""
    net = build_network(only(input="3x32x32"))
    assert sides(net, 8) == [16, 20, 24, 28, None, None, None, None]
    assert sides(net, 4, replace(HALF, smaller_images=1.0)) == [16, 20, 24, None]
    assert sides(net, 1) == [None]
    assert sides(net, 8, replace(HALF, smaller_images=0.0)) == [None] * 8


@pytest.mark.parametrize(
    "sections",
    [
        {"block": "conv3x3(d=2) bn relu conv3x3 bn + relu"},
        {"stem": "conv4x4(8, s=4) bn", "stages": "{blocks: 2, width: [8, 16], stride: [1, 2]}"},
        {"block": "conv3x3 bn relu se(4) conv3x3 bn + relu", "input": "1x30x22", "classes": "3"},
    ],
    ids=["dilation", "patchify", "odd sides, one channel"],
)
def test_smaller_images_fit_most_networks(sections):
    """Networks whose modules do not depend on the size run on the smaller images, forwards and backwards."""
    net = build_network(only(**{"input": "3x32x32", **sections}))
    sizes = image_sizes(net, HALF, 8, 32)
    assert all(sizes[:3]) and not any(sizes[4:])
    for height, width in sizes[:3]:
        net(torch.randn(4, net.architecture.input.channels, height, width)).sum().backward()


@pytest.mark.parametrize(
    ("sections", "batch_size"),
    [
        ({"stem": "conv3x3(8) bn relu pos_embed"}, 32),
        ({"head": "fc"}, 32),
        ({"input": "3x4x4"}, 32),
        ({"input": "3x8x8", "stages": "{blocks: 1, width: [8, 8, 8], stride: [2, 2, 2]}"}, 1),
    ],
    ids=["position embeddings", "a classifier of all positions", "already small", "batch norm of a single value"],
)
def test_other_networks_have_whole_images(sections, batch_size):
    """Where a smaller image would need other modules or does not fit, and for modules of the caller, all epochs have
    whole images."""
    assert sides(build_network(only(**sections)), 4, batch_size=batch_size) == [None] * 4
    assert sides(small_network(), 4) == [None] * 4


def test_trains_and_validates_at_the_size_of_the_epoch():
    """The network sees images of the epoch's size, in training and in validation, and whole ones in the last epoch."""
    data = load_data("digits")
    net, seen = build_network(only(input="1x16x16")), []
    net.register_forward_pre_hook(lambda net, arguments: seen.append((net.training, arguments[0].shape[2])))
    train_network(net, data, HALF, epochs=4, seed=0, precision="float32")
    steps, batches = len(data.train) // 32, 1
    expected = []
    for side in (8, 12, 16, 16):
        expected += [(True, side)] * steps + [(False, side)] * batches
    assert seen == expected
