"""The names of warnings, which the key ``allow`` of a space file takes."""

LINTS = {
    "input-order": "the input has its channels last",
    "unused-rule": "a rule that nothing uses",
    "nothing-before-merge": "a residual block without a layer before the merge",
    "default-identity": "a block that looks plain has the identity as its default shortcut",
    "share-ratio": "a reduction ratio below 1",
    "condition-without-effect": "a condition that excludes no network",
    "unused-alternative": "an alternative that the conditions leave out of every network",
    "copied-from-zero": "`post` or `pre` copies from a block that may be `zero`",
    "no-final-norm": "pre-activation blocks whose sum reaches the classifier without a norm",
    "linear-stem": "a stem without norm and activation before blocks that start with a convolution",
    "squeeze-to-one": "a squeeze-and-excitation with one channel in its squeeze",
    "dilation-beyond-map": "a dilated convolution whose outer weights read only padding",
    "equal-alternatives": "alternatives of a choice that give the same networks",
    "one-network": "a space of one network",
}
