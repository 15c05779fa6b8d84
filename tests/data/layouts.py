"""Writers of small data sets in the usual layouts."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet

PER_SPLIT = {"train": 100, "test": 20}


def pictures(split: str, classes: int = 10, shape=(3, 32, 32)) -> tuple[np.ndarray, np.ndarray]:
    """Return random images and labels with every class equally often."""
    count = PER_SPLIT[split] * classes // 10
    images = np.random.RandomState(len(split)).randint(0, 256, (count, *shape)).astype(np.uint8)
    return images, np.arange(count) % classes


def encoded(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(out, "PNG")
    return out.getvalue()


def python_batches(folder: Path, name: str) -> None:
    classes, key = (10, b"labels") if name == "cifar10" else (100, b"fine_labels")
    folder.mkdir(parents=True)
    images, labels = pictures("train", classes)
    names = [f"data_batch_{i}" for i in range(1, 6)] if name == "cifar10" else ["train"]
    parts = [*zip(names, np.array_split(images, len(names)), np.array_split(labels, len(names)), strict=True)]
    for file, part, numbers in [*parts, ("test_batch" if name == "cifar10" else "test", *pictures("test", classes))]:
        batch = {b"data": part.reshape(len(part), -1), key: numbers.tolist(), b"batch_label": b"a batch"}
        (folder / file).write_bytes(pickle.dumps(batch, protocol=2))


def binary_batches(folder: Path, name: str) -> None:
    classes = 10 if name == "cifar10" else 100
    folder.mkdir(parents=True)
    images, labels = pictures("train", classes)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if name == "cifar10" else ["train.bin"]
    parts = [*zip(names, np.array_split(images, len(names)), np.array_split(labels, len(names)), strict=True)]
    for file, part, numbers in [
        *parts,
        ("test_batch.bin" if name == "cifar10" else "test.bin", *pictures("test", classes)),
    ]:
        fields = [numbers[:, None] // 5, numbers[:, None]] if classes == 100 else [numbers[:, None]]
        np.concatenate([*fields, part.reshape(len(part), -1)], axis=1).astype(np.uint8).tofile(folder / file)


def parquet_files(folder: Path, name: str, image: str = "img", shards: int = 2, struct_of_bytes: bool = True) -> None:
    classes, label = (100, "fine_label") if name == "cifar100" else (10, "label")
    shape = (1, 28, 28) if "mnist" in name else (3, 32, 32)
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        images, labels = pictures(split, classes, shape)
        for shard, places in enumerate(np.array_split(np.arange(len(images)), shards)):
            cells = [encoded(images[place]) for place in places]
            column = [{"bytes": cell, "path": "x.png"} for cell in cells] if struct_of_bytes else cells
            table = pyarrow.table({image: column, label: labels[places]})
            parquet.write_table(table, folder / f"{split}-{shard:05d}-of-{shards:05d}.parquet")


def class_folders(folder: Path, name: str = "", classes: int = 10, splits=("train", "test"), shape=(3, 32, 32)) -> None:
    for split in splits:
        images, labels = pictures("test" if split == "val" else split or "train", classes, shape)
        for place, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / split / f"class{label:02d}" / f"{place:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(image))


def idx_files(folder: Path, name: str, zipped: bool = True) -> None:
    folder.mkdir(parents=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = pictures(split, 10, (1, 28, 28))
        for kind, data in (
            ("images-idx3", struct.pack(">4i", 2051, len(images), 28, 28) + images.tobytes()),
            ("labels-idx1", struct.pack(">2i", 2049, len(labels)) + labels.astype(np.uint8).tobytes()),
        ):
            path = folder / f"{prefix}-{kind}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(data) if zipped else data)


def archive(file: Path, name: str, write=python_batches, inside: str = "batches") -> None:
    """Write the output of ``write`` as the archive ``file``, in a folder ``inside``."""
    aside = file.parent / f"aside-{file.name}"
    write(aside, name)
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as zipped:
            for path in sorted(aside.iterdir()):
                zipped.write(path, f"{inside}/{path.name}")
    else:
        with tarfile.open(file, "w:gz") as tarred:
            tarred.add(aside, inside)
    for path in aside.iterdir():
        path.unlink()
    aside.rmdir()
