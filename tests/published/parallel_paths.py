"""Published networks with parallel paths: their costs and their places in `search_spaces/published`.

The figures come from running the named library, as those of ``networks.TABLE``, in whose form they are written.
"""

PARALLEL_PATHS = """\
# torchvision 0.28.0
shufflenet_v2_x0_5 | 224 | 1366792 | 40476448 | 1024904
    shufflenet_v2 base=48
shufflenet_v2_x1_0 | 224 | 2278604 | 144907992 | 1951200
    shufflenet_v2
squeezenet1_0 | 224 | 1248424 | 818924576 | 4346248
    squeezenet1_0
squeezenet1_1 | 224 | 1235496 | 349151936 | 2589352
    squeezenet
googlenet | 224 | 6624904 | 1498376192 | 3227160
    googlenet
# timm 1.0.31
repvgg_a0 | 224 | 9108968 | 1512581120 | 3588584
    repvgg less=-2; entry=48; wide=0.75
repvgg_b0 | 224 | 15817960 | 3397191680 | 6147560
    repvgg
repvgg_b1g4 | 224 | 39966056 | 8118517760 | 10638312
    repvgg wide=2; top=4; groups=4
starnet_s1 | 224 | 2869168 | 421877376 | 4993512
    starnet depth@stage1..4=2 2 8 3
starnet_s2 | 224 | 3682024 | 544113664 | 4730088
    starnet base=32; depth@stage1..4=1 2 6 2
res2net50_26w_4s | 224 | 25699120 | 4255166464 | 12608504
    res2net
res2net50_14w_8s | 224 | 25059816 | 4178898944 | 13278040
    res2net opening=open8; block=eight; base=14
res2next50 | 224 | 24671464 | 4172677120 | 13711592
    res2net base=4; groups=8
vovnet39a | 224 | 22600296 | 7072227328 | 6733992
    vovnet
vovnet57a | 224 | 36640296 | 8930144256 | 7516424
    vovnet depth3=4; depth4=3
ese_vovnet39b | 224 | 24568936 | 7074193408 | 6736552
    ese_vovnet
ese_vovnet57b | 256 | 38608936 | 11665514496 | 9819624
    ese_vovnet depth3=3; depth4=2
ese_vovnet19b_dw | 224 | 6543080 | 1333489824 | 8246536
    ese_vovnet19b block=separable; entry=light
ese_vovnet19b_slim | 224 | 3166136 | 1680214784 | 3524776
    ese_vovnet19b thin=1/2; width1=112
inception_v3 | 299 | 23834568 | 5713216096 | 8968488
    inception_v3
inception_resnet_v2 | 299 | 55843464 | 13155794016 | 25059976
    inception_resnet_v2
ghostnet_050 | 224 | 2587292 | 42328152 | 1773840
    ghostnet k=0.5
ghostnet_100 | 224 | 5182508 | 141150512 | 3545396
    ghostnet
ghostnet_130 | 224 | 7358820 | 227003256 | 4596252
    ghostnet k=1.3
cspresnet50 | 256 | 21616168 | 4517240832 | 11502568
    cspresnet
cspresnet50d | 256 | 21635400 | 4830240768 | 12551144
    cspresnet entry=deep
cspresnet50w | 256 | 28118216 | 5020008448 | 12190696
    cspresnet entry=deep; base=256; half=w/2; ratio=1/4
cspdarknet53 | 256 | 27642184 | 6533652480 | 16810984
    cspdarknet
dla34 | 224 | 15742104 | 3060043776 | 5018600
    dla
dla60 | 224 | 22036632 | 4235878400 | 10161640
    dla base=128; unit=bottleneck; open=wide_open; third=three_levels
mixnet_s | 224 | 4134606 | 239173360 | 6252094
    mixnet_s
mixnet_m | 224 | 5014382 | 339172672 | 8192806
    mixnet
mixnet_l | 224 | 7329252 | 555251792 | 10835532
    mixnet k=1.3
inception_next_atto | 224 | 4156520 | 503035040 | 3631880
    inception_next mixer=quarters; base=40; depth3=6; depth=2
inception_next_tiny | 224 | 28055680 | 4188634272 | 11984392
    inception_next
inception_next_base | 224 | 86672136 | 14841072000 | 25687912
    inception_next depth3=27; base=128
repghostnet_050 | 224 | 2313968 | 43314720 | 2022324
    repghostnet k=0.5
repghostnet_100 | 224 | 4073604 | 142394128 | 3981192
    repghostnet
repghostnet_200 | 224 | 9796124 | 515869856 | 7960100
    repghostnet k=2
hgnetv2_b0 | 224 | 5996550 | 321326464 | 2122984
    hgnetv2_small
hgnetv2_b1 | 224 | 6343158 | 489387840 | 2731368
    hgnetv2_small entry=24; opening=32; inner=48
hgnetv2_b2 | 224 | 11221356 | 1137703680 | 4117480
    hgnetv2_small entry=24; opening=32; inner=64; wide=3/2; depth3=3; rest=four
hgnetv2_b3 | 224 | 16292216 | 1770919680 | 5070824
    hgnetv2_small entry=24; opening=32; inner=64; wide=2; depth3=3; rest=five
cspresnext50 | 256 | 20569896 | 4014948352 | 15860712
    cspresnext
hgnetv2_b4 | 224 | 19796680 | 2734148352 | 6701544
    hgnetv2
hgnetv2_b5 | 224 | 39569064 | 6538404864 | 11192296
    hgnetv2 base=64; depth2=2; depth3=5; depth4=2
selecsls42 | 224 | 30354952 | 2934431744 | 4616424
    selecsls
selecsls42b | 224 | 32458248 | 2971924480 | 4616424
    selecsls tail=wide
mobileone_s0 | 224 | 5293272 | 1051935232 | 15480296
    mobileone_s0
mobileone_s1 | 224 | 4825192 | 830062080 | 9672424
    mobileone
mobileone_s2 | 224 | 7884648 | 1304027392 | 11554024
    mobileone wide2=2; wide3=2.5; wide4=4
mobileone_s3 | 224 | 10170600 | 1902112768 | 13849576
    mobileone wide1=2; wide2=2.5; wide3=3; wide4=4
"""
