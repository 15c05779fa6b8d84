"""Layers by the names of PyTorch, Keras, timm and papers."""

from __future__ import annotations

from tests.space.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        "5:16", "unknown name 'BN'; did you mean 'bn'?", "block: conv3x3 bn relu +", {"block": "conv3x3 BN relu +"}
    ),
    Mistake(
        "5:19", "unknown name 'ReLU'; did you mean 'relu'?", "block: conv3x3 bn relu +", {"block": "conv3x3 bn ReLU +"}
    ),
    Mistake(
        "5:16",
        "unknown name 'batchnorm'; did you mean 'bn'?",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 batchnorm relu +"},
    ),
    Mistake(
        "5:16",
        "unknown name 'BatchNorm2d'; did you mean 'bn'?",
        "block: conv3x3 bn relu +",
        {"block": "conv3x3 BatchNorm2d relu +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'Conv3x3'; did you mean 'conv3x3'?",
        "block: conv3x3 bn relu +",
        {"block": "Conv3x3 bn relu +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'CONV3X3'; did you mean 'conv3x3'?",
        "block: conv3x3 bn relu +",
        {"block": "CONV3X3 bn relu +"},
    ),
    Mistake(
        "5:8", "unknown name 'conv3'; did you mean 'conv3x3'?", "block: conv3x3 bn relu +", {"block": "conv3 bn relu +"}
    ),
    Mistake(
        "5:8",
        "unknown name 'conv_3x3'; did you mean 'conv3x3'?",
        "block: conv3x3 bn relu +",
        {"block": "conv_3x3 bn relu +"},
    ),
    Mistake(
        "5:8",
        "'conv 3x3': the kernel size is part of the name, conv3x3",
        "block: conv3x3 bn relu +",
        {"block": "conv 3x3 bn relu +"},
    ),
    Mistake(
        "5:8", "unknown name '3x3'; did you mean 'conv3x3'?", "block: conv3x3 bn relu +", {"block": "3x3 bn relu +"}
    ),
    Mistake(
        "5:8",
        "unknown name '3x3conv'; did you mean 'conv3x3'?",
        "block: conv3x3 bn relu +",
        {"block": "3x3conv bn relu +"},
    ),
    Mistake(
        "5:19",
        "unknown name 'swish'; did you mean 'silu'?",
        "block: conv3x3 bn silu +",
        {"block": "conv3x3 bn swish +"},
    ),
    Mistake(
        "5:19",
        "unknown name 'h_swish'; did you mean 'hardswish'?",
        "block: conv3x3 bn hardswish +",
        {"block": "conv3x3 bn h_swish +"},
    ),
    Mistake(
        "5:19",
        "unknown name 'lrelu'; did you mean 'leaky_relu'?",
        "block: conv3x3 bn leaky_relu +",
        {"block": "conv3x3 bn lrelu +"},
    ),
    Mistake(
        "5:16",
        "unknown name 'group_norm'; did you mean 'gn(8)'?",
        "block: conv3x3 gn(8) +",
        {"block": "conv3x3 group_norm +"},
    ),
    Mistake(
        "5:16", "unknown name 'LayerNorm'; did you mean 'ln'?", "block: conv3x3 ln +", {"block": "conv3x3 LayerNorm +"}
    ),
    Mistake(
        "5:16",
        "unknown name 'InstanceNorm2d'; did you mean 'in_'?",
        "block: conv3x3 in_ +",
        {"block": "conv3x3 InstanceNorm2d +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'dw_conv3x3'; did you mean 'dwconv3x3'?",
        "block: dwconv3x3 conv1x1 bn +",
        {"block": "dw_conv3x3 bn +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'depthwise3x3'; did you mean 'dwconv3x3'?",
        "block: dwconv3x3 conv1x1 bn +",
        {"block": "depthwise3x3 bn +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'sep_conv_3x3'; did you mean 'dwconv3x3 conv1x1'?",
        "block: dwconv3x3 conv1x1 bn +",
        {"block": "sep_conv_3x3 bn +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'dil_conv_3x3'; did you mean 'conv3x3(d=2)'?",
        "block: conv3x3(d=2) bn +",
        {"block": "dil_conv_3x3 bn +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'max_pool_3x3'; did you mean 'maxpool3x3'?",
        "block: maxpool3x3 conv3x3 +",
        {"block": "max_pool_3x3 conv3x3 +"},
    ),
    Mistake(
        "5:16",
        "unknown name 'dropout'; did you mean 'drop(0.1)'?",
        "block: conv3x3 drop(0.1) +",
        {"block": "conv3x3 dropout +"},
    ),
    Mistake(
        "5:16",
        "unknown name 'Dropout'; did you mean 'drop(0.2)'?",
        "block: conv3x3 drop(0.2) +",
        {"block": "conv3x3 Dropout(0.2) +"},
    ),
    Mistake(
        "5:16", "unknown name 'SELayer'; did you mean 'se'?", "block: conv3x3 se +", {"block": "conv3x3 SELayer +"}
    ),
    Mistake(
        "5:16",
        "unknown name 'squeeze_excite'; did you mean 'se'?",
        "block: conv3x3 se +",
        {"block": "conv3x3 squeeze_excite +"},
    ),
    Mistake(
        "5:19", "unknown name 'act'; did you mean 'relu'?", "block: conv3x3 bn relu +", {"block": "conv3x3 bn act +"}
    ),
    Mistake(
        "5:16", "unknown name 'norm'; did you mean 'bn'?", "block: conv3x3 bn relu +", {"block": "conv3x3 norm relu +"}
    ),
    Mistake(
        "6:7", "unknown name 'global_avg_pool'; did you mean 'gap'?", "head: gap fc", {"head": "global_avg_pool fc"}
    ),
    Mistake(
        "6:11",
        "'flatten' is left out: 'fc' takes the map as 'gap' leaves it",
        "head: gap fc",
        {"head": "gap flatten fc"},
    ),
    Mistake("6:11", "unknown name 'linear'; did you mean 'fc'?", "head: gap fc", {"head": "gap linear"}),
    Mistake("6:11", "unknown name 'Dense'; did you mean 'fc'?", "head: gap fc", {"head": "gap Dense(10)"}),
    Mistake(
        "6:7",
        "unknown name 'GlobalAveragePooling2D'; did you mean 'gap'?",
        "head: gap fc",
        {"head": 'GlobalAveragePooling2D() Dense(10, activation="softmax")'},
        errors=2,
    ),
    Mistake(
        "6:7",
        "unknown name 'AdaptiveAvgPool2d'; did you mean 'gap'?",
        "head: gap fc",
        {"head": "AdaptiveAvgPool2d(1) Flatten Linear(16, 10)"},
        errors=3,
    ),
    Mistake(
        "6:18",
        "'softmax' is left out: the loss applies the softmax",
        "head: avgpool fc",
        {"head": "avgpool fc softmax"},
    ),
    Mistake(
        "5:8",
        "unknown name 'nn.Conv2d'; did you mean 'conv3x3(8)'?",
        "block: conv3x3 bn relu +",
        {"block": "nn.Conv2d(8, 8, 3, padding=1) nn.BatchNorm2d(8) nn.ReLU(inplace=True) +"},
        errors=3,
    ),
    Mistake(
        "5:8",
        "unknown name 'Conv2D'; did you mean 'conv3x3(8)'?",
        "block: conv3x3 bn relu +",
        {"block": 'Conv2D(8, 3, padding="same") BatchNormalization() Activation("relu") +'},
        errors=3,
    ),
    Mistake(
        "5:8",
        "unknown name 'ConvBNReLU'; did you mean 'conv3x3 bn relu'?",
        "block: conv3x3 bn relu +",
        {"block": "ConvBNReLU +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'conv_bn_relu'; did you mean 'conv3x3 bn relu'?",
        "block: conv3x3 bn relu conv3x3 bn + relu",
        {"block": "conv_bn_relu conv_bn + relu"},
        errors=2,
    ),
    Mistake(
        "5:8",
        "unknown name 'BasicBlock'; as layers it is conv3x3 bn relu conv3x3 bn + relu",
        "block: conv3x3 bn relu conv3x3 bn + relu",
        {"block": "BasicBlock"},
    ),
    Mistake(
        "5:8",
        "unknown name 'Bottleneck'; as layers it is conv1x1(w/4) bn relu conv3x3(w/4) bn relu",
        "block: conv1x1(w/4) bn relu conv3x3(w/4) bn relu conv1x1 bn + relu",
        {"block": "Bottleneck"},
    ),
    Mistake(
        "5:19",
        "unknown name 'softplus': the language has no such activation; it has relu, relu6, elu,",
        "",
        {"block": "conv3x3 bn softplus +"},
    ),
    Mistake(
        "5:16", "unknown name 'lstm': the language has no such layer of sequences", "", {"block": "conv3x3 lstm +"}
    ),
    Mistake(
        "5:8",
        "unknown name 'cnov3x3'; did you mean 'conv3x3' or 'wsconv3x3'?",
        "block: conv3x3 bn +",
        {"block": "cnov3x3 bn +"},
    ),
    Mistake(
        "5:19", "unknown name 'relo'; did you mean 'relu'?", "block: conv3x3 bn relu +", {"block": "conv3x3 bn relo +"}
    ),
    Mistake(
        "5:8", "unknown name 'pointwise'; did you mean 'conv1x1'?", "block: conv1x1 bn +", {"block": "pointwise bn +"}
    ),
    Mistake(
        "5:8",
        "the kernel of 'conv1x64' must be in 1..63",
        "block: conv1x63 bn +",
        {"block": "conv1x64 bn +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'nn.Conv2d'; did you mean 'conv1x3(8)'",
        "block: conv1x3 bn +",
        {"block": "nn.Conv2d(8, 8, (1, 3), padding=(0, 1)) bn +"},
    ),
    Mistake(
        "5:8",
        "unknown name 'self_attention'; did you mean 'mhsa'?",
        "block: mhsa bn conv3x3 +",
        {"block": "self_attention bn conv3x3 +"},
    ),
    Mistake(
        "5:19",
        "unknown name 'drop_path'; did you mean 'droppath(0.1)'?",
        "block: conv3x3 bn droppath(0.1) +",
        {"block": "conv3x3 bn drop_path +"},
    ),
    Mistake(
        "5:19",
        "unknown name 'skip_connect'; did you mean 'none'?",
        "block: conv3x3 bn none +",
        {"block": "conv3x3 bn skip_connect +"},
    ),
    Mistake(
        "5:19",
        "unknown name 'Identity'; did you mean 'none'?",
        "block: conv3x3 bn none +",
        {"block": "conv3x3 bn Identity() +"},
    ),
    Mistake("5:8", "unknown name 'conv2d'; did you mean 'conv3x3'?", "block: conv3x3 bn +", {"block": "conv2d bn +"}),
    Mistake(
        "5:19",
        "unknown name 'act2'; did you mean 'act'?",
        "block: conv3x3 bn act conv3x3 bn + act",
        {"block": "conv3x3 bn act2 conv3x3 bn + act", "grammar": {"act": "relu | silu"}},
    ),
    Mistake(
        "5:16",
        "unknown name 'norm_1'; did you mean 'norm'?",
        "block: conv3x3 norm +",
        {"block": "conv3x3 norm_1 +", "grammar": {"norm": "bn"}},
    ),
    Mistake("5:8", "unknown name 'foo'; an op of your own is loaded by --import", "", {"block": "foo foo +"}),
    Mistake(
        "5:8", "'conv3*3': a kernel size is written conv3x3", "block: conv3x3 bn relu +", {"block": "conv3*3 bn relu +"}
    ),
]
