"""Layers that are multiplied by zero are no part of a network: one function has one digest, one cost and one module."""

from __future__ import annotations

import json
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import explorer
from explorer import parse_space
from explorer.costs.reference import check_cost
from explorer.errors import SpaceError
from explorer.export.model_py.code import write_code
from explorer.export.space_file import space_text
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, steps
from explorer.networks.build import instantiate
from explorer.networks.dead_layers import live_ops
from explorer.networks.drawing import stage_diagrams
from explorer.networks.ops.base import TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.merge import Add
from explorer.networks.ops.norm import BatchNorm
from explorer.networks.ops.scale import Scale
from explorer.networks.ops.zero import Zero
from explorer.space.derive.binding import bind
from explorer.space.derive.layers import Program, Resolver
from explorer.space.language.expression import Parser
from explorer.space.language.names import Names
from tests.space.spaces import only, space

ONE_STAGE = "{blocks: 2, width: 8}"
STRIDED = "{blocks: 1, width: 16, stride: 2}"
MB = "conv1x1(2*w) bn relu dwconv3x3 bn relu conv1x1 bn"
SAME_NETWORK = {
    "the branch": ({"block": "zero +"}, {"block": "+", "shortcut": "{same: none}"}),
    "layers before the zero": ({"block": "conv3x3 bn relu zero + relu"}, {"block": "zero + relu"}),
    "layers that keep zeros": ({"block": "zero conv3x3 relu se(2) avgpool3x3 layerscale +"}, {"block": "zero +"}),
    "a factor of 0": ({"block": "conv3x3 bn scale(0) droppath(0.2) +"}, {"block": "zero +"}),
    "a shortcut": ({"shortcut": "{same: zero}"}, {"shortcut": "{same: none}"}),
    "a shortcut with weights": ({"shortcut": "{same: conv3x3 bn scale(0)}"}, {"shortcut": "{same: none}"}),
    "a projection alone": (
        {"stages": STRIDED, "block": "conv3x3 bn zero + relu"},
        {"stages": STRIDED, "block": "conv1x1 bn + relu", "shortcut": "{changed: none}"},
    ),
    "a gate": ({"block": "zero gate(b=-3)"}, {"block": "shortcut_gate(b=-3) +", "shortcut": "{same: none}"}),
    "the shortcut of a cat": (
        {"block": "conv3x3 cat", "shortcut": "{same: conv3x3 zero}"},
        {"block": "conv3x3 cat", "shortcut": "{same: zero}"},
    ),
    "a path of zeros in layers with taps": (
        {"block": '"tap(a) conv5x5 sum(conv3x3 bn zero, bn, conv1x1, from(a)) + relu"'},
        {"block": '"tap(a) conv5x5 sum(bn, conv1x1, from(a)) + relu"'},
    ),
    "layers with taps that only a zero reads": (
        {"block": '"tap(a) conv5x5 tap(b) relu zero sum(identity, from(a) conv3x3, from(b) scale(0)) + relu"'},
        {"block": "conv3x3 + relu"},
    ),
    "dead layers after a tap that only dead layers read": (
        {"block": '"cat(zero tap(a) conv1x1(4), conv1x1(4)) sum(conv3x3, from(a)) +"'},
        {"block": '"cat(zero(out=4), conv1x1(4)) conv3x3 +"'},
    ),
    "a product with zeros that reads a tap": (
        {"block": '"sum(tap(a) in_ product(from(a), scale(0)), tanh) conv3x3 +"'},
        {"block": '"tanh conv3x3 +"'},
    ),
    "dead layers after a tap that others read": (
        {"block": '"sum(conv5x5 tap(a) conv1x1 zero, from(a) conv3x3) sum(from(a), conv3x3) +"'},
        {"block": '"sum(conv5x5 tap(a) zero, from(a) conv3x3) sum(from(a), conv3x3) +"'},
    ),
    "zeros in a concatenation with taps": (
        {"block": '"tap(a) conv1x1(4) tap(b) relu cat(from(b), conv3x3(4) zero(out=4)) sum(conv3x3, from(a)) +"'},
        {"block": '"tap(a) conv1x1(4) cat(identity, zero(out=4)) sum(conv3x3, from(a)) +"'},
    ),
    "channels of a cat": (
        {"block": "conv3x3 bn zero cat"},
        {"block": "subsample(s=1, out=in + w) +", "shortcut": "{same: none, changed: none}"},
    ),
}


@pytest.mark.parametrize(("first", "second"), SAME_NETWORK.values(), ids=list(SAME_NETWORK))
def test_one_function_is_one_network(first, second):
    """Both spellings have the same digest, costs and trained function."""
    sections = {"stages": ONE_STAGE, "head": "gap fc"}
    one, two = (only(**{**sections, **each}) for each in (first, second))
    assert one.digest == two.digest
    assert explorer.cost(one) == explorer.cost(two)
    image = torch.randn(2, *one.input)
    scores = [explorer.build(each, seed=1).eval()(image) for each in (one, two)]
    assert torch.allclose(*scores, atol=1e-5)


@pytest.mark.parametrize("block", ["conv3x3 bn zero bn +", "zero conv3x3(bias=1) +", "conv3x3 zero sigmoid +"])
def test_what_a_layer_puts_out_for_zeros_remains(block):
    """A norm, a bias and a sigmoid after a zero put out more than zeros: they remain, and the layers before go."""
    made = only(stages=ONE_STAGE, block=block)
    kept = [op for placed in made.blocks() for op in placed.block.branch]
    assert [type(op) for op in kept[:2]] == [Zero, type(kept[1])] and len(kept) == 4
    assert made.digest != only(stages=ONE_STAGE, block="zero +").digest
    report = check_cost(made)
    assert report.differences == () and report.params_built == explorer.cost(made).params


def test_a_shortcut_times_zero_keeps_its_published_digest():
    """``scale(0)`` alone as a shortcut has no dead layers, and the digest that it had before ``zero`` existed."""
    made = only(shortcut="{same: scale(0)}")
    assert made.stages[0].blocks[0].shortcut == (Scale(0.0),)
    assert made.digest == "v1-0cc9826958403f06d2e8368053aa921d"


def test_the_macro_space_counts_its_functions():
    """A space whose layers may be idle has as many networks as sequences of layers that are left."""
    made = space(
        {"layer": "a | b | idle", "a": "conv3x3 bn +", "b": f"{MB} +", "idle": "zero +", "wide": "4 | 8"},
        {"layer": "block"},
        stages="{blocks: 3, width: [8, 16], stride: [1, 2]}",
        block="layer",
        head="conv1x1(wide) gap fc",
    )
    rows = list(product(("a", "b", "idle"), repeat=3))
    first = {tuple(layer for layer in row if layer != "idle") for row in rows}
    second = {(row[0], *(layer for layer in row[1:] if layer != "idle")) for row in rows}  # an idle opening projects
    functions = len(first) * len(second) * 2
    assert (made.count(), functions) == (1_458, 15 * 21 * 2)
    assert len({made.architecture(derivation).digest for derivation in made}) == functions


OPS = [
    *("conv3x3", "conv1x1(bias=1)", "dwconv3x3", "bn", "ln", "relu", "prelu", "sigmoid", "se(2)", "eca", "cbam(2)"),
    *("mhsa(2)", "avgpool3x3", "layerscale(init=0.5)", "shortcut_gate(b=1)", "shuffle(2)", "scale(0)", "zero"),
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(OPS), min_size=1, max_size=6))
def test_live_ops_compute_what_all_ops_compute(names):
    """A sequence of layers without its dead ones, and with the same weights, has the same output."""
    x = TensorShape(8, 4, 4)
    tree = Parser(" ".join(names), Names(), "block", "network").structure_rule()
    layers = Resolver(Program({}), lambda point: 0, {}).layers(tree)
    ops, _ = bind(layers, x, 8, 1, 10, "the branch")
    live = live_ops(ops, x)
    kept = live[1:] if live and isinstance(live[0], Zero) else live
    assert ops[len(ops) - len(kept) :] == kept
    torch.manual_seed(0)
    shapes = [step.x for step in steps(ops, x)[0]]
    modules = [instantiate(op.module(shape)) for op, shape in zip(ops, shapes)]
    with torch.no_grad():
        for module in modules:
            for value in module.parameters():
                value.normal_()
        image = torch.randn(2, *x)
        given = nn.Sequential(*modules).eval()(image)
        first = [instantiate(op.module(x)) for op in live[: len(live) - len(kept)]]
        found = nn.Sequential(*first, *modules[len(ops) - len(kept) :]).eval()(image)
    assert torch.allclose(given, found)


FORMS = (
    "zero + relu",
    "conv3x3 zero cat",
    "zero gate(b=-2)",
    "conv1x1 bn zero conv1x1 bn +",
    "maxpool3x3 zero bn + relu",
)


@pytest.mark.parametrize("block", FORMS)
def test_files_of_a_network_with_zeros_give_the_same_network(block):
    """The space file of a network with zeros is that network, and its generated code computes the same."""
    made = only(block=block)
    written = parse_space(space_text(made))
    assert written.architecture(0) == made and written.warnings == ()
    built, code = explorer.build(made).eval(), {}
    exec(write_code(made).text, code)
    generated = code["Network"]().eval()
    generated.load_state_dict(built.state_dict())
    image = torch.randn(2, *made.input)
    assert torch.allclose(generated(image), built(image), atol=1e-5)


def test_other_forms_of_an_architecture_agree():
    """JSON, generated code, the drawing and the space file of a network have no dead layers."""
    made = only(stages=ONE_STAGE, block="conv3x3 bn zero + relu")
    assert Architecture.from_json(made.to_json()) == made and "bn" not in json.dumps(
        json.loads(made.to_json())["stages"]
    )
    assert "Conv2d(8, 8" not in write_code(made).text
    assert parse_space(space_text(made)).architecture(0) == made
    assert [str(diagram) for diagram in stage_diagrams(made.blocks())[0]] == ["x\nrelu"] * 2
    assert check_cost(made).differences == ()


def test_an_architecture_of_an_earlier_version_is_read():
    """The JSON of an earlier version, with dead layers and a digest that hashes them, is read without them."""
    dead = Block((Conv(3, 8), BatchNorm(), Scale(0.0)), Add())
    made = only(stages=ONE_STAGE, block="zero +")
    data = json.loads(made.to_json())
    data["stages"][0]["blocks"] = [dead.to_json()] * 2
    data["digest"] = "v1-" + "0" * 32
    read = Architecture.from_json(json.dumps(data), data["digest"])
    assert read == made and read.stages == made.stages


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"shortcut": "{changed: none}", "block": "conv3x3 bn + | zero +"}, "the branch is zero and the block has no"),
        (
            {"shortcut": "{same: conv3x3 zero}", "block": "zero bn + relu"},
            "stage 1: the branch and the shortcut are zero",
        ),
        ({"block": "conv3x3 bn + zero"}, "stage 1, after the merge: 'zero' is allowed only before the merge"),
        ({"stem": "conv3x3(8) zero(out=8)"}, "the stem: 'zero' is allowed only before the merge of a block"),
        ({"head": "gap zero(out=16) fc"}, "the head: 'zero' is allowed only before the merge of a block"),
        ({"transition": "zero", "block": "conv3x3 +"}, "the transition to stage 2: 'zero' is allowed only"),
    ],
)
def test_a_zero_that_no_image_passes_is_an_error(sections, message):
    """A zero on the only path through the network is an error, since the output would not depend on the image."""
    with pytest.raises(SpaceError, match=message):
        space(**sections)


@pytest.mark.parametrize("block", ["op op +", "conv1x1 bn relu op conv1x1 bn +", "conv3x3(s=s) op +", "op avgpool +"])
def test_zero_has_the_stride_as_a_convolution_has(block):
    """``zero`` is valid wherever a 3x3 convolution is, and takes the stride of the block by the same rule."""
    made = space({"op": "conv3x3 bn | zero"}, {"op": "use"}, block=block)
    assert made.validated == "all" and {made.architecture(d).output for d in made} == {(10, 1, 1)}
