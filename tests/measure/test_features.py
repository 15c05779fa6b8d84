"""The features of a prediction, computed without torch."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest
import torch

from explorer.costs.analytic import count_cost
from explorer.measure.predictor.features import _kind, count_features
from explorer.networks.ops.base import TensorShape
from explorer.networks.ops.conv import Conv
from explorer.space.search_space import load_space, parse_space

SPACE = load_space("he2016_orders.yaml")


def test_sums_equal_the_costs():
    """Over the network, over its kinds and over their families, the amounts equal the analytic costs without folded
    norms."""
    for derivation in SPACE:
        architecture = SPACE.architecture(derivation)
        features, cost = count_features(architecture), count_cost(architecture)
        assert features["network:macs"] == cost.macs
        assert features["network:activations"] == cost.activations
        for amount in ("macs", "params", "operations", "traffic"):
            kinds = [name for name in features if name.endswith(f":{amount}") and not name.startswith("network:")]
            kinds = [name for name in kinds if " on " not in name]
            families = [name for name in kinds if name.startswith("any ")]
            whole = [name for name in families if name.count(" ") == 1]  # without those of a property
            assert sum(features[name] for name in whole) == features[f"network:{amount}"]
            assert sum(features[name] for name in set(kinds) - set(families)) == features[f"network:{amount}"]
        single = sum(value for name, value in features.items() if " at " in name)
        assert single == features["network:operations"]


def test_folded_norms_do_not_count():
    """A norm after a convolution is folded into it; one after an activation or a sum is not."""
    post = count_features(SPACE.architecture(SPACE.named({"order": "original"})))
    pre = count_features(SPACE.architecture(SPACE.named({"order": "full_preact"})))
    assert "bn:operations" not in post
    assert pre["bn:operations"] > 0


@pytest.mark.parametrize("batch", [1, 2])
def test_kinds_follow_torchs_kernels(batch):
    """On a single-threaded CPU, torch uses one kernel per kind of convolution: im2col with a matrix product, or
    oneDNN."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        means: dict[str, set[str]] = {}
        for kernel, channels, side, stride, dilation, groups in product(
            (1, 3, 5), (4, 20, 24, 64), (8, 32), (1, 2), (1, 2), (1, 2)
        ):
            conv = Conv(kernel, channels, stride, 1 if kernel == 1 else dilation, groups)
            kind = _kind(conv, TensorShape(channels, side, side), batch)
            x = torch.zeros(batch, channels, side, side)
            weight = torch.zeros(channels, channels // groups, kernel, kernel)
            pad = conv.dilation * (kernel // 2)
            found = torch._C._select_conv_backend(
                x, weight, None, [stride] * 2, [pad] * 2, [conv.dilation] * 2, False, [0, 0], groups, None
            )
            means.setdefault(kind, set()).add(str(found))
    finally:
        torch.set_num_threads(threads)
    assert {kind: found for kind, found in means.items() if len(found) > 1} == {}
    assert any(kind.endswith("few") for kind in means) == (batch == 1)


def test_channels_are_rounded_up():
    """Twelve channels count as sixteen in one feature and as twelve in the other, except in grouped convolutions."""
    space = parse_space(
        "name: s\ninput: 3x8x8\nclasses: 10\nstem: conv3x3(12)\nstages: {blocks: 1, width: 12}\n"
        "block: dwconv3x3 + relu\nhead: gap fc\n"
    )
    features = count_features(space.architecture(0))
    assert features["conv3x3 few:macs"] == 3 * 12 * 9 * 64 and features["conv3x3 few:rounded macs"] == 16 * 16 * 9 * 64
    assert features["network:rounded macs"] == features["conv3x3 few:rounded macs"]


def test_rectangular_kernels_are_kinds_of_their_own():
    """A kernel of unequal sides has its own kind and its own products."""
    space = parse_space(
        "name: s\ninput: 3x8x8\nclasses: 10\nstem: conv1x3(12, s=1x2)\nstages: {blocks: 1, width: 12}\n"
        "block: maxpool3x1 + relu\nhead: gap fc\n"
    )
    features = count_features(space.architecture(0))
    assert features["conv1x3 strided few:rounded macs"] == 16 * 16 * 3 * 32
    assert features["maxpool3x1:operations"] == 1


def test_joins_read_all_their_inputs():
    """The traffic of a join or a merge is all its inputs and its output."""
    head = "name: s\ninput: 3x8x8\nclasses: 10\nstem: conv3x3(12)\nstages: {blocks: 1, width: 12}\nhead: gap fc\n"
    features = count_features(
        parse_space(f"{head}block: cat(conv1x1(4), sum(dwconv3x3, bn, identity)) cat\n").architecture(0)
    )
    assert features["sum:traffic"] == (3 * 12 + 12) * 64
    both = (4 + 12 + 16) * 64 + (16 + 12 + 28) * 64  # the join and the merge
    assert features["cat:traffic"] == both


def test_features_need_no_torch():
    """Features of thousands of networks are computed without importing torch."""
    program = "import explorer.measure.predictor.features, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
