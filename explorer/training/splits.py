"""Splits: images with their labels, and which of them are trained on, chosen by or kept apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images, uint8 (N, C, H, W), and their labels, int64 (N,) in 0..classes-1.

    ``images`` is an array, or an ``ImagesOnDisk`` where they are too many for the memory. ``notes``: what
    had to be converted when they were decoded, a sentence each. ``grey_bits``: how many bits the levels of its 16-bit
    grey images needed, None without such images. ``damaged``: how many images were left out as damaged.
    """

    images: np.ndarray
    labels: np.ndarray
    notes: tuple[str, ...] = ()
    grey_bits: int | None = None
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Split:
        """The images and labels at ``indices``, copied."""
        return Split(self.images[indices], self.labels[indices])


class UnreadSplit:
    """A split that is read when it is first asked for. A search never asks for the test images."""

    def __init__(self, read: Callable[[], Split]):
        self._read = read

    @cached_property
    def _split(self) -> Split:
        return self._read()

    @property
    def images(self) -> np.ndarray:
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
