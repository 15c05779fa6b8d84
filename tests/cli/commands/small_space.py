"""A space of small networks that can be searched without training."""

from __future__ import annotations

SPACE = """
name: small
input: 3x8x8
classes: 4
stem: conv3x3(base) bn relu
stages: {blocks: depth, width: [base]}
block: b
head: gap fc
grammar:
  base: 4 | 6 | 8
  depth: 1 | 2 | 3
  b: conv3x3 bn act attn +
  act: relu | silu
  attn: none | se(r=2)
"""
