"""Which data sets there are: the embedded ones, the known ones, found or not, and class folders in the data folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import DataError
from explorer.ops.base import TensorShape
from explorer.training.data import EMBEDDED, KNOWN, describe_data, locate
from explorer.training.sources import data_root, is_named


@dataclass(frozen=True)
class Entry:
    """One data set. ``state``: embedded, found, missing, or damaged, and then ``problem`` says why.

    ``where``, ``layout``: of one that is found. ``images``: how many a known data set has been published with, by
    split; ``download_bytes``: what is fetched of it.
    """

    name: str
    state: str
    where: Path | None
    layout: str
    shape: TensorShape
    classes: int
    images: dict[str, int]
    download_bytes: int
    problem: str = ""


def list_data(data_dir: str | Path | None = None) -> list[Entry]:
    """Every data set that can be named; decodes nothing. ``data_dir``: as for ``load_data``."""
    return [*_embedded(), *(_known(name, data_dir) for name in KNOWN), *_folders(data_root(data_dir))]


def _embedded() -> list[Entry]:
    made = []
    for name, embedded in EMBEDDED.items():
        made.append(Entry(name, "embedded", None, "", embedded.shape, 10, dict(embedded.images), 0))
    return made


def _known(name: str, data_dir: str | Path | None) -> Entry:
    known = KNOWN[name]
    state, where, layout, problem = "missing", None, "", ""
    try:
        source = locate(name, data_dir)
        if source is not None:
            state, where, layout = "found", source.where, source.layout
    except DataError as error:
        state, problem = "damaged", str(error)
    images = dict(zip(("train", "test"), known.images, strict=True))
    size = sum(download.bytes for download in known.downloads)
    return Entry(name, state, where, layout, known.shape, known.classes, images, size, problem)


def _folders(root: Path) -> list[Entry]:
    """The folders in ``root`` that hold class folders of images and go by no known name."""
    try:
        inside = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    found = []
    for name in inside:
        if any(is_named(root / name, known) for known in KNOWN.values()):
            continue
        try:
            shape, classes = describe_data(name, root)
        except DataError:  # it holds something else
            continue
        found.append(Entry(name, "found", root / name, "class folders", shape, classes, {}, 0))
    return found
