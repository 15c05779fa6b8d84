"""Splits: images with their labels, and which of them are trained on, chosen by or kept apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images, uint8 (N, C, H, W), and their labels, int64 (N,) in 0..classes-1."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Split:
        """The images and labels at ``indices``, copied."""
        return Split(self.images[indices], self.labels[indices])


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


def stratified_parts(split: Split, sizes: tuple[int, ...], seed: int) -> tuple[Split, ...]:
    """Parts of the given sizes with no image in common, each with the classes in proportion."""
    order = stratified_order(split.labels, seed)
    ends = np.cumsum(sizes)
    return tuple(split.take(np.sort(order[end - size : end])) for end, size in zip(ends, sizes, strict=True))
