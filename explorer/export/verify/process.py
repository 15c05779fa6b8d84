"""A process of its own to run exported models in: new, without this package, begun before this one needs it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from select import select
from typing import Any

from explorer.errors import ExportError

TIMEOUT_SECONDS = 600
RUNNER = Path(__file__).with_name("fresh_process.py")


class FreshProcess:
    """A new process that imports torch and then waits for requests. Begun early, it does so beside this one, which
    therefore imports no torch for it. It answers one request after another, to the first that fails."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-B", str(RUNNER)]
        pipe = subprocess.PIPE
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open until __exit__)
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._said, text=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def answer(self, request: dict[str, Any]) -> None:
        """Returns when the process has done what ``fresh_process.py`` says of a request.

        Raises ExportError when something fails in the process, or takes longer than ten minutes.
        """
        try:
            print(json.dumps(request), file=self._requests, flush=True)
        except BrokenPipeError:
            pass  # it ended before it was asked; why is read below
        answered, _, _ = select([self._answers], [], [], TIMEOUT_SECONDS)
        if not answered:
            raise ExportError(f"the exported network gave nothing within {TIMEOUT_SECONDS} s")
        if not self._answers.readline():
            status = self._process.wait()
            self._said.seek(0)
            last = self._said.read().strip().splitlines()[-1:] or [f"exit status {status}"]
            raise ExportError(f"the exported network fails in a fresh process: {last[0][:300]}")
