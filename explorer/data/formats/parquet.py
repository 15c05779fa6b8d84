"""Parquet files of the Hugging Face hub, with a column of encoded images and a column of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from explorer.data.cache import cached
from explorer.data.decoding import decode_images
from explorer.data.images import ImageFormat
from explorer.data.sources import PublicDataset, Source, check_labels
from explorer.data.splits import Split
from explorer.errors import DataError, one_line

BATCH_ROWS = 64  # that are read at once
METADATA_BYTES = 2**14  # greatest size of an encoded image's header, EXIF data and path
IMAGE_COLUMNS = ("img", "image", "images")


def parquet_layout(folder: Path, known: PublicDataset) -> Source | None:
    """Find ``train-*.parquet`` and ``test-*.parquet``, or the folders ``train`` and ``test`` with parquet files.

    Args:
        folder: The folder to search.
        known: The data set.

    Returns:
        The files; None if there are none.
    """
    files = {split: _files(folder, split) for split in ("train", "test")}
    if not any(files.values()):
        return None
    return Source(folder, "parquet", {split: partial(_read, folder, known, split) for split in files})


def _files(folder: Path, split: str) -> list[Path]:
    return sorted(
        {*folder.glob(f"{split}-*.parquet"), *folder.glob(f"{split}.parquet"), *folder.glob(f"{split}/*.parquet")}
    )


def _read(folder: Path, known: PublicDataset, split: str) -> Split:
    files = _files(folder, split)
    if not files:
        raise DataError(
            f"{folder}: {split}-*.parquet is missing, while others are there; fetch all parts of {known.name}"
        )
    named = [match for file in files if (match := re.search(r"-(\d+)-of-(\d+)", file.stem))]
    absent = sorted(set(range(int(named[0][2]))) - {int(match[1]) for match in named}) if named else []
    if absent:
        name = f"{split}-{absent[0]:05d}-of-{int(named[0][2]):05d}.parquet"
        raise DataError(f"{folder / name}: missing, while {files[0].name} is there; fetch all parts")

    def decode() -> Split:
        parts = [_decode(file, known) for file in files]
        return Split(
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.labels for part in parts]),
            tuple(note for part in parts for note in part.notes),
        )

    return cached(f"{known.name} {split}", files, decode)


def _decode(file: Path, known: PublicDataset) -> Split:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as reader:
            names = reader.schema_arrow.names
            image = _column(file, names, IMAGE_COLUMNS)
            label = _column(file, names, known.label_columns)
            rows = reader.metadata.num_rows
            if rows > max(known.images):
                raise DataError(
                    f"{file}: {rows:,} rows, expected at most the {max(known.images):,} images of {known.name}"
                )
            labels = _labels(file, reader.read(columns=[label]).column(label).combine_chunks())
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: not a readable parquet file of images and labels: {one_line(error)}") from error
    check_labels(labels, known.classes, lambda i: f"{file}: row {i}")
    return decode_images(_rows(file, image, known.shape.elements), labels, ImageFormat(known.shape))


def _labels(file: Path, column: Any) -> np.ndarray:
    """Return a column of labels as int64 (N,). Raises DataError if it does not hold an integer in each row."""
    import pyarrow

    if not pyarrow.types.is_integer(column.type):
        raise DataError(f"{file}: expected labels to be whole numbers, found {column.type}")
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{file}: row {row}: has no label")
    return np.asarray(column.to_numpy(zero_copy_only=False), np.int64)


def _column(file: Path, names: list[str], wanted: tuple[str, ...]) -> str:
    """Return the first of the ``wanted`` names that the file has as a column. Raises DataError if it has none."""
    for name in wanted:
        if name in names:
            return name
    raise DataError(f"{file}: expected a column {' or '.join(wanted)}, found {', '.join(names)}")


def _rows(file: Path, image: str, pixels: int) -> Iterator[tuple[str, bytes]]:
    """Yield row and bytes of each image. Few rows are read at once, because a column may repeat a large value often."""
    import pyarrow
    from pyarrow import parquet

    most = BATCH_ROWS * (4 * pixels + METADATA_BYTES)
    done = 0
    try:
        with parquet.ParquetFile(file) as reader:
            for batch in reader.iter_batches(batch_size=BATCH_ROWS, columns=[image]):
                column = batch.column(0)
                if column.nbytes > most:
                    raise DataError(
                        f"{file}: rows {done} to {done + len(column) - 1}: {column.nbytes:,} bytes of images, expected "
                        f"at most {most:,}"
                    )
                if pyarrow.types.is_struct(column.type):
                    column = column.field("bytes")
                if not pyarrow.types.is_binary(column.type) and not pyarrow.types.is_large_binary(column.type):
                    raise DataError(f"{file}: expected the column {image} to hold encoded images, found {column.type}")
                for i, cell in enumerate(column, done):
                    yield f"{file}: row {i}", cell.as_py() or b""
                done += len(column)
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: not a readable parquet file of images and labels: {one_line(error)}") from error
