"""Forks, shares and taps as ops: shapes, values, memory, identity, dead paths and JSON."""

from __future__ import annotations

import math

import pytest
import torch

from explorer.costs.analytic import ops_cost
from explorer.errors import ArchitectureError
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.ops import registry
from explorer.networks.ops.activation import ReLU, Sigmoid
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.linear import Linear
from explorer.networks.ops.nested.fork import MAX_NESTED, Cat, Part, Product, Sum
from explorer.networks.ops.nested.taps import From, Tap, Tapped
from explorer.networks.ops.norm import BatchNorm
from explorer.networks.ops.pool import GlobalAveragePool
from tests.forks.families import family
from tests.networks.ops.modules import built
from tests.space.spaces import only

X = TensorShape(8, 4, 4)
E = X.elements
CONV = Conv(3, 8)
GATE = (GlobalAveragePool(), Conv(1, 8), Sigmoid())


@pytest.mark.parametrize("channels", [8, 9, 11])
def test_shares_cover_the_channels(channels):
    """The shares of n are the channels in order; the first has the remainder, as in timm's MixConv."""
    x = torch.arange(float(channels)).reshape(1, channels, 1, 1)
    shape = TensorShape(channels, 1, 1)
    shares = [built(Part(k, 4), shape)(x) for k in (1, 2, 3, 4)]
    assert [len(share[0]) for share in shares] == [channels // 4 + channels % 4, *[channels // 4] * 3]
    assert torch.equal(torch.cat(shares, 1), x)


@pytest.mark.parametrize(
    ("fork", "y"),
    [
        (Sum(((CONV,), ())), X),
        (Sum(((CONV,), GATE)), X),
        (Product(((Conv(1, 1),), (CONV,), GATE)), X),
        (Cat(((CONV,), (Conv(1, 3),))), X._replace(channels=11)),
        (Cat(((Part(1, 2), Conv(1, 6)), ())), X._replace(channels=14)),
        (Tapped((Tap(1), Conv(3, 4), Cat(((), (From(1, *X),))), Conv(1, 8))), X),
    ],
)
def test_shapes_and_values_are_those_of_the_module(fork, y):
    """The declared shape is that of the output, and the values are within the declared bounds."""
    out = built(fork, X)(torch.rand(2, *X))
    low, high = fork.values(0.0, 1.0)
    assert fork.output_shape(X) == y == out.shape[1:]
    assert low <= out.min() and out.max() <= high


@pytest.mark.parametrize(
    ("fork", "message"),
    [
        (Sum(((CONV,), (Conv(3, 4),))), r"equal shapes, .* path 1 8x4x4, path 2 4x4x4"),
        (Product(((CONV,), (Conv(3, 8, stride=2),))), r"equal shapes, .* path 1 8x4x4, path 2 8x2x2"),
        (Cat(((CONV,), GATE)), r"the paths of cat need equal height and width; .* path 1 8x4x4, path 2 8x1x1"),
        (Sum(((CONV,), (Part(1, 9),))), r"path 2 of sum: part\(1, 9\) needs at least 9 channels, its input has 8"),
        (Tapped((Tap(1), Conv(3, 4), From(1, 4, 4, 4))), r"from\(t1\) reads 8x4x4, not 4x4x4"),
    ],
)
def test_paths_that_do_not_fit_are_errors(fork, message):
    """The error names the paths and their shapes."""
    with pytest.raises(ArchitectureError, match=message):
        fork.output_shape(X)


@pytest.mark.parametrize(
    ("ops", "peak"),
    [
        ((Sum(((CONV,), ())),), 3 * E),  # input, first output, sum
        ((Sum(((), (CONV,))),), 3 * E),
        ((Sum(((CONV,), (CONV,), (CONV,))),), 4 * E),  # input, two outputs and their sum, before the third path
        ((Cat(((CONV,), (CONV,))),), 4 * E),  # both outputs and their concatenation
        ((Cat(((CONV,), (CONV,), (CONV,))),), 6 * E),
        ((CONV, ReLU(), Cat(((), (CONV,)))), 4 * E),  # input, output, concatenation of both
        ((Sum(((CONV, Sum(((CONV,), (CONV,)))), ())),), 4 * E),  # the outer input, two inner outputs and their sum
        ((Tapped((Tap(1), CONV, CONV, Sum(((), (From(1, *X),))))),), 3 * E),
    ],
)
def test_peak_memory_counts_what_waits_for_the_join(ops, peak):
    """The peak counts the input until the last path has read it, and the outputs until they are joined."""
    assert ops_cost(ops, X).peak == peak


def test_the_longest_path_counts():
    """Weight layers and the receptive field are those of the longest and the widest path."""
    cost = ops_cost((CONV, Sum(((CONV, CONV), (Conv(5, 8),), ())), CONV), X)
    assert (cost.weight_layers, 1 + cost.growth) == (4, 9)


def digest(block: str, shortcut: str = "none", stem: str = "conv3x3(16) bn relu", **grammar: str) -> str:
    """Return the digest of a network of one such block."""
    stages = "{blocks: 1, width: 16}"
    return only(
        **{
            "grammar": grammar or None,
            "block": f'"{block}"',
            "shortcut": f'{{same: "{shortcut}", changed: "{shortcut}"}}',
            "stem": stem,
            "stages": stages,
        }
    ).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("sum(conv3x3 bn, identity) +",), ("conv3x3 bn +", "identity")),
        (("sum(conv3x3, conv1x1, identity) +",), ("sum(conv1x1, conv3x3) +", "identity")),
        (("sum(conv3x3, sum(conv1x1, bn)) +",), ("sum(bn, conv3x3, conv1x1) +",)),
        (("sum(conv3x3, conv1x1) + relu",), ("conv3x3 + relu", "conv1x1")),
        (("cat(identity, conv3x3) +",), ("conv3x3 cat", "identity")),
        (("cat(conv3x3, cat(conv1x1, bn)) +",), ("cat(conv3x3, conv1x1, bn) +",)),
        (("split(conv3x3(4), identity) +",), ("cat(part(1, 2) conv3x3(4), part(2, 2)) +",)),
        (("product(conv3x3, conv1x1 sigmoid) +",), ("product(conv1x1 sigmoid, conv3x3) +",)),
        (("sum(conv3x3, zero) +",), ("conv3x3 +",)),
        (("sum(relu conv3x3, relu) relu relu +",), ("relu sum(identity, conv3x3) relu +",)),
        (("tap(a) conv3x3 sum(bn, from(a)) +",), ("tap(x) tap(y) conv3x3 tap(z) sum(bn, from(x)) +",)),
        (("conv3x3 part(1, 1) +",), ("conv3x3 +",)),
    ],
)
def test_equal_functions_have_one_digest(one, other):
    """The order of terms and factors, nested equal joins, forks in place of merges, and names of taps do not count."""
    assert digest(*one) == digest(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat(conv3x3, conv1x1) +", "cat(conv1x1, conv3x3) +"),
        ("sum(conv3x3, conv1x1) +", "product(conv3x3, conv1x1) +"),
        ("sum(conv3x3, sum(conv1x1, bn) relu) +", "sum(conv3x3, conv1x1, bn) relu +"),
        ("sum(conv3x3, identity) +", "sum(conv3x3, identity, identity) +"),
        ("cat(part(1, 2), part(2, 2) conv3x3(8)) +", "cat(part(2, 2), part(1, 2) conv3x3(8)) +"),
        (
            "tap(a) conv3x3 tap(b) conv3x3 sum(identity, from(a)) +",
            "tap(a) conv3x3 tap(b) conv3x3 sum(identity, from(b)) +",
        ),
    ],
)
def test_other_functions_have_other_digests(one, other):
    """What changes the function changes the digest."""
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("block", "live"),
    [
        ("sum(zero, conv3x3) bn +", "conv3x3(out=16) bn +"),
        ("sum(zero, conv3x3, bn) bn +", "sum(conv3x3(out=16), bn) bn +"),
        ("sum(conv3x3 zero, sum(zero, bn)) relu +", "bn relu +"),
        ("cat(zero, conv3x3) conv1x1 +", "cat(zero(s=1, out=16), conv3x3(out=16)) conv1x1(out=16) +"),
        ("sum(zero, gap conv1x1) relu +", "sum(zero(s=1, out=16), gap conv1x1(out=16)) relu +"),
    ],
)
def test_paths_that_are_zero_vanish(block, live):
    """A path of a sum that is zero is left out, unless it gives the sum its size; in ``cat`` it stays."""
    network = only(block=f'"{block}"', shortcut="{same: none}", stages="{blocks: 1, width: 16}", stem="conv3x3(16)")
    assert str(network.stages[0].blocks[0]) == live


def test_a_product_with_zero_is_zero():
    """A residual block whose branch has a factor of zero is its shortcut alone."""
    zero = only(block='"product(zero, conv3x3) relu +"', stages="{blocks: 1, width: 16}", stem="conv3x3(16)")
    assert zero.stages[0].blocks[0].branch == () and zero.stages[0].blocks[0].shortcut is None


def nested(depth: int) -> Op:
    op: Op = ReLU()
    for _ in range(depth):
        op = Sum(((op,), ()))
    return op


def test_forks_nest_to_a_limit():
    """A network with the deepest nesting survives JSON, and one more level is an error."""
    block = Block((nested(MAX_NESTED),), shortcut=None)
    network = Architecture(X, 10, (BatchNorm(),), (Stage((block,)),), (GlobalAveragePool(), Linear(10)))
    assert Architecture.from_json(network.to_json()).to_json() == network.to_json()
    with pytest.raises(ArchitectureError, match="nested deeper than 24"):
        nested(MAX_NESTED + 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"op": "sum"}, "'sum' has the key \"paths\", a list of lists of ops"),
        ({"op": "sum", "paths": [{"op": "relu"}]}, "a list of lists of ops"),
        ({"op": "sum", "paths": [[]]}, "sum joins at least two paths, found 1"),
        ({"op": "sum", "paths": [[], [{"op": "rleu"}]]}, "unknown op 'rleu'"),
        ({"op": "tap", "number": 1}, "unknown op 'tap'"),
        ({"op": "tapped", "ops": [{"op": "from", "number": 1, "channels": 1, "height": 1, "width": 1}]}, "no tap"),
        ({"op": "tapped", "ops": [{"op": "tap", "number": True}]}, "whole numbers number"),
        ({"op": "tapped"}, '"ops", a list of ops'),
        ({"op": "part", "number": 3, "shares": 2}, "has no share 3 of 2"),
    ],
)
def test_invalid_json_is_rejected(data, message):
    """Missing, misplaced and invalid parts are errors."""
    with pytest.raises(ArchitectureError, match=message):
        registry.from_json(data)


def test_values_of_products_are_never_undefined():
    """A product of a bounded and an unbounded factor has bounds, and zero times anything is zero."""
    assert Product(((Sigmoid(),), (ReLU(),))).values(-math.inf, math.inf) == (0.0, math.inf)
    assert Product(((ReLU(),), ())).values(0.0, 0.0) == (0.0, 0.0)


def test_backbones_have_the_reduction_of_their_strides():
    """The reduction of a stage counts the stride of a fork once, not once for each path."""
    from explorer.export.transfer import feature_maps
    from explorer.space.search_space import parse_space

    block = "sum(conv3x3 bn, conv1x1 bn) + relu"
    network = parse_space(family(block, stages="{blocks: 2, width: [16, 32], stride: 2}")).architecture(0)
    assert [each.info["reduction"] for each in feature_maps(network, (1, 2))] == [2, 4]
