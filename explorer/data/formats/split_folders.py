"""Distinguish the split folders of a data set from its class folders."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from explorer.data.reading import escaped_name
from explorer.data.sources import normalise_name
from explorer.errors import DataError

# Names after ``normalise_name``: seg_train is segtrain.
SPLIT_NAMES = {
    "train": ("train", "training", "trainset", "trainingset", "traindata", "trainimages", "imagestrain", "segtrain"),
    "validation": (
        "validation", "val", "valid", "dev", "validationset", "valset", "validset", "devset", "valimages", "imagesval",
        "segval",
    ),
    "test": ("test", "testing", "testset", "testingset", "testdata", "testimages", "imagestest", "segtest"),
}  # fmt: skip
UNLABELLED_NAMES = ("pred", "prediction", "predictions", "segpred", "unlabeled", "unlabelled", "unsup")
IGNORED_FOLDERS = ("__MACOSX", "@eaDir", "__pycache__")  # created by archivers, file servers and Python
TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".parquet", ".xlsx")
MAX_WRAPPERS = 3  # nested folders above the splits, as in archive/dataset/images/train


class SplitFolders(NamedTuple):
    """The split folders of a data set.

    Attributes:
        bases: Split -> folder of its class folders.
        notes: Notes on folders that are left out.
    """

    bases: dict[str, Path]
    notes: tuple[str, ...] = ()


def find_splits(folder: Path) -> SplitFolders:
    """Find the split folders in ``folder``; it is itself the split ``train`` if it holds the class folders.

    Raises:
        DataError: A folder may be a class or a split.
    """
    folder = _unwrapped(folder)
    inside = subfolders(folder)
    named = named_splits(folder)
    unlabelled = [name for name in inside if normalise_name(name) in UNLABELLED_NAMES]
    others = [name for name in inside if split_of(name) is None and name not in unlabelled]
    if "train" not in named:
        _require_classes_alone(folder, inside, others, unlabelled)
        return SplitFolders({"train": folder}, _shared_folders_note(folder, inside))
    bases = {split: _unnested(base, split) for split, base in named.items()}
    notes = [f"{escaped_name(folder / name)} is left out: its images have no labels" for name in unlabelled]
    for split in ("validation", "test"):
        if split in bases and not _may_hold_classes(bases[split], bases["train"]):
            notes.append(
                f"{escaped_name(bases.pop(split))} is left out: without class folders its images have no labels"
            )
    if others:
        listed = ", ".join(map(escaped_name, others))
        notes.append(f"{escaped_name(folder)}: the folders {listed} are left out; its splits are {', '.join(bases)}")
    return SplitFolders(bases, tuple(notes))


def _require_classes_alone(folder: Path, inside: list[str], others: list[str], unlabelled: list[str]) -> None:
    """Raise DataError if a folder without a split ``train`` holds anything but class folders."""
    splits = [name for name in inside if split_of(name)]
    if splits and not others:
        raise DataError(
            f"{escaped_name(folder)}: has {', '.join(splits + unlabelled)} "
            "but no folder 'train' with class folders in it" + table_hint(folder)
        )
    for name in splits + unlabelled:
        raise DataError(
            f"{escaped_name(folder)}: is {name!r} a class like {escaped_name(others[0])!r}, or a split "
            f"of the images? Put the class folders into {escaped_name(folder / 'train')}, "
            f"or rename {name!r} if it is a class"
        )

    words = {name: split for name in inside if (split := _split_word(name))}
    if len(set(words.values())) > 1 or (len(words) == len(inside) > 1):
        first, second = next(iter(words)), next(reversed(words))
        raise DataError(
            f"{escaped_name(folder)}: are {first!r} and {second!r} classes, or splits of the images? "
            "Rename folders of splits to 'train', 'validation' and 'test', and classes to names without these words"
        )
    for name in inside:
        alike = [each for each in subfolders(folder / name) if each in inside and each != name]
        if alike:
            raise DataError(
                f"{escaped_name(folder / name)}: holds a folder {escaped_name(alike[0])!r}, and so does its parent; "
                f"is it a copy of the data set? Remove it, or name the folder that holds only class folders"
            )


def _split_word(name: str) -> str | None:
    """Return the split that is a word in a folder's name: "test" for x_test and testA."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return next((split for split in map(split_of, words) if split), None)


def _shared_folders_note(folder: Path, classes: list[str]) -> tuple[str, ...]:
    """Return a note if all class folders hold folders of the same names, for example folds, years or cameras."""
    inside = [subfolders(folder / name) for name in classes]
    if len(inside) < 2 or len(inside[0]) < 2 or any(names != inside[0] for names in inside):
        return ()
    listed = ", ".join(map(escaped_name, inside[0][:3])) + (", ..." if len(inside[0]) > 3 else "")
    return (
        f"{escaped_name(folder)}: the classes are its folders {', '.join(map(escaped_name, classes[:3]))}"
        f"{', ...' if len(classes) > 3 else ''}, and each of them holds folders {listed}; are these the classes?",
    )


def _may_hold_classes(base: Path, train: Path) -> bool:
    """Return whether a split has class folders: more than one folder, or one with the name of a class in ``train``."""
    inside = subfolders(base)
    return len(inside) > 1 or bool(set(inside) & set(subfolders(train)))


def named_splits(folder: Path) -> dict[str, Path]:
    """Return split -> subfolder with a name of that split; a training folder counts only if it holds folders.

    Raises:
        DataError: Two folders have names of the same split.
    """
    found: dict[str, Path] = {}
    for name in subfolders(folder):
        split = split_of(name)
        if split is None or (split == "train" and not subfolders(folder / name)):
            continue
        if split in found:
            raise DataError(
                f"{escaped_name(folder)}: both {found[split].name!r} and {name!r} are names of the {split} split; "
                "rename or remove one"
            )
        found[split] = folder / name
    return found


def split_of(name: str) -> str | None:
    """Return the split that a folder's name means: "train" for seg_train, "validation" for val; None for others."""
    return next((split for split, names in SPLIT_NAMES.items() if normalise_name(name) in names), None)


def subfolders(folder: Path) -> list[str]:
    """Return the sorted names of the folders in ``folder``, without hidden ones and IGNORED_FOLDERS."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError as error:
        raise DataError(f"{escaped_name(folder)}: cannot be read: {error.strerror}") from error
    return sorted(name for name in names if name not in IGNORED_FOLDERS)


def inner_hint(folder: Path) -> str:
    """Suggest the inner folder if ``folder`` holds only that one and it holds the class folders; else return ""."""
    inside = subfolders(folder)
    if len(inside) == 1 and len(subfolders(folder / inside[0])) > 1:
        return f"; did you mean {escaped_name(folder / inside[0])!r}?"
    return ""


def table_hint(folder: Path) -> str:
    """Suggest a fix if ``folder`` holds a table of labels; else return an empty string."""
    tables = sorted(name for name in os.listdir(folder) if name.lower().endswith(TABLE_SUFFIXES))
    if not tables:
        return ""
    return f"; labels are not read from {escaped_name(tables[0])}: sort the images into one folder for each class"


def _unwrapped(folder: Path) -> Path:
    """Return the folder with a training split below folders that hold only one folder each; else ``folder``."""
    inner = folder
    for _ in range(MAX_WRAPPERS + 1):
        if "train" in named_splits(inner):
            return inner
        inside = subfolders(inner)
        if len(inside) != 1:
            break
        inner = inner / inside[0]
    return folder


def _unnested(base: Path, split: str) -> Path:
    """Return the folder that holds the classes, such as seg_train/seg_train for seg_train."""
    inside = subfolders(base)
    return base / inside[0] if len(inside) == 1 and split_of(inside[0]) == split else base
