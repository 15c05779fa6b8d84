"""The names of ops as papers write them."""

from __future__ import annotations

import re

from explorer.errors import ExplorerError
from explorer.networks.block import Block
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.nested.nesting import leaves
from explorer.networks.ops.window import sides, spell_size

_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\)")


def op_label(op: Op, x: TensorShape | None = None) -> str:
    """Return an op as papers write it: ``3×3 conv, 32, /2``, ``SE r=16``; other ops as the space language spells them.

    Args:
        op: The op.
        x: Its input shape, from which a squeeze ratio follows; None if unknown.
    """
    if isinstance(op, Conv):
        parts = [f"{'×'.join(map(str, sides(op.kernel)))} {op.spelling}", str(op.out)]
        parts += [f"/{spell_size(op.stride)}"] if op.stride != 1 else []
        parts += [f"dilation {op.dilation}"] if op.dilation > 1 else []
        parts += [f"{op.groups} groups"] if op.groups > 1 else []
        parts += [f"padding {spell_size(op.padding)}"] if op.padding is not None else []
        return ", ".join(parts)
    if op.role == "activation":
        return type(op).__name__
    if op.role == "norm":
        return str(op).replace(op.spelling, op.spelling.strip("_").upper(), 1)
    if op.role == "attention" and (match := _CALL.fullmatch(str(op))):
        squeeze, arguments = getattr(op, "squeeze", 0), match["arguments"]
        if x is not None and squeeze:
            arguments = re.sub(rf"\bwidth={squeeze}\b", f"r={x.channels / squeeze:.3g}", arguments)
        return f"{match['name'].upper()} {arguments}"
    return str(op).upper() if op.role == "attention" else str(op)


def shortcut_kind(block: Block) -> str:
    """Return "identity", "projection" (it contains a conv) or "changed" followed by "shortcut", or "no shortcut"."""
    if block.shortcut is None:
        return "no shortcut"
    if not block.shortcut:
        return "identity shortcut"
    has_conv = any(op.role == "conv" for op in leaves(block.shortcut))
    return "projection shortcut" if has_conv else "changed shortcut"


def shape_text(shape: TensorShape) -> str:
    """Return a shape: ``16×32×32``."""
    return str(shape).replace("x", "×")


def shape_after(op: Op, x: TensorShape | None) -> TensorShape | None:
    """Return the output shape of an op; None if it is unknown without the ops around it."""
    try:
        return None if x is None else op.output_shape(x)
    except (ExplorerError, KeyError):
        return None
