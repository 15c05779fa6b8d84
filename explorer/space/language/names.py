"""The meaning of names: rules, variables, ops with a kernel size, and keywords."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from explorer.networks.ops import registry
from explorer.networks.ops.base import MAX_KERNEL, Op
from explorer.networks.ops.window import Size, size_of

# The keys of a space file.
KEYS = (
    "name",
    "about",
    "input",
    "classes",
    "stem",
    "stages",
    "block",
    "shortcut",
    "transition",
    "head",
    "grammar",
    "vary",
    "where",
    "limits",
    "allow",
)
VARIABLES = {
    "w": "the stage's width",
    "in": "the input channels of the block",
    "c": "the channels that arrive at the row of layers",
    "s": "the block's stride",
    "d": "the stage's dilation",
    "i": "the number of the block in the network, from 1",
    "n": "the number of blocks in the network",
    "j": "the number of the block in its stage, from 1",
    "m": "the number of blocks in the stage",
}
BY_PLACE = {"by_block": "block", "by_stage": "stage"}  # functions that choose by place -> by the place of what
# Usual values of arguments that have no default, for suggestions.
USUAL = {"r": "16", "p": "0.1", "g": "8", "heads": "4", "x": "0.5", "init": "1e-6", "slope": "0.01"}
# Functions of numbers: the smallest and largest number of arguments, and how they are written.
FUNCTIONS = {
    "round": (1, 2, "round(x, m): the nearest multiple of m, by default 1"),
    "max": (2, 100, "max(a, b)"),
    "min": (2, 100, "min(a, b)"),
    "floor": (1, 1, "floor(x)"),
    "ceil": (1, 1, "ceil(x)"),
    "log2": (1, 1, "log2(x)"),
    "sqrt": (1, 1, "sqrt(x)"),
}
KEYWORDS = ("none", "identity", "cat", "gate", "round", "range", "post", "pre")
FORKS = ("sum", "cat", "product", "split")
TAPS = ("tap", "from")
# Names that no rule may have. Every other name of the language came later: earlier files may have a rule of that name,
# which comes first but before a bracket, as rules take no arguments. A new op, variable or function is not added here.
RESERVED = frozenset((
    "avgpool", "blurpool", "bn", "cat", "cbam", "conv", "d", "drop", "droppath", "dwconv", "eca", "elu", "fc", "gap",
    "gate", "gelu", "gn", "hardsigmoid", "hardswish", "i", "identity", "in", "in_", "layerscale", "leaky_relu", "ln",
    "maxpool", "mhsa", "mish", "n", "none", "post", "pre", "prelu", "range", "relu", "relu6", "round", "s", "scale",
    "se", "shortcut_gate", "shuffle", "sigmoid", "silu", "subsample", "w", "zero",
))  # fmt: skip
_SIZED = re.compile(r"([A-Za-z_]+?)(\d{1,4})x(\d{1,4})", re.ASCII)


@dataclass(slots=True)
class Names:
    """The names of one file.

    Attributes:
        rules: Rule name -> whether the rule is numeric.
        broken: The rules whose text cannot be read; whether they are numeric is unknown.
        tokens_read: Number of tokens and alternatives of the file that were read.
    """

    rules: dict[str, bool] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    tokens_read: int = 0

    def structural(self) -> list[str]:
        """Return the names of layers, for suggestions."""
        sized = [f"{spelling}3x3" for spelling, op in registry.by_spelling.items() if op.sized is not False]
        plain = [spelling for spelling, op in registry.by_spelling.items() if op.sized is not True]
        rules = [name for name, numeric in self.rules.items() if not numeric]
        return [*rules, *plain, *sized, "none", *FORKS, "gate", *BY_PLACE]

    def numeric(self) -> list[str]:
        """Return the names of numbers, for suggestions."""
        return [*(name for name, numeric in self.rules.items() if numeric), *VARIABLES, *FUNCTIONS, *BY_PLACE, "range"]


def find_op(name: str) -> tuple[type[Op], Size | None] | None:
    """Return op and kernel size of a name such as ``conv3x3`` or ``bn``; None if no op has that name.

    Raises:
        ValueError: For an invalid kernel size.
    """
    plain = registry.by_spelling.get(name)
    if plain is not None:
        if plain.sized is True:
            raise ValueError(f"{name!r} needs a kernel size, as in '{name}3x3'")
        return plain, None
    sized = _SIZED.fullmatch(name)
    op = registry.by_spelling.get(sized[1]) if sized else None
    if sized is None or op is None:
        return None
    if op.sized is False:
        raise ValueError(f"{sized[1]!r} has no kernel size; write {sized[1]!r}")
    height, width = int(sized[2]), int(sized[3])
    if not (1 <= height <= MAX_KERNEL and 1 <= width <= MAX_KERNEL):
        raise ValueError(f"the kernel of {name!r} must be in 1..{MAX_KERNEL}")
    return op, size_of(height, width)


def unsized(name: str) -> str:
    """Return a name without a kernel size at its end."""
    sized = _SIZED.fullmatch(name)
    return name if sized is None else sized[1]


def nearest_size(name: str) -> str:
    """Return the valid spelling that is most similar to an op with an invalid kernel size; "" for none."""
    sized = _SIZED.fullmatch(name)
    if sized is None:
        return f"{name}3x3" if name in registry.by_spelling else ""
    if registry.by_spelling[sized[1]].sized is False:
        return sized[1]
    height, width = (min(max(int(side), 1), MAX_KERNEL) for side in sized.groups()[1:])
    return f"{sized[1]}{height}x{width}"


def is_known(name: str) -> bool:
    """Whether ``name`` is an op, also one with a wrong kernel size, or a keyword."""
    try:
        return find_op(name) is not None or name in KEYWORDS
    except ValueError:
        return True


def takes_bracket(name: str) -> bool:
    """Whether ``name`` directly before a bracket is of the language, also if there is a rule of this name."""
    return name in (*FORKS, *TAPS, *BY_PLACE, *FUNCTIONS, "range") or is_known(name)


def is_reserved(name: str) -> bool:
    """Whether no rule may have this name: see ``RESERVED``. A name with a kernel size is that of its op."""
    sized = _SIZED.fullmatch(name)
    return (sized[1] if sized else name) in RESERVED
