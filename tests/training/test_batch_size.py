"""Batches of one image are rejected if batch norm would see one value per channel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.data.dataset import load_data
from explorer.errors import TrainingError
from explorer.networks.build import build_network
from explorer.space.search_space import parse_space
from explorer.study import run_search
from explorer.training.loop import train_network
from explorer.training.recipe import recipe

SPACE = """
name: small
input: 1x8x8
classes: 10
stem: conv3x3(4) bn relu
stages: {{blocks: 1, width: [4], stride: [{stride}]}}
block: conv3x3 bn relu conv3x3 bn + relu
head: gap fc
"""
ONE_IMAGE = replace(recipe("quick_small"), batch_size=1)


def space(stride: int):
    return parse_space(SPACE.format(stride=stride), "space")


def test_a_training_is_rejected_before_it_starts():
    """The error names the layer, the shape and the fix; with maps of four pixels the same batches train."""
    digits = load_data("digits")
    few = replace(digits, train=digits.train.take(range(12)), validation=digits.validation.take(range(12)))
    architecture = next(iter(space(8).architecture(each) for each in space(8).sample(1)))
    message = r"stage1\.block1\.branch\.1: batch norm on an input of 4x1x1 .* found batches of 1; raise batch_size"
    with pytest.raises(TrainingError, match=message):
        train_network(build_network(architecture), few, ONE_IMAGE, epochs=1, seed=0)
    architecture = next(iter(space(4).architecture(each) for each in space(4).sample(1)))
    assert train_network(build_network(architecture), few, ONE_IMAGE, epochs=1, seed=0).epochs == 1


def test_a_search_is_rejected_before_it_starts():
    """No trial starts if every trial would fail."""
    with pytest.raises(TrainingError, match="found batches of 1; raise batch_size in the recipe"):
        run_search(space(8), data="digits", recipe=ONE_IMAGE, epochs=1, storage=None)
