"""Job arrays of SLURM, through submitit, whose local executor runs the elements on this machine instead."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from submitit import Job, LocalExecutor, SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.slurm.slurm import _make_sbatch_string

from explorer.errors import StudyError, one_line
from explorer.store.passwords import has_password
from explorer.study.launchers.element import ENDED, SUCCESS, Element

CLUSTER = "cluster"  # the engine option that chooses the executor: slurm or local
# Options of sbatch that the explorer sets itself, with the reason.
RESERVED = {
    "array": "give the number of workers with --workers",
    "job_name": "it identifies the study",
    "output": "the logs are in the study's folder",
    "error": "the logs are in the study's folder",
    "open_mode": "the logs are in the study's folder",
    "signal": "give the seconds before the time limit as signal_delay_s",
    "requeue": "elements are always queued again",
    "no_requeue": "elements are always queued again",
    "wrap": "the command is 'explorer worker'",
    "nodes": "each worker is one task on one node",
    "ntasks": "each worker is one task on one node",
}
ASK_SECONDS = 60.0  # that squeue has to answer
FAR_FUTURE_MINUTES = 60 * 24 * 365.0  # submitit's local executor has a time limit
_log = logging.getLogger(__name__)


class State(NamedTuple):
    """The state of one element.

    Attributes:
        name: "queued", "running" or "ended".
        reason: Why it is queued, in SLURM's words; empty if unknown.
    """

    name: str
    reason: str = ""


@dataclass(frozen=True)
class Batch:
    """A job array to submit.

    Attributes:
        element: What each element does.
        number: Number of elements.
        folder: The folder of logs and pickles, which all machines must see.
        name: Name of the job.
        cpus: CPU cores of each element; None for the cluster's default.
        options: Options of sbatch, and ``cluster``.
    """

    element: Element
    number: int
    folder: Path
    name: str
    cpus: int | None
    options: Mapping[str, str]

    @property
    def is_local(self) -> bool:
        """Whether the elements run on this machine, without SLURM."""
        return is_on_this_machine(self.options)

    def text(self) -> str:
        """Return the batch file that ``submit`` gives to sbatch."""
        command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(self.folder))}"
        array = {"map_count": self.number} if self.number > 1 else {}
        text: str = _make_sbatch_string(command=command, folder=self.folder, **self._parameters(), **array)
        return text

    def submit(self) -> Array:
        """Submit the array; return its elements.

        Raises:
            StudyError: SLURM refuses it, or is not installed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        executor = LocalExecutor(self.folder) if self.is_local else SlurmExecutor(self.folder)
        local = {"timeout_min": FAR_FUTURE_MINUTES, "stderr_to_stdout": True}
        executor.update_parameters(**(local if self.is_local else self._parameters()))
        try:
            with redirect_stderr(StringIO()), executor.batch():  # submitit repeats there what sbatch says
                jobs = [executor.submit(self.element) for _ in range(self.number)]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise StudyError(f"sbatch: {_said(error)}") from None
        return Array(self.folder, {job.job_id: job if self.is_local else None for job in jobs})

    def _parameters(self) -> dict[str, Any]:
        """Return the parameters of submitit: its own ones by name, and options of sbatch."""
        given = {name.replace("-", "_"): value for name, value in self.options.items() if name != CLUSTER}
        delay = {"signal_delay_s": int(given.pop("signal_delay_s"))} if "signal_delay_s" in given else {}
        cpus = {"cpus_per_task": self.cpus} if self.cpus is not None else {}
        return {
            "job_name": self.name,
            "time": None,  # that of the partition, instead of submitit's five minutes
            "wckey": None,
            "array_parallelism": self.number,
            "stderr_to_stdout": True,
            **cpus,
            **delay,
            "additional_parameters": {"requeue": True, **{name: value or True for name, value in given.items()}},
        }


def is_on_this_machine(options: Mapping[str, str]) -> bool:
    """Return whether the workers run on this machine, without SLURM."""
    return options.get(CLUSTER) == "local"


def check_options(options: Mapping[str, str]) -> None:
    """Raise StudyError for an option that the explorer sets itself, or that has a value that is not valid."""
    for name in options:
        reason = RESERVED.get(name.replace("-", "_"))
        if reason is not None:
            raise StudyError(f"--engine-option {name}: {reason}")
        if has_password(options[name]):
            raise StudyError(
                f"--engine-option {name}: the value has a password, which the batch file would show; leave it out (the"
                " storage's password is read from the environment or ~/.pgpass)"
            )
    if options.get(CLUSTER, "slurm") not in ("slurm", "local"):
        raise StudyError(f"--engine-option {CLUSTER}={options[CLUSTER]}: expected slurm or local")
    if not options.get("signal_delay_s", "90").isdecimal():
        raise StudyError(f"--engine-option signal_delay_s={options['signal_delay_s']}: expected whole seconds")


def require_slurm() -> None:
    """Raise StudyError if SLURM's commands are not installed on this machine."""
    for program in ("sbatch", "squeue", "scancel", "srun"):
        if shutil.which(program) is None:
            raise StudyError(f"engine slurm: there is no {program!r} on this machine; search on a login node of SLURM")


class Array:
    """The submitted elements of a study.

    Args:
        folder: The folder of logs and pickles.
        jobs: The id of each element, with submitit's job if it runs on this machine, without SLURM.
    """

    def __init__(self, folder: Path, jobs: Mapping[str, Job[None] | None]):
        self.folder = folder
        self._jobs = dict(jobs)

    @property
    def ids(self) -> list[str]:
        """The ids of the elements."""
        return list(self._jobs)

    def adopt(self, ids: Iterable[str]) -> None:
        """Add elements of SLURM that an earlier call submitted."""
        self._jobs |= dict.fromkeys(ids)

    def states(self) -> dict[str, State]:
        """Return the state of each element. Raises StudyError if SLURM does not answer."""
        submitted = sorted({each.partition("_")[0] for each, job in self._jobs.items() if job is None})
        found = dict(_queue("--jobs", ",".join(submitted))) if submitted else {}
        local = {each: State("running") for each, job in self._jobs.items() if job is not None and not job.done()}
        return {each: {**found, **local}.get(each, State("ended")) for each in self._jobs}

    def cancel(self, ids: Sequence[str]) -> None:
        """Cancel elements: queued ones never start, running ones get SIGTERM, and release their trials."""
        for each in ids:
            if self._jobs[each] is not None:
                with _logged_errors():
                    os.kill(int(each), signal.SIGTERM)  # submitit's process passes it on
        if submitted := [each for each in ids if self._jobs[each] is None]:
            with _logged_errors():
                subprocess.run(["scancel", *submitted], capture_output=True, timeout=ASK_SECONDS)

    def log(self, element: str) -> Path:
        """Return the log of an element."""
        return self.folder / f"{element}_0_log.out"

    def has_succeeded(self, element: str) -> bool:
        """Return whether the worker of an element that has ended did so in order."""
        status = [line.removeprefix(ENDED) for line in self._lines(element) if line.startswith(ENDED)]
        return status[-1:] in [[str(each)] for each in SUCCESS]

    def last_words(self, element: str) -> str:
        """Return the last line that the worker of an element wrote; empty if there is none."""
        lines = self._lines(element)
        ends = [place for place, line in enumerate(lines) if line.startswith(ENDED)]
        lines = [line for line in lines[: ends[-1] if ends else None] if line.strip() and "submitit" not in line]
        return lines[-1].strip() if lines else ""

    def _lines(self, element: str) -> list[str]:
        try:
            return self.log(element).read_text(errors="replace").splitlines()
        except OSError:
            return []


def submitted_before(name: str) -> list[str]:
    """Return the ids of this user's elements of the job ``name`` that are queued or running."""
    return [element for element, _ in _queue("--me", "--name", name)]


def _queue(*selection: str) -> Iterator[tuple[str, State]]:
    """Yield the selected elements that have not ended."""
    command = ["squeue", "--noheader", "--array", "--format=%i|%T|%r", *selection]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StudyError(f"squeue: {one_line(error)}") from None
    if found.returncode and "Invalid job id" not in found.stderr:  # they have ended long ago
        raise StudyError(f"squeue: {' '.join(found.stderr.split())}")
    for line in found.stdout.splitlines():
        element, state, reason = line.strip().split("|")
        if state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED"):
            yield element, State("queued", "" if reason == "None" else reason)
        elif state in ("RUNNING", "CONFIGURING", "COMPLETING", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"):
            yield element, State("running")


def _said(error: Exception) -> str:
    """Return what sbatch said, without submitit's words."""
    lines = [line.strip() for line in str(error).splitlines() if "sbatch:" in line]
    return "; ".join(line.partition("sbatch:")[2].removeprefix(" error:").strip() for line in lines) or one_line(error)


@contextmanager
def _logged_errors() -> Iterator[None]:
    """Log an error instead of raising it."""
    try:
        yield
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("a worker could not be cancelled: %s", one_line(error))
