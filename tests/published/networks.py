"""Published networks, their costs, and their choices in the families of ``search_spaces/published``.

The figures of ``TABLE`` come from running the named implementations, not from the language: parameters; MACs of conv,
linear and attention products; elements that those put out. ``docs/reference/published.md`` prints both tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import explorer
from tests.published.further_families import FURTHER_FAMILIES
from tests.published.parallel_paths import PARALLEL_PATHS
from tests.published.timm_networks import FIGURES, SIZES

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
resnet110_optA_shortcuts | 32 | 1727962 | 252887680 | 1048586
    he2016_shortcuts
resnet110_optA_units | 32 | 1727962 | 252887680 | 1048586
    he2016_units
preact_resnet164_units | 32 | 1703258 | 244500992 | 3227658
    he2016_units unit=bottleneck_full_preact
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

# Further members whose parameters are published to the last unit by the named library, and, by torchvision, GMACs to
# two decimals ("GFLOPS" there): name | side | params | GMACs or - . A line of where it stands, as above.
MEMBERS = """
# torchvision
wide_resnet101_2 | 224 | 126886696 | 22.75
    resnet block=bottleneck; depth@stage1..4=3 4 23 3; inner=2
resnext101_64x4d | 224 | 83455272 | 15.46
    resnet block=bottleneck; depth@stage1..4=3 4 23 3; inner=4; groups=64
densenet161 | 224 | 28681000 | 7.73
    densenet depth3=36; depth4=24; growth=48
densenet201 | 224 | 20013928 | 4.29
    densenet depth3=48; depth4=32
efficientnet_b4 | 380 | 19341616 | 4.39
    efficientnet wide=1.4; deep=1.8
efficientnet_b5 | 456 | 30389784 | 10.27
    efficientnet wide=1.6; deep=2.2
efficientnet_b6 | 528 | 43040704 | 19.07
    efficientnet wide=1.8; deep=2.6
efficientnet_b7 | 600 | 66347960 | 37.75
    efficientnet wide=2; deep=3.1
efficientnet_v2_s | 384 | 21458488 | 8.37
    efficientnet_v2
mnasnet0_75 | 224 | 3170208 | -
    mnasnet k=0.75
mnasnet1_0 | 224 | 4383312 | 0.31
    mnasnet
mnasnet1_3 | 224 | 6282256 | 0.53
    mnasnet k=1.3
regnet_x_400mf | 224 | 5495976 | 0.41
    regnet_x depth1..4=1 2 7 12; groups1..4=2 4 10 25; group=16
regnet_x_1_6gf | 224 | 9190136 | 1.60
    regnet_x depth1..4=2 4 10 2; groups1..4=3 7 17 38; group=24
regnet_x_16gf | 224 | 54278536 | 15.94
    regnet_x depth1..4=2 6 13 1; groups1..4=2 4 7 16; group=128
regnet_x_32gf | 224 | 107811560 | 31.74
    regnet_x depth1..4=2 7 13 1; groups1..4=2 4 8 15; group=168
regnet_y_800mf | 224 | 6432512 | 0.83
    regnet_y depth1..4=1 3 8 2; groups1..4=4 9 20 49; group=16
regnet_y_8gf | 224 | 39381472 | 8.47
    regnet_y depth1..4=2 4 10 1; groups1..4=4 8 16 36; group=56
regnet_y_16gf | 224 | 83590140 | 15.91
    regnet_y depth1..4=2 4 11 1; groups1..4=2 4 11 27; group=112
regnet_y_32gf | 224 | 145046770 | 32.28
    regnet_y depth1..4=2 5 12 1; groups1..4=1 3 6 16; group=232
convnext_small | 224 | 50223688 | 8.68
    convnext base=96; depth@stage1..4=3 3 27 3
convnext_base | 224 | 88591464 | 15.35
    convnext base=128; depth@stage1..4=3 3 27 3
convnext_large | 224 | 197767336 | 34.36
    convnext base=192; depth@stage1..4=3 3 27 3
vgg11 | 224 | 132863336 | 7.61
    vgg
vgg13 | 224 | 133047848 | 11.31
    vgg depth1..5=2 2 2 2 2
vgg16 | 224 | 138357544 | 15.47
    vgg depth1..5=2 2 3 3 3
vgg16_bn | 224 | 138365992 | 15.47
    vgg depth1..5=2 2 3 3 3; norm=bn
vgg19 | 224 | 143667240 | 19.63
    vgg depth1..5=2 2 4 4 4
# timm
regnetx_004 | 224 | 5157512 | -
    regnet_x depth1..4=1 2 7 12; groups1..4=2 4 10 24; group=16
regnetx_006 | 224 | 6196040 | -
    regnet_x depth1..4=1 3 5 7; groups1..4=2 4 10 22; group=24
regnetx_040 | 224 | 22118248 | -
    regnet_x depth1..4=2 5 14 2; groups1..4=2 6 14 34; group=40
regnetx_064 | 224 | 26209256 | -
    regnet_x depth1..4=2 4 10 1; groups1..4=3 7 14 29; group=56
regnetx_120 | 224 | 46106056 | -
    regnet_x depth1..4=2 5 11 1; groups1..4=2 4 8 20; group=112
regnety_002 | 224 | 3162996 | -
    regnet_y
regnety_006 | 224 | 6055160 | -
    regnet_y depth1..4=1 3 7 4; groups1..4=3 7 16 38; group=16
regnety_008 | 224 | 6263168 | -
    regnet_y depth1..4=1 3 8 2; groups1..4=4 8 20 48; group=16
regnety_040 | 224 | 20646656 | -
    regnet_y depth1..4=2 6 12 2; groups1..4=2 3 8 17; group=64
regnety_064 | 224 | 30583252 | -
    regnet_y depth1..4=2 7 14 2; groups1..4=2 4 8 18; group=72
regnety_080 | 224 | 39180068 | -
    regnet_y depth1..4=2 4 10 1; groups1..4=3 8 16 36; group=56
regnety_120 | 224 | 51822544 | -
    regnet_y depth1..4=2 5 11 1; groups1..4=2 4 8 20; group=112
resnet34d | 224 | 21816904 | -
    resnet depth@stage1..4=3 4 6 3; entry=deep; down=pooled
resnet101d | 224 | 44568392 | -
    resnet block=bottleneck; depth@stage1..4=3 4 23 3; entry=deep; down=pooled
resnet152d | 224 | 60212040 | -
    resnet block=bottleneck; depth@stage1..4=3 8 36 3; entry=deep; down=pooled
resnetv2_34 | 224 | 21795880 | -
    resnetv2 depth@stage1..4=3 4 6 3
resnetv2_152 | 224 | 60185128 | -
    resnetv2 block=bottleneck; depth@stage1..4=3 8 36 3
seresnet101 | 224 | 49326872 | -
    resnet block=bottleneck; depth@stage1..4=3 4 23 3; attn=se(r=16, round=8)
seresnet152 | 224 | 66821848 | -
    resnet block=bottleneck; depth@stage1..4=3 8 36 3; attn=se(r=16, round=8)
ecaresnet50d | 224 | 25576350 | -
    resnet block=bottleneck; depth@stage1..4=3 4 6 3; entry=deep; down=pooled; attn=eca
efficientnet_b2 | 260 | 9109994 | -
    efficientnet wide=1.1; deep=1.2
# pytorchcv
pyramidnet110_a48 | 32 | 1772706 | -
    pyramidnet
pyramidnet110_a84 | 32 | 3904446 | -
    pyramidnet alpha=84
pyramidnet110_a270 | 32 | 28485477 | -
    pyramidnet alpha=270
pyramidnet164_a270 | 32 | 27216021 | -
    pyramidnet block=bottleneck; alpha=270
densenet_bc_100_12 | 32 | 769162 | -
    cifar_densenet_bc
densenet_bc_190_40 | 32 | 25624430 | -
    cifar_densenet_bc layers=190; k=40
densenet_bc_250_24 | 32 | 15324406 | -
    cifar_densenet_bc layers=250; k=24
resnet1202 | 32 | 19421274 | -
    cifar_resnet depth=200
wrn_28_10 | 32 | 36479194 | -
    wrn depth=4; k=10
shufflenet_g3 | 224 | 1865728 | -
    shufflenet
# github.com/fyu/drn
drn_d_22 | 224 | 16393752 | -
    drn
drn_d_54 | 224 | 35809176 | -
    drn depth@stage1..4=3 4 6 3; block=bottleneck
drn_d_105 | 224 | 54801304 | -
    drn depth@stage1..4=3 4 23 3; block=bottleneck
"""


class Published(NamedTuple):
    """An entry of a table; ``gmacs`` is the published text, and ``source`` the heading."""

    name: str
    side: int
    params: int
    macs: int | None
    activations: int | None
    gmacs: str
    family: str
    choices: dict[str, str]
    source: str


def read_table(text: str) -> Iterator[Published]:
    """Return the entries of a table."""
    source, figures = "", ""
    for line in filter(None, text.splitlines()):
        if line.startswith("#"):
            source = line.removeprefix("#").strip()
        elif line.startswith(" "):
            yield _read(figures, line, source)
        else:
            figures = line


def _read(figures: str, place: str, source: str) -> Published:
    name, side, params, *rest = (part.strip() for part in figures.split("|"))
    macs, activations, gmacs = (*map(int, rest), "-") if len(rest) == 2 else (None, None, rest[0])
    family, _, text = place.strip().partition(" ")
    choices: dict[str, str] = {}
    for choice in filter(None, text.split("; ")):
        point, _, value = choice.partition("=")
        if several := re.fullmatch(r"(.+)1\.\.\d", point):
            choices |= {f"{several[1]}{k}": each for k, each in enumerate(value.split(), 1)}
        else:
            choices[point] = value
    return Published(name, int(side), int(params), macs, activations, gmacs, family, choices, source)


@cache
def family(name: str, side: int) -> explorer.SearchSpace:
    space = explorer.load_space(f"published/{name}.yaml")
    return space if side == space.input.height else space.with_input((3, side, side), space.classes)


def member(row: Published) -> explorer.Architecture:
    space = family(row.family, row.side)
    return space.architecture(space.named(row.choices))


ROWS = list(read_table(TABLE + PARALLEL_PATHS + FIGURES + FURTHER_FAMILIES))
FURTHER = list(read_table(MEMBERS + SIZES))
