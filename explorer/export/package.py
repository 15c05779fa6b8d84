"""Export of an architecture to a self-contained folder.

The folder is written under a temporary name, checked and renamed, so that it is complete or absent.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from explorer.errors import ExportError
from explorer.export.card import model_card
from explorer.export.hub import TIMM, card_metadata, config_text, timm_code
from explorer.export.manifest import ARCHITECTURE, FORMAT, MANIFEST, PROVENANCE, check_target
from explorer.export.model_py.code import write_code
from explorer.export.own_ops import own_ops
from explorer.export.space_file import space_text
from explorer.export.transfer import Backbone, Subject, feature_maps, replace_classifier
from explorer.export.verify.check import check_code
from explorer.export.verify.comparison import Exported, exported_outputs, max_abs_difference, own_outputs
from explorer.export.verify.formats import FILES, RUN, check_formats
from explorer.export.verify.graphs import graph_files
from explorer.export.verify.process import FreshProcess
from explorer.export.weights import load_weights, weight_bytes
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network
from explorer.system.files import sweep, whole_folder, write_atomically

STALE_SECONDS = 3600  # older temporary folders belong to exports that were killed


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A written export.

    Attributes:
        directory: The folder.
        architecture: The exported architecture; with ``head_classes`` it has the new classifier.
        files: Names of the files in the folder.
        max_abs_diff: Format -> largest difference between its outputs and the network's, for formats that can be run.
    """

    directory: Path
    architecture: Architecture
    files: tuple[str, ...]
    max_abs_diff: Mapping[str, float]


def export_architecture(
    architecture: Architecture,
    directory: str | os.PathLike[str],
    *,
    state_dict: Mapping[str, Tensor] | None = None,
    formats: Iterable[str] | None = None,
    features: Iterable[int] = (),
    head_classes: int | None = None,
    provenance: Mapping[str, Any] | None = None,
    accuracy: float | None = None,
    fresh: FreshProcess | None = None,
) -> ExportResult:
    """Export a network to a folder, with its model card and a manifest.

    The folder appears when all files are written and checked: ``model.py`` is parsed; code, ONNX and .pt2 run in a
    fresh process with batches of 1, 2 and 7. An unchanged earlier export is replaced.

    Args:
        architecture: The network.
        directory: The folder: absent, empty, or an unchanged earlier export.
        state_dict: Weights, with any keys that ``load_weights`` accepts; by default the initialisation of seed 0,
            which the model card states.
        formats: Of yaml, python, safetensors, onnx, pt2 and hub; by default all but hub whose packages are
            installed.
        features: Stages, from 1. If given, the export is a backbone without a head that returns their feature maps.
        head_classes: Number of classes of a new, untrained classifier; by default the network keeps its own.
        provenance: The origin of the network (study, trial, accuracy, data, recipe, environment), any JSON values. They
            go to the model card and ``provenance.json`` only.
        accuracy: Accuracy that the network reached with these weights, 0 to 1.
        fresh: A process in which the files are run, to share it between exports; by default a new one.

    Returns:
        The written folder.

    Raises:
        ExportError: The folder holds anything else, the weights are of another network, outputs differ by more than
            ``max_abs_difference`` allows, or a file cannot be written.
    """
    chosen = check_formats(formats)
    target = check_target(directory)
    maps = feature_maps(architecture, features)
    if maps and head_classes is not None:
        raise ExportError("a backbone has no head; choose features or a number of classes")
    recorded = _as_json(provenance or {})
    runnable = [name for name in RUN if name in chosen]
    own_process = fresh is None and runnable
    with FreshProcess() if own_process else nullcontext(fresh) as fresh:  # it imports torch while the network is built
        network = build_network(architecture) if state_dict is None else load_weights(architecture, state_dict)
        if head_classes is not None:
            architecture, state = replace_classifier(architecture, network.state_dict(), head_classes)
            network = load_weights(architecture, state)
        subject = Subject(architecture, maps, head_classes, trained=state_dict is not None)
        module = (Backbone(network, maps) if maps else network).eval()
        fields = {
            "features": [feature.stage for feature in maps],
            "trained": subject.trained,
            "accuracy": accuracy if subject.whole else None,
            "costs": subject.costs,
            "provenance": recorded,
        }
        try:
            with whole_folder(target) as folder:
                write = _Writer(folder)
                space = space_text(architecture) if "yaml" in chosen else ""
                _write_network(write, subject, module, space, chosen)
                differences: dict[str, float] = {}
                if fresh is not None and runnable:
                    (found,) = exported_outputs(fresh, [Exported(folder, architecture.input, runnable)])
                    expected = own_outputs(module, architecture.input)
                    differences = {name: max_abs_difference(FILES[name], found[name], expected) for name in runnable}
                if "safetensors" not in chosen:
                    write.remove(FILES["safetensors"])
                head = ""
                if "hub" in chosen:
                    write(FILES["hub"], config_text(subject, recorded))
                    write(TIMM, timm_code(architecture.digest))
                    head = card_metadata(subject, recorded, accuracy if subject.whole else None)
                written = [name for name in FILES if FILES[name] in write.digests]
                write("README.md", head + model_card(subject, written, space, recorded, differences))
                write(PROVENANCE, _json_text({**fields, "max_abs_diff": differences, "ops": own_ops(architecture)}))
                manifest = {"format": FORMAT, "digest": architecture.digest, "files": dict(write.digests)}
                write(MANIFEST, _json_text(manifest))
            sweep(target.parent, older_than=time.time() - STALE_SECONDS)
        except OSError as error:
            raise ExportError(f"{target}: cannot be written: {error.strerror or error}") from error
    return ExportResult(target, architecture, tuple(write.digests), differences)


def _write_network(write: _Writer, subject: Subject, module: nn.Module, space: str, formats: frozenset[str]) -> None:
    """Write ``architecture.json`` and the files of the formats; the weights also if only the code needs them."""
    architecture = subject.architecture
    write(ARCHITECTURE, _json_text(json.loads(architecture.to_json())))
    if space:
        write(FILES["yaml"], space)
    if {"python", "safetensors"} & formats:
        write(FILES["safetensors"], weight_bytes(module.state_dict()))
    if "python" in formats:
        code = write_code(architecture, subject.features)
        check_code(code)
        write(FILES["python"], code.text)
    names = [f"stage{feature.stage}" for feature in subject.features] or ["logits"]
    for name, data in graph_files(module, architecture.input, names, formats).items():
        write(FILES[name], data)


class _Writer:
    """Writes files into a folder.

    Attributes:
        folder: The folder.
        digests: File name -> SHA-256, for each file in the folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.digests: dict[str, str] = {}

    def __call__(self, name: str, data: str | bytes) -> None:
        """Write a file and record its SHA-256."""
        self.digests[name] = write_atomically(self.folder / name, data.encode() if isinstance(data, str) else data)

    def remove(self, name: str) -> None:
        """Delete a file if it was written."""
        if self.digests.pop(name, None):
            (self.folder / name).unlink()


def _json_text(data: Any) -> str:
    """Return JSON with one entry a line."""
    return json.dumps(data, indent=1) + "\n"


def _as_json(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance as JSON reads it back."""
    try:
        values: dict[str, Any] = json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ExportError(f"the provenance cannot be written as JSON: {str(error)[:100]}") from None
    return values
