"""The precision is measured once per kind of network and machine, and stored."""

from __future__ import annotations

import json
import os

import pytest
import torch
from torch import nn

from explorer.training import precision
from explorer.training.precision import choose_precision, measure_precisions
from tests.training.small_network import small_network

PLACE = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch, tmp_path):
    """Each test has its own cache and a process that has measured nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(precision, "_chosen", {})


def choose(net=None) -> str:
    return choose_precision(net or small_network(), (1, 8, 8), 10, 32, PLACE)


def measured(monkeypatch, float32: float, bfloat16: float) -> list:
    """Replace measurements by given values, and return the list of requests."""
    asked = []

    def measure(net, batch, classes):
        asked.append(batch)
        return {"float32": float32, "bfloat16": bfloat16}

    monkeypatch.setattr(precision, "measure_precisions", measure)
    return asked


def test_measures_both_and_leaves_the_network_unchanged():
    """Both times are positive; weights, statistics, gradients, mode and threads stay unchanged."""
    net = small_network().eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    threads = torch.get_num_threads()
    taken = measure_precisions(net, (16, 1, 8, 8), 10)
    assert set(taken) == {"float32", "bfloat16"} and min(taken.values()) > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not net.training and all(parameter.grad is None for parameter in net.parameters())
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("seconds", "expected"), [((2.0, 1.0), "bfloat16"), ((1.0, 2.6), "float32"), ((1.05, 1.0), "float32")]
)
def test_selects_bfloat16_only_if_clearly_faster(monkeypatch, seconds, expected):
    """bfloat16 is used if it is 10% faster, and float32 if bfloat16 is emulated or about as fast."""
    measured(monkeypatch, *seconds)
    assert choose() == expected


def test_is_measured_once_per_kind(monkeypatch):
    """A second network of the same kind is not measured, in this process or the next; depthwise networks are another
    kind."""
    asked = measured(monkeypatch, 2.0, 1.0)
    assert choose() == choose(small_network(width=16)) == "bfloat16"
    monkeypatch.setattr(precision, "_chosen", {})  # another process
    asked_again = measured(monkeypatch, 1.0, 2.0)
    assert choose() == "bfloat16"
    assert (asked, asked_again) == ([(32, 1, 8, 8)], [])
    depthwise = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4))
    assert choose(depthwise) == "float32" and len(asked_again) == 1


def test_the_first_result_is_kept(monkeypatch, tmp_path):
    """Two processes that measure at once both use the result that was written first."""
    measured(monkeypatch, 2.0, 1.0)
    choose()
    (kept,) = (tmp_path / "explorer" / "precision").iterdir()
    monkeypatch.setattr(precision, "_chosen", {})
    real, reads = precision._read, []

    def late(path):
        reads.append(path)
        return "" if len(reads) == 1 else real(path)  # it did not exist yet when the second process looked

    monkeypatch.setattr(precision, "_read", late)
    measured(monkeypatch, 1.0, 2.0)
    assert choose() == "bfloat16" == json.loads(kept.read_text())["precision"]
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_works_without_a_cache(monkeypatch, tmp_path):
    """A cache that cannot be written or is invalid is ignored."""
    measured(monkeypatch, 2.0, 1.0)
    choose()
    (kept,) = (tmp_path / "explorer" / "precision").iterdir()
    for nonsense in ("", "[]", '{"precision": "float8"}'):
        kept.write_text(nonsense)
        monkeypatch.setattr(precision, "_chosen", {})
        assert choose() == "bfloat16"
    monkeypatch.setattr(precision, "_chosen", {})
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert choose() == "bfloat16"
