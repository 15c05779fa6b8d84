"""Networks have one digest if and only if they compute the same."""

from __future__ import annotations

import pytest
import torch

from explorer.costs.analytic import count_cost
from explorer.networks.build import build_network
from explorer.space.search_space import load_space
from tests.space.spaces import only

PLAIN = "{same: none, changed: none}"
ONE = {"stages": "{blocks: 1, width: 8}"}
EQUAL = {
    "a dilation on a 1x1 conv": ({"block": "conv1x1(d=2) bn conv3x3 +"}, {"block": "conv1x1 bn conv3x3 +"}),
    "none": ({"block": "none conv3x3 none bn none +"}, {"block": "conv3x3 bn +"}),
    "a scale of 1": ({"block": "conv3x3 scale(1) bn +"}, {"block": "conv3x3 bn +"}),
    "scales in a row": ({"block": "conv3x3 scale(0.5) scale(4) +"}, {"block": "conv3x3 scale(2) +"}),
    "scales that cancel": ({"block": "conv3x3 scale(0.5) scale(2) +"}, {"block": "conv3x3 +"}),
    "a repetition of one": ({"block": "(conv3x3 bn){1} +"}, {"block": "conv3x3 bn +"}),
    "a repeated relu": ({"block": "conv3x3 relu relu +"}, {"block": "conv3x3 relu +"}),
    "relu after what is never negative": ({"block": "conv3x3 sigmoid relu +"}, {"block": "conv3x3 sigmoid +"}),
    "relu6 twice": ({"block": "conv3x3 relu6 relu6 relu +"}, {"block": "conv3x3 relu6 +"}),
    "leaky relu without a slope": ({"block": "conv3x3 leaky_relu(0) +"}, {"block": "conv3x3 relu +"}),
    "leaky relu of slope 1": ({"block": "conv3x3 leaky_relu(1) +"}, {"block": "conv3x3 +"}),
    "depthwise and a group a channel": ({"block": "dwconv3x3 conv1x1 +"}, {"block": "conv3x3(in, g=in) conv1x1 +"}),
    "one group": ({"block": "conv3x3(g=1) +"}, {"block": "conv3x3 +"}),
    "group norm with a group a channel": ({"block": "conv3x3 gn(g=w) +"}, {"block": "conv3x3 in_ +"}),
    "no dropping": ({"block": "conv3x3 drop(0) droppath(0) +"}, {"block": "conv3x3 +"}),
    "shuffling one group": ({"block": "conv3x3 shuffle(g=1) shuffle(g=w) +"}, {"block": "conv3x3 +"}),
    "pooling by one": (
        {"block": "conv3x3 maxpool1x1 avgpool1x1 avgpool +", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 +", "stages": "{blocks: 1, width: 8}"},
    ),
    "pooling one pixel": ({"head": "gap gap fc"}, {"head": "gap fc"}),
    "a pool of one that strides": ({"stem": "conv3x3(8) maxpool1x1(s=2)"}, {"stem": "conv3x3(8) avgpool1x1(s=2)"}),
    "a stride written out": ({"block": "conv3x3(s=s) conv3x3 +"}, {"block": "conv3x3 conv3x3 +"}),
    "se by ratio or by width": ({"block": "conv3x3 se(r=4) +"}, {"block": "conv3x3 se(width=w/4) +"}),
    "se with its default activations": (
        {"block": "conv3x3 se(act=relu, gate=sigmoid, r=16) +"},
        {"block": "conv3x3 se +"},
    ),
    "a shortcut that does nothing": ({"shortcut": "{same: scale(1)}"}, {"shortcut": "{same: identity}"}),
    "stages divided otherwise": (
        {"stages": "{blocks: [1, 3], width: 8}"},
        {"stages": "{blocks: [3, 1], width: 8}"},
    ),
    "an activation before a block that has no shortcut, or in it": (
        {
            "block": "bn relu conv3x3 +",
            "shortcut": "{same: none, changed: none}",
            "stem": "conv3x3(8)",
            "stages": "{blocks: 1, width: 8}",
        },
        {
            "block": "conv3x3 +",
            "shortcut": "{same: none, changed: none}",
            "stem": "conv3x3(8) bn relu",
            "stages": "{blocks: 1, width: 8}",
        },
    ),
    "a layer before or after the merge of a block without a shortcut": (
        {"block": "conv3x3 bn relu +", "shortcut": "{same: none, changed: none}"},
        {"block": "conv3x3 + bn relu", "shortcut": "{same: none, changed: none}"},
    ),
    "a transition or the plain block that it is": (
        {"block": "conv3x3 +", "stages": "{blocks: 1, width: [8, 8]}", "transition": "conv3x3 bn"},
        {
            "grammar": {"opening": "conv3x3 bn +"},
            "block": "conv3x3 +",
            "stages": "[{blocks: 1, width: 8}, {blocks: 2, width: 8, first: opening}]",
            "shortcut": "{opening: {same: none}}",
        },
    ),
    "post written out": ({"stem": "conv3x3(8) post"}, {"stem": "conv3x3(8) bn relu"}),
    "pre written out": (
        {"block": "bn relu conv3x3 +", "head": "pre gap fc"},
        {"block": "bn relu conv3x3 +", "head": "bn relu gap fc"},
    ),
    "a shared pre-activation or the same before the block": (
        {
            "block": "bn relu conv3x3 +",
            "shortcut": "{from: preact}",
            "stem": "conv3x3(8)",
            "stages": "{blocks: 1, width: 8}",
        },
        {"block": "conv3x3 +", "stem": "conv3x3(8) bn relu", "stages": "{blocks: 1, width: 8}"},
    ),
    "an activation on both ways or before both": (
        {
            "block": "relu conv3x3 +",
            "shortcut": "{same: relu scale(0.5)}",
            "stages": "{blocks: 1, width: 8}",
            "stem": "conv3x3(8)",
        },
        {
            "block": "conv3x3 +",
            "shortcut": "{same: scale(0.5)}",
            "stages": "{blocks: 1, width: 8}",
            "stem": "conv3x3(8) relu",
        },
    ),
    "relu after a maximum of relus": (
        {"stem": "conv3x3(8) bn relu maxpool3x3 relu"},
        {"stem": "conv3x3(8) bn relu maxpool3x3"},
    ),
    "an activation before or behind the maximum": (
        {"stem": "conv3x3(8) relu6 maxpool3x3(s=2)"},
        {"stem": "conv3x3(8) maxpool3x3(s=2) relu6"},
    ),
    "an activation before or behind what only moves values": (
        {"block": "conv3x3 silu shuffle(g=2) bn +"},
        {"block": "conv3x3 shuffle(g=2) silu bn +"},
    ),
    "relu of what gates and means leave positive": (
        {"block": "conv3x3 relu se(r=2) eca cbam(r=2) drop(0.1) avgpool3x3 relu conv3x3 +"},
        {"block": "conv3x3 relu se(r=2) eca cbam(r=2) drop(0.1) avgpool3x3 conv3x3 +"},
    ),
    "elu and leaky relu of what is positive": (
        {"block": "conv3x3 relu elu leaky_relu(0.2) +"},
        {"block": "conv3x3 relu +"},
    ),
    "relu of a sum of what is positive": (
        {"block": "conv3x3 bn relu + relu", "stem": "conv3x3(8) relu", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 bn relu +", "stem": "conv3x3(8) relu", "stages": "{blocks: 1, width: 8}"},
    ),
    "a mean over one window": ({"head": "avgpool(s=16) fc"}, {"head": "gap fc"}),
    "dilation beyond the map": (
        {"block": "conv3x3(d=16) bn +", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3(d=40) bn +", "stages": "{blocks: 1, width: 8}"},
    ),
    "dilation on one pixel": (
        {"stem": "conv3x3(8) gap", "block": "conv3x3(d=5) +", "stages": "{blocks: 1, width: 8}"},
        {"stem": "conv3x3(8) gap", "block": "conv3x3 +", "stages": "{blocks: 1, width: 8}"},
    ),
    "which side is called the shortcut": (
        {"block": "conv1x1 +", "shortcut": "{same: conv3x3 relu bn}", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 relu bn +", "shortcut": "{same: conv1x1}", "stages": "{blocks: 1, width: 8}"},
    ),
    "pooling on both ways or before both": (
        {
            "block": "maxpool3x3 conv3x3 +",
            "shortcut": "{same: maxpool3x3}",
            "stages": "{blocks: 1, width: 8}",
            "stem": "conv3x3(8)",
        },
        {"block": "conv3x3 +", "stem": "conv3x3(8) maxpool3x3", "stages": "{blocks: 1, width: 8}"},
    ),
    "the default padding written out": (
        {"block": "conv3x3(pad=1) conv5x5(d=2, pad=4) conv1x3(pad=0x1) dwconv3x3(pad=1) conv3x3 +"},
        {"block": "conv3x3 conv5x5(d=2) conv1x3 dwconv3x3 conv3x3 +"},
    ),
    "padding of SAME that is even": (
        {"block": "conv3x3(pad=same, s=1) conv3x5(pad=same, s=1, d=2) conv1x1 +", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 conv3x5(d=2) conv1x1 +", "stages": "{blocks: 1, width: 8}"},
    ),
    "padding of SAME on an odd map": (
        {"stem": "conv2x2(8) conv3x3(8, s=2, pad=same) maxpool3x3(s=1, pad=same)"},
        {"stem": "conv2x2(8) conv3x3(8, s=2) maxpool3x3"},
    ),
    "max pooling with SAME or rounded up": (
        {"stem": "conv3x3(8) maxpool3x3(s=2, pad=same)"},
        {"stem": "conv3x3(8) maxpool3x3(s=2, pad=0, ceil=1)"},
    ),
    "rounding that changes nothing": (
        {"stem": "conv3x3(8) maxpool2x2(s=2, ceil=1) avgpool3x3(ceil=0) avgpool2x2(s=2, ceil=0)"},
        {"stem": "conv3x3(8) maxpool2x2(s=2) avgpool3x3 avgpool2x2(s=2)"},
    ),
    "counting no padding": (
        {"stem": "conv3x3(8) avgpool2x2(s=2, count_pad=1)"},
        {"stem": "conv3x3(8) avgpool2x2(s=2)"},
    ),
    "pools and strides along one pixel": (
        {"stem": "conv3x3(8) avgpool16x1(pad=0) maxpool1x3(s=1x2) avgpool1x3(s=2) conv3x3(8, s=1x2)"},
        {"stem": "conv3x3(8) avgpool16x1(pad=0) maxpool3x3(s=2) avgpool3x3(s=2) conv3x3(8, s=2)"},
    ),
    "a square written as a rectangle": ({"stem": "conv3x3(8, s=2x2, pad=0x0)"}, {"stem": "conv3x3(8, s=2, pad=0)"}),
    "the maximum of one window": ({"head": "maxpool8x8(pad=0) fc"}, {"head": "gmp fc"}),
    "the mean of one window": ({"head": "avgpool8x8(pad=0, ceil=0, count_pad=1) fc"}, {"head": "gap fc"}),
    "all shares of the channels": (
        {"block": '"conv3x3 split(identity, identity) +"'},
        {"block": "conv3x3 +"},
    ),
    "all shares among the paths of a cat": (
        {"block": '"cat(conv5x5, part(1, 3), part(2, 3), part(3, 3)) conv1x1 +"', **ONE},
        {"block": '"cat(conv5x5, identity) conv1x1 +"', **ONE},
    ),
    "all shares as the sides of a merge": (
        {"block": '"part(2, 2) cat"', "shortcut": '{same: "part(1, 2)"}', **ONE},
        {"block": "+", "shortcut": "{same: none}", **ONE},
    ),
    "a tap of the tensor that arrives": (
        {"block": '"tap(a) sum(conv3x3, bn, from(a)) +"', **ONE},
        {"block": '"sum(conv3x3, bn, identity) +"', **ONE},
    ),
    "two taps of a tensor": (
        {"block": '"conv5x5 tap(a) tap(b) conv3x3 sum(bn, from(a), relu, from(b)) +"', **ONE},
        {"block": '"conv5x5 tap(a) conv3x3 sum(bn, from(a), relu, from(a)) +"', **ONE},
    ),
    "a fork written with a tap": (
        {"block": '"conv5x5 tap(a) conv3x3 bn relu sum(identity, from(a)) conv1x1 +"', **ONE},
        {"block": '"conv5x5 sum(conv3x3 bn relu, identity) conv1x1 +"', **ONE},
    ),
    "a fork in a fork written with taps": (
        {"block": '"tap(a) cat(tap(b) conv3x3 sum(from(b) conv5x5, bn), from(a)) conv1x1 +"', **ONE},
        {"block": '"cat(sum(conv5x5, conv3x3 bn), identity) conv1x1 +"', **ONE},
    ),
    "layers whose output nothing reads": (
        {"block": '"tap(a) conv5x5 relu tap(b) conv3x3 from(a) conv1x1 +"', **ONE},
        {"block": "conv1x1 +", **ONE},
    ),
    "zeros around the map of a conv": (
        {"stem": "zeropad(1) conv3x3(8, pad=0) relu zeropad(0x2) zeropad(1x0) conv3x5(8, s=2, pad=0)"},
        {"stem": "conv3x3(8) relu conv3x5(8, s=2)"},
    ),
    "zeros added to the padding of a conv": (
        {"stem": "zeropad(1x0) conv3x3(8, d=2)"},
        {"stem": "conv3x3(8, d=2, pad=3x2)"},
    ),
    "zeros before or after an activation that keeps them": (
        {"stem": "conv3x3(8) zeropad(1) prelu conv3x3(8, pad=0)"},
        {"stem": "conv3x3(8) prelu conv3x3(8)"},
    ),
    "zeros before a block without a shortcut, or in it": (
        {
            "stem": "conv5x5(8) zeropad(1)",
            "block": "conv3x3(pad=0) bn +",
            "shortcut": "{same: none, changed: none}",
            **ONE,
        },
        {"stem": "conv5x5(8)", "block": "conv3x3 bn +", "shortcut": "{same: none, changed: none}", **ONE},
    ),
    "pixels to channels and back": (
        {"stem": "conv3x3(8) space_to_depth(2) silu depth_to_space(2) bn"},
        {"stem": "conv3x3(8) silu bn"},
    ),
    "channels to pixels and back": (
        {"stem": "conv3x3(8) depth_to_space(2) shuffle(1) space_to_depth(2) bn"},
        {"stem": "conv3x3(8) bn"},
    ),
    "an activation before or after pixels become channels": (
        {"stem": "conv3x3(8) gelu space_to_depth(2) conv1x1(8)"},
        {"stem": "conv3x3(8) space_to_depth(2) gelu conv1x1(8)"},
    ),
    "an activation before or after a share of the channels": (
        {"stem": "conv3x3(8) star_relu part(2, 2) conv3x3(8)"},
        {"stem": "conv3x3(8) part(2, 2) star_relu conv3x3(8)"},
    ),
    "a share of the channels by its number or by its channels": (
        {"stem": "conv3x3(8) part(2, 4) conv3x3(8)"},
        {"stem": "conv3x3(8) slice(2, 4) conv3x3(8)"},
    ),
    "slices that are all channels": (
        {"block": '"conv3x3 cat(slice(0, 3), slice(3, 4), slice(4)) +"'},
        {"block": "conv3x3 +"},
    ),
    "an activation before or after pixels are repeated": (
        {"stem": "conv3x3(8, s=2) gelu upsample conv1x1(8)"},
        {"stem": "conv3x3(8, s=2) upsample gelu conv1x1(8)"},
    ),
    "an activation of no layer": (
        {"stem": "conv3x3(8) token_mix(act=silu)"},
        {"stem": "conv3x3(8) token_mix"},
    ),
    "a trained threshold before or after the maximum": (
        {"stem": "conv3x3(8) frn tlu maxpool3x3(s=2)"},
        {"stem": "conv3x3(8) frn maxpool3x3(s=2) tlu"},
    ),
    "numbers spelled otherwise": (
        {"block": "conv3x3(w*2/2, d=4/2) drop(1/2) +"},
        {"block": "conv3x3(d=2) drop(0.5) +"},
    ),
}


@pytest.mark.parametrize("pair", EQUAL.values(), ids=list(EQUAL))
def test_equivalent_architectures_have_one_digest(pair):
    """Two forms of the same computation are equal, have one digest and one cost, and give the same output."""
    one, other = only(**pair[0]), only(**pair[1])
    assert one == other and hash(one) == hash(other) and one.digest == other.digest
    mine, its = count_cost(one), count_cost(other)
    assert (mine.params, mine.macs, mine.activations) == (its.params, its.macs, its.activations)
    first, second = build_network(one, seed=3).eval(), build_network(other, seed=4).eval()
    assert sorted(p.shape for p in first.parameters()) == sorted(p.shape for p in second.parameters())
    # Exchanging the terms of a sum renames the weights, so they are matched by shape.
    mine, its = (sorted(net.state_dict().values(), key=lambda t: t.shape) for net in (first, second))
    with torch.no_grad():
        for ours, theirs in zip(mine, its, strict=True):
            theirs.copy_(ours)
        image = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(first(image), second(image), atol=1e-6)


DIFFERENT = {
    "order": ({"block": "conv3x3 bn relu +"}, {"block": "conv3x3 relu bn +"}),
    "after the merge": ({"block": "conv3x3 bn relu +"}, {"block": "conv3x3 bn + relu"}),
    "activation": ({"block": "conv3x3 relu +"}, {"block": "conv3x3 silu +"}),
    "relu after relu6": ({"block": "conv3x3 relu relu6 +"}, {"block": "conv3x3 relu +"}),
    "silu twice": ({"block": "conv3x3 silu silu +"}, {"block": "conv3x3 silu +"}),
    "bn twice": ({"block": "conv3x3 bn bn +"}, {"block": "conv3x3 bn +"}),
    "dilation": ({"block": "conv3x3(d=2) +"}, {"block": "conv3x3 +"}),
    "padding": ({"stem": "conv3x3(8, pad=0)"}, {"stem": "conv3x3(8)"}),
    "padding of SAME": ({"stem": "conv3x3(8, s=2, pad=same)"}, {"stem": "conv3x3(8, s=2)"}),
    "rounding": ({"stem": "conv3x3(8) maxpool3x3(s=2, ceil=1)"}, {"stem": "conv3x3(8) maxpool3x3(s=2)"}),
    "counted padding": ({"stem": "conv3x3(8) avgpool3x3(count_pad=1)"}, {"stem": "conv3x3(8) avgpool3x3"}),
    "padding of a blur": ({"stem": "conv3x3(8) blurpool3x3(pad=zero)"}, {"stem": "conv3x3(8) blurpool3x3"}),
    "sides": ({"stem": "conv1x3(8)"}, {"stem": "conv3x1(8)"}),
    "strides of sides": ({"stem": "conv3x3(8, s=2x1)"}, {"stem": "conv3x3(8, s=1x2)"}),
    "kernel": ({"block": "conv5x5 +"}, {"block": "conv3x3 +"}),
    "bias": ({"block": "conv3x3(bias=1) +"}, {"block": "conv3x3 +"}),
    "groups": ({"block": "conv3x3(g=2) +"}, {"block": "conv3x3 +"}),
    "se ratio": ({"block": "conv3x3 se(r=2) +"}, {"block": "conv3x3 se(r=4) +"}),
    "se gate": ({"block": "conv3x3 se(gate=hardsigmoid) +"}, {"block": "conv3x3 se +"}),
    "stochastic depth": ({"block": "conv3x3 droppath(0.1) +"}, {"block": "conv3x3 +"}),
    "shortcut": ({"shortcut": "{same: scale(0.5)}"}, {}),
    "no shortcut": ({"shortcut": "{same: none}"}, {}),
    "projection": ({"shortcut": "{changed: conv1x1}"}, {}),
    "merge": ({"block": "conv3x3 gate(b=-1)"}, {"block": "conv3x3 gate(b=-2)"}),
    "where the shortcut starts": (
        {"block": "bn relu conv3x3 +", "shortcut": "{from: preact}"},
        {"block": "bn relu conv3x3 +"},
    ),
    "depth": ({"stages": "{blocks: [2, 3], width: [8, 16], stride: [1, 2]}"}, {}),
    "where it strides": ({"block": "conv3x3 bn relu conv3x3(s=s) bn + relu"}, {}),
    "input": ({"input": "3x16x8"}, {}),
    "classes": ({"classes": "11"}, {}),
    "pooling": ({"stem": "conv3x3(8) maxpool3x3"}, {"stem": "conv3x3(8) avgpool3x3"}),
    "an activation before or behind the mean": (
        {"stem": "conv3x3(8) silu avgpool3x3"},
        {"stem": "conv3x3(8) avgpool3x3 silu"},
    ),
    "what falls before or behind the maximum": (
        {"stem": "conv3x3(8) gelu maxpool3x3"},
        {"stem": "conv3x3(8) maxpool3x3 gelu"},
    ),
    "sigmoid before or behind new channels": (
        {"stem": "conv3x3(8) sigmoid subsample(s=1, out=16)"},
        {"stem": "conv3x3(8) subsample(s=1, out=16) sigmoid"},
    ),
    "relu of a sum that may be negative": (
        {"block": "conv3x3 relu conv3x3 + relu"},
        {"block": "conv3x3 relu conv3x3 +"},
    ),
    "relu behind a negative factor": (
        {"block": "conv3x3 relu scale(-1) relu +"},
        {"block": "conv3x3 relu scale(-1) +"},
    ),
    "relu6 of a sum": (
        {"block": "conv3x3 relu6 + relu6", "stem": "conv3x3(8) relu6", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 relu6 +", "stem": "conv3x3(8) relu6", "stages": "{blocks: 1, width: 8}"},
    ),
    "dropout on both ways is not dropout before both": (
        {"block": "drop(0.5) conv3x3 +", "shortcut": "{same: drop(0.5)}", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 +", "stem": "conv3x3(8) drop(0.5)", "stages": "{blocks: 1, width: 8}"},
    ),
    "which side is called the shortcut of a gate": (
        {"block": "conv1x1 gate(b=0)", "shortcut": "{same: conv3x3}", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv3x3 gate(b=0)", "shortcut": "{same: conv1x1}", "stages": "{blocks: 1, width: 8}"},
    ),
    "dilation within the map": ({"block": "conv3x3(d=7) +"}, {"block": "conv3x3(d=6) +"}),
    "what adds to zeros before or after them": (
        {"stem": "conv3x3(8) sigmoid zeropad(1) conv3x3(8, pad=0)"},
        {"stem": "conv3x3(8) zeropad(1) sigmoid conv3x3(8, pad=0)"},
    ),
    "padding with zeros that a pool sees": (
        {"stem": "conv3x3(8) zeropad(1) maxpool3x3(pad=0)"},
        {"stem": "conv3x3(8) maxpool3x3"},
    ),
    "shares in another order": (
        {"block": '"conv3x3 cat(part(2, 2), part(1, 2)) +"'},
        {"block": "conv3x3 +"},
    ),
    "some shares": (
        {"block": '"conv3x3 cat(part(1, 4), part(2, 4), part(3, 4), part(3, 4)) +"'},
        {"block": "conv3x3 +"},
    ),
    "slices in another order": (
        {"block": '"conv3x3 cat(slice(3), slice(0, 3)) +"'},
        {"block": "conv3x3 +"},
    ),
    "an activation before or after interpolation": (
        {"stem": "conv3x3(8, s=2) gelu upsample(mode=bilinear) conv1x1(8)"},
        {"stem": "conv3x3(8, s=2) upsample(mode=bilinear) gelu conv1x1(8)"},
    ),
    "a threshold of each channel before or after they move": (
        {"stem": "conv3x3(8) frn tlu shuffle(2)"},
        {"stem": "conv3x3(8) frn shuffle(2) tlu"},
    ),
    "a trained factor before or after the maximum": (
        {"stem": "conv3x3(8) star_relu maxpool3x3"},
        {"stem": "conv3x3(8) maxpool3x3 star_relu"},
    ),
    "another block of pixels": (
        {"stem": "conv3x3(16) space_to_depth(2) depth_to_space(4)", "stages": "{blocks: 1, width: 4}"},
        {"stem": "conv3x3(16) depth_to_space(2)", "stages": "{blocks: 1, width: 4}"},
    ),
    "a prelu on both ways is not one before both": (
        {"block": "prelu conv3x3 +", "shortcut": "{same: prelu, changed: prelu conv1x1}", "stem": "conv3x3(8)"},
        {"block": "conv3x3 +", "shortcut": "{same: identity, changed: conv1x1}", "stem": "conv3x3(8) prelu"},
    ),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=list(DIFFERENT))
def test_different_computations_have_different_digests(pair):
    """Any change of the function, its parameters or its training changes the digest."""
    one, other = only(**pair[0]), only(**pair[1])
    assert one != other and one.digest != other.digest


def test_the_distinct_networks_of_a_space():
    """The digest merges derivations of one network, such as a dilation chosen on a branch of 1x1 convs."""
    made = load_space("he2016_orders")
    assert len({made.architecture(index).digest for index in range(made.count())}) == made.count() == 5
