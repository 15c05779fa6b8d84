"""Architectures: their ops, blocks and canonical form, and the torch modules built from them."""
