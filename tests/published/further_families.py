"""Further families of timm: networks whose blocks differ, with position embeddings, slices or several resolutions.

The figures come from running timm, as those of ``networks.TABLE``, in whose form they are written.
"""

FURTHER_FAMILIES = """\
# timm 1.0.29
gernet_s | 224 | 8173761 | 744137504 | 2654056
    gernet
gernet_m | 224 | 21142920 | 3004508544 | 5244392
    gernet entry=32; width1=128; width2=192; width3=640; width4=640; width5=640; depth2=2; depth3=6; depth4=4; top=2560
fasternet_t0 | 224 | 3905500 | 335422720 | 1970120
    fasternet depth@stage1..4=1 2 8 2
fasternet_t2 | 224 | 14982888 | 1904334848 | 4725096
    fasternet base=96; depth@stage1..4=1 2 8 2; act=relu
mambaout_femto | 224 | 7304536 | 1147984992 | 8342344
    mambaout depth@stage1..4=3 3 9 3
mambaout_kobe | 224 | 9141208 | 1505865312 | 9998152
    mambaout depth@stage1..4=3 3 15 3
dpn68 | 224 | 12611602 | 2326163456 | 10465832
    dpn
dpn92 | 224 | 37668392 | 6501684224 | 18211752
    dpn opening=conv7x7(entry, s=2); big=1
mobilevit_xxs | 256 | 1272024 | 407364096 | 8338408
    mobilevit
mobilevit_xs | 256 | 2317848 | 1025911808 | 16334824
    mobilevit width1=32; width2=48; width3=64; width4=80; width5=96; token3=96; token4=120; token5=144; ratio=4; top=384
visformer_tiny | 224 | 10321368 | 1267980288 | 5715380
    visformer
visformer_small | 224 | 40219592 | 4879380480 | 11429760
    visformer base=192
mixer_s32_224 | 224 | 19104624 | 1002426368 | 2278888
    mlp_mixer
mixer_b16_224 | 224 | 59880472 | 12601767936 | 14528488
    mlp_mixer patches=conv16x16(width, s=16, bias=1); width=768; depth=12
resmlp_12_224 | 224 | 15350872 | 3009739776 | 5495272
    resmlp
resmlp_24_224 | 224 | 30020680 | 5961292800 | 10914280
    resmlp depth=24
gmlp_ti16_224 | 224 | 5867328 | 1328989184 | 7552488
    gmlp
gmlp_s16_224 | 224 | 19422656 | 4392060928 | 15103976
    gmlp width=256
lcnet_050 | 224 | 1880856 | 44731008 | 1263432
    lcnet k=0.5
lcnet_100 | 224 | 2953800 | 155700480 | 2524584
    lcnet
hardcorenas_a | 224 | 5260232 | 224227936 | 4380456
    hardcorenas
repvit_m1 | 224 | 5485248 | 817280832 | 7446072
    repvit
repvit_m2 | 224 | 8797984 | 1339242240 | 9425344
    repvit base=64; depth3=6
mobilenetv4_conv_small | 224 | 3774024 | 186005568 | 1965416
    mobilenet_v4
hrnet_w18_small | 224 | 13187464 | 1601508352 | 5717144
    hrnet
hrnet_w18_small_v2 | 224 | 15597464 | 2595712864 | 9648316
    hrnet size=1; thrice=three{3}; last=four{2}
pvt_v2_b0 | 224 | 3666760 | 566065664 | 7991136
    pvt_v2 depth@stage1..4=2 2 2 2
pvt_v2_b1 | 224 | 14009000 | 2108355584 | 15385824
    pvt_v2 base=64; depth@stage1..4=2 2 2 2
twins_svt_small | 224 | 24060776 | 2927353344 | 13752360
    twins
"""
