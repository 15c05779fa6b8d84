"""A task of the Ray engine: it runs one job on a node of the cluster, in a child process of the Ray worker.

So the limits on time and memory apply, a crash has a reason, and all processes of the job end with it.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import pickle
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from explorer.data.catalogue import KNOWN, locate
from explorer.data.fetch import fetch_data
from explorer.data.sources import data_root
from explorer.errors import StudyError
from explorer.extensions.files import Shipped
from explorer.records import Epoch, GradientFlow
from explorer.store.artifacts import weights_file
from explorer.study.workers.jobs import (
    Failure,
    Job,
    Outcome,
    Report,
    Retraining,
    TorchWork,
    Training,
    Work,
    checkpoint_of,
)
from explorer.study.workers.pool import PRELOADED, ProcessPool, end_fork_server
from explorer.study.workers.ray_mailbox import Posted
from explorer.study.workers.watchdog import TrialLimits
from explorer.system.version import base_version, explorer_version
from explorer.training.settings import ResolvedTraining

POLL_SECONDS = 0.2  # between two looks for a new checkpoint
VERDICT_POLL_SECONDS = 0.02  # between two looks for a verdict, for which the training waits
COPY_SECONDS = 30.0  # between two copies of a checkpoint to the search: less work is cheap to repeat
# That the child of an idle Ray worker waits for the next job. Ray keeps the worker for long if it does not learn that
# the search has ended, as when the Ray node of the search was killed.
IDLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Pickled:
    """A function of the caller's as Ray pickles it: a function of a script has its code in the pickle.

    Attributes:
        work: The pickled work.
    """

    work: bytes

    def __call__(self, job: Job, report: Report) -> Outcome:
        """Run the work."""
        outcome: Outcome = pickle.loads(self.work)(job, report)
        return outcome


@dataclass(frozen=True, slots=True)
class Order:
    """What a task has to do.

    Attributes:
        search: Identifies the search, whose tasks all have the same work.
        version: The version of the explorer that searches.
        run: Number of the task in its search.
        job: The job.
        limits: Limits on the job.
        marker: A file in the folder of artifacts with the text ``search``: a node that can read it writes to that
            folder itself.
        checkpoint: Content of the checkpoint to resume from; empty if there is none.
        extensions: Those of the search; unpickling them loads them on the node.
    """

    search: str
    version: str
    run: int
    job: Job
    limits: TrialLimits
    marker: Path | None = None
    checkpoint: bytes = b""
    extensions: Shipped = field(default_factory=Shipped)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a task.

    Attributes:
        reports: All reports of the job.
        last: How it ended.
        weights: Content of its file of weights; empty if there is none, or if the node has written it.
        checkpoint: Content of its last checkpoint; empty likewise.
    """

    reports: list[Epoch | GradientFlow]
    last: Outcome | Failure
    weights: bytes = b""
    checkpoint: bytes = b""


def run_task(order: Order, work: Work, mailbox: Any) -> Result:
    """Run a job and return its result.

    Args:
        order: The job.
        work: The work of each job of the search.
        mailbox: Handle of the search's ``Mailbox``.

    Raises:
        StudyError: The node has another version of the explorer.
        DataError: The data cannot be downloaded.
    """
    if base_version(order.version) != base_version(own := explorer_version()):  # commits of a checkout may differ
        raise StudyError(
            f"node {os.uname().nodename} has explorer {own} and the search {order.version}: "
            "install the same version on each node"
        )
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    mailbox.begin.remote(order.run, os.uname().nodename, f"GPU {gpus}" if gpus else "cpu")
    with _in_use:
        _idle.cancel()
        try:
            return _place_of(order, work).run(order, mailbox)
        finally:
            _close_when_idle()


class _Place:
    """The process pool of this Ray worker, which runs one task after another.

    Attributes:
        key: The search and the GPU that the pool is for.
    """

    def __init__(self, key: tuple[str, str | None], work: Work, marker: Path | None):
        self.key = key
        self._own_folder: Path | None = None
        self._work = work
        training = work.training if isinstance(work, Retraining) else work
        if isinstance(training, Training):
            training = replace(training, settings=_with_data(training.settings))
            if training.artifacts is not None and not _is_shared(marker, key[0]):
                self._own_folder = Path(tempfile.mkdtemp(prefix="explorer-"))
                training = replace(training, artifacts=self._own_folder)
            self._work = replace(work, training=training) if isinstance(work, Retraining) else training
        is_torch = isinstance(work, TorchWork)
        self._pool = ProcessPool(
            self._work,
            workers=1,
            # A process starts slowly on a GPU, and a function of the caller's may take less time than that.
            reused=not is_torch or (isinstance(training, Training) and training.settings.device.startswith("cuda")),
            preloaded=PRELOADED if is_torch else ["explorer.study.workers.child", "ray.cloudpickle"],
        )

    def run(self, order: Order, mailbox: Any) -> Result:
        """Run a job."""
        job, own, began = order.job, self._own_folder, time.monotonic()
        checkpoint = checkpoint_of(self._work, job) if own is not None else None
        if checkpoint is not None and order.checkpoint:
            checkpoint.write_bytes(order.checkpoint)
        reports: list[Epoch | GradientFlow] = []
        verdicts: dict[int, ray.ObjectRef] = {}  # epoch -> its verdict
        copied, seen = 0.0, _version_of(checkpoint)
        self._pool.start(job, order.limits)
        while True:
            for _, message in self._pool.messages(VERDICT_POLL_SECONDS if verdicts else POLL_SECONDS):
                if isinstance(message, (Outcome, Failure)):
                    is_left = (job.pauses or isinstance(message, Failure)) and _version_of(checkpoint) != seen
                    last = _take(checkpoint) if is_left else b""
                    weights = own and isinstance(message, Outcome) and message.weights
                    result = _take(weights_file(own, job.digest)) if own and weights else b""
                    if checkpoint is not None:
                        checkpoint.unlink(missing_ok=True)
                    return Result(reports, replace(message, seconds=time.monotonic() - began), result, last)
                mailbox.post.remote(Posted(order.run, len(reports), message))
                reports.append(message)
                if isinstance(message, Epoch) and message.epoch in job.decision_epochs:
                    verdicts[message.epoch] = mailbox.verdict.remote(order.run, message.epoch)
            for epoch in [epoch for epoch, verdict in verdicts.items() if ray.wait([verdict], timeout=0)[0]]:
                with suppress(RayError):  # the mailbox is lost: the training continues without verdicts
                    if (stop := ray.get(verdicts.pop(epoch))) is not None:
                        self._pool.answer(job.number, epoch, stop)
            if checkpoint is not None and time.monotonic() > copied + COPY_SECONDS:
                version = _version_of(checkpoint)
                if version != seen:
                    mailbox.keep.remote(order.run, checkpoint.read_bytes())
                    copied, seen = time.monotonic(), version

    def close(self) -> None:
        """End the child and its fork server, and remove the folder of this worker."""
        self._pool.stop()
        end_fork_server()
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)


_place: _Place | None = None
_in_use = threading.RLock()  # held while a task runs, and while the place is closed
_idle = threading.Timer(IDLE_SECONDS, lambda: None)  # the last one that was started closes the place


def _place_of(order: Order, work: Work) -> _Place:
    """Return the pool for the search and the GPU of this task; the fork server has the GPU of its first task."""
    global _place
    key = (order.search, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if _place is None or _place.key != key:
        _close()
        _place = _Place(key, work, order.marker)
    return _place


def _close_when_idle() -> None:
    """Close the place unless a task begins within ``IDLE_SECONDS``."""
    global _idle

    def close() -> None:
        with _in_use:
            if _idle is timer:  # else a task has begun, and has started another timer
                _close()

    timer = _idle = threading.Timer(IDLE_SECONDS, close)
    timer.daemon = True
    timer.start()


def _close() -> None:
    global _place
    with _in_use:
        if _place is not None:
            _place.close()
            _place = None


atexit.register(_close)


def _with_data(settings: ResolvedTraining) -> ResolvedTraining:
    """Return the settings with a folder of the data on this node, to which a public data set is downloaded once."""
    if settings.data not in KNOWN or locate(settings.data, settings.data_dir) is not None:
        return settings
    root = data_root(None)
    root.mkdir(parents=True, exist_ok=True)
    with open(root / ".fetching", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other workers of this node wait for the download
        if locate(settings.data, root) is None:
            fetch_data(KNOWN[settings.data], root)
    return replace(settings, data_dir=str(root))


def _is_shared(marker: Path | None, search: str) -> bool:
    """Return whether the folder of ``marker`` is the same on this node and where the search runs."""
    try:
        return marker is not None and marker.read_text() == search
    except OSError:
        return False


def _version_of(file: Path | None) -> int:
    """Return a number that changes when the file is replaced; 0 if there is no file."""
    try:
        return file.stat().st_mtime_ns if file is not None else 0
    except FileNotFoundError:
        return 0


def _take(file: Path | None) -> bytes:
    """Return the content of a file and remove it."""
    assert file is not None
    content = file.read_bytes()
    file.unlink()
    return content
