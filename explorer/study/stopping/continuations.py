"""Whether paused trials can continue from their checkpoints, and the epochs that are lost where they cannot."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from explorer.errors import StoreError
from explorer.records import Environment, Epoch, TrialRecord
from explorer.store.artifacts import checkpoint_file
from explorer.store.remote.files import ObjectStore
from explorer.store.remote.place import is_remote
from explorer.store.remote.progress import epochs_of_checkpoint
from explorer.store.study import Study
from explorer.store.trials import read_epochs_given_up

LIST_SECONDS = 60.0  # between two listings of an object store
_log = logging.getLogger(__name__)


class Continuations:
    """The checkpoints of paused trials, and the trainings that continue from them.

    A checkpoint in a folder is judged by the header of its file, one in an object store by its name. Neither shows a
    changed bit, nor whether the number of threads and the kind of device are those of this process. A training that
    starts again for such a reason shows it in its first epoch: the epochs that it gives up count as trained, and the
    checkpoints of the same threads and device count as lost from then on.

    Args:
        study: The study.
    """

    def __init__(self, study: Study):
        self._study = study
        self._headers: dict[Path, tuple[tuple[int, int], int]] = {}  # file -> its version and its epochs
        self._listed = -float("inf")  # when the object store was listed
        self._absent: set[str] = set()  # networks without a checkpoint then
        self._unusable: set[int] = set()  # paused trials of other threads or another kind of device
        self._earlier: dict[int, tuple[Epoch, ...]] = {}  # running trial -> the epochs that it should continue
        self._whole: set[int] = set()  # of these, those whose checkpoint seemed to be whole
        self._given_up: dict[int, int] = {}  # running trial -> the epochs that it does not continue
        self._stored = 0  # epochs given up by trials that have ended

    @property
    def given_up(self) -> int:
        """The epochs that were trained and not continued."""
        return self._stored + sum(self._given_up.values())

    def lost_epochs(self, paused: Mapping[int, tuple[str, int]]) -> dict[int, int]:
        """Return the epochs that paused trials have to train again before they can continue.

        Args:
            paused: Trial -> the digest of its network and the epochs after which it was paused.
        """
        self._list([digest for digest, _ in paused.values()])
        return {number: self._lost(number, digest, epochs) for number, (digest, epochs) in paused.items()}

    def begin(self, record: TrialRecord) -> None:
        """Note that this process continues a trial, whose checkpoint has been brought here."""
        assert record.result is not None
        self.end(record.number, here=False)
        self._earlier[record.number] = record.result.curve
        if self._epochs_here(record.digest) >= record.result.epochs:
            self._whole.add(record.number)

    def repeat(self, number: int, epoch: Epoch) -> None:
        """Compare an epoch that a continued trial reports with that of its earlier training."""
        earlier = self._earlier.get(number, ())
        if number in self._given_up or epoch.epoch > len(earlier) or epoch == earlier[epoch.epoch - 1]:
            return
        self._given_up[number] = len(earlier) - epoch.epoch + 1
        if number not in self._whole:
            return
        known = self._study.environments()
        if number in known:
            same = {each for each, other in known.items() if _conditions(other) == _conditions(known[number])}
            self._unusable |= same

    def end(self, number: int, here: bool) -> None:
        """Note that a trial has ended.

        Args:
            number: The trial.
            here: Whether this process trained it, so that it can continue its checkpoint.
        """
        self._earlier.pop(number, None)
        self._whole.discard(number)
        self._given_up.pop(number, None)
        if here:
            self._unusable.discard(number)

    def count(self) -> None:
        """Read the epochs that ended trials have given up."""
        self._stored = read_epochs_given_up(self._study)

    def _lost(self, number: int, digest: str, epochs: int) -> int:
        if number in self._unusable:
            return epochs
        if is_remote(self._study.place):
            here = self._epochs_here(digest) if digest in self._absent else epochs
        else:
            here = self._epochs_here(digest)
        return max(0, epochs - here)

    def _epochs_here(self, digest: str) -> int:
        """Return the epochs in the checkpoint of a network in the folder of this machine."""
        file = checkpoint_file(self._study.artifacts, digest)
        try:
            found = file.stat()
        except OSError:
            return 0
        version = found.st_mtime_ns, found.st_size
        if self._headers.get(file, (None, 0))[0] != version:
            self._headers[file] = version, epochs_of_checkpoint(file)
        return self._headers[file][1]

    def _list(self, digests: list[str]) -> None:
        """Note which checkpoints an object store does not have. A store that is away is asked again later."""
        if not is_remote(self._study.place) or time.monotonic() < self._listed + LIST_SECONDS:
            return
        self._listed = time.monotonic()
        files = self._study.files
        assert isinstance(files, ObjectStore)
        try:
            names = ObjectStore(files.url, retry_seconds=0.0).names()
        except StoreError as error:
            _log.warning("%s; the checkpoints of paused trials are assumed to be there", error)
            return
        self._absent = {digest for digest in digests if not names.get(f"{digest}.checkpoint")}


def _conditions(environment: Environment) -> tuple[str, int, str | None]:
    """Return what of an environment must be equal to continue a training."""
    return environment.device.partition(":")[0], environment.threads, environment.versions.get("torch")
