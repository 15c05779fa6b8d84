"""``--formats hub``: the files by which an export is a repository of the Hugging Face hub and a model of timm."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from ruamel.yaml import YAML

from explorer.export.package import export_architecture
from explorer.export.verify.formats import check_formats
from explorer.space.search_space import load_space

DATA = {"name": "cifar10", "mean": [0.49, 0.48, 0.45], "std": [0.25, 0.24, 0.26]}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export of a network for CIFAR-10 with its accuracy."""
    architecture = load_space("preact_variants.yaml").architecture(0)
    folder = tmp_path_factory.mktemp("hub") / "net"
    from explorer.networks.build import build_network

    state = build_network(architecture, seed=3).state_dict()
    return export_architecture(
        architecture, folder, state_dict=state, formats="hub", provenance={"data": DATA}, accuracy=0.875
    )


def test_the_config_and_the_card_describe_the_network(exported):
    """config.json has name, input, classes and normalisation; the card begins with metadata that YAML reads."""
    architecture = exported.architecture
    config = json.loads((exported.directory / "config.json").read_text())
    found = config["pretrained_cfg"]
    assert (config["digest"], config["num_classes"]) == (architecture.digest, architecture.classes)
    assert (found["input_size"], found["mean"], found["std"]) == (list(architecture.input), DATA["mean"], DATA["std"])
    empty, head, card = (exported.directory / "README.md").read_text().split("---\n", 2)
    metadata = YAML(typ="safe").load(head)
    assert empty == "" and card.lstrip().startswith("# Residual network")
    assert metadata["pipeline_tag"] == "image-classification" and metadata["datasets"] == ["uoft-cs/cifar10"]
    (result,) = metadata["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.875}]
    assert {"model.py", "model.safetensors", "timm_model.py"} <= set(exported.files)


def test_hub_is_chosen_explicitly_and_includes_code_and_weights():
    """By default no files of the hub are written; ``hub`` alone includes what its files need."""
    assert "hub" not in check_formats() and check_formats("hub") == {"hub", "python", "safetensors"}


def test_timm_creates_the_network(exported):
    """After an import of timm_model.py timm creates the network with its weights; another head is an error."""
    pytest.importorskip("timm", reason="timm is not installed")
    program = """
import sys
sys.path.insert(0, ".")
import json, timm, timm_model, torch
from timm.data import resolve_data_config
name = json.load(open("config.json"))["architecture"]
net = timm.create_model(name, pretrained=True).eval()
torch.save(net(torch.ones(2, *net.pretrained_cfg["input_size"])), "out.pt")
print(resolve_data_config(net.pretrained_cfg)["mean"])
try:
    timm.create_model(name, num_classes=3)
except ValueError as error:
    print("--head-classes" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=exported.directory, capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == [str(tuple(DATA["mean"])), "True"], done.stderr
    from explorer.export.weights import load_weights

    network = load_weights(exported.architecture, exported.directory / "model.safetensors").eval()
    expected = network(torch.ones(2, *exported.architecture.input))
    assert torch.equal(torch.load(exported.directory / "out.pt"), expected)
