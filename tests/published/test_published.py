"""Published networks and what they cost, each a member of a family in ``search_spaces/published``.

The figures come from running the named implementations, not from the language: parameters; MACs of conv, linear and
attention products; elements that those put out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch import nn

import explorer
from explorer.costing.reference import check_cost
from explorer.grammar.parse import shipped_spaces
from explorer.ops.squeeze_excitation import SqueezeExcitation

# A line of figures: name | side of the input | params | macs | activations. A line of where it stands: the space file,
# then the choices, with several values for `depth@stage1..4`; first alternatives elsewhere.
TABLE = """
# written out in PyTorch from the papers
resnet20_optA | 32 | 269722 | 40551040 | 188426
    cifar_resnet depth=3
resnet56_optA | 32 | 853018 | 125485696 | 532490
    cifar_resnet depth=9
resnet110_optA | 32 | 1727962 | 252887680 | 1048586
    cifar_resnet depth=18
resnet20_optB | 32 | 272474 | 40813184 | 200714
    cifar_resnet depth=3; option=B
resnet56_optB | 32 | 855770 | 125747840 | 544778
    cifar_resnet depth=9; option=B
preact_resnet20_optA | 32 | 269722 | 40551040 | 188426
    cifar_preact_resnet depth=3
preact_resnet56_optA | 32 | 853018 | 125485696 | 532490
    cifar_preact_resnet depth=9
preact_resnet110_optA | 32 | 1727962 | 252887680 | 1048586
    cifar_preact_resnet depth=18
resnet164_bottleneck | 32 | 1704154 | 244500992 | 3227658
    cifar_resnet block=bottleneck; depth=18
preact_resnet164_bottleneck | 32 | 1703258 | 244500992 | 3227658
    cifar_preact_resnet block=bottleneck; depth=18
se_resnet20 | 32 | 272095 | 40553056 | 188783
    cifar_resnet depth=3; attn=se(r=16)
se_resnet56 | 32 | 860137 | 125491744 | 533561
    cifar_resnet depth=9; attn=se(r=16)
wrn_16_4 | 32 | 2748890 | 392612352 | 589834
    wrn depth=2; k=4
wrn_16_8 | 32 | 10961370 | 1548145664 | 1163274
    wrn depth=2; k=8
wrn_40_2 | 32 | 2243546 | 327599360 | 761866
    wrn depth=6; k=2
resnet18_kuangliu | 32 | 11173962 | 555422720 | 614410
    kuangliu depth@stage1..4=2 2 2 2
preact_resnet18_kuangliu | 32 | 11172170 | 555422720 | 614410
    kuangliu block=preact_basic
resnext29_8x64d | 32 | 34426698 | 5387266048 | 8585226
    cifar_resnext cardinality=8; group=64
resnet164_bottleneck_stride3x3 | 32 | 1704154 | 247646720 | 3264522
    cifar_resnet block=bottleneck; depth=18; reduce=conv1x1 bn relu conv3x3(s=s)
# timm 1.0.31
resnet18 | 224 | 11689512 | 1814073344 | 2484712
    resnet depth@stage1..4=2 2 2 2
resnet26 | 224 | 15995176 | 2342256640 | 7351784
    resnet block=bottleneck; depth@stage1..4=2 2 2 2
resnet34 | 224 | 21797672 | 3663761408 | 3739112
    resnet depth@stage1..4=3 4 6 3
resnet50 | 224 | 25557032 | 4089184256 | 11114984
    resnet block=bottleneck; depth@stage1..4=3 4 6 3
resnet101 | 224 | 44549160 | 7801405440 | 16232936
    resnet block=bottleneck; depth@stage1..4=3 4 23 3
resnet18d | 224 | 11708744 | 2053713920 | 3287528
    resnet entry=deep; down=pooled
resnet26d | 224 | 16014408 | 2581897216 | 8154600
    resnet block=bottleneck; entry=deep; down=pooled
resnet50d | 224 | 25576264 | 4328824832 | 11917800
    resnet block=bottleneck; depth@stage1..4=3 4 6 3; entry=deep; down=pooled
resnet50 output stride 8 | 224 | 25557032 | 19079364608 | 25189352
    resnet block=bottleneck; depth@stage1..4=3 4 6 3; stride3=1; stride4=1
resnet18 output stride 16 | 224 | 11689512 | 3047198720 | 2861032
    resnet stride4=1
resnetv2_18 | 224 | 11687720 | 1814073344 | 2484712
    resnetv2 depth@stage1..4=2 2 2 2
resnetv2_50 | 224 | 25549352 | 4089184256 | 11114984
    resnetv2 block=bottleneck; depth@stage1..4=3 4 6 3
resnetv2_50d | 224 | 25568584 | 4328824832 | 11917800
    resnetv2 block=bottleneck; depth@stage1..4=3 4 6 3; entry=deep; down=pooled
seresnet18 | 224 | 11779624 | 1814161408 | 2486760
    resnet attn=se(r=16, round=8)
seresnet50 | 224 | 28088024 | 4091699200 | 11131032
    resnet block=bottleneck; depth@stage1..4=3 4 6 3; attn=se(r=16, round=8)
resnext50_32x4d | 224 | 25028904 | 4230479872 | 14401512
    resnet block=bottleneck; depth@stage1..4=3 4 6 3; inner=2; groups=32
resnext101_32x8d | 224 | 88791336 | 16414015488 | 31210472
    resnet block=bottleneck; depth@stage1..4=3 4 23 3; inner=4; groups=32
wide_resnet50_2 | 224 | 68883240 | 11398021120 | 14401512
    resnet block=bottleneck; depth@stage1..4=3 4 6 3; inner=2
ecaresnet26t | 224 | 16011916 | 2550332928 | 8061928
    resnet block=bottleneck; entry=tiered; down=pooled; attn=eca
ecaresnet101d | 224 | 44568563 | 8041220864 | 17068264
    resnet block=bottleneck; depth@stage1..4=3 4 23 3; entry=deep; down=pooled; attn=eca
botnet26t_256 | 256 | 12488672 | 3297394688 | 11981288
    botnet
mobilenetv2_050 | 224 | 1968680 | 97131840 | 3641112
    mobilenet_v2 k=0.5
mobilenetv2_140 | 224 | 6108776 | 582195824 | 9574424
    mobilenet_v2 k=1.4; top=1792
mobilenetv3_large_100 | 224 | 5483032 | 216589760 | 4407168
    mobilenet_v3
efficientnet_b1 | 256 | 7794184 | 743303680 | 12215096
    efficientnet deep=1.1
densenet121 | 224 | 7978856 | 2834161664 | 6900200
    densenet
regnetx_002 | 224 | 2684792 | 199039872 | 2164056
    regnet_x depth1..4=1 1 4 7; groups1..4=3 7 19 46; group=8
regnetx_008 | 224 | 7259656 | 799699712 | 5148744
    regnet_x depth1..4=1 3 7 5; groups1..4=4 8 18 42; group=16
regnety_004 | 224 | 4344144 | 401842848 | 3892496
    regnet_y depth1..4=1 3 6 6; groups1..4=6 13 26 55; group=8
regnety_016 | 224 | 11202430 | 1612076160 | 8044814
    regnet_y depth1..4=2 6 17 2; groups1..4=2 5 14 37; group=24
convnext_nano | 224 | 15593560 | 2445528320 | 8374120
    convnext base=80; depth@stage1..4=2 2 8 2
convnext_atto | 224 | 3695520 | 547332480 | 3811240
    convnext base=40; depth@stage1..4=2 2 6 2
ecaresnet26t | 256 | 16011916 | 3330405888 | 10527208
    resnet block=bottleneck; entry=tiered; down=pooled; attn=eca
ecaresnet26t | 320 | 16011916 | 5202580992 | 16443880
    resnet block=bottleneck; entry=tiered; down=pooled; attn=eca
resnet152 | 224 | 60192808 | 11513626624 | 22555112
    resnet block=bottleneck; depth@stage1..4=3 8 36 3
seresnet34 | 224 | 21960416 | 3663920128 | 3743136
    resnet depth@stage1..4=3 4 6 3; attn=se(r=16, round=8)
seresnext50_32x4d | 224 | 27559896 | 4232994816 | 14417560
    resnet block=bottleneck; depth@stage1..4=3 4 6 3; attn=se(r=16, round=8); inner=2; groups=32
resnet14t | 224 | 10081632 | 1676822528 | 5796328
    resnet block=bottleneck; depth@stage1..4=1 1 1 1; entry=tiered; down=pooled
resnet10t | 224 | 5435488 | 1097259008 | 2434536
    resnet depth@stage1..4=1 1 1 1; entry=tiered; down=pooled
resnet50 output stride 16 | 224 | 25557032 | 6208618496 | 12695528
    resnet block=bottleneck; depth@stage1..4=3 4 6 3; stride4=1
efficientnet_b0 | 224 | 5288548 | 385814752 | 6748036
    efficientnet
efficientnet_b3 | 224 | 12233232 | 962708240 | 13007256
    efficientnet wide=1.2; deep=1.4
mobilenetv2_100 | 224 | 3504872 | 300774272 | 6679112
    mobilenet_v2
mobilenetv2_110d | 224 | 4516520 | 430516080 | 8712024
    mobilenet_v2 k=1.1; deep=1.2; entry=fixed
mobilenetv2_120d | 224 | 5831144 | 668857568 | 11966408
    mobilenet_v2 k=1.2; deep=1.4; entry=fixed
mobilenetv3_small_100 | 224 | 2542856 | 56510400 | 1417680
    mobilenet_v3_small
densenet169 | 224 | 14149480 | 3359843328 | 7301608
    densenet depth3=32; depth4=32
convnext_tiny | 224 | 28589128 | 4455531264 | 13435624
    convnext base=96; depth@stage1..4=3 3 9 3
regnetx_032 | 224 | 15296552 | 3176621952 | 11367432
    regnet_x depth1..4=2 6 15 2; groups1..4=2 4 9 21; group=48
regnetx_080 | 224 | 39572648 | 7995132416 | 14059688
    regnet_x_080
regnety_032 | 224 | 19436338 | 3176482752 | 11263418
    regnet_y depth1..4=2 5 13 1; groups1..4=3 9 24 63; group=24
resnetv2_101 | 224 | 44541480 | 7801405440 | 16232936
    resnetv2 block=bottleneck; depth@stage1..4=3 4 23 3
# github.com/fyu/drn
drn_d_24 | 224 | 21114392 | 16733605888 | 8129512
    drn smooth=twice
"""


class Published(NamedTuple):
    """An entry of the table."""

    name: str
    side: int
    params: int
    macs: int
    activations: int
    family: str
    choices: dict[str, str]


def published() -> list[Published]:
    lines = [line for line in TABLE.splitlines() if line and not line.startswith("#")]
    return [read(figures, place) for figures, place in zip(lines[::2], lines[1::2])]


def read(figures: str, place: str) -> Published:
    name, *numbers = (part.strip() for part in figures.split("|"))
    family, _, text = place.strip().partition(" ")
    choices: dict[str, str] = {}
    for choice in filter(None, text.split("; ")):
        point, _, value = choice.partition("=")
        if several := re.fullmatch(r"(.+)1\.\.\d", point):
            choices |= {f"{several[1]}{k}": each for k, each in enumerate(value.split(), 1)}
        else:
            choices[point] = value
    return Published(name, *map(int, numbers), family, choices)


@cache
def family(name: str, side: int) -> explorer.SearchSpace:
    space = explorer.load_space(f"published/{name}.yaml")
    return space if side == space.input.height else space.with_input((3, side, side), space.classes)


def member(row: Published) -> explorer.Architecture:
    space = family(row.family, row.side)
    return space.architecture(space.named(row.choices))


def identify(row: Published) -> str:
    return f"{row.name}-{row.side}".replace(" ", "_")


ROWS = published()
# The smallest network of each family, for building; most at a small input, where they cost little to run.
BUILT = list({row.family: row for row in sorted(ROWS, key=lambda row: -row.macs)}.values())
BUILT_SIDE = 64


@pytest.mark.parametrize("row", ROWS, ids=identify)
def test_costs_are_the_published_ones(row: Published) -> None:
    """A published network, named by its choices in its family, costs what it is known to cost, to the last unit."""
    cost = explorer.cost(member(row))
    assert (cost.params, cost.macs, cost.activations) == (row.params, row.macs, row.activations)


def test_every_published_family_is_in_the_table() -> None:
    """No file of the folder goes unchecked, and every one is checked whole when it is loaded."""
    files = {path for path in shipped_spaces() if path.startswith("published/")}
    assert files == {f"published/{row.family}.yaml" for row in ROWS}
    assert {family(row.family, row.side).validated for row in ROWS} == {"all"}


def test_published_networks_are_all_different() -> None:
    """No two lines of the table, at one input, are the same network: a choice that did nothing would show."""
    digests = [member(row).digest for row in ROWS]
    assert len(set(digests)) == len(digests)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Maps this small gain nothing from threads, and lose where other work shares the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("row", BUILT, ids=identify)
def test_built_networks_agree(row: Published) -> None:
    """The smallest published network of each family runs, and outside counters find in it what its costs say."""
    architecture = member(row._replace(side=min(row.side, BUILT_SIDE)))
    report = check_cost(architecture)
    cost = explorer.cost(architecture)
    assert report.differences == ()
    assert (report.params_built, report.fvcore_macs, report.torch_macs) == (cost.params, cost.macs, cost.macs)
    assert products_put_out(explorer.build(architecture).eval(), architecture) == cost.activations


def products_put_out(network: nn.Module, architecture: explorer.Architecture) -> int:
    """Elements that conv and linear layers and matrix products put out, from what runs."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if function.overloadpacket.__name__ in ("convolution", "addmm", "mm", "bmm"):
                self.elements += out.numel()
            return out

    with torch.no_grad(), Count() as count:
        scores = network(torch.zeros(1, *architecture.input))
    assert scores.shape == (1, architecture.classes)
    assert torch.isfinite(scores).all()
    return count.elements


@pytest.mark.parametrize(
    ("arguments", "channels", "squeeze"),
    [
        ("r=4, round=8", 72, 16),
        ("r=4, round=8, least=0.9", 72, 24),  # 16 would be less than nine tenths of 18
        ("r=4, round=8, least=0.9", 136, 32),  # 32 is not less than nine tenths of 34
        ("r=4, least=0.9", 75, 18),  # without `round` there is nothing to keep from
    ],
)
def test_squeeze_keeps_its_least_share(arguments: str, channels: int, squeeze: int) -> None:
    """``least`` takes the next multiple where the nearest falls below that share of C/r, as MobileNetV3's SE does."""
    text = f"stages: {{blocks: 1, width: {channels}}}\nstem: conv1x1({channels})\nblock: conv1x1 se({arguments}) +\n"
    space = explorer.parse_space(f"input: 3x8x8\nclasses: 2\nhead: gap fc\n{text}")
    (found,) = [placed.op for placed in space.architecture(0).layers() if isinstance(placed.op, SqueezeExcitation)]
    assert found.squeeze == squeeze
