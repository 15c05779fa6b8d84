"""An architecture to a folder that stands on its own: written whole or not at all, checked before it appears."""

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
from explorer.export.manifest import ARCHITECTURE, FORMAT, MANIFEST, PROVENANCE, check_target
from explorer.export.model_py.code import write_code
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

STALE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class ExportResult:
    """``files``: the names in ``directory``. ``max_abs_diff``: format -> the largest difference between
    its outputs and the network's, for the formats that can be run. ``architecture``: as exported."""

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
    """Writes ``directory`` with the network in each of the ``formats``, its model card and a manifest.

    ``state_dict``: the weights, with any of the keys that ``load_weights`` knows; without them the initialisation of
    seed 0 is exported, and the card says so. ``formats``: of yaml, python, safetensors, onnx and pt2; all whose
    packages are installed when left out. ``features``: stages, from 1: the network without its head, which puts out
    their feature maps. ``head_classes``: a new classifier for so many classes.

    ``provenance``: what is to be remembered (study, trial, accuracy, data, recipe, environment): anything that JSON
    can hold; it goes to the card and ``provenance.json`` alone. ``accuracy``: the fraction 0..1 that was reached.
    ``fresh``: the process to compare in, where one was begun already, perhaps for several networks.

    The folder appears when all of it is written and checked: ``model.py`` is parsed; code, ONNX and .pt2 are run in a
    fresh process, with batches of 1, 2 and 7. A folder that is an earlier export, unchanged, is replaced.

    Raises ExportError when the target holds anything else, the weights are not the network's, the outputs
    differ by more than 1e-5, or a file cannot be written.
    """
    wanted = check_formats(formats)
    target = check_target(directory)
    maps = feature_maps(architecture, features)
    if maps and head_classes is not None:
        raise ExportError("a backbone has no head; choose features or a number of classes")
    remembered = _plain(provenance or {})
    runnable = [name for name in RUN if name in wanted]
    own_process = fresh is None and runnable
    with FreshProcess() if own_process else nullcontext(fresh) as fresh:  # it loads torch while the network is made
        network = build_network(architecture) if state_dict is None else load_weights(architecture, state_dict)
        if head_classes is not None:
            architecture, state = replace_classifier(architecture, network.state_dict(), head_classes)
            network = load_weights(architecture, state)
        subject = Subject(architecture, maps, head_classes, trained=state_dict is not None)
        module = (Backbone(network, maps) if maps else network).eval()
        origin = {
            "features": [feature.stage for feature in maps],
            "trained": subject.trained,
            "accuracy": accuracy if subject.whole else None,
            "costs": subject.costs,
            "provenance": remembered,
        }
        try:
            with whole_folder(target) as folder:
                write = _Writer(folder)
                space = space_text(architecture) if "yaml" in wanted else ""
                _write_network(write, subject, module, space, wanted)
                differences: dict[str, float] = {}
                if fresh is not None and runnable:
                    (found,) = exported_outputs(fresh, [Exported(folder, architecture.input, runnable)])
                    expected = own_outputs(module, architecture.input)
                    differences = {name: max_abs_difference(FILES[name], found[name], expected) for name in runnable}
                if "safetensors" not in wanted:
                    write.remove(FILES["safetensors"])
                written = [name for name in FILES if FILES[name] in write.digests]
                write("README.md", model_card(subject, written, space, remembered, differences))
                write(PROVENANCE, _lines({**origin, "max_abs_diff": differences}))
                manifest = {"format": FORMAT, "digest": architecture.digest, "files": dict(write.digests)}
                write(MANIFEST, _lines(manifest))
            sweep(target.parent, older_than=time.time() - STALE_SECONDS)
        except OSError as error:
            raise ExportError(f"{target}: cannot be written: {error.strerror or error}") from error
    return ExportResult(target, architecture, tuple(write.digests), differences)


def _write_network(write: _Writer, subject: Subject, module: nn.Module, space: str, formats: frozenset[str]) -> None:
    """``architecture.json`` and the files of the formats; the weights also where only the code needs them."""
    architecture = subject.architecture
    write(ARCHITECTURE, _lines(json.loads(architecture.to_json())))
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
    """Writes files into a folder; ``digests``: name -> SHA-256 of those that are there."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.digests: dict[str, str] = {}

    def __call__(self, name: str, data: str | bytes) -> None:
        self.digests[name] = write_atomically(self.folder / name, data.encode() if isinstance(data, str) else data)

    def remove(self, name: str) -> None:
        if self.digests.pop(name, None):
            (self.folder / name).unlink()


def _lines(data: Any) -> str:
    return json.dumps(data, indent=1) + "\n"


def _plain(provenance: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ExportError(f"the provenance must be what JSON can hold: {str(error)[:100]}") from None
    return plain
