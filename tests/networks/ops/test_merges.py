"""Merges have the shape, cost and JSON of their modules, and the values of their papers."""

from __future__ import annotations

import json

import pytest
import torch

from explorer.errors import ArchitectureError
from explorer.networks.build import instantiate
from explorer.networks.ops.base import TensorShape
from explorer.networks.ops.merge import MERGES, Add, Concatenate, Gate, merge_from_json
from tests.networks.ops.modules import bound, built


@pytest.mark.parametrize("merge", [Add(), Concatenate(), Gate(), Gate(-6.0)])
def test_merges(merge):
    """A merge has the shape and cost of its module, and survives JSON."""
    x = TensorShape(6, 4, 4)
    y = merge.output_shape(x, x)
    call = merge.module(x)
    branch, shortcut = torch.randn(2, 2, *x)
    module = instantiate(call) if call else None
    merged = module(branch, shortcut) if module else branch + shortcut
    assert tuple(merged.shape[1:]) == y == ((12, 4, 4) if merge.spelling == "cat" else x)
    assert merge.cost(x).params == sum(p.numel() for p in module.parameters()) if module else merge.cost(x).params == 0
    assert merge_from_json(json.loads(json.dumps(merge.to_json()))) == merge


def test_the_exclusive_gate():
    """g = sigmoid(conv1x1(x) + b), out = g F(x) + (1 - g) x; shortcut-only gating: (1 - g) x (He 2016, Table 1)."""
    x = TensorShape(3, 2, 2)
    gate, only = instantiate(Gate(-6.0).module(x)), built(bound("shortcut_gate", None, {"bias": -6.0}, x), x)
    only.conv.load_state_dict(gate.conv.state_dict())
    assert gate.conv.bias.tolist() == [-6.0] * 3 and gate.conv.weight.shape == (3, 3, 1, 1)
    branch, shortcut = torch.randn(2, 2, *x)
    g = torch.sigmoid(torch.einsum("oi,nihw->nohw", gate.conv.weight[:, :, 0, 0], shortcut) - 6)
    assert torch.allclose(gate(branch, shortcut), g * branch + (1 - g) * shortcut)
    assert torch.allclose(only(shortcut), (1 - g) * shortcut)
    assert Gate().cost(x) == bound("shortcut_gate", None, {}, x).cost(x) == (12, 9 * 4, 12)


@pytest.mark.parametrize(
    "bad",
    [
        {"op": "plus"},
        {"op": []},
        [],
        None,
        {"op": "+", "bias": 1},
        {"op": "gate", "bias": 101},
        {"op": "gate", "bias": "0"},
    ],
)
def test_invalid_json_of_a_merge_is_rejected(bad):
    """JSON that is no merge is rejected."""
    assert set(MERGES) == {"+", "cat", "gate"}
    with pytest.raises(ArchitectureError):
        merge_from_json(bad)


def test_concatenation_puts_the_shortcut_first():
    """cat gives the shortcut's channels first, then the branch's, as in DenseNet."""
    module = instantiate(Concatenate().module(TensorShape(1, 1, 1)))
    assert module(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)).flatten().tolist() == [0.0, 1.0]
