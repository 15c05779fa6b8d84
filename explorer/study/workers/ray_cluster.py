"""The engine ``ray``: jobs are tasks of a Ray cluster. Ray queues them, assigns cores and GPUs, and reports lost nodes.

This process holds the study; no task opens its database. Ray retries nothing, because the study counts the attempts.
"""

from __future__ import annotations

import logging
import re
import socket
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from explorer.errors import StudyError, one_line
from explorer.store.artifacts import weights_file
from explorer.store.presence.processes import Task
from explorer.study.workers.executor import Message, Needs
from explorer.study.workers.jobs import Failure, Job, Outcome, Retraining, TorchWork, Training, Work, checkpoint_of
from explorer.study.workers.ray_mailbox import Batch, Mailbox
from explorer.study.workers.ray_task import Order, Pickled, Result, run_task
from explorer.study.workers.watchdog import UNLIMITED, TrialLimits
from explorer.system.files import remove, write_atomically
from explorer.system.version import base_version, explorer_version

CONNECT_SECONDS = 10.0  # that the cluster has to accept a connection
VERSION_SECONDS = 30.0  # that the nodes have to name their version; those that need longer are not waited for
VERDICT_SECONDS = 10.0  # that a training waits for a verdict, which passes through several processes
CAPACITY_SECONDS = 2.0  # between two questions for the nodes of the cluster
WORKERS_PER_QUEUED = 8  # for each a further job is queued
_log = logging.getLogger(__name__)


@dataclass
class _Running:
    """A job that was started.

    Attributes:
        job: The job.
        run: Number of its task.
        result: Reference of its result.
        seen: Number of its reports that were yielded.
        place: The host and the device on which it has begun; empty while it waits in Ray's queue.
    """

    job: Job
    run: int
    result: ray.ObjectRef
    seen: int = 0
    place: tuple[str, str] = ("", "")


class RayExecutor:
    """Runs jobs as tasks of a Ray cluster."""

    busy = False

    def __init__(self, work: Work, needs: Needs):
        """Connect to the cluster.

        Args:
            work: The work of each job.
            needs: What the jobs need.

        Raises:
            StudyError: There is no cluster at the address, a node of it has no explorer or another version, or the
                device is one of a machine.
        """
        self._is_connected = _connect(needs.address)  # else the caller's script has connected, and stays connected
        try:
            _require_same_version()
        except StudyError:
            if self._is_connected:
                ray.shutdown()
            raise
        self._needs = replace(needs, device=_device(needs.device))
        self._work = _on_device(work, self._needs.device)
        self._capacity, self._asked = 1, float("-inf")
        self._running: dict[int, _Running] = {}
        self._waiting: deque[tuple[Job, TrialLimits]] = deque()
        self._runs, self._is_stopped = 0, False
        self._search = uuid.uuid4().hex
        self._marker = self._new_marker()
        sent = self._work if isinstance(work, TorchWork) else Pickled(ray.cloudpickle.dumps(work))
        self._sent = ray.put(sent)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = {"num_cpus": 0, "max_restarts": -1, "max_concurrency": 10_000, "scheduling_strategy": here}
        self._mailbox = ray.remote(Mailbox).options(**options).remote()
        self._taken = self._mailbox.take.remote()
        gpus = 1 / needs.per_gpu if self._needs.device != "cpu" else 0
        self._options = {"num_cpus": needs.cpus, "num_gpus": gpus, "max_retries": 0}
        self._task = ray.remote(run_task)

    @property
    def room(self) -> int:
        most = self._most()
        return max(0, most + _ahead(most) - len(self._running) - len(self._waiting))

    def start(self, job: Job, limits: TrialLimits = UNLIMITED) -> None:
        """Submit a job to Ray, whose queue it waits in, or keep it here if Ray would run too many at once."""
        self._waiting.append((job, limits))
        self._submit_waiting()

    def _submit_waiting(self) -> None:
        """Submit jobs, except those beyond the workers that the user chose on a cluster that has room for more."""
        most = self._most()
        queued = 0 if self._needs.is_fixed and self._fitting() > most else _ahead(most)
        while self._waiting and len(self._running) < most + queued:
            self._submit(*self._waiting.popleft())

    def _submit(self, job: Job, limits: TrialLimits) -> None:
        is_cpu = self._needs.device == "cpu"
        side_by_side, threads = 0 if is_cpu else self._needs.per_gpu, job.threads or self._needs.cpus
        job = replace(job, threads=threads, side_by_side=side_by_side, verdict_seconds=VERDICT_SECONDS)
        self._runs += 1
        file = checkpoint_of(self._work, job)
        checkpoint = file.read_bytes() if file is not None and file.exists() else b""
        order = Order(self._search, explorer_version(), self._runs, job, limits, self._marker, checkpoint)
        task = self._task.options(name=f"explorer {self._needs.job} {job.number}", **self._options)
        self._running[job.number] = _Running(job, self._runs, task.remote(order, self._sent, self._mailbox))

    def answer(self, number: int, epoch: int, stop: bool) -> None:
        if number in self._running:
            self._mailbox.answer.remote(self._running[number].run, epoch, stop)

    def messages(self, timeout: float) -> Iterator[Message]:
        results = {each.result: each for each in self._running.values()}
        ray.wait([self._taken, *results], timeout=timeout)
        ended = ray.wait([*results], num_returns=len(results), timeout=0)[0] if results else []
        yield from self._reports()
        for result in ended:
            running = results[result]
            if self._running.get(running.job.number) is not running:
                continue
            found = self._result(running)
            for report in found.reports[running.seen :]:
                running.seen += 1
                yield running.job.number, report
            del self._running[running.job.number]
            self._submit_waiting()
            yield running.job.number, found.last

    def places(self) -> list[Task]:
        """Return where each job runs."""
        return [Task(number, *running.place) for number, running in self._running.items()]

    def stop(self) -> None:
        if self._is_stopped:
            return
        self._is_stopped = True
        for running in self._running.values():
            ray.cancel(running.result, force=True)
        self._running.clear()
        self._waiting.clear()
        ray.kill(self._mailbox)
        if self._marker is not None:
            remove(self._marker)
        if self._is_connected:
            ray.shutdown()

    def _most(self) -> int:
        """Return the largest number of parallel jobs: the user's, or what fits into the cluster now."""
        needs = self._needs
        return (
            needs.workers if needs.is_fixed else max(1, self._fitting())
        )  # a waiting task makes an autoscaler add a node

    def _fitting(self) -> int:
        """Return the number of jobs that fit into the cluster."""
        needs = self._needs
        if time.monotonic() > self._asked + CAPACITY_SECONDS:
            self._capacity, self._asked = 0, time.monotonic()
            for node in ray.nodes():
                resources = node["Resources"] if node["Alive"] else {}
                fitting = int(resources.get("CPU", 0) // needs.cpus)
                if needs.device != "cpu":
                    fitting = min(fitting, int(resources.get("GPU", 0)) * needs.per_gpu)
                self._capacity += fitting
        return self._capacity

    def _new_marker(self) -> Path | None:
        """Create the file by which a node knows that it shares the folder of artifacts."""
        training = self._work.training if isinstance(self._work, Retraining) else self._work
        if not isinstance(training, Training) or training.artifacts is None:
            return None
        marker = training.artifacts / ".shared"
        self._save(marker, self._search.encode())
        return marker

    def _reports(self) -> Iterator[Message]:
        """Yield the reports that have arrived, and save the checkpoints."""
        if not ray.wait([self._taken], timeout=0)[0]:
            return
        try:
            batch: Batch = ray.get(self._taken)
        except RayError as error:  # the tasks return their reports too
            _log.warning("reports are delayed: %s", one_line(error))
            batch = Batch()
        self._taken = self._mailbox.take.remote()
        by_run = {each.run: each for each in self._running.values()}
        for run, checkpoint in batch.checkpoints.items():
            if run in by_run:
                self._save(checkpoint_of(self._work, by_run[run].job), checkpoint)
        for run, place in batch.places.items():
            if run in by_run:
                by_run[run].place = place
        for posted in batch.posted:
            running = by_run.get(posted.run)
            if running is not None and running.seen == posted.position:
                running.seen += 1
                yield running.job.number, posted.report

    def _result(self, running: _Running) -> Result:
        """Return the result of a task that has ended, and save its files."""
        try:
            found: Result = ray.get(running.result)
        except RayTaskError as error:
            if _has_no_explorer(error):  # a node that has joined since the search began
                return Result([], Failure("a node of the Ray cluster has no explorer", "died", resumable=True))
            return Result([], Failure.of(error.cause if isinstance(error.cause, Exception) else error))
        except RayError as error:  # the node, the Ray worker or its memory was lost
            return Result([], Failure(f"Ray lost the {self._needs.job}: {one_line(error)}", "died", resumable=True))
        if found.checkpoint:
            self._save(checkpoint_of(self._work, running.job), found.checkpoint)
        if found.weights and isinstance(found.last, Outcome):
            assert isinstance(self._work, Training) and self._work.artifacts is not None
            if not self._save(weights_file(self._work.artifacts, running.job.digest), found.weights):
                return replace(found, last=replace(found.last, weights=""))
        return found

    def _save(self, file: Path | None, content: bytes) -> bool:
        """Write a file that a node has sent; return whether it was written."""
        assert file is not None  # a node sends only files that have a place
        try:
            write_atomically(file, content)
        except OSError as error:
            _log.warning("%s could not be saved: %s", file, error)
            return False
        return True


def _ahead(workers: int) -> int:
    """Return the number of jobs beyond the workers: a worker that becomes free does not wait for a proposal."""
    return 1 + workers // WORKERS_PER_QUEUED


def _connect(address: str) -> bool:
    """Connect to the cluster unless the caller's script has; return whether this call has connected."""
    if ray.is_initialized():
        return False
    if address == "local":
        raise StudyError(
            "'local' would open a cluster of this machine to the network; start one with: ray start --head"
        )
    if address.startswith("ray://"):
        raise StudyError(
            f"{address}: Ray Client is not supported; search on a machine of the cluster, and leave it out"
        )
    has_answered = False
    try:
        if match := re.fullmatch(r"([^/]+):(\d+)", address):
            socket.create_connection((match[1], int(match[2])), CONNECT_SECONDS).close()  # Ray tries for minutes
            has_answered = True
        ray.init(address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        at = f" at {address}" if address else ""
        start = "start one with 'ray start --head', or give its address, as in --engine-address HOST:6379"
        check = (
            "a process listens there; check that it is the head of a cluster with this version of Ray, and that this "
            "machine has its authentication token, in ~/.ray/auth_token or RAY_AUTH_TOKEN"
        )
        raise StudyError(
            f"no Ray cluster was reached{at}: {one_line(error)}; {check if has_answered else start}"
        ) from None
    return True


def _has_no_explorer(error: RayError) -> bool:
    """Return whether a task failed because its node cannot import the explorer."""
    return "No module named 'explorer" in str(error)


def _version() -> str:
    """Return the version of the explorer: a task must be a plain function."""
    return explorer_version()


def _require_same_version() -> None:
    """Raise StudyError if a node cannot import the explorer, or has another version: each of its trials would fail."""
    asked = {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("CPU"):  # a head without cores runs no trials
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": there}
            asked[ray.remote(_version).options(**options).remote()] = node["NodeManagerHostname"]
    answered = ray.wait([*asked], num_returns=len(asked), timeout=VERSION_SECONDS)[0] if asked else []
    own = explorer_version()
    for answer in answered:
        fix = f"install {own} there, for the Python that runs 'ray start'"
        try:
            found = ray.get(answer)
        except RayError as error:
            if _has_no_explorer(error):
                raise StudyError(f"node {asked[answer]} of the Ray cluster has no explorer: {fix}") from None
            continue  # it was lost
        if base_version(found) != base_version(own):  # commits of a checkout may differ
            raise StudyError(f"node {asked[answer]} of the Ray cluster has explorer {found}, this is {own}: {fix}")


def _device(asked: str) -> str:
    """Return "cpu" or "cuda"; ``auto`` is the GPUs if the cluster has any."""
    if asked == "auto":
        return "cuda" if ray.cluster_resources().get("GPU", 0) else "cpu"
    if asked not in ("cpu", "cuda"):
        raise StudyError(f"--device {asked}: Ray assigns the GPUs; give auto, cpu or cuda")
    return asked


def _on_device(work: Work, device: str) -> Work:
    """Return the work on a device."""
    if isinstance(work, Training):
        return replace(work, settings=replace(work.settings, device=device))
    if isinstance(work, Retraining):
        return replace(work, training=replace(work.training, settings=replace(work.training.settings, device=device)))
    return work
