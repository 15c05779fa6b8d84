"""Evaluations that child processes can import: one that works, and twelve ways to fail."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

SPACE_TEXT = """
name: tiny
input: 1x8x8
classes: 10
stem: conv3x3(8) bn relu
stages: {blocks: depth, width: [8, 16], stride: [1, 2]}
block: conv3x3 bn act conv3x3 bn attn + act
head: gap fc
grammar:
  depth: 1 | 2 | 3
  act: relu | silu | gelu
  attn: none | se(r=ratio)
  ratio: 2 | 4
"""


def score(choices) -> float:
    """A made-up accuracy that depends on the choices alone."""
    return 0.5 + 0.1 * int(choices["depth"]) + 0.01 * len(choices["act"]) + 0.02 * ("ratio" in choices)


def good(architecture, *, choices, epochs, seed):
    return {"accuracy": score(choices)}


def slow(architecture, *, choices, epochs, seed):
    """Long enough to be killed within."""
    time.sleep(0.15)
    return {"accuracy": score(choices)}


def endless(architecture, *, choices, epochs, seed):
    while True:
        time.sleep(0.05)


def with_child(architecture, *, choices, epochs, seed):
    """Starts a process of its own and waits for it for ever."""
    import subprocess

    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
    return {"accuracy": 0.5}


def raises(architecture, *, choices, epochs, seed):
    raise RuntimeError("exploded " + "x" * 1000)


def nan(architecture, *, choices, epochs, seed):
    return {"accuracy": float("nan")}


def infinite(architecture, *, choices, epochs, seed):
    return {"accuracy": float("inf")}


def nothing(architecture, *, choices, epochs, seed):
    return None


def text(architecture, *, choices, epochs, seed):
    return {"accuracy": "1.5"}


def number(architecture, *, choices, epochs, seed):
    return 0.9


def other_names(architecture, *, choices, epochs, seed):
    return {"acc": 0.9}


def too_many(architecture, *, choices, epochs, seed):
    return {"accuracy": 0.9, "loss": 0.1}


def system_exit(architecture, *, choices, epochs, seed):
    sys.exit(3)


def hard_exit(architecture, *, choices, epochs, seed):
    os._exit(0)


def segfault(architecture, *, choices, epochs, seed):
    ctypes.string_at(0)


def killed(architecture, *, choices, epochs, seed):
    os.kill(os.getpid(), signal.SIGKILL)


# what fails -> what its reason must say
FAILURES = {
    raises: "RuntimeError: exploded x",
    nan: "evaluate: accuracy is nan (float), expected a finite number",
    infinite: "evaluate: accuracy is inf (float), expected a finite number",
    nothing: "evaluate gave None (NoneType), expected a mapping with accuracy",
    text: "evaluate: accuracy is '1.5' (str), expected a finite number",
    number: "evaluate gave 0.9 (float), expected a mapping with accuracy",
    other_names: "evaluate gave acc, expected accuracy",
    too_many: "evaluate gave accuracy, loss, expected accuracy",
    system_exit: "SystemExit: 3",
}
DEATHS = {
    hard_exit: "exited with status 0 and without a result",
    segfault: "died of SIGSEGV",
    killed: "died of SIGKILL (out of memory?)",
}
_BY_TURNS = [*FAILURES, *DEATHS]


def by_turns(architecture, *, choices, epochs, seed):
    """One failing trial in three, each in its own way, chosen by the seed."""
    if seed % 3:
        return good(architecture, choices=choices, epochs=epochs, seed=seed)
    return _BY_TURNS[seed // 3 % len(_BY_TURNS)](architecture, choices=choices, epochs=epochs, seed=seed)
