"""Splits: images with their labels, stratified partitions of them, and duplicate images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from explorer.data.streaming import ImagesOnDisk

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images and their labels.

    Attributes:
        images: uint8 (N, C, H, W); ``ImagesOnDisk`` if they do not fit in memory.
        labels: int64 (N,), 0..classes-1.
        notes: One sentence for each kind of conversion made while decoding.
        grey_bits: Number of bits that the levels of 16-bit grey images need; None without such images.
        damaged: Number of damaged images that were left out.
    """

    images: np.ndarray | ImagesOnDisk
    labels: np.ndarray
    notes: tuple[str, ...] = ()
    grey_bits: int | None = None
    damaged: int = 0

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Restore a pickled split. One of an earlier version has no values of the last fields."""
        self.__init__(*state)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Split:
        """Return a copy of the images and labels at ``indices``."""
        return Split(self.images[indices], self.labels[indices])


class LazySplit:
    """A split that is read on first use, so that a search does not read the test images.

    Args:
        read: Reads the split.
    """

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
    """Return an order of all indices of which every prefix is stratified.

    Among the first n indices, a class with the share q of all labels has n*q images, plus or minus one. The same labels
    and seed give the same order, so that a larger prefix contains a smaller one.

    Args:
        labels: The labels, (N,).
        seed: Seed of the order.

    Returns:
        The indices, (N,).
    """
    shuffled = np.random.RandomState(seed).permutation(len(labels))  # RandomState: its stream never changes
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def stratified_parts(
    split: Split, sizes: tuple[int, ...], seed: int, groups: np.ndarray | None = None
) -> tuple[Split, ...]:
    """Divide a split into stratified parts that share no image.

    Args:
        split: The split.
        sizes: Size of each part.
        seed: Seed of the partition.
        groups: Group of each image, (N,). A group is put as a whole into the first part that any of its images falls
            into, so that sizes may differ from ``sizes``. By default each image is its own group.

    Returns:
        The parts, in the order of ``sizes``.
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
    """Return a hash of each image's pixels, (N,); None if the images are streamed from the disk."""
    if not isinstance(images, np.ndarray):
        return None
    return np.array([hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=15).hexdigest() for image in images])


def copy_notes(digests: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return notes on duplicate images, and on duplicates with different labels.

    Args:
        digests: Hash of each image, (N,).
        labels: The labels, (N,).
        class_names: Names of the classes.
    """
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
    """Return a note on the images that two splits share; empty if there are none.

    Args:
        name: Name of the split.
        split: The split.
        digests: Hashes of the other split's images; None if they are streamed from the disk.
        other: Name of the other split.
    """
    own = image_digests(split.images)
    count = 0 if own is None or digests is None else int(np.isin(own, digests).sum())
    if not count:
        return ()
    return (f"{count} of {len(split)} {name} images are copies of {other} images: its accuracy is too high",)
