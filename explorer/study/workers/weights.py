"""The trained weights of a trial: loaded from a file, or trained again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from explorer.errors import StudyError
from explorer.export.weights import largest_file
from explorer.networks.build import build_network
from explorer.records import Epoch, TrainingResult, TrialRecord
from explorer.store.study import Study
from explorer.study.recorded_training import training_data, training_recipe
from explorer.system.files import read_regular
from explorer.training.loop import train_network
from explorer.training.run import build_for_training


class TrainedNetwork(NamedTuple):
    """A trial's network with trained weights.

    Attributes:
        network: The network.
        retrained: The new training; None if the weights were loaded.
    """

    network: nn.Module
    retrained: TrainingResult | None


def trained_network(
    study: Study,
    record: TrialRecord,
    data_dir: str | Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainedNetwork:
    """Return the network of a complete or cached trial with its trained weights.

    Weights are stored for networks that were ever on the Pareto front. Another network is trained again on the CPU,
    with the study's data, recipe and epochs and the trial's seed, threads and precision. If the trial was trained on
    the CPU of the same machine, the weights are equal to the last bit.

    Args:
        study: The study.
        record: The trial.
        data_dir: Folder of the data; the place recorded in the study by default.
        on_epoch: Called with each finished epoch of a new training.

    Raises:
        StudyError: The trial is not complete, its stored weights are damaged, or it cannot be trained again.
        DataError: The data are missing.
    """
    if record.state == "cached" and record.same_as is not None:
        record = study.trial(record.same_as)
    if record.state != "complete":
        raise StudyError(
            f"trial {record.number} of study {study.name!r} has no trained weights: it is {record.state}"
            + (f" ({record.reason})" if record.reason else "")
        )
    architecture = record.architecture
    path = study.weights(record)
    if path is not None:
        stored = build_network(architecture, seed=record.seed)
        stored.load_state_dict(_read_weights(path, record.weights, stored.state_dict()))
        return TrainedNetwork(stored, None)
    recipe = training_recipe(study)
    data = training_data(study, data_dir)
    network = build_for_training(architecture, recipe, record.seed)
    result = train_network(
        network,
        data,
        recipe,
        epochs=study.fingerprint["epochs"],
        seed=record.seed,
        threads=record.environment.threads if record.environment else 1,
        precision=record.result.precision if record.result else "float32",
        on_epoch=on_epoch,
    )
    return TrainedNetwork(network, result)


def _read_weights(path: Path, digest: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Args:
        path: The file.
        digest: SHA-256 of the file that was written.
        expected: Name to a tensor of the expected shape and type.

    Raises:
        StudyError: The file cannot be read, has changed, or does not fit the network.
    """
    try:
        data = read_regular(path, largest_file(expected))
    except OSError as error:
        raise StudyError(f"{path}: the saved weights cannot be read: {error.strerror or error}") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise StudyError(
            f"{path}: the file is not the one that was written (its SHA-256 differs); "
            "delete it, and export trains the network again"
        )
    try:
        found = load_safetensors(data)
    except SafetensorError as error:
        raise StudyError(f"{path}: not a safetensors file: {error}") from None
    for name in {**expected, **found}:
        if (
            name not in found
            or name not in expected
            or (found[name].shape, found[name].dtype) != (expected[name].shape, expected[name].dtype)
        ):
            raise StudyError(f"{path}: the tensor {name!r} does not fit the network")
    return found
