"""Backbones and new heads for transfer learning, from the exported folder alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from explorer.data.dataset import load_data
from explorer.errors import ExportError
from explorer.export.manifest import check_package
from explorer.export.package import export_architecture
from explorer.export.transfer import Backbone, Subject, feature_maps, replace_classifier
from explorer.space.search_space import load_space, parse_space
from explorer.training.run import train_architecture
from tests.export.generated_code import imported
from tests.export.spaces import HEADER, SPACES, loaded, randomised

QUICK = ("python", "safetensors")


@pytest.fixture(scope="module")
def architecture():
    space = load_space("preact_variants.yaml").with_input((3, 16, 16), 10)
    return space.architecture(space.named({"order": "full_preact", "attn": "se(r=4)", "depth": "2"}))


@pytest.mark.parametrize(
    ("name", "reductions"),
    [
        ("published/resnet.yaml", [4, 8, 16, 32]),
        ("published/convnext.yaml", [4, 8, 16, 32]),
        ("published/densenet.yaml", [4, 8, 16, 32]),
        ("published/mobilenet_v2.yaml", [2, 4, 8, 16, 16, 32, 32]),
        ("published/cifar_resnet.yaml", [1, 2, 4]),
    ],
)
def test_reductions_are_products_of_strides(name, reductions):
    """Each stage's reduction equals the published network's, whichever op has the stride."""
    architecture = loaded(name).architecture(0)
    maps = feature_maps(architecture, range(1, len(reductions) + 1))
    assert [feature.reduction for feature in maps] == reductions
    assert [feature.shape for feature in maps] == architecture.stage_shapes()[1:]
    side = architecture.input.height
    assert [side // feature.shape.height for feature in maps] == reductions


def test_a_reduction_is_the_stride_if_sides_do_not_divide():
    """30 pixels with two strides of 2 give 8 per side and a reduction of 4."""
    architecture = loaded("published/cifar_resnet.yaml").with_input((3, 30, 30), 10).architecture(0)
    (feature,) = feature_maps(architecture, [3])
    assert (feature.shape.height, feature.reduction) == (8, 4)


def test_a_backbone_returns_the_maps_of_its_stages(architecture, tmp_path, fresh):
    """The exported backbone returns the network's own feature maps, and its metadata describes them."""
    network = randomised(architecture)
    seen = {}
    for number, stage in enumerate(network.stages, 1):
        stage.register_forward_hook(lambda module, arguments, y, number=number: seen.update({number: y}))
    done = export_architecture(
        architecture, tmp_path / "net", state_dict=network.state_dict(), formats=QUICK, features=(3, 1), fresh=fresh
    )
    module = imported((done.directory / "model.py").read_text(), tmp_path)
    backbone = module.Network()
    backbone.load_state_dict(load_file(done.directory / "model.safetensors"))
    x = torch.randn(2, *architecture.input)
    with torch.inference_mode():
        network(x)
        maps = backbone.eval()(x)
    assert isinstance(maps, list) and all(torch.equal(y, seen[k]) for y, k in zip(maps, (1, 3), strict=True))
    assert backbone.out_indices == (1, 3)
    assert [info["num_chs"] for info in backbone.feature_info] == [y.shape[1] for y in maps]
    assert [x.shape[2] // info["reduction"] for info in backbone.feature_info] == [y.shape[2] for y in maps]
    for info, y in zip(backbone.feature_info, maps):
        found = []
        backbone.get_submodule(info["module"]).register_forward_hook(lambda m, a, out, found=found: found.append(out))
        backbone(x)
        assert torch.equal(found[0], y)
    assert not any(key.startswith("head") for key in backbone.state_dict())
    package = check_package(done.directory)
    assert (package.features, package.accuracy) == ((1, 3), None)
    assert package.costs["params"] == sum(parameter.numel() for parameter in backbone.parameters())


def test_stages_after_the_last_map_are_removed(architecture):
    """A backbone of stage 2 has two stages, and the costs of all stages add up to the network's without its head."""
    backbone = Backbone(randomised(architecture), feature_maps(architecture, [2]))
    assert len(backbone.stages) == 2 and backbone.out_indices == (2,)
    for stages, whole in (([2], False), ([3], False), ([], True)):
        subject = Subject(architecture, feature_maps(architecture, stages))
        assert subject.whole == whole
        parts = {layer.path.split(".")[0] for layer in subject.layers()}
        assert parts == {
            "stem",
            *(f"stage{k}" for k in range(1, max(stages, default=3) + 1)),
            *(["head"] if whole else []),
        }


@pytest.mark.parametrize("stages", [[0], [4], [-1], [1, 1]])
def test_invalid_stages_are_rejected(architecture, stages):
    """A stage that does not exist or is named twice gives one line."""
    with pytest.raises(ExportError, match=f"stage {stages[0]}"):
        feature_maps(architecture, stages)


def test_a_new_head_changes_only_the_classifier(architecture):
    """For 7 classes the last layer is new, initialised and of the right shape, and every other weight is unchanged."""
    network = randomised(architecture)
    made, state = replace_classifier(architecture, network.state_dict(), 7)
    old = network.state_dict()
    assert (made.classes, made.output) == (7, (7, 1, 1)) and state.keys() == old.keys()
    changed = {key for key in old if not torch.equal(old[key], state[key])}
    assert changed == {key for key in old if key.startswith("head.3.")}
    assert state["head.3.weight"].shape == (7, 64) and not state["head.3.bias"].any()


def test_a_head_that_ends_with_a_convolution_is_replaced():
    """The layer with one output per class is found before a pooling too, and a head without one is rejected."""
    text = HEADER + SPACES["no stem, no classifier"]
    made, state = replace_classifier(parse_space(text).architecture(0), None, 9)
    assert made.output == (9, 1, 1) and state["head.0.weight"].shape[0] == 9
    bare = "input: 3x8x8\nclasses: 4\nstem: none\nstages: {blocks: 1, width: 4}\nblock: conv3x3 +\nhead: gap\n"
    with pytest.raises(ExportError, match="no layer with one output per class"):
        replace_classifier(parse_space(bare).architecture(0), None, 9)


def test_features_and_a_new_head_exclude_each_other(architecture, tmp_path):
    """A backbone has no head to replace."""
    with pytest.raises(ExportError, match="a backbone has no head"):
        export_architecture(architecture, tmp_path / "net", features=[1], head_classes=3)


def test_the_code_of_a_backbone_is_formatted(tmp_path):
    """Backbones of several spaces, of one stage and of all, are formatted and pass lint like full networks."""
    from explorer.export.model_py.code import write_code
    from explorer.export.verify.check import check_code

    for number, name in enumerate(("published/densenet.yaml", "published/botnet.yaml", "published/mobilenet_v2.yaml")):
        architecture = loaded(name).architecture(0)
        for stages in ([2], range(1, len(architecture.stages) + 1)):
            code = write_code(architecture, feature_maps(architecture, stages))
            check_code(code)
            assert "class Head" not in code.text and "images to feature maps." in code.text
            (tmp_path / f"model_{number}_{len(stages)}.py").write_text(code.text)
    run = [sys.executable, "-m", "ruff"]
    form = [*run, "format", "--isolated", "--line-length", "100", "--diff", str(tmp_path)]
    lint = [*run, "check", "--isolated", "--line-length", "100", "--select", "E,F,W,I,ARG,B,SIM,RET,N", str(tmp_path)]
    for command in (form, lint):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[:2000]


@pytest.mark.slow
def test_a_backbone_exports_to_a_graph(tmp_path, fresh):
    """ONNX and .pt2 files of a backbone return its feature maps, one output per stage."""
    stages = "stem: conv3x3(4)\nstages: {blocks: 1, width: [4, 6, 8]}\n"
    small = parse_space(f"{HEADER}{stages}block: conv3x3 bn relu +\nhead: gap fc\n").architecture(0)
    done = export_architecture(small, tmp_path / "net", formats=("onnx", "pt2"), features=(2, 3), fresh=fresh)
    assert max(done.max_abs_diff.values()) <= 1e-5 and set(done.max_abs_diff) == {"onnx", "pt2"}
    import onnx

    model = onnx.load(done.directory / "model.onnx")
    assert [value.name for value in model.graph.output] == ["stage2", "stage3"]


FINE_TUNE = """
import json, sys
import torch
from safetensors.torch import load_file
from model import Network

torch.set_num_threads(1)
torch.manual_seed(0)
network = Network()
network.load_state_dict(load_file("model.safetensors"))
data = load_file(sys.argv[1])
optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)

def accuracy():
    network.eval()
    with torch.inference_mode():
        return (network(data["test_x"]).argmax(1) == data["test_y"]).float().mean().item()

reached, losses = [accuracy()], []
for epoch in range(2):
    network.train()
    for batch in torch.randperm(len(data["x"])).split(32):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(data["x"][batch]), data["y"][batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    reached.append(accuracy())
print(json.dumps({"reached": reached, "losses": losses, "modules": sorted(sys.modules)}))
"""


@pytest.mark.slow
def test_an_exported_network_is_fine_tuned_on_another_data_set(tmp_path, fresh):
    """A network trained on digits, exported with a new classifier, learns cluttered digits from its folder without this
    package."""
    text = """
input: 1x8x8
classes: 10
stem: conv3x3(16) bn relu
stages: {blocks: 1, width: [16, 32], stride: [1, 2]}
block: conv3x3 bn relu conv3x3 bn +
head: gap fc
"""
    architecture = parse_space(text).architecture(0)
    trained = train_architecture(architecture, load_data("digits"), epochs=6, threads=1)
    done = export_architecture(
        architecture,
        tmp_path / "net",
        state_dict=trained.network.state_dict(),
        formats=QUICK,
        head_classes=10,
        fresh=fresh,
    )
    assert "The classifier is not trained" in (done.directory / "README.md").read_text()
    other = load_data("cluttered-digits")
    tensors = {}
    for split, prefix in ((other.train, ""), (other.test, "test_")):
        tensors[f"{prefix}x"] = (torch.tensor(split.images).float() / 255 - other.mean[0]) / other.std[0]
        tensors[f"{prefix}y"] = torch.tensor(split.labels).long()
    save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / "data.safetensors")
    command = [sys.executable, "-B", "-c", FINE_TUNE, str(tmp_path / "data.safetensors")]
    ran = subprocess.run(command, cwd=done.directory, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert not any(re.match(r"explorer(\.|$)", name) for name in told["modules"])
    assert sum(told["losses"][-5:]) < sum(told["losses"][:5])
    assert told["reached"][2] > max(0.15, told["reached"][0]), told["reached"]
