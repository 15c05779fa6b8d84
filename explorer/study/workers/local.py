"""The engine of this machine: jobs run in child processes, or in this process."""

from __future__ import annotations

from collections.abc import Iterator

from explorer.study.workers.child import run_job
from explorer.study.workers.executor import Executor, Message, Needs
from explorer.study.workers.jobs import Failure, Job, Outcome, TorchWork, Work
from explorer.study.workers.pool import ProcessPool
from explorer.study.workers.watchdog import UNLIMITED, TrialLimits
from explorer.system.core_shares import CoreShare


def start_local(work: Work, needs: Needs) -> Executor:
    """Return a pool of child processes, or for a function of the caller's this process.

    Trainings share the cores of the machine with those of other processes. On a GPU a child process runs several jobs,
    because a process starts slowly there.
    """
    reused = needs.device.startswith("cuda")
    if isinstance(work, TorchWork):
        share = CoreShare(needs.device)
        return ProcessPool(work, needs.workers, reused=reused, job=needs.job, share=share, is_fixed=needs.is_fixed)
    if needs.in_process:
        return InProcess(work)
    return ProcessPool(
        work,
        needs.workers,
        is_user_function=True,
        reused=reused or needs.by_default,
        job=needs.job,
        imports_script=needs.imports_script,
        interrupts=needs.by_default,
    )


class InProcess:
    """Runs one job at a time in this process, within ``messages``. Limits on time and memory do not apply."""

    def __init__(self, work: Work):
        self.busy = False
        self._work = work
        self._waiting: list[Job] = []

    @property
    def room(self) -> int:
        return 1 - len(self._waiting)

    def start(self, job: Job, limits: TrialLimits = UNLIMITED) -> None:
        self._waiting.append(job)

    def answer(self, number: int, epoch: int, stop: bool) -> None:
        raise AssertionError("a job in this process is never stopped early")

    def messages(self, timeout: float) -> Iterator[Message]:
        while self._waiting:
            job = self._waiting.pop()
            self.busy = True
            try:
                last: Outcome | Failure = run_job(self._work, job, lambda epoch: False)
            except (Exception, SystemExit) as error:
                last = Failure.of(error)
            finally:
                self.busy = False
            yield job.number, last

    def stop(self) -> None:
        self._waiting.clear()
