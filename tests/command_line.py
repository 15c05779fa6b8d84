"""The command line, run in this process or in one of its own."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from explorer.cli import main

SECONDS = 500.0  # that a command may take on a loaded machine
_CONTEXT = multiprocessing.get_context("forkserver")


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Run ``explorer ARGS``.

    Returns:
        Exit status, standard output, standard error.
    """
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def run_forked(folder: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``explorer ARGS`` in a new process that has imported what a search needs, which takes a second.

    Args:
        folder: Its working folder.
        args: The arguments.
        variables: Environment variables beside those of the tests.
    """
    _CONTEXT.set_forkserver_preload(["explorer.study.search", __name__])
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs) / name for name in ("out", "err")]
        process = _CONTEXT.Process(target=_run_here, args=(folder, args, variables, *files))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise AssertionError(f"explorer {' '.join(args)} took longer than {SECONDS:g} s")
        return subprocess.CompletedProcess(args, process.exitcode, *(file.read_text() for file in files))


def _run_here(folder: Path, args: tuple[str, ...], variables: dict[str, str], out: Path, err: Path) -> None:
    os.chdir(folder)
    os.environ.update(variables)
    for descriptor, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), descriptor)
    main(list(args))
