"""Splits are stratified, disjoint and fixed by their seed."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.data.splits import Split, stratified_order, stratified_parts


@pytest.mark.parametrize("shares", [(50, 50, 50), (90, 7, 3), (1, 1, 200)])
def test_prefixes_are_stratified(shares):
    """Every prefix of the order contains every class in proportion, within one image."""
    labels = np.repeat(np.arange(len(shares)), shares)
    order = stratified_order(labels, seed=3)
    assert sorted(order) == list(range(len(labels)))
    taken = np.cumsum(np.eye(len(shares))[labels[order]], axis=0)
    expected = np.arange(1, len(labels) + 1)[:, None] * np.array(shares) / sum(shares)
    assert np.abs(taken - expected).max() <= 1


def test_the_seed_fixes_the_order():
    """The same seed gives the same order, another seed gives another."""
    labels = np.arange(100) % 4
    assert np.array_equal(stratified_order(labels, 1), stratified_order(labels, 1))
    assert not np.array_equal(stratified_order(labels, 1), stratified_order(labels, 2))


def test_parts_are_disjoint_and_keep_labels_with_images():
    """No image is in two parts, and each keeps its own label."""
    images = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    parts = stratified_parts(Split(images, np.arange(60) % 3), (30, 15, 9), seed=0)
    seen = np.concatenate([part.images.ravel() for part in parts])
    assert [len(part) for part in parts] == [30, 15, 9]
    assert len(set(seen)) == 54
    for part in parts:
        assert np.array_equal(part.images.ravel() % 3, part.labels)
        assert np.bincount(part.labels).tolist() == [len(part) // 3] * 3
