"""Mistakes that users of other tools make in a space file, by kind, each with its error and the suggested line."""
