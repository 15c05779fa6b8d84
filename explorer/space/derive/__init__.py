"""From a grammar and the answers to its choice points to an ``Architecture``."""
