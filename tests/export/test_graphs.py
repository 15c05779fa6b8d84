"""ONNX and .pt2 files run in a separate process with any batch size and agree with the network."""

from __future__ import annotations

import re
import subprocess
import sys

import onnx
import pytest
import torch

from explorer.errors import ExportError
from explorer.export import package
from explorer.export.package import export_architecture
from explorer.export.verify import formats, fresh_process
from explorer.export.verify.comparison import Exported, exported_outputs, fixed_input, max_abs_difference
from explorer.export.verify.formats import FILES, RUN, check_formats
from explorer.export.verify.graphs import graph_files
from explorer.networks.architecture import Architecture
from explorer.space.search_space import parse_space
from tests.export.spaces import HEADER, SPACES, hand_written, randomised

TOLERANCE = 1e-5
# One small network with every op and every merge of the spaces in spaces.py: writing a graph takes seconds.
EVERY_OP = """
input: 3x16x16
classes: 10
stem: conv3x3(8) in_ leaky_relu(slope=0.1) blurpool(s=2)
stages:
  - {blocks: 1, width: 8, block: 'dwconv7x7 ln conv1x1(2*w, bias=1) gelu conv1x1(bias=1) layerscale droppath(0.1) +'}
  - {blocks: 1, width: 8, block: 'conv3x3 gn(g=4) prelu se(r=4) shuffle(g=2) gate(b=-6) hardswish'}
  - {blocks: 1, width: 8, block: 'relu6 conv5x5(d=2) eca cbam(r=3) +', shortcut: {same: shortcut_gate(b=-2.5)}}
  - {blocks: 1, width: 16, stride: 2, block: 'conv1x1(8) bn relu conv3x3 bn +', shortcut: {changed: subsample}}
  - {blocks: 1, width: 16, block: 'mhsa(heads=2) silu +', shortcut: {same: scale(0.5) drop(0.5)}}
  - {blocks: 1, width: 12, block: 'maxpool3x3 avgpool3x3 conv3x3(w, g=4) +', shortcut: {same: none, changed: none}}
  - {blocks: 1, width: 4, block: 'bn relu conv3x3 cat'}
  - {blocks: 1, width: 8, block: 'wsconv3x3(w, gain=1) gelu_tanh quick_gelu selu tanh wsconv1x1 skipinit(init=0.3) +'}
  - {blocks: 1, width: 8, block: 'conv3x3 frn tlu rmsnorm star_relu grn evonorm_s0(g=4) hard_mish evonorm_b0 +'}
  - {blocks: 1, width: 8, block: 'conv3x3 se(r=4, norm=bn, bias=0) ese gc(r=2) coord_attn(r=4) simam +'}
  - {blocks: 1, width: 8, block: 'sk3x3(split=1) splat3x3(g=2) +'}
  - {blocks: 1, width: 8, block: 'mhsa(position=bias, window=4, bias=1, proj=1) linear_attn(2, scale=3) +'}
  - {blocks: 1, width: 8, block: 'zeropad(1) conv3x3(pad=0) mhsa(2, grid=2) +'}
  - {blocks: 1, width: 8, block: 'space_to_depth(2) conv1x7(4*w, pad=same) depth_to_space(2) +'}
block: conv3x3 +
head: gap fc
"""


@pytest.fixture(scope="module")
def architecture():
    return parse_space(EVERY_OP).architecture(0)


def operations(architecture: Architecture) -> set[type]:
    """The classes of all ops and merges of a network."""
    blocks = [block for stage in architecture.stages for block in stage.blocks]
    parts = [architecture.stem, architecture.head, *(stage.transition for stage in architecture.stages)]
    parts += [ops for block in blocks for ops in (block.branch, block.after, block.shortcut or (), (block.merge,))]
    return {type(op) for ops in parts for op in ops}


def test_the_network_of_these_tests_has_every_op(architecture):
    """No op and no merge of the hand-written spaces is missing in the network whose graphs are compared."""
    assert operations(architecture) >= set().union(*(operations(each) for _, each in hand_written()))


@pytest.fixture(scope="module")
def network(architecture):
    return randomised(architecture)


@pytest.fixture(scope="module")
def whole(architecture, network, tmp_path_factory, fresh):
    """An export in every format, which tests only read."""
    target = tmp_path_factory.mktemp("graphs") / "net"
    return export_architecture(architecture, target, state_dict=network.state_dict(), fresh=fresh)


def test_every_format_agrees_with_the_network(fresh, whole, network, architecture):
    """All formats are written by default, and in a new process code gives identical logits and graphs differ by at most
    1e-5."""
    assert set(FILES.values()) - {FILES["hub"]} <= set(whole.files)
    assert whole.max_abs_diff["python"] == 0.0
    assert max(whole.max_abs_diff["onnx"], whole.max_abs_diff["pt2"]) <= TOLERANCE
    (found,) = exported_outputs(fresh, [Exported(whole.directory, architecture.input, ["onnx", "pt2"])], batches=[3])
    with torch.inference_mode():
        logits = network(fixed_input(architecture.input, 3))
    for name in ("onnx", "pt2"):
        assert (found[name][3][0] - logits).abs().max() <= TOLERANCE
    assert logits.std() > 0.01


def test_without_onnx_runtime_the_reference_evaluator_is_used(tmp_path, monkeypatch):
    """Without ONNX Runtime, onnx's reference evaluator gives the network's logits within 1e-5."""
    architecture = parse_space(HEADER + SPACES["no stem, no classifier"]).architecture(0)
    network = randomised(architecture)
    data = graph_files(network, architecture.input, ["logits"], ["onnx"])["onnx"]
    (tmp_path / FILES["onnx"]).write_bytes(data)
    monkeypatch.setattr(fresh_process.importlib.util, "find_spec", lambda name: None)
    images = fixed_input(architecture.input, 2)
    (found,) = fresh_process.onnx(tmp_path)(images)
    with torch.inference_mode():
        assert (found - network(images)).abs().max() <= TOLERANCE


def test_the_onnx_file_is_valid_and_self_contained(whole):
    """The ONNX file is valid, has a variable batch size, contains its weights and names no local path."""
    path = whole.directory / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert not any(value.external_data for value in model.graph.initializer)
    (images,), (logits,) = model.graph.input, model.graph.output
    assert (images.name, logits.name) == ("images", "logits")
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in (images, logits)] == ["batch", "batch"]
    for name in ("model.onnx", "model.pt2"):
        assert str(package.__file__).rsplit("/", 3)[0].encode() not in (whole.directory / name).read_bytes()


@pytest.mark.slow
def test_the_loading_code_of_the_model_card_works(whole):
    """Each loading example of the model card, run in the exported folder, gives logits of the same shape and values."""
    card = (whole.directory / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 4 and all(len(block.splitlines()) <= 6 for block in blocks)
    program = "".join(f"{block}print(tuple(logits.shape), round(float(logits[0, 0]), 3))\n" for block in blocks)
    command = [sys.executable, "-B", "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=whole.directory, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and len(set(lines)) == 1 and lines[0].startswith("(1, 10) "), done.stdout + done.stderr


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    """Without onnx the format is left out, or, if requested, one line names the packages to install."""
    assert "onnx" in check_formats()
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    assert check_formats() == {"yaml", "python", "safetensors", "pt2"}
    with pytest.raises(ExportError, match=r"'onnx' needs onnx and onnxscript: .*pip install 'onnx>="):
        check_formats(["onnx"])


def test_a_network_that_cannot_be_traced_gives_one_line():
    """An exception in torch's exporter becomes an ExportError of one line."""

    class Branching(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match="torch cannot write the network as pt2: ") as caught:
        graph_files(Branching(), (1, 2, 2), ["logits"], ["pt2"])
    assert "\n" not in str(caught.value)


def test_the_tolerance_scales_with_the_outputs():
    """The tolerance is 1e-5, or 1e-5 of the largest output; code and shapes must agree exactly."""
    ones = {1: [torch.ones(1, 2)]}
    assert max_abs_difference("model.onnx", {1: [torch.ones(1, 2) + 5e-6]}, ones) == pytest.approx(5e-6, rel=0.1)
    large = {1: [torch.full((1, 2), 1000.0)]}
    assert max_abs_difference("model.pt2", {1: [torch.full((1, 2), 1000.005)]}, large) > TOLERANCE
    for name, found in (
        ("model.onnx", torch.ones(1, 2) + 2e-5),
        ("model.py", torch.ones(1, 2) + 1e-7),
        ("model.onnx", torch.ones(1, 3)),
    ):
        with pytest.raises(ExportError, match=name):
            max_abs_difference(name, {1: [found]}, ones)


@pytest.mark.parametrize("name", [FILES[name] for name in RUN])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_never_agree(name, value):
    """A NaN or infinity in the format, the network or both fails the comparison."""
    ones, odd = torch.ones(2, 3), torch.ones(2, 3)
    odd[1, 2] = value
    for found, own, message in (
        (odd, ones, f"{name}: its outputs are not finite for a batch of 2, the network's are"),
        (ones, odd, f"{name} cannot be compared: the network's own outputs are not finite"),
        (odd, odd, f"{name} cannot be compared"),
        (torch.full((2, 3), value), torch.full((2, 3), value), f"{name} cannot be compared"),
    ):
        with pytest.raises(ExportError, match=message):
            max_abs_difference(name, {1: [ones], 2: [ones, found]}, {1: [ones], 2: [ones, own]})
