"""Analytic costs compared with other counters, published networks and manual computation."""

from __future__ import annotations

import warnings

import pytest
import torch

from explorer.costs.analytic import Cost, count_cost
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network
from explorer.space.search_space import load_space, parse_space
from tests.space.spaces import only

CIFAR = "input: 3x32x32\nclasses: 10\n"
IMAGENET = "input: 3x224x224\nclasses: 1000\n"


def counted_by_fvcore(architecture: Architecture) -> tuple[int, int]:
    """Return MACs and output elements of the built network's convolutions, linear layers and matrix products."""
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

    network = build_network(architecture).eval()
    image = torch.zeros(1, *architecture.input)
    found = []
    for analysis in (FlopCountAnalysis(network, image), ActivationCountAnalysis(network, image)):
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = analysis.by_operator()
        found.append(int(sum(by_operator.get(name, 0) for name in ("conv", "linear", "addmm", "matmul"))))
    return found[0], found[1]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 24, 17), (3, 32, 32), (4, 9, 40)])
def test_costs_equal_fvcores_exactly(shape):
    """For sampled networks and input shapes, params equal the built network's, and macs and activations equal
    fvcore's."""
    made = load_space("preact_variants").with_input(shape, 7)
    for derivation in made.sample(4, seed=sum(shape)):
        arch = made.architecture(derivation)
        cost = count_cost(arch)
        assert cost.params == sum(p.numel() for p in build_network(arch).parameters())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            assert (cost.macs, cost.activations) == counted_by_fvcore(arch)
        assert cost.flops == 2 * cost.macs


def resnet(n: int, changed: str, block: str = "conv3x3 bn relu conv3x3 bn + relu", **sections: str) -> str:
    """The 6n + 2 layers of He et al. 2015, section 4.2."""
    parts = {
        "stem": "conv3x3(16) post",
        "stages": f"{{blocks: {n}, width: [16, 32, 64], stride: [1, 2, 2]}}",
        "block": block,
        "shortcut": changed,
        "head": "pre gap fc",
        **sections,
    }
    return CIFAR + "".join(f"{key}: {value}\n" for key, value in parts.items())


PREACT = "bn relu conv3x3 bn relu conv3x3 +"
BOTTLENECK = "conv1x1(w/4, s=s) bn relu conv3x3(w/4) bn relu conv1x1 bn + relu"
PREACT_BOTTLENECK = "bn relu conv1x1(w/4, s=s) bn relu conv3x3(w/4) bn relu conv1x1 +"
WIDE = "{blocks: 18, width: [64, 128, 256], stride: [1, 2, 2]}"
OPTION_A, OPTION_B = "{changed: subsample}", "{changed: conv1x1 bn}"
SHARED = "{changed: conv1x1, from: preact}"
SE = "conv3x3 bn relu conv3x3 bn se(r=16) + relu"


def wide_resnet(n: int, k: int) -> str:
    return resnet(
        n, SHARED, PREACT, stages=f"{{blocks: {n}, width: [{16 * k}, {32 * k}, {64 * k}], stride: [1, 2, 2]}}"
    )


def imagenet(
    depths: str,
    block: str,
    changed: str,
    entry: str = "conv7x7(64, s=2)",
    wide: int = 1,
    dilation: str = "1",
    stride: str = "[1, 2, 2, 2]",
) -> str:
    widths = ", ".join(str(wide * w) for w in (64, 128, 256, 512))
    return IMAGENET + (
        f"stem: '{entry} bn relu maxpool3x3(s=2)'\n"
        f"stages: {{blocks: {depths}, width: [{widths}], stride: {stride}, dilation: {dilation}}}\n"
        f"block: '{block}'\nshortcut: '{{}}'\nhead: gap fc\n"
    ).replace("shortcut: '{}'", f"shortcut: {{changed: {changed}}}")


BASIC = "conv3x3 bn relu conv3x3 bn + relu"

# name: (space, params, macs, activations). The first fifteen were rebuilt from the papers (He et al. 2015 and 2016,
# Zagoruyko and Komodakis 2016, Hu et al. 2018), the others are timm 1.0.31's; macs and activations
# are fvcore's of conv and linear.
PUBLISHED = {
    "resnet20, option A": (resnet(3, OPTION_A), 269_722, 40_551_040, 188_426),
    "resnet56, option A": (resnet(9, OPTION_A), 853_018, 125_485_696, 532_490),
    "resnet110, option A": (resnet(18, OPTION_A), 1_727_962, 252_887_680, 1_048_586),
    "resnet20, option B": (resnet(3, OPTION_B), 272_474, 40_813_184, 200_714),
    "resnet56, option B": (resnet(9, OPTION_B), 855_770, 125_747_840, 544_778),
    "preact resnet20, option A": (
        resnet(3, "{changed: subsample, from: preact}", PREACT),
        269_722,
        40_551_040,
        188_426,
    ),
    "preact resnet110, option A": (
        resnet(18, "{changed: subsample, from: preact}", PREACT),
        1_727_962,
        252_887_680,
        1_048_586,
    ),
    "resnet164": (
        resnet(18, OPTION_B, BOTTLENECK, stages=WIDE, stem="conv3x3(16) bn relu"),
        1_704_154,
        244_500_992,
        3_227_658,
    ),
    "preact resnet164": (resnet(18, SHARED, PREACT_BOTTLENECK, stages=WIDE), 1_703_258, 244_500_992, 3_227_658),
    "se resnet20": (resnet(3, OPTION_A, SE), 272_095, 40_553_056, 188_783),
    "se resnet56": (resnet(9, OPTION_A, SE), 860_137, 125_491_744, 533_561),
    "wrn 16-4": (wide_resnet(2, 4), 2_748_890, 392_612_352, 589_834),
    "wrn 16-8": (wide_resnet(2, 8), 10_961_370, 1_548_145_664, 1_163_274),
    "wrn 40-2": (wide_resnet(6, 2), 2_243_546, 327_599_360, 761_866),
    "resnet164, stride on the 3x3": (
        resnet(18, OPTION_B, BOTTLENECK.replace(", s=s", ""), stages=WIDE, stem="conv3x3(16) bn relu"),
        1_704_154,
        247_646_720,
        3_264_522,
    ),
    "resnet18": (imagenet("2", BASIC, "conv1x1 bn"), 11_689_512, 1_814_073_344, 2_484_712),
    "resnet34": (imagenet("[3, 4, 6, 3]", BASIC, "conv1x1 bn"), 21_797_672, 3_663_761_408, 3_739_112),
    "resnet50": (
        imagenet("[3, 4, 6, 3]", "conv1x1(w/4) bn relu conv3x3(w/4) bn relu conv1x1 bn + relu", "conv1x1 bn", wide=4),
        25_557_032,
        4_089_184_256,
        11_114_984,
    ),
    "resnet18d": (
        imagenet("2", BASIC, "avgpool conv1x1 bn", entry="conv3x3(32, s=2) bn relu conv3x3(32) bn relu conv3x3(64)"),
        11_708_744,
        2_053_713_920,
        3_287_528,
    ),
    "seresnet18": (
        imagenet("2", BASIC.replace("bn +", "bn se(r=16, round=8) +"), "conv1x1 bn"),
        11_779_624,
        1_814_161_408,
        2_486_760,
    ),
    "resnext50_32x4d": (
        imagenet(
            "[3, 4, 6, 3]", "conv1x1(w/2) bn relu conv3x3(w/2, g=32) bn relu conv1x1 bn + relu", "conv1x1 bn", wide=4
        ),
        25_028_904,
        4_230_479_872,
        14_401_512,
    ),
    "resnet50 at output stride 8": (
        imagenet(
            "[3, 4, 6, 3]",
            "conv1x1(w/4) bn relu conv3x3(w/4, d=d) bn relu conv1x1 bn + relu",
            "conv1x1 bn",
            wide=4,
            stride="[1, 2, 1, 1]",
            dilation="[1, 1, 2, 4]",
        ),
        25_557_032,
        19_079_364_608,
        25_189_352,
    ),
}


@pytest.mark.parametrize("row", PUBLISHED.values(), ids=list(PUBLISHED))
def test_published_networks_count_exactly(row):
    """Published networks, written as short space files, have exactly their published params, macs and activations."""
    made = parse_space(row[0])
    assert made.count() == 1
    cost = count_cost(made.architecture(0))
    assert (cost.params, cost.macs, cost.activations) == row[1:]


@pytest.mark.parametrize(("n", "layers"), [(3, 20), (9, 56), (18, 110)])
@pytest.mark.parametrize(("changed", "block"), [(OPTION_A, BASIC), (OPTION_B, BASIC), (SHARED, PREACT)])
def test_weight_layers(n, layers, changed, block):
    """ResNets have 6n + 2 weight layers with any shortcuts, such as the 20 of ResNet-20."""
    assert count_cost(parse_space(resnet(n, changed, block)).architecture(0)).weight_layers == layers


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (resnet(3, OPTION_B), 81),
        (resnet(9, OPTION_B), 249),
        (resnet(18, OPTION_A), 501),
        (PUBLISHED["resnet18"][0], 435),
        (PUBLISHED["resnet34"][0], 899),
        (PUBLISHED["resnet50"][0], 427),
        (PUBLISHED["resnet50"][0].replace("conv1x1(w/4)", "conv1x1(w/4, s=s)"), 483),
    ],
)
def test_receptive_fields(text, field):
    """r = r + (k - 1) d j and j = j s give 81 for ResNet-20 on CIFAR, and 427 or 483 for ResNet-50."""
    assert count_cost(parse_space(text).architecture(0)).receptive_field == field


def test_dilation_in_place_of_stride_keeps_params_and_receptive_field():
    """Replacing strides by dilation changes neither the parameters nor the receptive field."""
    plain, dilated = (
        only(block="conv3x3(d=d) bn + relu", shortcut="{changed: conv1x1}", stages=stages, input="3x64x64")
        for stages in (
            "{blocks: 2, width: [8, 16], stride: [1, 2]}",
            "[{blocks: 2, width: 8}, {blocks: 2, width: 16, dilation: 2, first: conv3x3 bn + relu}]",
        )
    )
    one, other = count_cost(plain), count_cost(dilated)
    assert (one.params, one.receptive_field) == (other.params, other.receptive_field)
    assert other.macs > one.macs


def measured_receptive_field(architecture: Architecture) -> int:
    """Return the larger side of the input patch on which the centre pixel of the map depends, from gradients."""
    network = build_network(architecture).double().eval()
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    image = torch.ones(1, *architecture.input, dtype=torch.float64, requires_grad=True)
    y = network.stem(image)
    for stage in network.stages:
        y = stage(y)
    y[0, :, y.shape[2] // 2, y.shape[3] // 2].sum().backward()
    down, right = (torch.nonzero(image.grad[0].abs().sum(axes)) for axes in ((0, 2), (0, 1)))
    return int(max(down.max() - down.min(), right.max() - right.min())) + 1


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"block": "conv5x5 relu conv3x3(d=2) +"},
        {"block": "conv1x1 dwconv7x7 +", "stem": "conv4x4(8, s=4)"},
        {"block": "conv1x1 +", "shortcut": "{same: identity, changed: conv5x5}"},
        {"block": "conv3x3 cat", "transition": "conv1x1(in/2) avgpool"},
        {"block": "avgpool3x3 conv1x1 avgpool5x5 +", "stages": "{blocks: 1, width: 8}"},
        {"block": "conv1x7 conv3x1 conv5x1 +", "stages": "{blocks: 2, width: [8, 8], stride: [1, 2x1]}"},
        {"block": "conv1x3 conv1x3 +", "shortcut": "{same: conv5x1, changed: conv7x1}"},
    ],
)
def test_the_receptive_field_equals_the_gradients_extent(sections):
    """The receptive field equals the input patch with gradients."""
    arch = only(**{"input": "3x160x160", **sections})
    assert count_cost(arch).receptive_field == measured_receptive_field(arch)


def test_the_arithmetic_of_squeeze_and_excitation():
    """SE adds 2 C^2 / r weights and MACs, and C / r + C biases, to a block."""
    plain, attentive = (
        count_cost(only(block=f"conv3x3 {attn} +", stages="{blocks: 3, width: 32}", stem="conv3x3(32)"))
        for attn in ("none", "se(r=4)")
    )
    assert attentive.macs - plain.macs == 3 * 2 * 32 * 8
    assert attentive.params - plain.params == 3 * (2 * 32 * 8 + 8 + 32)
    assert attentive.activations - plain.activations == 3 * (8 + 32)


def test_a_network_computed_by_hand():
    """conv3x3(8) on 3x16x16; conv3x3 with bias and the identity; gap; fc to 10."""
    cost = count_cost(only(stem="conv3x3(8)", block="conv3x3(bias=1) bn +", stages="{blocks: 1, width: 8}"))
    assert cost == Cost(
        params=3 * 9 * 8 + (8 * 9 * 8 + 8 + 16) + 8 * 10 + 10,
        macs=256 * (3 * 9 * 8 + 8 * 9 * 8) + 80,
        flops=2 * (256 * (3 * 9 * 8 + 8 * 9 * 8) + 80),
        activations=2 * 256 * 8 + 10,
        weight_layers=3,
        receptive_field=5,
        # bn runs while the block's input is kept: three maps of 8x16x16.
        peak_memory_bytes=4 * ((3 * 9 * 8 + 8 * 9 * 8 + 8 + 16 + 80 + 10) + 3 * 8 * 256),
    )


def live_elements(architecture: Architecture) -> int:
    """Return the largest number of elements in memory at once, from a run of the network.

    Every module writes a new map; a block's input stays while its shortcut may still need it.
    """
    network = build_network(architecture).eval()
    live: list[int] = []
    held = [0]
    modules = [m for m in network.modules() if not list(m.children())]
    for module in modules:
        module.register_forward_hook(lambda m, x, y: live.append(held[0] + x[0].numel() + y.numel()))

    def block_forward(block, x: torch.Tensor) -> torch.Tensor:
        x = block.pre(x)
        y = x
        for place, module in enumerate(block.branch):
            held[0] = x.numel() if place and block.shortcut is not None else 0
            y = module(y)
        if block.shortcut is not None:
            held[0] = y.numel()
            shortcut = block.shortcut(x)
            held[0] = 0
            live.append(y.numel() + shortcut.numel() + y.numel())
            y = y + shortcut
        held[0] = 0
        return block.after(y)

    with torch.no_grad():
        x = network.stem(torch.zeros(1, *architecture.input))
        for stage in network.stages:
            for module in stage:
                x = block_forward(module, x)
        network.head(x)
    return max(live)


@pytest.mark.parametrize(
    "order", ["original", "bn_after_add", "relu_before_add", "relu_only_preact", "full_preact", "preact_bottleneck"]
)
def test_peak_memory(order):
    """peak_memory_bytes counts the weights and the maps in memory at once, for the given batch size and dtype."""
    made = load_space("preact_variants")
    arch = made.architecture(made.named({"order": order, "depth": "2"}))
    weights, peak = count_cost(arch).params, live_elements(arch)
    assert count_cost(arch).peak_memory_bytes == 4 * (weights + peak)
    assert count_cost(arch, batch=8, dtype="bfloat16").peak_memory_bytes == 2 * (weights + 8 * peak)


def test_repeated_blocks_are_counted_each_time():
    """Costs grow linearly in the number of equal blocks."""
    costs = [count_cost(only(stages=f"{{blocks: {n}, width: 8}}")) for n in (1, 2, 3, 50)]
    for name in ("params", "macs", "activations", "weight_layers", "receptive_field"):
        values = [getattr(cost, name) for cost in costs]
        assert values[3] - values[0] == 49 * (values[1] - values[0]) == 49 * (values[2] - values[1]) > 0
    assert len({cost.peak_memory_bytes - 4 * cost.params for cost in costs}) == 1


def test_costs_as_a_mapping():
    """to_dict returns every cost under the name used in limits and objectives."""
    cost = count_cost(only())
    assert cost.to_dict() == {
        "params": cost.params,
        "macs": cost.macs,
        "flops": cost.flops,
        "activations": cost.activations,
        "weight_layers": cost.weight_layers,
        "receptive_field": cost.receptive_field,
        "peak_memory_bytes": cost.peak_memory_bytes,
    }
