"""Networks of timm with padding, norms, gates or attention of their own: rows of the first table of ``networks.py``.

``LOGITS`` are those whose outputs are compared with timm's.
"""

from __future__ import annotations

from typing import NamedTuple

FIGURES = """
# timm 1.0.31
tf_efficientnet_b0 | 224 | 5288548 | 385814752 | 6748036
    tf_efficientnet
tf_efficientnet_b1 | 240 | 7794184 | 686802832 | 10884328
    tf_efficientnet deep=1.1
legacy_seresnet18 | 224 | 11778592 | 1814160384 | 2486752
    senet
legacy_seresnext50_32x4d | 224 | 27559896 | 4232994816 | 14417560
    senet block=grouped; depth@stage1..4=3 4 6 3
legacy_seresnet50 | 224 | 28088024 | 3860488192 | 10604184
    senet block=bottleneck; depth@stage1..4=3 4 6 3
legacy_senet154 | 224 | 115088984 | 20688363520 | 38687384
    senet block=wide; entry=deep; depth@stage1..4=3 8 36 3
legacy_xception | 299 | 22855952 | 8357403496 | 35825968
    xception
xception41 | 299 | 26969560 | 9204134312 | 39863448
    xception_aligned
xception65 | 299 | 39916312 | 13852682216 | 52478232
    xception_aligned middle=16
convmixer_768_32 | 224 | 21110248 | 20676851712 | 51119080
    convmixer
convmixer_1024_20_ks9_p14 | 224 | 24383464 | 5948547072 | 10748904
    convmixer width=1024; depth=20; patch=conv14x14(w, s=14, bias=1); mix=dwconv9x9(bias=1); act=gelu
skresnet18 | 224 | 11958056 | 1814337536 | 3241448
    sknet
skresnet50 | 224 | 25803160 | 4089422336 | 12502624
    sknet block=bottleneck; depth@stage1..4=3 4 6 3
skresnext50_32x4d | 224 | 27479784 | 4462710784 | 17176904
    sknet block=grouped; depth@stage1..4=3 4 6 3
resnest14d | 224 | 10611688 | 2749405184 | 7329096
    resnest
resnest50d | 224 | 27483240 | 5371160576 | 14360776
    resnest depth@stage1..4=3 4 6 3
resnest50d_4s2x40d | 224 | 30417592 | 4369060736 | 17937432
    resnest depth@stage1..4=3 4 6 3; radix=4; groups=2; inner=5/4; shrink=pool split
convnextv2_atto | 224 | 3708400 | 547332480 | 3811240
    convnext_v2 depth@stage3=6
convnextv2_femto | 224 | 5233240 | 779629824 | 4573288
    convnext_v2 base=48; depth@stage3=6
tf_mobilenetv3_large_minimal_100 | 224 | 3924288 | 209136704 | 4402088
    tf_mobilenet_v3 act=relu; middle5=dwconv3x3(pad=same); squeeze=none
tf_mobilenetv3_large_100 | 224 | 5483032 | 216589760 | 4407168
    tf_mobilenet_v3
resnetv2_50d_evos | 224 | 25591368 | 4328824832 | 11917800
    resnetv2_norms
resnetv2_50d_frn | 224 | 25591368 | 4328824832 | 11917800
    resnetv2_norms norm=frn(eps=0.00001) tlu
halonet26t | 256 | 12480288 | 3172810752 | 11693032
    halonet
bat_resnext26ts | 256 | 10731200 | 2503819264 | 12509416
    bat_resnext
nf_resnet26 | 224 | 15995176 | 2342256640 | 7351784
    nf_resnet depth1=2; depth2=2; depth3=2; depth4=2
nf_resnet50 | 224 | 25557032 | 4089184256 | 11114984
    nf_resnet
dm_nfnet_f0 | 192 | 71489284 | 6977003520 | 10161256
    nfnet
poolformer_s12 | 224 | 11915176 | 1812267008 | 5532904
    poolformer depth@stage1..4=2 2 6 2
poolformer_s24 | 224 | 21388968 | 3392208896 | 10675944
    poolformer depth@stage1..4=4 4 12 4
poolformer_m36 | 224 | 56172520 | 8758788096 | 22015720
    poolformer depth@stage1..4=6 6 18 6; narrow=96; wide=384
gcresnext26ts | 256 | 10476600 | 2407655424 | 10534488
    gcnet depth@stage1..4=2 2 2 2; shrink=pooled; middle=conv3x3(g=w/32); act=silu
gcresnet50t | 256 | 25897080 | 5389487104 | 14674432
    gcnet depth@stage1..4=3 4 6 3
rexnet_100 | 224 | 4796873 | 398370392 | 7440707
    rexnet
rexnet_130 | 224 | 7557091 | 662229098 | 9714302
    rexnet k=1.3
rexnet_150 | 224 | 9728593 | 875828154 | 11209071
    rexnet k=1.5
rexnet_200 | 224 | 16366620 | 1528850782 | 14905553
    rexnet k=2
coatnet_0_rw_224 | 224 | 27435562 | 4406300928 | 18729452
    coatnet depth@stage1..4=2 3 7 2
coatnet_1_rw_224 | 224 | 41721502 | 7992160512 | 34603628
    coatnet depth@stage1..4=2 6 14 2; convolving=strided
resnetv2_50x1_bit | 224 | 25549352 | 4089184256 | 11114984
    resnetv2_bit depth@stage1..4=3 4 6 3
resnetv2_50x3_bit | 448 | 217319080 | 144310714368 | 133368808
    resnetv2_bit depth@stage1..4=3 4 6 3; k=3
maxvit_pico_rw | 224 | 7453292 | 1353042432 | 16654784
    maxvit depth@stage1..4=2 2 5 2; base=32; entry=24
maxvit_nano_rw | 224 | 15445548 | 3347375104 | 22646248
    maxvit depth@stage1..4=1 2 3 1
maxvit_tiny_rw_224 | 224 | 29057312 | 5068002304 | 33107864
    maxvit depth@stage1..4=2 2 5 2
efficientvit_b0 | 224 | 3410008 | 100233216 | 2873800
    efficientvit depth@stage1..5=1 2 2 2 2
efficientvit_b1 | 224 | 9102024 | 519214592 | 7253864
    efficientvit base=16; depth@stage1..5=1 2 3 3 4; top=1536; last=1600
efficientvit_b2 | 224 | 24330712 | 1584937984 | 14617016
    efficientvit base=24; depth@stage1..5=1 3 4 4 6; head_dim=32; top=2304; last=2560
convnextv2_tiny | 224 | 28635496 | 4455531264 | 13435624
    convnext_v2 base=96; depth@stage1..4=3 3 9 3
legacy_seresnet101 | 224 | 49326872 | 7574937600 | 15740632
    senet block=bottleneck; depth@stage1..4=3 4 23 3
tf_efficientnet_b4 | 380 | 19341616 | 4393771024 | 49489032
    tf_efficientnet wide=1.4; deep=1.8
skresnet50d | 224 | 25822392 | 4329062912 | 13305440
    sknet block=bottleneck; depth@stage1..4=3 4 6 3; entry=deep; down=pooled
# written out in PyTorch from the paper: a signal is an image of height 1
ribeiro_ecg | 1 | 6810790 | 1939048448 | 1478662
    ribeiro_ecg
"""

# Blurred subsampling is a convolution with fixed weights in timm, and pooling here.
SIZES = """
# timm
tresnet_m | 224 | 31389032 | -
    tresnet depth@stage1..4=3 4 11 3
tresnet_l | 224 | 55989256 | -
    tresnet depth@stage1..4=4 5 18 3; base=76
"""


class Compared(NamedTuple):
    """A network of timm whose logits are compared, and the side of the images.

    Attributes:
        name: The name in timm and in the tables.
        side: The side of the images.
        order: How timm orders the channels of some weights: ``heads`` of qkv, ``pixels`` of rearranged pixels.
    """

    name: str
    side: int
    order: str = ""


LOGITS = [
    Compared("tf_efficientnet_b0", 47),
    Compared("tf_mobilenetv3_large_100", 47),
    Compared("tf_mobilenetv3_large_minimal_100", 47),
    Compared("legacy_seresnet18", 64),
    Compared("legacy_seresnet50", 64),
    Compared("legacy_seresnext50_32x4d", 64),
    Compared("legacy_xception", 71),
    Compared("xception41", 64),
    Compared("convmixer_768_32", 28),
    Compared("convmixer_1024_20_ks9_p14", 28),
    Compared("tresnet_m", 64, "pixels"),
    Compared("skresnet18", 64),
    Compared("skresnet50", 64),
    Compared("skresnext50_32x4d", 64),
    Compared("resnest14d", 64),
    Compared("resnest50d_4s2x40d", 64),
    Compared("gcresnet50t", 64),
    Compared("gcresnext26ts", 64),
    Compared("convnextv2_atto", 64),
    Compared("resnetv2_50x1_bit", 64),
    Compared("resnetv2_50d_evos", 64),
    Compared("resnetv2_50d_frn", 64),
    Compared("rexnet_100", 64),
    Compared("rexnet_150", 64),
    Compared("halonet26t", 256),
    Compared("bat_resnext26ts", 256),
    Compared("nf_resnet26", 64),
    Compared("nf_resnet50", 64),
    Compared("dm_nfnet_f0", 64),
    Compared("poolformer_s12", 64),
    Compared("efficientvit_b0", 64),
    Compared("efficientvit_b1", 64),
    Compared("coatnet_0_rw_224", 224, "heads"),
    Compared("maxvit_tiny_rw_224", 224, "heads"),
    Compared("gernet_s", 64),
    Compared("fasternet_t0", 64),
    Compared("mambaout_femto", 64),
    Compared("dpn68", 64),
    Compared("mobilevit_xxs", 256),
    Compared("visformer_tiny", 224),
    Compared("mixer_s32_224", 224),
    Compared("gmlp_ti16_224", 224),
    Compared("lcnet_050", 64),
    Compared("hardcorenas_a", 64),
    Compared("repvit_m1", 64),
    Compared("mobilenetv4_conv_small", 64),
    Compared("pvt_v2_b0", 64),
    Compared("twins_svt_small", 224),
]
