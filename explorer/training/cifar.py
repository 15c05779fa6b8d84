"""CIFAR-10 and CIFAR-100 in the two layouts of their authors (Krizhevsky 2009): python and binary batches."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from explorer.errors import DataError
from explorer.ops.base import TensorShape
from explorer.training.sources import Known, Source

SHAPE = TensorShape(3, 32, 32)
_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))

CIFAR10 = Known(
    name="cifar10",
    shape=SHAPE,
    classes=10,
    folders=("cifar10", "cifar-10", "CIFAR10", "cifar-10-batches-py", "cifar-10-batches-bin"),
    label_columns=("label",),
    shift=4,
    flip=True,
    fetch="unpack https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz, which makes cifar-10-batches-py/, or put "
    "train-*.parquet and test-*.parquet of https://huggingface.co/datasets/uoft-cs/cifar10 in a folder cifar10/",
)
CIFAR100 = Known(
    name="cifar100",
    shape=SHAPE,
    classes=100,
    folders=("cifar100", "cifar-100", "CIFAR100", "cifar-100-python", "cifar-100-binary"),
    label_columns=("fine_label", "label"),
    shift=4,
    flip=True,
    fetch="unpack https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz, which makes cifar-100-python/, or put "
    "train-*.parquet and test-*.parquet of https://huggingface.co/datasets/uoft-cs/cifar100 in a folder cifar100/",
)


class _Files(NamedTuple):
    """One layout's files. ``label``: its key in a python batch; the bytes before an image, the last of which it is,
    in a binary one."""

    train: tuple[str, ...]
    test: str
    label: Any


_PYTHON = {"cifar10": _Files(_BATCHES, "test_batch", b"labels"), "cifar100": _Files(("train",), "test", b"fine_labels")}
_BINARY = {
    "cifar10": _Files(tuple(f"{name}.bin" for name in _BATCHES), "test_batch.bin", 1),
    "cifar100": _Files(("train.bin",), "test.bin", 2),
}


def python_layout(folder: Path, known: Known) -> Source | None:
    """Pickled mappings of ``data``, uint8 (N, 3072), and labels; read by an unpickler that admits nothing else."""
    return _find(folder, _PYTHON[known.name], read_python_batch)


def binary_layout(folder: Path, known: Known) -> Source | None:
    """Records of one label byte (CIFAR-100: a coarse, then a fine one) and 3,072 bytes of red, green, blue."""
    return _find(folder, _BINARY[known.name], read_binary_batch)


def _find(folder: Path, files: _Files, read: Callable[[Path, Any], tuple[np.ndarray, np.ndarray]]) -> Source | None:
    paths = [folder / name for name in (*files.train, files.test)]
    there = [path for path in paths if path.is_file()]
    if not there:
        return None
    for path in paths:
        if path not in there:
            raise DataError(f"{path}: missing, while {there[0].name} is there; unpack the archive again")

    def decode() -> dict[str, np.ndarray]:
        images, labels = zip(*(read(path, files.label) for path in paths[:-1]), strict=True)
        test_images, test_labels = read(paths[-1], files.label)
        return {
            "train_images": np.concatenate(images), "train_labels": np.concatenate(labels),
            "test_images": test_images, "test_labels": test_labels,
        }  # fmt: skip

    return Source(tuple(paths), decode)


def read_python_batch(path: Path, label_key: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,) of one file. Raises DataError when it is not such a batch."""
    try:
        batch = _BatchUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{path}: not a readable CIFAR batch, damaged or cut short: {reason}") from error
    if not isinstance(batch, dict) or b"data" not in batch or label_key not in batch:
        raise DataError(f"{path}: expected a mapping with 'data' and {label_key.decode()!r}")
    data = batch[b"data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != SHAPE.elements:
        raise DataError(f"{path}: expected 'data' to be uint8 of N x {SHAPE.elements}")
    labels = batch[label_key]
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(data):
        raise DataError(f"{path}: expected {label_key.decode()!r} to be a list of {len(data)} whole numbers")
    return data.reshape(-1, *SHAPE), np.array(labels, np.int64)


def read_binary_batch(path: Path, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,) of one file. Raises DataError when it is cut short."""
    data = np.fromfile(path, np.uint8)
    record = label_bytes + SHAPE.elements
    if not len(data) or len(data) % record:
        raise DataError(f"{path}: {len(data)} bytes, expected a multiple of {record}; cut short, or no CIFAR batch")
    data = data.reshape(-1, record)
    return data[:, label_bytes:].reshape(-1, *SHAPE), data[:, label_bytes - 1].astype(np.int64)


def _empty_array(*_: object) -> np.ndarray:
    """Stands in for numpy's reconstruction: the pickle fills the array in, its shape and type included."""
    return np.ndarray((0,), np.int8)


def _uint8(kind: object, *_: object) -> np.dtype:
    if kind not in ("u1", b"u1"):
        raise DataError(f"refused: an array of type {kind!r}, where a CIFAR batch holds uint8")
    return np.dtype("u1", copy=True)  # a copy, for the pickle sets its state


class _BatchUnpickler(pickle._Unpickler):
    """Builds numbers, text, lists, mappings and uint8 arrays; refuses every other class or function by name.

    Made from the unpickler that is written in Python, as fast on such a batch: the one in C allots 20 GB
    when a damaged byte makes it number an object 2^31.
    """

    ADMITTED: dict[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,
        ("numpy._core.multiarray", "_reconstruct"): _empty_array,
        ("numpy", "ndarray"): object,  # only ever an argument of _reconstruct
        ("numpy", "dtype"): _uint8,
        ("_codecs", "encode"): lambda text, _: text.encode("latin1"),  # how Python 3 writes bytes in protocol 2
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise DataError(f"refused: it asks for {module}.{name}; a CIFAR batch holds numbers, text and numpy arrays")
        return self.ADMITTED[module, name]
