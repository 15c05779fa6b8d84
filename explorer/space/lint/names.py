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
}
