"""Data sets of extensions: functions that return images and labels as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from explorer.data.splits import Split, stratified_parts
from explorer.errors import DataError

EXAMPLE = '{"train": (images, labels), "test": (images, labels)}'


@lru_cache(maxsize=4)
def extension_splits(name: str, load: Callable[[int], Any], seed: int) -> tuple[Split, Split, Split]:
    """Return train, validation and test of an extension's data set.

    Args:
        name: The name of the data set.
        load: Returns for a seed a mapping of "train", "test" and perhaps "validation" to images, uint8 (N, C, H, W),
            and labels, whole numbers from 0 (N,). Without "validation", a tenth of the training images becomes it.
        seed: The seed.

    Raises:
        DataError: The function raises an error, or an array is not as expected.
    """
    try:
        given = load(seed)
    except Exception as error:
        raise DataError(f"data set {name!r}: its function raised {type(error).__name__}: {error}") from error
    if not isinstance(given, Mapping) or not {"train", "test"} <= set(given) <= {"train", "validation", "test"}:
        found = f"keys {', '.join(map(str, given))}" if isinstance(given, Mapping) else type(given).__name__
        raise DataError(f"data set {name!r}: its function returns a mapping as {EXAMPLE}, found {found}")
    splits = {split: _split(name, split, arrays) for split, arrays in given.items()}
    shapes = {each.images.shape[1:] for each in splits.values()}
    if len(shapes) > 1:
        raise DataError(f"data set {name!r}: the images of its splits have different shapes: {sorted(shapes)}")
    if "validation" not in splits:
        whole = splits["train"]
        share = max(1, len(whole) // 10)
        splits["train"], splits["validation"] = stratified_parts(whole, (len(whole) - share, share), seed)
    return splits["train"], splits["validation"], splits["test"]


def _split(name: str, split: str, arrays: Any) -> Split:
    """Return a split of two arrays. Raises DataError if they are not images and labels."""
    where = f"data set {name!r}, {split}"
    try:
        images, labels = (np.asarray(each) for each in arrays)
    except (TypeError, ValueError):
        raise DataError(f"{where}: expected a pair of arrays (images, labels), found {type(arrays).__name__}") from None
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise DataError(f"{where}: expected images uint8 (N, C, H, W), found {images.dtype} {images.shape}")
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise DataError(
            f"{where}: expected {len(images)} labels, whole numbers from 0, found {labels.dtype} {labels.shape}"
        )
    return Split(np.ascontiguousarray(images), labels.astype(np.int64))
