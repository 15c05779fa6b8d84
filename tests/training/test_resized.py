"""A network of another size than the data set is trained and evaluated on resized images."""

from __future__ import annotations

import pytest
import torch

from explorer.data.dataset import load_data
from explorer.space.search_space import parse_space
from explorer.training.batches import resized
from explorer.training.run import train_architecture

TEXT = """\
input: 1 x res x res
classes: 10
stem: conv3x3 bn relu
stages: {blocks: 1, width: 8}
block: conv3x3 bn +
head: avgpool fc
grammar: {res: 8 | 12}
"""


@pytest.mark.parametrize("size", ["8", "12"])
def test_two_epochs_on_digits_are_repeatable(size: str) -> None:
    data = load_data("digits")
    network = parse_space(TEXT).with_input(data.shape, data.classes).architecture({"res": size})
    first, second = (train_architecture(network, data, epochs=2, device="cpu", threads=1) for _ in range(2))
    assert first.result.val_loss == second.result.val_loss
    assert first.test == second.test


def test_images_are_resized_only_if_the_size_differs() -> None:
    space = parse_space(TEXT)
    images = torch.rand(2, 1, 8, 8)
    assert resized(images, space.architecture({"res": "8"})) is images
    assert resized(images, space.architecture({"res": "12"})).shape == (2, 1, 12, 12)
