"""``benchmarks/freeze_thaw.py``: its replay, on synthetic curves."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from explorer.study.stopping.rules import FreezeThaw, Run


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("freeze_thaw")


def test_freeze_thaw_trains_the_best_within_a_third(script):
    """At most a third of the epochs is spent, and the best of thirty networks of equal cost is trained to the end."""
    draw = np.random.default_rng(0)
    final = draw.uniform(0.3, 0.7, 30)
    accuracy = final[:, None] * np.linspace(0.4, 1.0, 9) + 0.01 * draw.normal(size=(30, 9))
    pool = [
        Run(
            tuple((-each,) for each in curve),
            (1e6,),
            tuple((each, -each, 1.0, 1.0) for each in curve),
            True,
            tuple(-curve),
        )
        for curve in accuracy
    ]
    for seed in range(3):
        order = list(np.random.default_rng(seed).permutation(30))
        spent, ended = script.freeze_thaw(FreezeThaw(), pool, order)
        assert spent <= 30 * 9 / 3 and ended[-1][0] <= spent
        assert accuracy[:, -1].argmax() in [number for _, number in ended]
