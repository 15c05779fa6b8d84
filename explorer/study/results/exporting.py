"""Export of a trial's network, with its trained weights or weights from a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import explorer
from explorer.analysis.amounts import amount, format_percent
from explorer.errors import StudyError
from explorer.export.by_order import Pairing
from explorer.export.package import ExportResult, export_architecture
from explorer.export.verify.process import FreshProcess
from explorer.records import TrialRecord
from explorer.store.managing.extensions import require_ops
from explorer.store.study import Study
from explorer.study.recorded_training import find_data, is_trained, training_recipe


def check_exportable(study: Study, record: TrialRecord, data_dir: str | Path | None, own_weights: bool) -> None:
    """Raise ExplorerError if a trial's network cannot be exported, before anything is trained or written.

    Args:
        study: The study.
        record: The trial.
        data_dir: Folder of the data, for a network that is trained again.
        own_weights: Whether the caller gives the weights.
    """
    if record.architecture_json:
        require_ops(study, record.architecture)
    if own_weights:
        return
    trained = record if record.same_as is None else study.trial(record.same_as)
    if trained.state != "complete":
        which = "it is" if trained is record else f"it has the network of trial {trained.number}, which is"
        raise StudyError(
            f"trial {record.number} of study {study.name!r} has no result to export: {which} {trained.state}"
            + (f" ({trained.reason})" if trained.reason else "")
        )
    if is_trained(study) and record.state == "complete" and study.weights(record) is None:
        training_recipe(study)
        find_data(study, data_dir)


def export_trial(
    study: Study,
    number: int,
    directory: str | os.PathLike[str],
    *,
    formats: Iterable[str] | None = None,
    weights: Mapping[str, Any] | str | os.PathLike[str] | Pairing | None = None,
    features: Iterable[int] = (),
    head_classes: int | None = None,
    data_dir: str | Path | None = None,
    fresh: FreshProcess | None = None,
) -> ExportResult:
    """Write the network of a trial as a folder that does not need the explorer.

    The weights are those of the trial; if they were not saved, the network is trained again. A study of a caller's
    function has no weights: the network gets those of ``weights``, or else a fresh initialisation, as its card says.

    Args:
        study: The study.
        number: The number of the trial.
        directory: The folder: absent, empty, or an unchanged earlier export.
        formats: Of yaml, python, safetensors, onnx, pt2 and hub; by default all but hub whose packages are
            installed.
        weights: A state dict, the path of a safetensors file, or what ``pair_weights`` returned, in place of the
            trial's own weights.
        features: Stages, from 1. If given, the export is a backbone without a head.
        head_classes: Number of classes of a new, untrained classifier; by default the network keeps its own.
        data_dir: Folder of the data, if the network is trained again; the place recorded in the study by default.
        fresh: A process in which the files are run, to share it between exports; by default a new one.

    Returns:
        The written folder.

    Raises:
        ExplorerError: The trial is not complete, its network cannot be trained again, or the export failed.
    """
    from explorer.export.weights import load_weights
    from explorer.study.workers.weights import trained_network

    record = study.trial(number)
    check_exportable(study, record, data_dir, weights is not None)
    state, accuracy = None, None
    provenance = _provenance(study, record)
    if weights is not None:
        state = load_weights(record.architecture, weights).state_dict()
        provenance["weights"] = _given(weights)
    elif is_trained(study):
        trained = trained_network(study, record, data_dir)
        state = trained.network.state_dict()
        result = trained.retrained or record.result
        own = result.val_accuracy if result else record.objectives.get("accuracy")
        estimate = study.estimates("accuracy").get(_origin(record))
        accuracy = own if estimate is None else estimate.value
        again = "retrained at export with the settings of the trial"
        provenance["accuracy"] = _accuracy(study, record, own)
        provenance["weights"] = again if trained.retrained else "saved by the trial"
    known = {key: value for key, value in provenance.items() if value not in ("", {}, None)}
    return export_architecture(
        record.architecture,
        directory,
        state_dict=state,
        formats=formats,
        features=features,
        head_classes=head_classes,
        provenance={**known, "exported by": f"explorer {explorer.__version__}"},
        accuracy=accuracy,
        fresh=fresh,
    )


def _origin(record: TrialRecord) -> int:
    """Return the number of the trial that was trained: of a cached trial, the one whose values it has."""
    return record.number if record.same_as is None else record.same_as


def _provenance(study: Study, record: TrialRecord) -> dict[str, Any]:
    """Return the origin of a trial's network, without that of its weights."""
    training = study.fingerprint
    provenance: dict[str, Any] = {
        "study": study.name,
        "trial": record.number,
        "space": study.space_name,
        "choices": ", ".join(f"{name}={text}" for name, text in record.choices.items()),
    }
    if not is_trained(study):
        estimates = [study.estimates(name).get(_origin(record)) for name in record.objectives]
        measured = {each.name: str(each) for each in estimates if each is not None}
        costs = {name: amount(name, value) for name, value in record.objectives.items() if name not in measured}
        return {**provenance, "accuracy": {**measured, **costs, "measured by": "the caller's function in the study"}}
    split = training.get("split") or {}
    return {
        **provenance,
        "recipe": {**(training.get("recipe") or {}), "epochs": training.get("epochs")},
        "data": {
            "name": training.get("data"),
            **{name: value for name, value in split.items() if value is not None},
            "pixels": "scaled to 0..1, minus the mean, divided by std, for each channel",
        },
        "environment": asdict(record.environment) if record.environment else {},
    }


def _accuracy(study: Study, record: TrialRecord, own: float | None) -> dict[str, str]:
    """Return the accuracy of the network: its best estimate, with interval and source, and that of these weights."""
    estimate, split = study.estimates("accuracy").get(_origin(record)), study.fingerprint.get("split") or {}
    images = f"validation, {split['validation']} images" if "validation" in split else "validation"
    if estimate is not None and estimate.searched is not None and not estimate.seeds:
        return {
            "accuracy": format_percent(estimate.value),
            "split": "test, expected from other networks' fresh seeds",
            "of these weights": f"{format_percent(own)} ({images}, seed {record.seed})",
        }
    if estimate is None or not estimate.seeds:
        return {
            "accuracy": format_percent(own),
            "split": images,
            "seeds": f"one training, seed {record.seed}",
            "test split": "not used",
        }
    return {
        "accuracy": estimate.interval,
        "split": f"test, {split['test']} images" if "test" in split else "test",
        "seeds": f"mean of {estimate.source.removeprefix('test, ')}"
        + ("" if estimate.ci95 is None else ", with a 95% interval"),
        "of these weights": f"{format_percent(own)} ({images}, seed {record.seed})",
    }


def _given(weights: Mapping[str, Any] | str | os.PathLike[str] | Pairing) -> str:
    """Return where given weights come from, for the provenance."""
    if isinstance(weights, Pairing):
        return "the caller's, paired by the order of computation"
    return "the caller's" if isinstance(weights, Mapping) else f"from the file {Path(weights).name}"
