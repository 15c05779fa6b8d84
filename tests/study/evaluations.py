"""Evaluation functions that child processes can import: some succeed, others fail in many ways."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

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
    """Return a synthetic accuracy that depends only on the choices."""
    return 0.5 + 0.1 * int(choices["depth"]) + 0.01 * len(choices["act"]) + 0.02 * ("ratio" in choices)


def good(architecture, *, choices, epochs, seed):
    return {"accuracy": score(choices)}


def interrupted(architecture, *, choices, epochs, seed):
    """Raise KeyboardInterrupt for one network of nine."""
    if (choices["depth"], choices["act"]) == ("3", "gelu"):
        raise KeyboardInterrupt
    return good(architecture, choices=choices, epochs=epochs, seed=seed)


def slow(architecture, *, choices, epochs, seed):
    """Last 0.15 s, long enough for a test to kill the process."""
    time.sleep(0.15)
    return {"accuracy": score(choices)}


def unhurried(architecture, *, choices, epochs, seed):
    """Last 0.4 s, long enough for a test to kill the process several times."""
    time.sleep(0.4)
    return {"accuracy": score(choices)}


def counted(architecture, *, choices, epochs, seed):
    """Last 1 s, and write the seed to the file ``trained`` of the test's folder at the end."""
    time.sleep(1.0)
    with open(Path(os.environ["EXPLORER_TEST_MARKER"]) / "trained", "a") as file:
        file.write(f"{seed}\n")
    return {"accuracy": score(choices)}


def slower(architecture, *, choices, epochs, seed):
    """Last 1.5 s, long enough for a test to interrupt the process on a loaded machine."""
    time.sleep(1.5)
    return {"accuracy": score(choices)}


def gated(architecture, *, choices, epochs, seed):
    """Lasts until the test makes the file ``open`` in its folder; who removes the folder ``token`` ends at once.

    The file ``waiting_`` and a process number says that it has begun.
    """
    folder = Path(os.environ["EXPLORER_TEST_MARKER"])
    (folder / f"waiting_{os.getpid()}").touch()
    while not (folder / "open").exists():
        with suppress(FileNotFoundError):
            (folder / "token").rmdir()
            break
        time.sleep(0.02)
    return {"accuracy": score(choices)}


def moves(architecture, *, choices, epochs, seed):
    """Changes the working folder."""
    os.chdir("/")
    return {"accuracy": seed / 2**31}


def endless(architecture, *, choices, epochs, seed):
    while True:
        time.sleep(0.05)


def with_child(architecture, *, choices, epochs, seed):
    """Start a child process and wait for it forever."""
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
    return {"accuracy": 0.5}


def detach(code: str = "pass") -> None:
    """Start two processes that last for minutes: one in its own session, one that is also orphaned."""
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


def detached_allocates(architecture, *, choices, epochs, seed):
    """Allocate memory in a process in its own session."""
    detach("held = b'x' * (1 << 30)")
    endless(architecture, choices=choices, epochs=epochs, seed=seed)


def ignores_sigterm(architecture, *, choices, epochs, seed):
    """Ignore SIGTERM and never return."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    endless(architecture, choices=choices, epochs=epochs, seed=seed)


def allocates_forever(architecture, *, choices, epochs, seed):
    """Allocate memory without limit, 256 MiB at a time."""
    held = []
    while True:
        held.append(b"x" * (1 << 28))
        time.sleep(0.05)


def allocates_or_good(architecture, *, choices, epochs, seed):
    """Allocate memory without limit for every third seed."""
    return (slow if seed % 3 else allocates_forever)(architecture, choices=choices, epochs=epochs, seed=seed)


def oom_score(architecture, *, choices, epochs, seed):
    """Return the ``oom_score_adj`` of this process beside an accuracy."""
    with open("/proc/self/oom_score_adj") as file:
        return {"accuracy": 0.5, "score": float(file.read())}


def child_allocates(architecture, *, choices, epochs, seed):
    """Allocate memory in a child process."""
    code = "import time; held = b'x' * (1 << 30); time.sleep(600)"
    subprocess.run([sys.executable, "-c", code])
    return {"accuracy": 0.5}


def gives_pid(architecture, *, choices, epochs, seed):
    return {"accuracy": 0.5, "pid": os.getpid()}


def fails_on_odd(architecture, *, choices, epochs, seed):
    """Return the process id for an even seed and raise an error for an odd one."""
    if seed % 2:
        raise RuntimeError("odd")
    return gives_pid(architecture, choices=choices, epochs=epochs, seed=seed)


_HELD = []


def leaks(architecture, *, choices, epochs, seed):
    """Leak 40 MiB per call."""
    _HELD.append(b"x" * (40 << 20))
    return gives_pid(architecture, choices=choices, epochs=epochs, seed=seed)


def epochs_until_stopped(job, report, most=10, pause=0.0):
    """Work that reports up to ``most`` empty epochs, ``pause`` seconds apart, and returns how many it reported."""
    curve = []
    for number in range(1, most + 1):
        time.sleep(pause)
        curve.append(Epoch(number, 1.0, 1.0, 0.1 * number, 1.0, 0.1, 0.0))
        if report(curve[-1]):
            break
    result = TrainingResult(curve[-1].val_accuracy, 1.0, 1.0, len(curve), 0.0, 0.0, tuple(curve))
    return Outcome({"accuracy": result.val_accuracy}, result)


def raises(architecture, *, choices, epochs, seed):
    raise RuntimeError("exploded " + "x" * 1000)


class WithoutMessage(Exception):
    """An exception whose message cannot be read."""

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
    """Raise torch's out-of-memory error for a GPU."""
    raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")


def segfault(architecture, *, choices, epochs, seed):
    ctypes.string_at(0)


def killed(architecture, *, choices, epochs, seed):
    os.kill(os.getpid(), signal.SIGKILL)


def crashes_or_good(architecture, *, choices, epochs, seed):
    """End its process by SIGSEGV for every third seed."""
    return (good if seed % 3 else segfault)(architecture, choices=choices, epochs=epochs, seed=seed)


def killed_or_good(architecture, *, choices, epochs, seed):
    """End its process by SIGKILL for every third seed."""
    return (good if seed % 3 else killed)(architecture, choices=choices, epochs=epochs, seed=seed)


def percent(architecture, *, choices, epochs, seed):
    return {"accuracy": 100 * score(choices)}


def percent_added(architecture, *, choices, epochs, seed):
    return {"accuracy": score(choices), "top5": 99.0}


def negative(architecture, *, choices, epochs, seed):
    return {"accuracy": -0.25}


# failing function -> text that its failure reason must contain
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
    percent: ", expected a share from 0 to 1: divide it by 100, as in 0.",
    percent_added: "evaluate: top5 is 99, expected a share from 0 to 1: divide it by 100, as in 0.99 for 99%",
    negative: "evaluate: accuracy is -0.25, expected a share from 0 to 1 (",
    system_exit: "SystemExit: 3",
}
DEATHS = {
    hard_exit: "exited with status 0 and without a result",
    segfault: "died of SIGSEGV",
    killed: "died of SIGKILL (out of memory?)",
}
_BY_TURNS = [*FAILURES, *DEATHS]


def by_turns(architecture, *, choices, epochs, seed):
    """Fail for one seed in three, each time in a different way, chosen by the seed."""
    if seed % 3:
        return good(architecture, choices=choices, epochs=epochs, seed=seed)
    return _BY_TURNS[seed // 3 % len(_BY_TURNS)](architecture, choices=choices, epochs=epochs, seed=seed)


def dies_beside(architecture, *, choices, epochs, seed, place):
    """End its process by SIGKILL while the file ``place`` exists."""
    if os.path.exists(place):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"accuracy": score(choices)}
