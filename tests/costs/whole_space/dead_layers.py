"""Grammars and blocks of spaces with dead layers."""

from __future__ import annotations

DEAD_LAYERS = {
    "zero as an op": ({"op": "conv3x3 bn | zero | dwconv5x5 bn"}, "conv1x1 bn relu op conv1x1 bn + relu"),
    "zero as a block": ({"op": "conv3x3 bn + | zero + | zero cat conv1x1 | conv3x3 zero gate(b=1)"}, "op"),
    "a factor that may be 0": ({"op": "scale(0) | scale(1) | scale(0.5) | none"}, "conv3x3 bn prelu op +"),
}
