"""A pool adapts its jobs, and their threads, to the share of the cores that other processes leave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.records import TrainingResult, TrialRecord
from explorer.study.workers.jobs import Job, Outcome, Training
from explorer.study.workers.pool import ProcessPool
from explorer.study.workers.train_job import _threads
from explorer.system.environment import describe_environment


class Share:
    """A share that a test sets."""

    def __init__(self, cores: int, processes: int = 1):
        self._cores, self._processes, self.left = cores, processes, False

    def cores(self) -> int:
        return self._cores

    def processes(self) -> int:
        return self._processes

    def become(self, cores: int, processes: int) -> None:
        self._cores, self._processes = cores, processes

    def leave(self) -> None:
        self.left = True


def threads(job: Job, report) -> Outcome:
    """Work that returns the limits of its job."""
    return Outcome({"threads": job.threads, "side_by_side": job.side_by_side})


def run(pool: ProcessPool, most: int = 0) -> dict[str, float]:
    """Run one job and return its limits.

    Args:
        pool: The pool.
        most: The threads of the job itself.
    """
    pool.start(Job(0, "v1-a", "{}", {}, 0, threads=most))
    while True:
        for _, message in pool.messages(1.0):
            return dict(message.measured)


def test_the_number_of_jobs_follows_the_share():
    """A pool whose user chose no number of workers runs one job per core of its share, also when the share changes."""
    share = Share(8)
    pool = ProcessPool(threads, 8, share=share)
    assert pool.room == 8 and run(pool) == {"threads": 1, "side_by_side": 0}
    share.become(2, 4)
    assert pool.room == 2 and run(pool)["threads"] == 1
    share.become(12, 1)
    assert pool.room == 8
    pool.stop()
    assert share.left


def test_a_paused_training_continues_with_its_threads():
    """Results differ by the number of threads, so another share does not change that of a training that was paused."""
    share = Share(2)
    pool = ProcessPool(threads, 1, share=share, is_fixed=True)
    assert run(pool)["threads"] == 2
    share.become(1, 2)
    assert run(pool)["threads"] == 1 and run(pool, most=2)["threads"] == 2
    pool.stop()
    result = TrainingResult(0.5, 1.0, 0.9, 1, 0.0, 0.0, ())
    environment = replace(describe_environment("cpu"), threads=2)
    record = TrialRecord(number=0, state="running", digest="v1-a", result=result, environment=environment)
    assert Job.of(record, (), pauses=True).threads == 2 and Job.of(record, ()).threads == 0


def test_a_smaller_share_starts_no_job_while_enough_run():
    """A pool that runs more jobs than its new share has cores has no room, and ends none of them."""
    share = Share(2)
    pool = ProcessPool(threads, 2, share=share)
    for number in range(2):
        pool.start(Job(number, "v1-a", "{}", {}, 0))
    share.become(1, 2)
    assert pool.room == 0
    ended = 0
    while ended < 2:
        ended += sum(isinstance(message, Outcome) for _, message in pool.messages(1.0))
    assert pool.room == 1
    pool.stop()


@pytest.mark.parametrize(("cores", "expected"), [(8, 4), (4, 2), (1, 1)])
def test_the_threads_of_chosen_workers_follow_the_share(cores, expected):
    """A pool whose user chose the workers keeps their number and divides the cores of its share among their threads."""
    pool = ProcessPool(threads, 2, share=Share(cores), is_fixed=True)
    assert pool.room == 2 and run(pool)["threads"] == expected
    pool.stop()


def test_processes_divide_the_trainings_of_a_gpu():
    """Processes that train on one GPU divide the trainings that it can run, and each may use its part of the memory."""
    pool = ProcessPool(threads, 4, reused=True, share=Share(8, processes=2))
    assert pool.room == 2 and run(pool) == {"threads": 4, "side_by_side": 4}
    pool.stop()


@pytest.mark.parametrize(("own", "expected"), [(8, [4, 2, 4]), (3, [3, 2, 3]), (1, [1, 1, 1])])
def test_a_training_uses_at_most_the_threads_of_its_job(monkeypatch, own, expected):
    """The threads of a training are those of its job, at most those of its settings and torch's own number, which the
    caller may have limited."""
    monkeypatch.setattr("torch.get_num_threads", lambda: own)
    job = Job(0, "v1-a", "{}", {}, 0)
    jobs = [replace(job, threads=threads) for threads in (0, 2, 9)]
    assert [_threads(Training(None, 4), each) for each in jobs] == expected
