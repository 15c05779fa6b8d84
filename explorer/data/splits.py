"""Splits: images with their labels, which of them are trained on, chosen by or kept apart, and which occur twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from explorer.data.streaming import ImagesOnDisk

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images, uint8 (N, C, H, W), and their labels, int64 (N,) in 0..classes-1.

    ``images`` is an array, or an ``ImagesOnDisk`` where they are too many for the memory. ``notes``: what
    had to be converted when they were decoded, a sentence each. ``grey_bits``: how many bits the levels of its 16-bit
    grey images needed, None without such images. ``damaged``: how many images were left out as damaged.
    """

    images: np.ndarray | ImagesOnDisk
    labels: np.ndarray
    notes: tuple[str, ...] = ()
    grey_bits: int | None = None
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Split:
        """The images and labels at ``indices``, copied."""
        return Split(self.images[indices], self.labels[indices])


class LazySplit:
    """A split that is read when it is first asked for. A search never asks for the test images."""

    def __init__(self, read: Callable[[], Split]):
        self._read = read

    @cached_property
    def _split(self) -> Split:
        return self._read()

    @property
    def images(self) -> np.ndarray | ImagesOnDisk:
        return self._split.images

    @property
    def labels(self) -> np.ndarray:
        return self._split.labels

    @property
    def notes(self) -> tuple[str, ...]:
        return self._split.notes

    def __len__(self) -> int:
        return len(self._split)

    def take(self, indices: np.ndarray) -> Split:
        return self._split.take(indices)


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of all indices in which every leading part holds the classes in proportion.

    labels: (N,). Of n leading indices, a class that makes up the share q of the labels has n*q, give
    or take one. The same labels and seed give the same order, so a smaller part lies inside a larger.
    """
    shuffled = np.random.RandomState(seed).permutation(len(labels))  # RandomState: its stream is frozen for good
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def stratified_parts(
    split: Split, sizes: tuple[int, ...], seed: int, groups: np.ndarray | None = None
) -> tuple[Split, ...]:
    """Parts of the given sizes with no image in common, each with the classes in proportion.

    ``groups``, (N,): images of one group stay in one part, the first that any of them falls into; so sizes may differ.
    """
    order = stratified_order(split.labels, seed)
    part = np.full(len(order), len(sizes))
    for i, (end, size) in enumerate(zip(np.cumsum(sizes), sizes, strict=True)):
        part[order[end - size : end]] = i
    if groups is not None:
        first = np.full(groups.max() + 1, len(sizes))
        np.minimum.at(first, groups, part)
        part = first[groups]
    return tuple(split.take(np.flatnonzero(part == i)) for i in range(len(sizes)))


def image_digests(images: np.ndarray | ImagesOnDisk) -> np.ndarray | None:
    """A hash of each image's pixels, (N,), equal for equal images; None for images that stay on the disk."""
    if not isinstance(images, np.ndarray):
        return None
    return np.array([hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=15).hexdigest() for image in images])


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
    own = image_digests(split.images)
    count = 0 if own is None or digests is None else int(np.isin(own, digests).sum())
    if not count:
        return ()
    return (f"{count} of {len(split)} {name} images are copies of {other} images: its accuracy is too high",)
