"""Evaluations that child processes can import: some that work, and many ways to fail."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

from explorer.records import Epoch, TrainingResult
from explorer.study.workers.jobs import Outcome

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


def interrupted(architecture, *, choices, epochs, seed):
    """Ends as by Ctrl-C in one network of nine."""
    if (choices["depth"], choices["act"]) == ("3", "gelu"):
        raise KeyboardInterrupt
    return good(architecture, choices=choices, epochs=epochs, seed=seed)


def slow(architecture, *, choices, epochs, seed):
    """Long enough to be killed within."""
    time.sleep(0.15)
    return {"accuracy": score(choices)}


def unhurried(architecture, *, choices, epochs, seed):
    """Long enough to be killed within, time and again."""
    time.sleep(0.4)
    return {"accuracy": score(choices)}


def slower(architecture, *, choices, epochs, seed):
    """Long enough to be interrupted within, on a busy machine too."""
    time.sleep(1.5)
    return {"accuracy": score(choices)}


def endless(architecture, *, choices, epochs, seed):
    while True:
        time.sleep(0.05)


def with_child(architecture, *, choices, epochs, seed):
    """Starts a process of its own and waits for it for ever."""
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
    return {"accuracy": 0.5}


def detach(code: str = "pass") -> None:
    """Starts two processes that last for minutes: one in a session of its own, one that is orphaned besides."""
    command = f"import time; {code}; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", command], start_new_session=True)
    subprocess.run(["setsid", "sh", "-c", "sleep 600 & sleep 0.1"], check=True)


def detaches(architecture, *, choices, epochs, seed):
    detach()
    return {"accuracy": 0.5}


def detaches_and_crashes(architecture, *, choices, epochs, seed):
    detach()
    segfault(architecture, choices=choices, epochs=epochs, seed=seed)


def detaches_and_hangs(architecture, *, choices, epochs, seed):
    detach()
    endless(architecture, choices=choices, epochs=epochs, seed=seed)


def detached_greed(architecture, *, choices, epochs, seed):
    """Has a process in a session of its own take the memory."""
    detach("held = b'x' * (1 << 30)")
    endless(architecture, choices=choices, epochs=epochs, seed=seed)


def stubborn(architecture, *, choices, epochs, seed):
    """Will not be asked to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    endless(architecture, choices=choices, epochs=epochs, seed=seed)


def greedy(architecture, *, choices, epochs, seed):
    """Takes memory without end, a quarter of a GiB at a time."""
    held = []
    while True:
        held.append(b"x" * (1 << 28))
        time.sleep(0.05)


def greedy_or_good(architecture, *, choices, epochs, seed):
    """Takes memory without end for every third seed."""
    return (slow if seed % 3 else greedy)(architecture, choices=choices, epochs=epochs, seed=seed)


def oom_score(architecture, *, choices, epochs, seed):
    """How readily the kernel ends this process where memory runs out."""
    with open("/proc/self/oom_score_adj") as file:
        return {"accuracy": float(file.read())}


def greedy_child(architecture, *, choices, epochs, seed):
    """Has a process of its own take the memory."""
    code = "import time; held = b'x' * (1 << 30); time.sleep(600)"
    subprocess.run([sys.executable, "-c", code])
    return {"accuracy": 0.5}


def pid_as_accuracy(architecture, *, choices, epochs, seed):
    return {"accuracy": float(os.getpid())}


def fails_on_odd(architecture, *, choices, epochs, seed):
    """The process's id for an even seed, an error for an odd one."""
    if seed % 2:
        raise RuntimeError("odd")
    return pid_as_accuracy(architecture, choices=choices, epochs=epochs, seed=seed)


_HELD = []


def leaks(architecture, *, choices, epochs, seed):
    """Keeps 40 MiB a call."""
    _HELD.append(b"x" * (40 << 20))
    return pid_as_accuracy(architecture, choices=choices, epochs=epochs, seed=seed)


def epochs_until_stopped(job, report):
    """A work that reports up to ten epochs of nothing and says how many it did."""
    curve = []
    for number in range(1, 11):
        curve.append(Epoch(number, 1.0, 1.0, 0.1 * number, 1.0, 0.1, 0.0))
        if report(curve[-1]):
            break
    result = TrainingResult(curve[-1].val_accuracy, 1.0, 1.0, len(curve), 0.0, 0.0, tuple(curve))
    return Outcome({"accuracy": result.val_accuracy}, result)


def raises(architecture, *, choices, epochs, seed):
    raise RuntimeError("exploded " + "x" * 1000)


class WithoutMessage(Exception):
    """Its message cannot be read."""

    def __str__(self):
        raise LookupError("no message")


def raises_without_message(architecture, *, choices, epochs, seed):
    raise WithoutMessage


def nan(architecture, *, choices, epochs, seed):
    return {"accuracy": float("nan")}


def infinite(architecture, *, choices, epochs, seed):
    return {"accuracy": float("inf")}


def nothing(architecture, *, choices, epochs, seed):
    return None


def text(architecture, *, choices, epochs, seed):
    return {"accuracy": "1.5"}


def word(architecture, *, choices, epochs, seed):
    return "abc"


def number(architecture, *, choices, epochs, seed):
    return 0.9


def other_names(architecture, *, choices, epochs, seed):
    return {"acc": 0.9}


def other_name_added(architecture, *, choices, epochs, seed):
    return {"acc": 0.9, "loss": 0.1}


def system_exit(architecture, *, choices, epochs, seed):
    sys.exit(3)


def hard_exit(architecture, *, choices, epochs, seed):
    os._exit(0)


def out_of_memory(architecture, *, choices, epochs, seed):
    """As torch says it on a GPU."""
    raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")


def segfault(architecture, *, choices, epochs, seed):
    ctypes.string_at(0)


def killed(architecture, *, choices, epochs, seed):
    os.kill(os.getpid(), signal.SIGKILL)


def crashes_or_good(architecture, *, choices, epochs, seed):
    """Ends its process by SIGSEGV for every third seed."""
    return (good if seed % 3 else segfault)(architecture, choices=choices, epochs=epochs, seed=seed)


def killed_or_good(architecture, *, choices, epochs, seed):
    """Dies of SIGKILL for every third seed."""
    return (good if seed % 3 else killed)(architecture, choices=choices, epochs=epochs, seed=seed)


# what fails -> what its reason must say
FAILURES = {
    raises: "RuntimeError: exploded x",
    raises_without_message: "WithoutMessage: (its message cannot be read: __str__ raised LookupError)",
    nan: "evaluate: accuracy is nan (float), expected a finite number",
    infinite: "evaluate: accuracy is inf (float), expected a finite number",
    nothing: "evaluate gave None (NoneType), expected a mapping with accuracy",
    text: "evaluate: accuracy is '1.5' (str), expected a finite number",
    word: "evaluate gave 'abc' (str), expected a mapping with accuracy",
    number: "evaluate gave 0.9 (float), expected a mapping with accuracy",
    other_names: "evaluate gave acc, expected accuracy",
    out_of_memory: "RuntimeError: CUDA out of memory",
    other_name_added: "evaluate gave acc, loss, expected accuracy",
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


def dies_beside(architecture, *, choices, epochs, seed, place):
    """Dies of SIGKILL while there is a file at ``place``."""
    if os.path.exists(place):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"accuracy": score(choices)}
