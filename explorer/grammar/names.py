"""What a name means: a rule, a variable, an op with its kernel size, or a word of the language itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from explorer.ops import registry
from explorer.ops.base import MAX_KERNEL, Op

VARIABLES = {
    "w": "the stage's width",
    "in": "the channels that arrive at the block",
    "s": "the block's stride",
    "d": "the stage's dilation",
    "i": "the block's place in the network, from 1",
    "n": "the number of blocks in the network",
}
KEYWORDS = ("none", "identity", "cat", "gate", "round", "range", "post", "pre")
_SIZED = re.compile(r"([A-Za-z_]+?)(\d{1,4})x(\d{1,4})", re.ASCII)


@dataclass(slots=True)
class Names:
    """What names mean in one file: ``rules`` -> True when the rule is numeric. ``spent``: words, signs
    and alternatives that were read in the file so far."""

    rules: dict[str, bool] = field(default_factory=dict)
    spent: int = 0

    def structural(self) -> list[str]:
        sized = [f"{spelling}3x3" for spelling, op in registry.by_spelling.items() if op.sized is not False]
        plain = [spelling for spelling, op in registry.by_spelling.items() if op.sized is not True]
        return [*(name for name, numeric in self.rules.items() if not numeric), *plain, *sized, "none", "cat", "gate"]

    def numeric(self) -> list[str]:
        return [*(name for name, numeric in self.rules.items() if numeric), *VARIABLES, "round", "range"]


def find_op(name: str) -> tuple[type[Op], int | None] | None:
    """(op, kernel) for ``conv3x3`` or ``bn``; None when no op is spelled so. Raises ValueError for a wrong size."""
    plain = registry.by_spelling.get(name)
    if plain is not None:
        if plain.sized is True:
            raise ValueError(f"{name!r} needs a kernel size, as in '{name}3x3'")
        return plain, None
    sized = _SIZED.fullmatch(name)
    op = registry.by_spelling.get(sized[1]) if sized else None
    if op is None:
        return None
    if op.sized is False:
        raise ValueError(f"{sized[1]!r} has no kernel size; write {sized[1]!r}")
    height, width = int(sized[2]), int(sized[3])
    if height != width:
        raise ValueError(f"kernels are square: {height}x{width} in {name!r}")
    if not 1 <= height <= MAX_KERNEL:
        raise ValueError(f"the kernel of {name!r} must lie in 1..{MAX_KERNEL}")
    return op, height


def find_plain(name: str) -> bool:
    """Whether ``name`` means an op or a merge."""
    try:
        return find_op(name) is not None or name in KEYWORDS
    except ValueError:
        return True
