"""Copies of one image: which images of a data set are equal to the last bit."""

from __future__ import annotations

import hashlib

import numpy as np

from explorer.training.ondisk import ImagesOnDisk
from explorer.training.splits import Split


def image_digests(images: np.ndarray) -> np.ndarray | None:
    """A hash of each image's pixels, (N,), equal for equal images; None for images that stay on the disk."""
    if isinstance(images, ImagesOnDisk):
        return None
    return np.array([hashlib.blake2b(np.ascontiguousarray(image), digest_size=15).hexdigest() for image in images])


def copy_notes(digests: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Notes on images among those of ``digests`` that occur more than once, and on those with two labels."""
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    copies = len(digests) - len(first)
    if not copies:
        return ()
    notes = [f"{copies} images are copies of another image; copies are kept in one split"]
    contradicting = np.flatnonzero(labels != labels[first][group])
    if len(contradicting):
        i = contradicting[0]
        one, other = class_names[labels[first][group][i]], class_names[labels[i]]
        notes.append(f"{len(contradicting)} copies have another class than the first, as in {one!r} and {other!r}")
    return tuple(notes)


def shared_note(name: str, split: Split, digests: np.ndarray | None, other: str) -> tuple[str, ...]:
    """A note on the images of ``split`` that are among ``digests``, the hashes of the ``other`` split's images."""
    own = None if digests is None else image_digests(split.images)
    count = 0 if own is None else int(np.isin(own, digests).sum())
    if not count:
        return ()
    return (f"{count} of {len(split)} {name} images are copies of {other} images: its accuracy is too high",)
