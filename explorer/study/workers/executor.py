"""The interface to what runs the jobs of a search: an ``Executor``, which an ``Engine`` starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from explorer.records import Epoch, GradientFlow
from explorer.store.presence.processes import Task
from explorer.study.workers.jobs import Failure, Job, Outcome, Work
from explorer.study.workers.watchdog import UNLIMITED, TrialLimits

Message = tuple[int, Epoch | GradientFlow | Outcome | Failure]


class Executor(Protocol):
    """Runs jobs.

    Attributes:
        busy: Whether this process is running a job.
    """

    busy: bool

    @property
    def room(self) -> int:
        """The number of further jobs that can be started now."""
        ...

    def start(self, job: Job, limits: TrialLimits = UNLIMITED) -> None:
        """Start a job.

        Args:
            job: The job.
            limits: Limits on its time and memory; none by default.
        """
        ...

    def answer(self, number: int, epoch: int, stop: bool) -> None:
        """Send the verdict on an epoch to the job that waits for it.

        Args:
            number: Number of the job.
            epoch: The epoch that the job has reported.
            stop: Whether the job has to stop there.
        """
        ...

    def messages(self, timeout: float) -> Iterator[Message]:
        """Yield the messages of the jobs; an Outcome or a Failure is the last of its job.

        Args:
            timeout: Seconds to wait for the first message.
        """
        ...

    def stop(self) -> None:
        """End every job at once, without a message."""
        ...


def places_of(executor: Executor) -> list[Task]:
    """Return where the jobs of an executor run; empty for one of this machine, which has no method ``places``."""
    places: Callable[[], list[Task]] | None = getattr(executor, "places", None)
    return [] if places is None else places()


@dataclass(frozen=True, slots=True)
class Needs:
    """What the jobs of an executor need.

    Attributes:
        workers: Largest number of parallel jobs. An engine of several machines runs as many as fit if it is not fixed.
        is_fixed: Whether the user chose ``workers``.
        device: "cpu", "cuda", "cuda:N", or "auto" for an engine that knows the devices of its machines.
        cpus: CPU cores of each job, for an engine of several machines.
        per_gpu: Number of jobs that share one GPU.
        address: Address of the engine; empty for its default.
        job: The word for a job in messages.
        in_process: Whether the work, a function of the caller's, runs in this process.
        imports_script: Whether a child process imports the caller's script, to find the function.
        by_default: Whether the caller chose no number of workers for a function: one child process runs all jobs, and
            its KeyboardInterrupt ends the search.
    """

    workers: int = 1
    is_fixed: bool = True
    device: str = "cpu"
    cpus: int = 1
    per_gpu: int = 1
    address: str = ""
    job: str = "trial"
    in_process: bool = False
    imports_script: bool = False
    by_default: bool = False


class Engine(Protocol):
    """Starts an executor."""

    def __call__(self, work: Work, needs: Needs) -> Executor:
        """Start an executor.

        Args:
            work: The work of each job.
            needs: What the jobs need.

        Raises:
            StudyError: The engine cannot be reached.
        """
        ...
