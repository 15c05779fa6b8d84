"""One element of a job array: it runs ``explorer worker`` in a child process and passes signals on.

SLURM sends SIGUSR2 some time before the time limit. Then the worker is ended by SIGTERM, so that it releases its
trials, whose checkpoints are at most an epoch old, and the element is queued again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from submitit import JobEnvironment

from explorer.store.presence.processes import LOG_VARIABLE, STOP_SEEN_VARIABLE
from explorer.store.server.engine import with_password

KILL_SECONDS = 300.0  # in which SLURM ends an element that it queues again
ENDED = "worker ended with status "  # the last line of a log, before those of submitit
SUCCESS = (0, 128 + signal.SIGTERM)  # it is ended by SIGTERM if it is cancelled


@dataclass(frozen=True)
class Element:
    """What an element of a job array does. It is pickled, so it holds no password.

    Attributes:
        arguments: Arguments of ``explorer worker``, without the storage.
        storage: URL of the storage without its password.
        stop_seen: Number of the last request to stop before the array was submitted.
        restored: Environment variables that the local executor of submitit replaces, with their values; None removes.
    """

    arguments: tuple[str, ...]
    storage: str
    stop_seen: int
    restored: tuple[tuple[str, str | None], ...] = ()

    def __call__(self) -> None:
        """Run the worker until it ends. Raises RuntimeError if it fails."""
        timed_out = True
        while timed_out:
            status, timed_out = self._run_worker()
            if timed_out and "SLURM_JOB_ID" in os.environ:
                _queue_again()
        print(f"{ENDED}{status}", flush=True)
        if status not in SUCCESS:
            raise RuntimeError(f"the worker ended with status {status}")

    def _run_worker(self) -> tuple[int, bool]:
        """Run a worker; return its exit status, and whether it ended because the time limit is near."""
        own = {"EXPLORER_STORAGE": with_password(self.storage), **self._facts()}
        variables = {**os.environ, **dict(self.restored), **own}
        environment = {name: value for name, value in variables.items() if value is not None}
        command = [sys.executable, "-m", "explorer", "worker", *self.arguments]
        timed_out = False

        def end(number: int, frame: object) -> None:
            nonlocal timed_out
            timed_out |= number == signal.SIGUSR2
            worker.terminate()

        # SLURM sends its signals to all processes of a job; the worker inherits that SIGUSR2 is ignored.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        worker = subprocess.Popen(command, env=environment, start_new_session=True)
        for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        return worker.wait(), timed_out

    def _facts(self) -> Mapping[str, str]:
        return {LOG_VARIABLE: str(JobEnvironment().paths.stdout), STOP_SEEN_VARIABLE: str(self.stop_seen)}


def _queue_again() -> None:
    """Queue this element again; SLURM then ends it. Raises CalledProcessError if SLURM refuses."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    print(f"the time limit is near: job {job} is queued again", flush=True)  # SLURM may end this process at once
    subprocess.run(["scontrol", "requeue", job], check=True, timeout=60)
    time.sleep(KILL_SECONDS)
