"""Weights of other libraries are paired with a network by the order of computation and by shape."""

from __future__ import annotations

import importlib
import warnings

import pytest
import torch
from safetensors.torch import save_file

import explorer
from explorer.errors import ExportError
from explorer.space.search_space import parse_space
from tests.export.spaces import loaded, randomised

TEXT = """
input: 3x16x16
classes: 5
stem: conv3x3(8) bn relu
stages: {blocks: 2, width: [8, 16], stride: [1, 2]}
block: BLOCK
shortcut: {changed: conv1x1 bn}
head: gap fc
"""
BASIC = "conv3x3 bn relu conv3x3 bn se(r=4) + relu"
# Our module in a block -> the other library's.
NAMES = {
    "branch.0": "first.weights",
    "branch.1": "first.normal",
    "branch.3": "second.weights",
    "branch.4": "second.normal",
    "shortcut.0": "aside.0",
    "shortcut.1": "aside.1",
}


def made(block: str = BASIC):
    return parse_space(TEXT.replace("BLOCK", block)).architecture(0)


@pytest.fixture(scope="module")
def state():
    """The weights of a network, with random statistics."""
    return randomised(made(), seed=4).state_dict()


def foreign(state, first=()):
    """Return the weights under names of no known library, in the order of registration.

    Args:
        state: The weights under this package's keys.
        first: The modules that each block registers first.
    """
    renamed = {}
    for key, value in state.items():
        module, _, field = key.rpartition(".")
        parts = module.split(".")
        if parts[0] == "stages":
            inner = ".".join(parts[3:])
            name = NAMES.get(inner, inner.replace("branch.5", "gate"))
            module = f"body.{chr(97 + int(parts[1]))}.unit{int(parts[2]) + 1}.{name}"
        else:
            module = {"stem.0": "begin", "stem.1": "begin_norm", "head.1": "answer"}[module]
        renamed[f"{module}.{field}"] = value
    early = [key for key in renamed if any(f".{name}." in key for name in first)]
    order = sorted(renamed, key=lambda key: (key.rsplit(".", 3)[0], key not in early)) if early else renamed
    body = [key for key in order if key.startswith("body")]
    outside = [key for key in renamed if not key.startswith("body")]
    return {key: renamed[key] for key in [*outside[:-2], *body, *outside[-2:]]}


def assert_equal(network, state):
    found = network.state_dict()
    wrong = [key for key, value in state.items() if value.is_floating_point() and not torch.equal(found[key], value)]
    assert not wrong


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda weights: {f"module.{key}": value for key, value in weights.items()},
        lambda weights: {f"_orig_mod.module.{key}": value for key, value in weights.items()},
        lambda weights: {f"module._orig_mod.{key}": value for key, value in weights.items()},
        lambda weights: {"epoch": 1, "state_dict": {f"module.{key}": value for key, value in weights.items()}},
        lambda weights: {"model": weights},
        lambda weights: {"ema": {"module": weights}},
        lambda weights: {key: value for key, value in weights.items() if "num_batches" not in key},
        lambda weights: {**weights, "body.table": torch.arange(4)},
        lambda weights: {key: v[..., None, None] if key == "answer.weight" else v for key, v in weights.items()},
        lambda weights: {key: v.flatten(1) if "gate" in key and v.dim() == 4 else v for key, v in weights.items()},
    ],
)
def test_any_names_are_paired_by_order(state, wrap):
    """Other names, wrappers, prefixes, missing counters, index tables, and 1x1 convolutions for linear layers."""
    assert_equal(explorer.load_weights(made(), wrap(foreign(state)), by_order=True), state)


def test_a_shortcut_may_be_registered_first(state):
    """Shortcuts are found by the blocks that have one, wherever they are registered: here with the branch's shapes."""
    block = "conv1x1 bn relu conv1x1 bn + relu"
    wanted = randomised(made(block), seed=2).state_dict()
    weights = foreign(wanted, first=["aside"])
    keys = list(weights)
    assert keys.index("body.b.unit1.aside.0.weight") < keys.index("body.b.unit1.first.weights.weight")
    assert weights["body.b.unit1.aside.0.weight"].shape == weights["body.b.unit1.first.weights.weight"].shape
    assert_equal(explorer.load_weights(made(block), weights, by_order=True), wanted)


def test_a_file_without_order_is_paired_by_the_numbers_in_its_names(tmp_path):
    """A file keeps no order: units 2 and 10 are in numeric order, and the shortcut is found."""
    text = TEXT.replace("blocks: 2", "blocks: 11").replace("BLOCK", "conv3x3 bn relu +")
    architecture = parse_space(text).architecture(0)
    wanted = randomised(architecture, seed=6).state_dict()
    weights = foreign(wanted)
    assert "body.a.unit10.first.weights.weight" in weights
    save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / "net.safetensors")
    assert_equal(explorer.load_weights(architecture, tmp_path / "net.safetensors", by_order=True), wanted)


def test_an_open_order_in_a_file_is_an_error(tmp_path, state):
    """Two layers of equal shapes, whose names have no order: the error names both and the way out."""
    weights = {key: value.contiguous() for key, value in foreign(state).items()}
    save_file(weights, tmp_path / "net.safetensors")
    with pytest.raises(ExportError) as caught:
        explorer.load_weights(made(), tmp_path / "net.safetensors", by_order=True)
    said = str(caught.value)
    assert "'body.a.unit1.first.weights' and 'body.a.unit1.second.weights' have equal shapes" in said
    assert "'stages.0.0.branch.0'" in said and "state_dict()" in said and "\n" not in said
    assert_equal(explorer.load_weights(made(), weights, by_order=True), state)  # a dict has an order


def test_skip_and_skipbn_are_a_shortcut():
    """Layers of those names, registered before a branch with norms of the same shape, are paired with the shortcut."""
    text = TEXT.replace("{blocks: 2, width: [8, 16], stride: [1, 2]}", "{blocks: 1, width: 16}")
    architecture = parse_space(text.replace("BLOCK", BASIC)).architecture(0)
    wanted = randomised(architecture, seed=7).state_dict()
    early = sorted(wanted, key=lambda key: "shortcut" not in key)
    names = {key: key.replace("shortcut.0", "skip").replace("shortcut.1", "skipbn") for key in early}
    weights = {names[key]: wanted[key] for key in early}
    assert_equal(explorer.load_weights(architecture, weights, by_order=True), wanted)


def test_a_norm_is_paired_beside_its_convolution():
    """Parallel paths may be registered in another order: a module of a convolution and a norm is paired as a whole."""
    wanted = randomised(made("sum(conv3x3 bn, conv1x1 bn) + relu"), seed=4).state_dict()
    names = {"branch.0.0.0": "wide.conv", "branch.0.0.1": "wide.norm", "branch.0.1.0": "thin.conv"}
    names |= {"branch.0.1.1": "thin.norm"}
    weights = {}
    for key in sorted(wanted, key=lambda key: "branch.0.0" in key):  # the 1x1 convolution is registered first
        for own, other in names.items():
            key_of_library = key.replace(own, other)
            if key_of_library != key:
                break
        weights[key_of_library] = wanted[key]
    with pytest.warns(UserWarning, match="Compare the outputs of both networks"):
        network = explorer.load_weights(made("sum(conv3x3 bn, conv1x1 bn) + relu"), weights, by_order=True)
    assert_equal(network, wanted)


@pytest.mark.parametrize("weights", [None, [1], torch.nn.Linear(2, 2)])
@pytest.mark.parametrize("by_order", [False, True])
def test_anything_but_a_state_dict_or_a_path_is_refused(weights, by_order):
    """The error says what is expected, such as the state dict of a module."""
    with pytest.raises(ExportError, match=r"expected module.state_dict\(\) or the path of a safetensors file"):
        explorer.load_weights(made(), weights, by_order=by_order)


def test_missing_statistics_are_reported(state):
    """Without running means and variances the initial ones are kept, and a warning says so."""
    weights = {key: value for key, value in foreign(state).items() if "running" not in key}
    with pytest.warns(UserWarning, match=r"no running means and variances. The 10 norms .* keep mean 0 and variance 1"):
        network = explorer.load_weights(made(), weights, by_order=True)
    assert_equal(network, {key: value for key, value in state.items() if "running" not in key})
    assert not network.state_dict()["stem.1.running_mean"].any()


def without(key):
    return lambda weights: {name: value for name, value in weights.items() if not name.startswith(key)}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda w: {**w, "body.a.unit2.first.weights.weight": torch.zeros(8, 8, 5, 5)},
            r"differ at step 9 .* network has 'stages\.0\.1\.branch\.0' \(weight \(8, 8, 3, 3\)\), the weights have"
            r" 'body\.a\.unit2\.first\.weights' \(weight \(8, 8, 5, 5\)\); they are of another network",
        ),
        (without("body.b.unit2.second.weights"), r"differ at step 25 .*'stages\.1\.1\.branch\.3' \(weight \(16, 16"),
        (without("answer"), r"'head\.1' \(weight \(5, 16\), bias \(5,\)\), the weights have no layer more"),
        (lambda w: {**w, "more.weight": torch.zeros(3, 3)}, r"hold 'more' \(weight \(3, 3\)\), for which the network"),
        (without("body.a.unit1.first.normal.running_mean"), "step 2 |step 4 "),
        (
            lambda w: {key: value.permute([*range(value.dim())][::-1]) for key, value in w.items()},
            r"their axes are in another order, as in TensorFlow; permute them to \(outputs, inputs, height, width\)",
        ),
        (lambda w: {**w, "begin.bias": torch.zeros(8)}, "they differ in biases, which bias=1 adds"),
        (
            lambda w: {**w, "answer.weight": torch.zeros(1000, 16), "answer.bias": torch.zeros(1000)},
            "they have 1000 outputs in place of 5: set the number of classes",
        ),
        (
            lambda w: {**w, "ema.begin.weight": w["begin.weight"]},
            "leave out the keys of what the network does not have",
        ),
        (lambda w: {key: value.to(torch.int8) for key, value in w.items()}, "are torch.int8, expected floating-point"),
        (lambda w: {**w, "begin.weight": 3}, "'begin.weight' is a int, expected a tensor"),
        (lambda w: {key: v.double() for key, v in w.items()}, r"convert it with \.float\(\)"),
        (lambda w: {**w, "answer.bias": w["answer.bias"] * float("nan")}, "not finite"),
    ],
)
def test_weights_of_another_network_are_rejected(state, spoil, message):
    """A layer too few, too many or of another shape: the error names the first step at which both differ."""
    with pytest.raises(ExportError, match=message) as caught:
        explorer.load_weights(made(), spoil(foreign(state)), by_order=True)
    assert "\n" not in str(caught.value)


def test_a_3x3_convolution_is_not_a_wider_1x1(state):
    """As many elements are not the same shape."""
    weights = foreign(state)
    weights["body.a.unit1.first.weights.weight"] = torch.zeros(8, 72, 1, 1)
    with pytest.raises(ExportError, match=r"the weights have 'body\.a\.unit1\.first\.weights' \(weight \(8, 72, 1, 1"):
        explorer.load_weights(made(), weights, by_order=True)


def test_swapped_layers_of_equal_shapes_are_not_detected_but_another_order_of_kinds_is_reported(state):
    """Swapped convolutions of equal shapes load without a word, as docs/how_to/export.md says; a norm that is
    registered before the convolution that this network computes first gives a warning."""
    weights = foreign(state)
    one, two = (f"body.a.unit1.{name}.weights.weight" for name in ("first", "second"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded_ = explorer.load_weights(made(), {**weights, one: weights[two], two: weights[one]}, by_order=True)
    assert torch.equal(loaded_.state_dict()["stages.0.0.branch.0.weight"], weights[two])
    early = foreign(state, first=["first.normal"])
    with pytest.warns(UserWarning, match="hold 'body.a.unit1.first.normal' before 'body.a.unit1.first.weights'"):
        explorer.load_weights(made(), early, by_order=True)


def test_a_failed_load_suggests_the_order_if_it_pairs_all(state):
    """The message of a load by name suggests --by-order only where it works."""
    with pytest.raises(ExportError, match=r"lack .stem\.0\.weight.* --by-order .* pairs all 68 tensors"):
        explorer.load_weights(made(), foreign(state))
    with pytest.raises(ExportError) as caught:
        explorer.load_weights(made(), without("answer")(foreign(state)))
    assert "--by-order" not in str(caught.value)


def test_pairs_are_listed_in_the_order_of_computation(state):
    """A pair names both tensors and the shape in the network; the pairing itself can be loaded."""
    pairing = explorer.pair_weights(made(), foreign(state))
    assert pairing.pairs[0] == ("begin.weight", "stem.0.weight", (8, 3, 3, 3))
    assert [pair.ours for pair in pairing.pairs] == [key for key, v in state.items() if v.is_floating_point()]
    assert_equal(explorer.load_weights(made(), pairing), state)
    with pytest.raises(ExportError, match=r"lack|hold"):
        explorer.load_weights(made("conv3x3 bn relu + relu"), pairing)


# Space, its derivation, the library, its network, the side of the images.
PUBLISHED = [
    ("resnet", "block=bottleneck, entry=tiered, down=pooled", "timm", "resnet26t", 64),
    ("resnet", "", "torchvision", "resnet18", 64),
    ("resnetv2", "", "timm", "resnetv2_18", 64),
    ("botnet", "", "timm", "botnet26t_256", 256),
    ("convnext", "depth@stage3=6", "timm", "convnext_atto", 64),
    ("densenet", "", "timm", "densenet121", 64),
    ("efficientnet", "", "timm", "efficientnet_b0", 64),
    ("mnasnet", "", "timm", "mnasnet_100", 64),
    ("mobilenet_v2", "", "torchvision", "mobilenet_v2", 64),
    ("mobilenet_v3", "", "timm", "mobilenetv3_large_100", 64),
    ("mobilenet_v3_small", "", "timm", "mobilenetv3_small_100", 64),
    ("regnet_x", "", "timm", "regnetx_002", 64),
    ("regnet_y", "", "timm", "regnety_002", 64),
    (
        "regnet_y",
        "group=16, groups1=4, groups2=9, groups3=20, groups4=49, depth2=3, depth3=8, depth4=2",
        "torchvision",
        "regnet_y_800mf",
        64,
    ),
]


@pytest.mark.parametrize(("space", "choices", "library", "name", "side"), PUBLISHED)
def test_networks_of_libraries_give_the_same_logits(tmp_path, space, choices, library, name, side):
    """From a state dict and from a file, an installed library's network and the explorer's agree within 1e-4."""
    try:
        module = importlib.import_module(library)
    except (ImportError, RuntimeError) as error:  # torchvision's operators are compiled for one build
        pytest.skip(f"{library} cannot be imported: {error}")
    make = module.create_model if library == "timm" else getattr(module.models, name)
    torch.manual_seed(0)
    theirs = (make(name, num_classes=10) if library == "timm" else make(num_classes=10)).eval()
    for key, value in theirs.state_dict().items():
        if key.endswith("running_var"):
            value.copy_(torch.rand(value.shape) + 0.5)
        elif value.dim() == 1:
            value.add_(torch.randn(value.shape) / 4)
    made_space = loaded(f"published/{space}.yaml").with_input((3, side, side), 10)
    architecture = made_space.architecture(choices or 0)
    save_file({key: value.contiguous() for key, value in theirs.state_dict().items()}, tmp_path / "net.safetensors")
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        logits = theirs(x)
        for weights in (theirs.state_dict(), tmp_path / "net.safetensors"):
            found = explorer.load_weights(architecture, weights, by_order=True)(x)
            assert logits.std() > 0 and (found - logits).abs().max() <= 1e-4 * max(1, logits.abs().max())
