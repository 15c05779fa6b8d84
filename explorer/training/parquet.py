"""Parquet files as the Hugging Face hub serves them: a column of encoded images and one of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from explorer.errors import DataError
from explorer.ops.base import TensorShape
from explorer.training.images import decode_images
from explorer.training.sources import Known, Source

IMAGE_COLUMNS = ("img", "image")


def parquet_layout(folder: Path, known: Known) -> Source | None:
    """``train-*.parquet`` and ``test-*.parquet``: images (bytes, or a struct of bytes and path) and labels."""
    parts = {split: _shards(folder, split) for split in ("train", "test")}
    if not parts["train"]:
        return None
    if not parts["test"]:
        raise DataError(f"{folder}: has train-*.parquet but no test-*.parquet; both belong to {known.name}")

    def decode() -> dict[str, np.ndarray]:
        arrays = {}
        for split, files in parts.items():
            images, labels = zip(*(_read(file, known.shape, known.label_columns) for file in files), strict=True)
            arrays[f"{split}_images"], arrays[f"{split}_labels"] = np.concatenate(images), np.concatenate(labels)
        return arrays

    return Source((*parts["train"], *parts["test"]), decode)


def _shards(folder: Path, split: str) -> list[Path]:
    files = sorted([*folder.glob(f"{split}-*.parquet"), *folder.glob(f"{split}.parquet")])
    named = [match for file in files if (match := re.search(r"-(\d+)-of-(\d+)", file.stem))]
    present = {int(match[1]) for match in named}
    missing = sorted(set(range(int(named[0][2]))) - present) if named else []
    if missing:
        name = f"{split}-{missing[0]:05d}-of-{int(named[0][2]):05d}.parquet"
        raise DataError(f"{folder / name}: missing, while {files[0].name} is there; fetch all parts")
    return files


def _read(file: Path, shape: TensorShape, label_columns: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as reader:
            names = reader.schema_arrow.names
            image = _column(file, names, IMAGE_COLUMNS)
            label = _column(file, names, label_columns)
            table = reader.read(columns=[image, label])
        labels = table.column(label).to_numpy().astype(np.int64)
        column = table.column(image).combine_chunks()
        if pyarrow.types.is_struct(column.type):
            column = column.field("bytes")
        images = decode_images(_rows(file, column), len(labels), shape)
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: not a readable parquet file of images and labels: {error}") from error
    return images, labels


def _column(file: Path, names: list[str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        if name in names:
            return name
    raise DataError(f"{file}: expected a column {' or '.join(wanted)}, found {', '.join(names)}")


def _rows(file: Path, column) -> Iterator[tuple[str, bytes]]:
    for i, cell in enumerate(column):
        yield f"{file}: row {i}", cell.as_py() or b""
