"""Derivation of an ``Architecture`` from a grammar and the options of its choice points."""
