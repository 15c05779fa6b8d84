"""With timm's weights, networks of the published spaces put out timm's logits."""

from __future__ import annotations

import pytest
import torch

import explorer
from tests.published.networks import FURTHER, ROWS, member
from tests.published.timm_networks import LOGITS, Compared

QUICK = {"tf_efficientnet_b0", "skresnet18", "convnextv2_atto", "poolformer_s12", "efficientvit_b0"}


def reordered(name: str, weight: torch.Tensor, order: str) -> torch.Tensor:
    """Return a weight of timm in the order of channels that the explorer has."""
    if order == "heads" and ".qkv." in name:  # heads of 32 channels: Q, K and V of each one, instead of all Q first
        return weight.unflatten(0, (-1, 3, 32)).transpose(0, 1).flatten(0, 2)
    if order == "pixels" and name == "body.conv1.conv.weight":  # the 16 pixels of each color, instead of the colors
        return weight.unflatten(1, (16, 3)).transpose(1, 2).flatten(1, 2)
    return weight


@pytest.mark.parametrize(
    "network",
    [pytest.param(each, marks=() if each.name in QUICK else pytest.mark.slow, id=each.name) for each in LOGITS],
)
def test_logits_equal_timms(network: Compared) -> None:
    """With random weights and statistics, loaded by order, the logits agree within 1e-4."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    (row,) = [row for row in ROWS + FURTHER if row.name == network.name]
    torch.manual_seed(0)
    theirs = timm.create_model(network.name).eval()
    weights = theirs.state_dict()
    for key, value in weights.items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1 or key.endswith("gain"):
            value.add_(torch.randn(value.shape) / 4)
    known = {key: reordered(key, value, network.order) for key, value in weights.items()}
    ours = explorer.load_weights(member(row._replace(side=network.side)), known, by_order=True)
    x = torch.randn(2, 3, network.side, network.side)
    with torch.no_grad():
        logits = theirs(x)
        assert logits.std() > 0 and (ours(x) - logits).abs().max() <= 1e-4 * max(1, logits.abs().max())
