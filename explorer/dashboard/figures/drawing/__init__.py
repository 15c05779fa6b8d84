"""Drawings of blocks and networks in the style of papers: their layout, and SVG, PDF and TikZ of it."""
