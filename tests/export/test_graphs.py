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
from explorer.export.verify.comparison import Exported, exported_outputs, fixed_input, max_abs_difference, own_outputs
from explorer.export.verify.formats import FILES, RUN, check_formats
from explorer.export.verify.graphs import graph_files
from explorer.space.search_space import load_space
from tests.export.spaces import hand_written, randomised

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def architecture():
    space = load_space("preact_variants.yaml").with_input((3, 16, 16), 10)
    return space.architecture(space.named({"order": "preact_bottleneck", "attn": "se(r=4)"}))


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
    assert set(FILES.values()) <= set(whole.files)
    assert whole.max_abs_diff["python"] == 0.0
    assert max(whole.max_abs_diff["onnx"], whole.max_abs_diff["pt2"]) <= TOLERANCE
    (found,) = exported_outputs(fresh, [Exported(whole.directory, architecture.input, ["onnx", "pt2"])], batches=[3])
    with torch.inference_mode():
        logits = network(fixed_input(architecture.input, 3))
    for name in ("onnx", "pt2"):
        assert (found[name][3][0] - logits).abs().max() <= TOLERANCE
    assert logits.std() > 0.01


def test_without_onnx_runtime_the_reference_evaluator_is_used(whole, network, architecture, monkeypatch):
    """Without ONNX Runtime, onnx's reference evaluator gives the network's logits within 1e-5."""
    monkeypatch.setattr(fresh_process.importlib.util, "find_spec", lambda name: None)
    images = fixed_input(architecture.input, 2)
    (found,) = fresh_process.onnx(whole.directory)(images)
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
    """Without onnx the format is left out, or, if requested, one line names the extra to install."""
    assert "onnx" in check_formats()
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    assert check_formats() == {"yaml", "python", "safetensors", "pt2"}
    with pytest.raises(ExportError, match=r"'onnx' needs onnx and onnxscript: pip install 'explorer\[export\]'"):
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


@pytest.mark.slow
def test_every_kind_of_network_exports_to_a_graph(tmp_path, fresh):
    """For one network of each hand-written space, with every op and merge, both graphs agree within 1e-5."""
    folders, expected = [], []
    for number, (_, architecture) in enumerate(dict(hand_written_kinds()).items()):
        network = randomised(architecture, seed=number)
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, data in graph_files(network, architecture.input, ["logits"], ["onnx", "pt2"]).items():
            (folder / FILES[name]).write_bytes(data)
        folders.append(Exported(folder, architecture.input, ["onnx", "pt2"]))
        expected.append(own_outputs(network, architecture.input))
    outputs = exported_outputs(fresh, folders)
    for of, own in zip(outputs, expected):
        for name in ("onnx", "pt2"):
            assert max_abs_difference(FILES[name], of[name], own) <= 1e-4


def hand_written_kinds():
    """Return (kind, network) for the last network drawn of each kind."""
    return ((label.rpartition(" ")[0], architecture) for label, architecture in hand_written())
