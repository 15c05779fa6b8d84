"""Words of other tools by their meaning, as data.

A word is looked up in lower case without punctuation and without the name of its library: ``nn.BatchNorm2d``,
``batch_norm`` and ``BatchNorm`` are ``batchnorm``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def plain(word: str) -> str:
    """Return a word in lower case without punctuation and without the name of its library."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^.*\.", "", word.lower()))


# Layers: a spelling of the language <- what others call it. The spelling of an op with a kernel lacks the size.
_LAYERS = {
    "conv": "conv conv2d convolution convolution2d convlayer cnn",
    "dwconv": "dw dwconv dwconv2d depthwise depthwiseconv depthwiseconv2d depthwiseconvolution convdw convdepthwise"
    " groupconv2d",
    "wsconv": "wsconv wsconv2d stdconv stdconv2d scaledstdconv scaledstdconv2d",
    "bn": "bn bn2d batchnorm batchnorm2d batchnormalization batchnormalisation batchnormact syncbn syncbatchnorm norm"
    " normalization normlayer normalize batch_norm",
    "gn": "gn groupnorm groupnormalization",
    "ln": "ln layernorm layernorm2d layernormalization channelnorm",
    "rmsnorm": "rmsnorm rmsnorm2d",
    "grn": "grn globalresponsenorm",
    "frn": "frn filterresponsenorm",
    "evonorm_b0": "evonormb0 evonorm2db0",
    "evonorm_s0": "evonorms0 evonorm2ds0",
    "in_": "instancenorm instancenorm2d instancenormalization",
    "relu": "relu act activation actlayer rectifier nonlinearity nonlin rectifiedlinear",
    "relu6": "relu6 clippedrelu",
    "leaky_relu": "leakyrelu lrelu",
    "prelu": "prelu parametricrelu",
    "elu": "elu",
    "silu": "silu swish swish1",
    "gelu": "gelu geluact",
    "gelu_tanh": "gelutanh",
    "quick_gelu": "quickgelu",
    "tanh": "tanh",
    "selu": "selu",
    "hard_mish": "hardmish",
    "star_relu": "starrelu",
    "tlu": "tlu thresholdedlinearunit",
    "hardswish": "hardswish hswish swishhard",
    "hardsigmoid": "hardsigmoid hsigmoid",
    "sigmoid": "sigmoid logistic",
    "mish": "mish",
    "se": "se semodule selayer seblock squeezeexcite squeezeexcitation squeezeandexcitation squeezeandexcite"
    " sebottleneck"
    " channelattention",
    "eca": "eca ecalayer ecamodule efficientchannelattention",
    "ese": "ese effectivese effectivesemodule effectivesqueezeexcite effectivesqueezeexcitation",
    "gc": "globalcontext globalcontextblock gcblock contextblock",
    "coord_attn": "coordattn coordatt coordinateattention",
    "simam": "simam simammodule",
    "sk": "selectivekernel skconv skunit",
    "splat": "splat splitattn splitattention splatconv",
    "linear_attn": "linearattn linearattention litemla",
    "cbam": "cbam cbamblock cbamlayer",
    "mhsa": "mhsa selfattention multiheadattention multiheadselfattention attention mha selfattn msa attn2d",
    "maxpool": "maxpool maxpool2d maxpooling maxpooling2d mp pool pooling",
    "gmp": "gmp globalmaxpool globalmaxpool2d globalmaxpooling globalmaxpooling2d adaptivemaxpool adaptivemaxpool2d"
    " maxpoolglobal",
    "avgpool": "avgpool avgpool2d averagepool averagepooling averagepooling2d meanpool ap",
    "blurpool": "blurpool blurpool2d antialias aapool",
    "gap": "gap globalavgpool globalavgpool2d globalaveragepool globalaveragepooling globalaveragepooling2d"
    " globalpool"
    " globalpooling globalmean adaptiveavgpool adaptiveavgpool2d adaptiveaveragepooling adaptivepool avgpoolglobal"
    " mean reducemean globalavg globalaverage spatialmean selectadaptivepool2d",
    "fc": "fc linear dense fullyconnected classifier logits denselayer linearlayer innerproduct lastlinear clshead"
    " linearclshead mlp affine output",
    "drop": "drop dropout dropout2d spatialdropout2d spatialdropout dropoutlayer",
    "droppath": "droppath stochasticdepth dropconnect dropblock survivalprob",
    "layerscale": "layerscale layerscale2d",
    "scale": "scale multiply scalar",
    "skipinit": "skipinit rezero",
    "shuffle": "shuffle channelshuffle shufflechannels",
    "upsample": "upsample upsample2d upsampling upsampling2d upsamplingnearest2d upsamplingbilinear2d interpolate",
    "pos_embed": "posembed positionembedding positionalembedding positionalencoding posenc",
    "token_mix": "tokenmix tokenmixing tokenmixer spatialmlp",
    "zero": "zero zeroize zeros zeroop",
    "zeropad": "zeropad2d zeropadding zeropadding2d",
    "subsample": "subsample zeropad pad zeropadshortcut lambdalayer optiona",
    "none": "none skip skipconnect skipconnection noop nop identity nothing empty passthrough null identitymapping",
    "+": "add plus sum residualadd elementwiseadd eltwise addition skipadd merge addlayer",
    "cat": "cat concat concatenate concatenation join",
    "gate": "highway gatedadd",
}

# Words whose work is done elsewhere: they are left out.
LEFT_OUT = {
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "torchflatten"), "'fc' takes the map as 'gap' leaves it"),
    **dict.fromkeys(("softmax", "logsoftmax", "crossentropy", "crossentropyloss"), "the loss applies the softmax"),
    **dict.fromkeys(("inputlayer", "start"), "an expression begins with its first layer"),
    **dict.fromkeys(("return", "end", "stop"), "an expression ends with its last layer"),
}

# Words that the language has nothing for.
UNKNOWN = {
    **dict.fromkeys(("softplus", "celu", "glu", "softsign", "relu2", "threshold"), "activation"),
    **dict.fromkeys(("lstm", "gru", "rnn", "embedding", "transformer", "lstmcell"), "layer of sequences"),
    **dict.fromkeys(("convtranspose2d", "convtranspose", "deconv", "unpool"), "transposed convolution"),
    **dict.fromkeys(
        ("conv1d", "conv3d", "maxpool3d", "maxpool1d", "avgpool1d", "avgpool3d"),
        "layer for 1-D or 3-D input (a signal is an image of height 1, its kernels are 1xK)",
    ),
    **dict.fromkeys(("lrn", "localresponsenorm", "spectralnorm", "weightnorm"), "norm"),
    **dict.fromkeys(("noise", "gaussiannoise", "cutout", "randomcrop", "randomflip"), "augmentation"),
}

# Blocks of papers -> how the language writes them; the depthwise 3x3 conv is written dwconv3x3.
BLOCKS = {
    **dict.fromkeys(
        ("basicblock", "basic", "resblock", "residualblock", "resnetblock", "resnetbasicblock", "resbasicblock"),
        "conv3x3 bn relu conv3x3 bn + relu",
    ),
    **dict.fromkeys(
        ("bottleneck", "bottleneckblock", "resbottleneck", "resnetbottleneckblock", "bottleneckresidual"),
        "conv1x1(w/4) bn relu conv3x3(w/4) bn relu conv1x1 bn + relu",
    ),
    **dict.fromkeys(
        ("preactblock", "preact", "preactbasic", "preactresblock", "preactivationblock", "preactresnetblock"),
        "bn relu conv3x3 bn relu conv3x3 +",
    ),
    **dict.fromkeys(("preactbottleneck",), "bn relu conv1x1(w/4) bn relu conv3x3(w/4) bn relu conv1x1 +"),
    **dict.fromkeys(
        ("mbconv", "invertedresidual", "invertedbottleneck", "mbblock", "mbconvblock"),
        "conv1x1(6*in) bn silu dwconv3x3 bn silu se(r=24) conv1x1 bn +",
    ),
    **dict.fromkeys(("fusedmbconv", "edgeresidual"), "conv3x3(4*in) bn silu conv1x1 bn +"),
    **dict.fromkeys(("convnext", "convnextblock"), "dwconv7x7 ln conv1x1(4*w) gelu conv1x1 +"),
}

# Layers of several ops, with a kernel in their name; KxK stands for it.
SEVERAL = {
    **dict.fromkeys(
        ("sepconv", "sepconv2d", "separableconv", "separableconv2d", "dsconv", "depthwiseseparable"),
        "dwconvKxK conv1x1",
    ),
    **dict.fromkeys(("dilconv", "dilatedconv", "atrousconv"), "convKxK(d=2)"),
    "norconv": "relu convKxK bn",
}

# Arguments of a call that has none.
CALLED_WITHOUT = {"dropout": ["0.5"], "dropout2d": ["0.5"]}

# Arguments: name in the language <- names elsewhere. ``k``, ``e``, ``in``, ``keep`` (a probability) and ``nothing`` are
# not of the language.
_ARGUMENTS = {
    "out": "out w outchannels outc cout filters outplanes nout outfeatures features width nfilters numfilters"
    " units channels"
    " ch outch outchan oc c planes outdim dim",
    "k": "k kernel kernelsize ksize size ks kernelsizes poolsize filtersize",
    "in": "in inchannels cin inplanes infeatures inc inch numfeatures normalizedshape numchannels inchan"
    " inputdim inputchannels",
    "s": "s stride strides st",
    "pad": "pad padding pads",
    "ceil": "ceil ceilmode",
    "count_pad": "countpad countincludepad",
    "eps": "eps epsilon",
    "nothing": "paddingmode inplace momentum affine trackrunningstats axis dataformat name"
    " kernelinitializer outputsize approximate dropadd",
    "d": "d dilation dilationrate dilations dil rate",
    "g": "g group groups numgroups ngroups cardinality",
    "bias": "bias usebias hasbias",
    "r": "r reduction ratio squeezefactor reductionratio rdratio seratio squeeze squeezeratio",
    "act": "act activation actlayer nonlinearity actcfg actfn",
    "e": "e expansion expandratio expand expansionratio",
    "norm": "norm normlayer normcfg normalization",
    "heads": "heads numheads nheads nhead head",
    "p": "p dropprob droprate prob probability rate dropoutrate",
    "keep": "keep keepprob keeprate survivalprob survivalrate survival",
    "slope": "slope negativeslope alpha",
    "init": "init initvalue initvalues layerscaleinit",
    "x": "x factor scale value",
}

# Variables: name in the language <- names elsewhere.
_VARIABLES = {
    "w": "width w c channels ch cout outchannels outch planes outplanes stagewidth dim filters outc nout numchannels",
    "in": "inchannels cin inplanes inch input incoming inwidth inc inputchannels inputwidth nin prevwidth inputdim",
    "s": "stride strides",
    "d": "dilation dilations",
    "i": "blockindex blockidx layerindex index idx blockid layeridx",
    "n": "numblocks nblocks totalblocks numlayers totaldepth blockcount",
}

NUMBERS = {
    **{"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7"},
    **{"eight": "8", "nine": "9", "ten": "10"},
}

CLASSES = word_set("classes numclasses nclasses nclass numclass outputs outfeatures nbclasses numlabels")
CONFIGS = word_set("dict config cfg configdict partial instantiate build buildfromcfg namespace")

# What stands for the block's input beside '+'.
INPUTS = word_set("x input inputs skip shortcut residual identity res inp resid xin skipconnection block_input x0")
SKIPS = word_set("skip skipconnect skipconnection identity identitymapping passthrough")
CHOICES = word_set(
    "choice choices oneof categorical suggestcategorical select switch any anyof gridsearch layerchoice "
    "valuechoice inputchoice choose pick alternatives options sample samplefrom uniformchoice either xor "
    "alt"
)
RANGES = word_set(
    "range randint suggestint quniform int integer interval uniformint qrandint intuniform uniform "
    "suggestfloat floatuniform arange loguniform intrange numrange"
)
SEQUENCES = word_set("sequential seq sequence chain compose stack layers modulelist list pipe block nnsequential")
RESIDUALS = word_set("residual resblock skip skipconnection shortcut residualconnection res")
SUMS = word_set("add residualadd addinput addition")
PARALLELS = word_set("parallel branch branches multibranch parallelbranches paths multipath")
REPEATS = word_set("repeat rep times stackn replicate repeatn")
ROUNDED = word_set("makedivisible roundchannels roundfilters roundwidth")
OPTIONALS = word_set("optional maybe opt bernoulli")


def _inverted(table: Mapping[str, str]) -> dict[str, str]:
    return {plain(word): spelling for spelling, words in reversed([*table.items()]) for word in words.split()}


LAYERS = _inverted(_LAYERS)
VARIABLES = _inverted(_VARIABLES)


def argument(word: str, names: Iterable[str]) -> str:
    """Return the argument that a foreign one stands for: one of ``names`` if possible, else any; "" for none."""
    meant = [name for name, foreign in _ARGUMENTS.items() if plain(word) in foreign.split()]
    known = list(names)
    return next((name for name in meant if name in known), meant[0] if meant else "")
