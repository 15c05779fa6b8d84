"""Keys and words of other tools in the sections of a space file, as data, and their lookup.

A word is looked up as in ``words``: in lower case, without punctuation and without the name of its library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from explorer.errors import similar_names
from explorer.space.language.foreign.words import plain, word_set

_SPACE = {
    "name": "title id label modelname",
    "about": "description desc comment doc notes note summary",
    "input": "inputs inputshape inputsize imagesize imgsize resolution inputres image inshape inputdims shape data"
    " inputresolution imageshape",
    "classes": "numclasses nclasses nclass numclass nbclasses outputs numlabels nlabels labels outputsize numoutputs"
    " outputdim nclss numcls class",
    "stem": "first entry stemconv stemlayer conv1 inputlayer stemblock firstconv preprocess root head0 begin",
    "stages": "stage layers backbone body trunk network arch architecture groups layout sections macro features",
    "block": "blocks cell residualblock unit branch module resblock residual blocktype blockfn blockdef cells"
    " blockexpr",
    "shortcut": "shortcuts skip skips skipconnection skipconnections residualconnection identity bypass",
    "transition": "transitions downsamplelayer downsamplelayers reduction reductioncell between",
    "head": "classifier tail top output final fc exit neck clshead classifierhead headlayer last",
    "grammar": "rules choices ops definitions define defs productions options variables searchspace parameters params"
    " hyperparameters knobs let macros alternatives symbols space vars hparams",
    "vary": "varies scope scopes vary_by per sharing share variation granularity",
    "where": "conditions condition require requires subjectto suchthat forbid constraints constraint restrictions",
    "limits": "limit budget budgets bounds maximum caps",
}
_STAGES = {
    "blocks": "depth depths numblocks nblocks layers numlayers n repeats repeat stageblocks numrepeats nlayers layer"
    " blockspersstage blocksperstage count ds d numunits units nb block_counts stagedepths",
    "width": "widths channels channel outchannels cout filters planes numfilters nfilters dims dim embeddims embeddim"
    " hiddensizes ws numchannels nchannels outplanes c ch features stagewidths numfeatures out w outc embdims sizes",
    "stride": "strides downsample downsampling s reduction stagestrides subsample firststride downsamples",
    "dilation": "dilations rate rates atrous dilationrate dil",
    "block": "blocktype cell unit blockfn type module",
    "first": "firstblock opening downsampleblock entry reductionblock",
    "shortcut": "skip projection shortcuts skipconnection",
}
_SHORTCUT = {
    "same": "identity keep equal default normal unchanged keepshape sameshape skip noproj stride1",
    "changed": "projection project proj downsample change different conv reduce stride2 shapechange changedshape"
    " transition mismatch down downsampling",
    "from": "source start at takefrom origin input after",
}
_SCOPES = {
    "network": "net model global once all shared same fixed none single globally pernetwork permodel whole space",
    "stage": "stages perstage eachstage everystage bystage stagewise group pergroup",
    "block": "blocks perblock eachblock everyblock byblock blockwise cell percell layer layers perlayer eachlayer unit",
    "use": "uses peruse each eachuse every any everywhere independent free op perop position site occurrence always",
}
_COSTS = {
    "params": "parameters param nparams numparams maxparams modelsize weights parametercount size paramcount",
    "macs": "maxmacs mac madds multadds multiplyadds gmacs mmacs",
    "flops": "maxflops flop gflops mflops",
    "activations": "acts maxactivations activation",
    "weight_layers": "depth layers maxdepth maxlayers numlayers",
    "peak_memory_bytes": "memory mem peakmemory maxmemory ram peakmemorybytes",
    "latency_ms": "latency time ms maxlatency runtime speed inferencetime latencyms",
    "receptive_field": "receptivefield rf field",
}

# A key of a space whose value belongs into the section shortcut, at this key of it.
SHORTCUT_PARTS = {
    **dict.fromkeys(
        ("downsample", "projection", "proj", "shortcutprojection", "downsampleshortcut", "skipprojection"), "changed"
    ),
    **dict.fromkeys(("identityshortcut", "skipsame"), "same"),
}

# Keys about training, searching and data, which a space file does not have.
TRAINING = word_set(
    "lr learningrate optimizer optim epochs epoch batchsize batch weightdecay momentum scheduler "
    "lrscheduler loss criterion seed trials ntrials maxtrials numtrials sampler tuner strategy "
    "searchstrategy algorithm search training train trainer dataset datasets datamodule dataloader data "
    "datadir workers numworkers objective objectives metric metrics goal direction pruner earlystopping "
    "checkpoint pretrained device gpus gpu augment augmentation maxepochs trainingservice "
    "trialconcurrency experimentname method study storage defaults hydra callbacks logger log initcfg "
    "traincfg testcfg lrconfig mixedprecision amp fp16 ema project program dropoutrate labelsmoothing"
)


# Keys of other tools for what is in the key ``input``.
INPUT_PARTS = word_set("inchannels inch inputchannels inchans channelsin incol imagechannels height imgheight imgwidth")


# Keys of stages of other tools for what the language has elsewhere -> where.
OF_BLOCKS = {
    **dict.fromkeys(("numstages", "nstages", "stages"), "the lists have one entry for each stage"),
    **dict.fromkeys(
        (
            *("kernel", "kernelsize", "kernels", "ks", "k", "expansion", "expand", "expandratio", "e", "ratio"),
            *("groups", "group", "cardinality", "bottleneckratio", "se", "seratio", "activation", "act", "norm"),
        ),
        "write it in the block, as a rule of the grammar; by_stage(a, b) is one value for each stage",
    ),
}


def _inverted(table: Mapping[str, str]) -> dict[str, str]:
    return {plain(word): key for key, words in reversed([*table.items()]) for word in words.split()}


SPACE = _inverted(_SPACE)
STAGES = _inverted(_STAGES)
SHORTCUT = _inverted(_SHORTCUT)
SCOPES = _inverted(_SCOPES)
COSTS = _inverted(_COSTS)


def meant(word: str, known: Iterable[str], meanings: Mapping[str, str]) -> str:
    """Return the known word that an unknown one stands for, by meaning or else by its letters; "" for none.

    Args:
        word: The unknown word.
        known: The known words.
        meanings: Word -> known word.
    """
    names = list(known)
    by_case = {plain(name): name for name in names}
    found = by_case.get(plain(word)) or meanings.get(plain(word))
    if found in names:
        return str(found)
    near = similar_names(word, names)
    return near[0] if near else ""
