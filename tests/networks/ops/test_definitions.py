"""Single ops compute what their papers define."""

from __future__ import annotations

import pytest
import torch

from explorer.errors import ArchitectureError
from explorer.networks.ops import registry
from explorer.networks.ops.base import Context, TensorShape
from explorer.networks.ops.pool import AvgPool
from explorer.networks.ops.squeeze_excitation import EfficientChannelAttention, SqueezeExcitation, nearest_multiple
from tests.networks.ops.modules import bound, built


def test_dropout_and_stochastic_depth_act_only_in_training():
    """drop and droppath are the identity in evaluation, and in training droppath drops whole samples and rescales."""
    x = TensorShape(4, 3, 3)
    image = torch.ones(4_000, *x)
    for spelling in ("drop", "droppath"):
        module = built(bound(spelling, None, {"p": 0.25}, x), x)
        assert torch.equal(module(image), image)
        trained = module.train()(image)
        assert trained.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
        assert trained.mean().item() == pytest.approx(1, abs=0.05)
    assert {sample.unique().numel() for sample in trained} == {1}


@pytest.mark.parametrize(
    ("ratio", "extra", "squeeze"),
    [
        (16, {}, 4),
        (15, {}, 4),
        (17, {}, 3),
        (100, {}, 1),
        (16, {"multiple": 8}, 8),
        (5, {"multiple": 8}, 16),
        (6, {"multiple": 8}, 8),
        (4, {"squeeze": 5}, 5),
    ],
)
def test_the_squeeze_width(ratio, extra, squeeze):
    """The width is C/r rounded down and at least 1, with round=8 the nearest multiple and at least 8, with width that
    value."""
    x = TensorShape(64, 4, 4)
    assert bound("se", None, {"ratio": ratio, **extra}, x).squeeze == squeeze


@pytest.mark.parametrize(
    ("value", "multiple", "nearest"), [(12, 8, 16), (11.9, 8, 8), (1, 8, 8), (20, 8, 24), (19, 8, 16), (2.5, 1, 3)]
)
def test_nearest_multiple(value, multiple, nearest):
    """Values are rounded to the nearest multiple, halves up, and to at least one multiple."""
    assert nearest_multiple(value, multiple) == nearest


@pytest.mark.parametrize(
    ("channels", "kernel"),
    [(1, 3), (16, 3), (63, 3), (64, 3), (128, 5), (255, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)],
)
def test_the_kernel_size_of_eca(channels, kernel):
    """The size is odd, from log2(C)/2 + 1/2, and at least 3 (Wang et al. 2020): 5, 5, 5, 7 for ResNet-50's stages."""
    assert bound("eca", None, {}, TensorShape(channels, 4, 4)) == EfficientChannelAttention(kernel)


def test_average_pooling_rounds_up_and_ignores_padding():
    """avgpool rounds up and does not count padding, and without a size it pools by the given stride."""
    op = registry.by_spelling["avgpool"].bind(None, {}, Context(TensorShape(1, 3, 3), 1, 2, 1))
    assert op == AvgPool(2, 2)
    pooled = built(op, TensorShape(1, 3, 3))(torch.arange(9.0).reshape(1, 1, 3, 3))
    assert pooled.flatten().tolist() == [2.0, 3.5, 6.5, 8.0]
    ones = torch.ones(1, 1, 5, 5)
    assert torch.equal(built(AvgPool(3, 1, 1), TensorShape(1, 5, 5))(ones), ones)


def test_subsampling_is_option_a():
    """subsample takes every stride-th pixel and fills missing channels with zeros (He 2015, option A)."""
    op = bound("subsample", None, {"stride": 2, "out": 3}, TensorShape(2, 4, 4))
    image = torch.arange(32.0).reshape(1, 2, 4, 4)
    out = built(op, TensorShape(2, 4, 4))(image)
    assert out[0, 0].tolist() == [[0, 2], [8, 10]] and out[0, 2].abs().sum() == 0
    with pytest.raises(ArchitectureError, match="subsample only adds channels: found 2 input and 1 output channels"):
        bound("subsample", None, {"stride": 2, "out": 1}, TensorShape(2, 4, 4)).output_shape(TensorShape(2, 4, 4))


def test_squeeze_and_excitation_equals_the_paper():
    """se scales channel c by sigmoid(W2 relu(W1 mean(x))) (Hu et al. 2018, eq. 2 and 3)."""
    x = TensorShape(4, 3, 3)
    module = built(SqueezeExcitation(2), x)
    image = torch.randn(2, *x)
    z = image.mean((2, 3))
    s = torch.relu(z @ module.reduce.weight[:, :, 0, 0].T + module.reduce.bias)
    g = torch.sigmoid(s @ module.expand.weight[:, :, 0, 0].T + module.expand.bias)
    assert torch.allclose(module(image), image * g[:, :, None, None], atol=1e-6)


def test_layer_norm_normalises_channels_at_each_position():
    """ln normalises the channels of each position."""
    out = built(bound("ln", None, {}, TensorShape(8, 3, 3)), TensorShape(8, 3, 3))(torch.randn(2, 8, 3, 3) * 5 + 2)
    assert torch.allclose(out.mean(1), torch.zeros(2, 3, 3), atol=1e-5)
    assert torch.allclose(out.var(1, unbiased=False), torch.ones(2, 3, 3), atol=1e-3)
