"""Ops compute what timm's modules compute with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from explorer.networks.ops.base import TensorShape
from tests.networks.ops.modules import bound, built

layers = pytest.importorskip("timm.layers")

X = TensorShape(24, 8, 8)


def randomised(module: nn.Module) -> nn.Module:
    """Return the module with parameters and running statistics that no initialisation gives."""
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape) + 0.5 if name.endswith("running_var") else torch.randn(value.shape) / 2)
    return module


def named(module: nn.Module, names: dict[str, str]) -> dict[str, torch.Tensor]:
    """Return the state with parts of its names replaced."""
    state = {}
    for key, value in module.state_dict().items():
        for theirs, ours in names.items():
            key = key.replace(theirs, ours)
        state[key] = value
    return state


def check(
    spelling: str,
    given: dict[str, Any],
    theirs: nn.Module,
    names: dict[str, str],
    kernel: int | None = None,
    x: TensorShape = X,
) -> None:
    """Compare an op with a module of timm: parameters, and outputs in evaluation and training."""
    op = bound(spelling, kernel, given, x)
    ours = built(op, x)
    randomised(theirs)
    ours.load_state_dict(named(theirs, names))
    params = sum(parameter.numel() for parameter in theirs.parameters())
    assert op.cost(x).params == params == sum(parameter.numel() for parameter in ours.parameters())
    image = torch.randn(4, *x)
    for training in (False, True, False):  # the last pass uses the running statistics of the second
        wanted = theirs.train(training)(image)
        assert torch.allclose(ours.train(training)(image), wanted, rtol=1e-5, atol=1e-5)
        assert wanted.std() > 1e-3


SE = {"fc1": "reduce", "bn": "act.0", "fc2": "expand"}
GC = {"conv_attn": "attend", "mlp_add.": "", "mlp_scale.": "", "fc1": "reduce", "fc2": "expand"}
COORDINATE = {"conv1": "reduce", "bn1": "norm", "conv_h": "rows", "conv_w": "columns"}
SK = {"attn.fc_reduce": "reduce", "attn.bn.": "norm.", "attn.fc_select": "select", "conv.": "0.", "bn.": "1."}
SPLAT = {"bn0": "norm", "fc1": "reduce", "bn1": "squeeze_norm", "fc2": "expand"}
HALO = {"pos_embed.height_rel": "rows", "pos_embed.width_rel": "columns"}
BAT = {"ba.conv1.": "attend.", "ba.conv_p": "rows", "ba.conv_q": "columns", "ba.conv2.": "mix.", "conv1.": "reduce."}
BAT |= {"conv2.": "expand.", ".conv.": ".0.", ".bn.": ".1."}


def halo(**given: Any) -> nn.Module:
    return layers.halo_attn.HaloAttn(24, **{"num_heads": 4, "block_size": 4, "halo_size": 2, **given})


def bilinear(**given: Any) -> nn.Module:
    return layers.BatNonLocalAttn(24, drop_rate=0.0, **given)


CASES: list[tuple[str, dict[str, Any], Callable[[], nn.Module], dict[str, str]]] = [
    ("bn", {"eps": 1e-3}, lambda: layers.BatchNormAct2d(24, eps=1e-3, apply_act=False), {}),
    ("gn", {"groups": 4, "eps": 1e-6}, lambda: layers.GroupNorm(24, num_groups=4, eps=1e-6), {}),
    ("ln", {"eps": 1e-5}, lambda: layers.LayerNorm2d(24, eps=1e-5), {}),
    ("rmsnorm", {}, lambda: layers.RmsNorm2d(24), {}),
    ("grn", {}, lambda: layers.grn.GlobalResponseNorm(24, channels_last=False), {}),
    ("frn", {"eps": 1e-5}, lambda: layers.FilterResponseNormAct2d(24, apply_act=False), {}),
    ("evonorm_b0", {}, lambda: layers.EvoNorm2dB0(24), {}),
    ("evonorm_s0", {"groups": 4}, lambda: layers.EvoNorm2dS0(24, groups=4), {}),
    ("se", {"ratio": 4, "norm": "bn"}, lambda: layers.SEModule(24, 1 / 4, rd_divisor=1, norm_layer=nn.BatchNorm2d), SE),
    ("se", {"ratio": 4, "bias": 0}, lambda: layers.SEModule(24, 1 / 4, rd_divisor=1, bias=False), SE),
    ("ese", {}, lambda: layers.EffectiveSEModule(24), {"fc": "conv"}),
    ("gc", {"fuse": "scale"}, lambda: layers.GlobalContext(24), GC),
    ("gc", {"ratio": 4}, lambda: layers.GlobalContext(24, rd_ratio=1 / 4, fuse_add=True, fuse_scale=False), GC),
    ("coord_attn", {"ratio": 3}, lambda: layers.coord_attn.CoordAttn(24, rd_channels=8), COORDINATE),
    ("coord_attn", {"bias": 1}, lambda: layers.coord_attn.CoordAttn(24, bias=True), COORDINATE),
    ("halo", {"heads": 4, "block": 4, "halo": 2}, lambda: halo(), HALO),
    (
        "halo",
        {"heads": 3, "block": 4, "halo": 1, "queries": 48},
        lambda: halo(num_heads=3, halo_size=1, dim_head=16),
        HALO,
    ),
    ("halo", {"heads": 4, "block": 8, "halo": 3, "stride": 2}, lambda: halo(block_size=8, halo_size=3, stride=2), HALO),
    ("bat", {"block": 4}, lambda: bilinear(block_size=4), BAT),
    ("bat", {"block": 2, "groups": 4, "squeeze": 12}, lambda: bilinear(block_size=2, groups=4, rd_channels=12), BAT),
    ("affine", {}, lambda: pytest.importorskip("timm.models.hgnet").LearnableAffineBlock(), {}),
    ("star_relu", {}, lambda: import_star_relu()(), {}),
    ("gelu_tanh", {}, lambda: layers.get_act_layer("gelu_tanh")(), {}),
    ("quick_gelu", {}, lambda: layers.get_act_layer("quick_gelu")(), {}),
    ("hard_mish", {}, lambda: layers.get_act_layer("hard_mish")(), {}),
    ("tanh", {}, lambda: layers.get_act_layer("tanh")(), {}),
    ("selu", {}, lambda: layers.get_act_layer("selu")(), {}),
]


@pytest.mark.parametrize(
    ("given", "make"),
    [
        ({"eps": 1e-8}, lambda **own: layers.StdConv2d(24, 32, 3, eps=1e-8, **own)),
        (
            {"gain": 1, "gamma": 1.7, "bias": 1, "eps": 1e-5},
            lambda **own: layers.ScaledStdConv2d(24, 32, 3, gamma=1.7, eps=1e-5, **own),
        ),
    ],
    ids=["StdConv2d", "ScaledStdConv2d"],
)
def test_standardised_convolutions_equal_timm(given, make):
    """wsconv3x3 is StdConv2d of BiT, and with gain=1 ScaledStdConv2d of NFNet."""
    theirs = randomised(make(stride=2, groups=4)).eval()
    op = bound("wsconv", 3, {"out": 32, "groups": 4, **given}, X)
    ours = built(op, X)
    ours.load_state_dict({k: v.flatten() if k == "gain" else v for k, v in theirs.state_dict().items()})
    assert op.cost(X).params == sum(parameter.numel() for parameter in theirs.parameters())
    image = torch.randn(4, *X)
    assert torch.allclose(ours(image), theirs(image), rtol=1e-5, atol=1e-5)


def import_star_relu() -> type[nn.Module]:
    return pytest.importorskip("timm.models.metaformer").StarReLU


@pytest.mark.parametrize(("spelling", "given", "make", "names"), CASES, ids=[case[0] for case in CASES])
def test_ops_of_one_module_equal_timm(spelling, given, make, names):
    """Norms, activations and gates have the parameters and outputs of timm's module."""
    check(spelling, given, make(), names)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"split": 1}, {}),
        ({"groups": 4, "stride": 1, "multiple": 4}, {"groups": 4, "split_input": False, "rd_divisor": 4}),
        ({"dilation": 2, "ratio": 2}, {"dilation": 2, "rd_ratio": 1 / 2, "split_input": False}),
    ],
)
def test_selective_kernels_equal_timm(given, options):
    """sk3x3 is timm's SelectiveKernel."""
    theirs = layers.SelectiveKernel(24, 32, stride=given.get("stride", 2), **options)
    check("sk", {"out": 32, **given}, theirs, SK, kernel=3)


@pytest.mark.parametrize("given", [{}, {"groups": 2}, {"radix": 1}, {"radix": 4, "dilation": 2, "stride": 1}])
def test_split_attention_equals_timm(given):
    """splat3x3 is timm's SplitAttn."""
    options = {"stride": 2, "padding": given.get("dilation", 1), **given}
    theirs = layers.SplitAttn(24, 32, norm_layer=nn.BatchNorm2d, **options)
    check("splat", {"out": 32, **given}, theirs, SPLAT, kernel=3)


@pytest.mark.parametrize("given", [{"window": 4}, {"grid": 4}])
def test_partitioned_attention_equals_timm(given):
    """mhsa in windows or on a grid, with biases, projection and a table, is timm's for MaxViT."""
    maxvit = pytest.importorskip("timm.models.maxxvit")
    theirs = randomised(
        maxvit.Attention2d(24, dim_head=8, head_first=False, rel_pos_cls=lambda **own: layers.RelPosBias((4, 4), **own))
    ).eval()
    op = bound("mhsa", None, {"heads": 3, "position": "bias", "bias": 1, "proj": 1, **given}, X)
    ours = built(op, X)
    ours.load_state_dict(named(theirs, {"rel_pos.relative_position_bias_table": "table"}))
    assert op.cost(X).params == sum(parameter.numel() for parameter in theirs.parameters())
    image = torch.randn(4, *X)
    name = "window" if "window" in given else "grid"
    parts = getattr(maxvit, f"{name}_partition_nchw")(image, [4, 4])
    wanted = getattr(maxvit, f"{name}_reverse_nchw")(theirs(parts), [4, 4], [8, 8])
    assert torch.allclose(ours(image), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("scale", "scales"), [(0, ()), (5, (5,))])
def test_linear_attention_equals_timm(scale, scales):
    """linear_attn is EfficientViT's LiteMLA without the batch norm behind its projection."""
    theirs = pytest.importorskip("timm.models.efficientvit_mit").LiteMLA(24, 24, dim=8, scales=scales)
    theirs.proj.norm = nn.Identity()
    names = {"qkv.conv": "qkv", "proj.conv": "proj", "aggreg.0": "aggregate"}
    check("linear_attn", {"heads": 3, "scale": scale}, theirs, names)


def test_frn_and_tlu_equal_timm():
    """frn followed by tlu is timm's FilterResponseNormTlu2d."""
    theirs = randomised(layers.FilterResponseNormTlu2d(24)).eval()
    frn, tlu = built(bound("frn", None, {"eps": 1e-5}, X), X), built(bound("tlu", None, {}, X), X)
    state = theirs.state_dict()
    tlu.load_state_dict({"tau": state.pop("tau")})
    frn.load_state_dict(state)
    image = torch.randn(4, *X)
    assert torch.allclose(tlu(frn(image)), theirs(image), atol=1e-5)
