"""A forked child process that a parent gives requests, with the interface of ``subprocess.Popen``."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import IO, TextIO

FIRST_FREE = 3  # descriptors below are standard input, output and error


class ForkedProcess:
    """A copy of this process that runs one function and exits.

    Attributes:
        stdin: The parent's end of the pipe that the function reads.
        stdout: The parent's end of the pipe that the function writes.
    """

    def __init__(self, run: Callable[[TextIO, TextIO], object], stderr: IO[str]):
        """Fork the process.

        Args:
            run: Called in the child with its requests and its answers.
            stderr: An open file; the child's standard output and standard error go to it.
        """
        reads_request, writes_request = os.pipe()
        reads_answer, writes_answer = os.pipe()
        with warnings.catch_warnings():
            # Python warns of threads, which do not exist in the child. numpy's OpenBLAS has one, and ends it itself
            # before a fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            os.close(writes_request)  # else the child does not see that its parent ended
            os.close(reads_answer)
            _run_and_exit(run, reads_request, writes_answer, stderr.fileno())
        os.close(reads_request)
        os.close(writes_answer)
        self.stdin, self.stdout = os.fdopen(writes_request, "w"), os.fdopen(reads_answer)
        self._status: int | None = None

    def wait(self) -> int:
        """Wait until the child ends and return its exit status; minus the number of a signal that ended it."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def kill(self) -> None:
        """Kill the child; nothing happens if ``wait`` has returned."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)


def _run_and_exit(run: Callable[[TextIO, TextIO], object], requests: int, answers: int, errors: int) -> None:
    """Run the function in the child with new standard streams, and exit without the parent's cleaning up."""
    status = 1
    try:
        # A parent without standard streams has pipes at their numbers.
        requests, answers, errors = (
            fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE) for fd in (requests, answers, errors)
        )
        os.dup2(errors, 1)
        os.dup2(errors, 2)
        sys.stdout = sys.stderr = os.fdopen(errors, "w", buffering=1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        run(os.fdopen(requests), os.fdopen(answers, "w"))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
