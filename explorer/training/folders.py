"""A folder of images, one subfolder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from explorer.errors import DataError
from explorer.ops.base import TensorShape
from explorer.training.images import decode_images, image_shape
from explorer.training.sources import Known, Source

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
SPLIT_FOLDERS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}


def folder_layout(folder: Path, known: Known) -> Source | None:
    """``train/<class>/*.png`` and ``test/<class>/*.png`` of a data set whose classes are known in number."""
    if not (folder / "train").is_dir() or not (folder / "test").is_dir():
        return None
    _shape, classes = describe_folder(folder)
    if classes != known.classes:
        raise DataError(f"{folder / 'train'}: {classes} class folders, expected the {known.classes} of {known.name}")
    return folder_source(folder, known.shape)


def describe_folder(folder: Path) -> tuple[TensorShape, int]:
    """The shape of the folder's first image, which all others must have, and its number of classes. Decodes nothing."""
    first = _split_folders(folder)["train"]
    classes = _class_names(first)
    path = next(iter(_images(first / classes[0])))
    try:
        return image_shape(path.read_bytes()), len(classes)
    except Exception as error:  # a decoder fed with damaged bytes raises nearly anything
        raise DataError(f"{path}: the image cannot be read: {error}") from error


def folder_source(folder: Path, shape: TensorShape) -> Source:
    """The folder's images; classes are numbered in the order of their names.

    With ``train`` and perhaps ``validation`` (or ``val``) and ``test`` folders above the class folders these are
    the splits; a folder that holds the class folders itself is one split, ``train``.
    """
    splits = _split_folders(folder)
    names = _class_names(splits["train"])
    files: dict[str, list[tuple[Path, int]]] = {}
    for split, base in splits.items():
        if _class_names(base) != names:
            raise DataError(f"{base}: its class folders differ from those of {splits['train']}")
        files[split] = [(path, label) for label, name in enumerate(names) for path in _images(base / name)]

    def decode() -> dict[str, np.ndarray]:
        arrays = {}
        for split, pairs in files.items():
            encoded = ((str(path), path.read_bytes()) for path, _ in pairs)
            arrays[f"{split}_images"] = decode_images(encoded, len(pairs), shape)
            arrays[f"{split}_labels"] = np.array([label for _, label in pairs], np.int64)
        return arrays

    return Source(tuple(path for pairs in files.values() for path, _ in pairs), decode)


def _split_folders(folder: Path) -> dict[str, Path]:
    if not (folder / "train").is_dir():
        return {"train": folder}
    found = {}
    for split, names in SPLIT_FOLDERS.items():
        base = next((folder / name for name in names if (folder / name).is_dir()), None)
        if base is not None:
            found[split] = base
    return found


def _class_names(base: Path) -> list[str]:
    names = sorted(path.name for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise DataError(f"{base}: expected two or more class folders of images, found {', '.join(names) or 'none'}")
    return names


def _images(base: Path) -> list[Path]:
    files = sorted(path for path in base.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{base}: no images in it; known kinds: {', '.join(sorted(SUFFIXES))}")
    return files
