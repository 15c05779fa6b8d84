"""Predict the latency of networks from their features."""

from functools import partial

from explorer.former_names import moved

globals()["__getattr__"] = partial(moved, __name__)  # finds what an earlier version had here, unseen by type checkers
