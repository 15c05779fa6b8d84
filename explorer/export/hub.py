"""Files by which an export is a repository of the Hugging Face hub and a model of timm.

``config.json`` and the metadata at the head of ``README.md`` are what the hub reads; ``timm_model.py`` registers the
network in timm. The folder can be pushed as it is: ``huggingface-cli upload USER/NAME FOLDER``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from explorer.export.transfer import Subject

CONFIG, TIMM = "config.json", "timm_model.py"
DATASETS = {  # the hub's names of public data sets
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
}

TIMM_CODE = '''\
"""The network as a model of timm: import this file, then ``timm.create_model({name!r}, pretrained=True)``."""

import importlib.util
import json
from pathlib import Path

from safetensors.torch import load_file
from timm.models import register_model

FOLDER = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("{name}_network", FOLDER / "model.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


@register_model
def {name}(pretrained=False, **options):
    """Return the network; its images, classes and normalisation are in ``pretrained_cfg``."""
    given = {{key: value for key, value in options.items() if value is not None and not key.startswith("pretrained_")}}
    given.pop("cache_dir", None)
    config = json.loads((FOLDER / "config.json").read_text())
    if given.pop("num_classes", config["num_classes"]) != config["num_classes"] or given:
        raise ValueError("the network is fixed: export it with --head-classes or --features for another head")
    network = _module.Network()
    if pretrained:
        network.load_state_dict(load_file(FOLDER / "model.safetensors"))
    network.num_classes = config["num_classes"]
    network.pretrained_cfg = network.default_cfg = {{"architecture": "{name}", **config["pretrained_cfg"]}}
    return network
'''


def model_name(digest: str) -> str:
    """Return the name of a network in timm, from its digest: ``residual_v1_0123456789ab``."""
    version, _, rest = digest.partition("-")
    return f"residual_{version}_{rest[:12]}".replace("-", "_").lower()


def config_text(subject: Subject, provenance: Mapping[str, Any]) -> str:
    """Return ``config.json``: the network's name, its inputs and its classes, as timm writes it for the hub.

    Args:
        subject: The exported network.
        provenance: Its origin; ``data`` may have the mean and standard deviation of each channel.
    """
    architecture = subject.architecture
    data = provenance.get("data") if isinstance(provenance.get("data"), Mapping) else {}
    channels = architecture.input.channels
    classes = 0 if subject.features else architecture.classes
    mean, std = ((data or {}).get(key) for key in ("mean", "std"))
    config = {
        "architecture": model_name(architecture.digest),
        "digest": architecture.digest,
        "num_classes": classes,
        "pretrained_cfg": {
            "input_size": list(architecture.input),
            "fixed_input_size": True,
            "num_classes": classes,
            "mean": mean or [0.0] * channels,
            "std": std or [1.0] * channels,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "custom_load": False,
        },
        "costs": dict(subject.costs),
    }
    return json.dumps(config, indent=1) + "\n"


def timm_code(digest: str) -> str:
    """Return ``timm_model.py``, which registers the network in timm.

    Args:
        digest: The digest of the network.
    """
    return TIMM_CODE.format(name=model_name(digest))


def card_metadata(subject: Subject, provenance: Mapping[str, Any], accuracy: float | None) -> str:
    """Return the metadata at the head of the model card, as YAML between two lines of ``---``.

    Args:
        subject: The exported network.
        provenance: Its origin.
        accuracy: The accuracy that it reached with these weights, 0 to 1; None if it is unknown.
    """
    data = provenance.get("data") if isinstance(provenance.get("data"), Mapping) else {}
    named = str((data or {}).get("name") or "")
    task = "image-feature-extraction" if subject.features else "image-classification"
    tags = [task, "residual-network", "neural-architecture-search", *([] if subject.trained else ["untrained"])]
    metadata: dict[str, Any] = {"library_name": "timm", "pipeline_tag": task, "tags": tags}
    if named in DATASETS:
        metadata["datasets"] = [DATASETS[named]]
    if accuracy is not None and named:
        metadata["metrics"] = ["accuracy"]
        result = {
            "task": {"type": task},
            "dataset": {"name": named, "type": DATASETS.get(named, named)},
            "metrics": [{"type": "accuracy", "value": round(accuracy, 6)}],
        }
        metadata["model-index"] = [{"name": model_name(subject.architecture.digest), "results": [result]}]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=True)}" for key, value in metadata.items()]  # JSON is YAML
    return "\n".join(["---", *lines, "---", "", ""])
