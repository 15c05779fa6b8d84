"""A separate process that runs exported models without importing this package."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from select import select
from typing import IO, Any

from explorer.errors import ExportError
from explorer.export.verify.forked import ForkedProcess

TIMEOUT_SECONDS = 600  # for one request; a longer run is treated as a hang
RUNNER = Path(__file__).with_name("fresh_process.py")


class FreshProcess:
    """A process that has imported torch, but not this package, and waits for requests.

    If this process has not imported torch yet, it does so now and forks: torch is loaded once for both. The child has
    no code of this package that uses torch, because none was imported, and it removes the rest. Otherwise a new
    interpreter starts, because a process that has computed with torch may have threads or a GPU context.

    Start the process early: before torch is imported, or to import it while the caller does other work. It handles one
    request after another and ends at the first failure. Use it in a ``with`` block, which ends the process.
    """

    def __init__(self) -> None:
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open until __exit__)
        self._process = _forked(self._stderr) if _can_fork() else _spawned(self._stderr)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):  # a request that the process did not read
            self._requests.close()
        self._answers.close()
        self._stderr.close()

    def run(self, request: dict[str, Any]) -> None:
        """Send a request and wait until it is done.

        Args:
            request: The request, as described in ``fresh_process.py``.

        Raises:
            ExportError: The process failed, or did not answer within 600 s.
        """
        try:
            print(json.dumps(request), file=self._requests, flush=True)
        except BrokenPipeError:
            pass  # the process has ended; its last line of stderr is read below
        answered, _, _ = select([self._answers], [], [], TIMEOUT_SECONDS)
        if not answered:
            raise ExportError(f"the exported network did not finish within {TIMEOUT_SECONDS} s in a fresh process")
        if not self._answers.readline():
            status = self._process.wait()
            self._stderr.seek(0)
            last = self._stderr.read().strip().splitlines()[-1:] or [f"exit status {status}"]
            raise ExportError(f"the exported network fails in a fresh process: {last[0][:300]}")


def _can_fork() -> bool:
    """Return whether this process may fork a child that uses torch: on Linux, before torch and threads are there."""
    return sys.platform == "linux" and "torch" not in sys.modules and threading.active_count() == 1


def _forked(stderr: IO[str]) -> ForkedProcess:
    """Import torch and fork a child that serves requests."""
    collects = gc.isenabled()
    gc.disable()  # imported modules are not garbage; collecting during imports takes a tenth of the time
    try:
        from explorer.export.verify.fresh_process import serve

        gc.freeze()  # the child's collections do not copy the pages of the parent's objects
    finally:
        if collects:
            gc.enable()
    return ForkedProcess(serve, stderr)


def _spawned(stderr: IO[str]) -> subprocess.Popen[str]:
    """Start an interpreter that imports torch and serves requests."""
    command = [sys.executable, "-P", "-B", str(RUNNER)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)
