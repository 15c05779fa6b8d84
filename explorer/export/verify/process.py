"""A separate process that runs exported models without importing this package."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from select import select
from typing import Any

from explorer.errors import ExportError

TIMEOUT_SECONDS = 600  # for one request; a longer run is treated as a hang
RUNNER = Path(__file__).with_name("fresh_process.py")


class FreshProcess:
    """A new process that imports torch and then waits for requests.

    Start the process early: it imports torch while the caller does other work. It handles one request after
    another and ends at the first failure. Use it in a ``with`` block, which ends the process.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-B", str(RUNNER)]
        pipe = subprocess.PIPE
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open until __exit__)
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._stderr, text=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.communicate()
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
