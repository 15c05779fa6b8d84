"""The files of the trials that run on this machine: checkpoints, trained weights and curves."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from explorer.records import TrialRecord
from explorer.store.artifacts import checkpoint_file, curve_content, curve_file, weights_file
from explorer.store.rows import Ending
from explorer.store.study import Study
from explorer.system.files import remove, write_atomically

MAX_PAUSED = 500  # checkpoints of paused trials in a folder; a trial without one starts again if it is continued
MAX_PAUSED_BYTES = 4 << 30  # of them together
_log = logging.getLogger(__name__)


class TrialFiles:
    """Brings checkpoints to this machine before a trial starts, and the files of a trial to their place at its end.

    Args:
        study: The study.
        pauses: Whether stopped trials keep their checkpoints, to continue from them.
    """

    def __init__(self, study: Study, pauses: bool = False):
        self._pauses = pauses
        self._has_curves = bool(study.place) and not study.database.in_memory
        self._folder = study.artifacts
        self._transfers = study.transfers()

    def begin(self, trials: Iterable[TrialRecord]) -> None:
        """Send the files that an earlier run on this machine could not send.

        Args:
            trials: The trials of the study.
        """
        left = {path.name: path for path in self._folder.glob("*.safetensors")}
        for record in trials if left else ():
            if record.weights and record.state == "complete":
                self._send(left.pop(weights_file(self._folder, record.digest).name, None))
        for path in self._folder.glob("*.curve.json"):
            self._send(path)

    def start(self, record: TrialRecord, is_new: bool) -> None:
        """Prepare the start of a trial.

        Args:
            record: The trial.
            is_new: Whether it has not run before, so that there is no checkpoint.
        """
        name = checkpoint_file(self._folder, record.digest).name
        if not is_new:
            self._transfers.bring(name)
        self._transfers.watch(name)

    def end(self, record: TrialRecord, ending: Ending, was_written: bool, has_weights: bool) -> None:
        """Keep or remove the files of a trial that has ended.

        The checkpoint of a stopped trial is kept if trials are paused.

        Args:
            record: The trial.
            ending: Its result.
            was_written: Whether the result was written to the database.
            has_weights: Whether its training has written weights.
        """
        weights = weights_file(self._folder, record.digest)
        if has_weights and not ending.weights:
            remove(weights)
        if not was_written or ending.resumable:
            return
        if ending.weights:
            self._transfers.send(weights.name)
        if ending.result is not None and self._has_curves:
            self._send(self._save_curve(record, ending))
        checkpoint = checkpoint_file(self._folder, record.digest).name
        if self._pauses and ending.state == "stopped":
            self._transfers.send(checkpoint)
        else:
            self._transfers.remove(checkpoint)

    def limit_paused(self, trials: Iterable[TrialRecord]) -> None:
        """Remove checkpoints of paused trials from the folder of this machine while they are too many or too large.

        Those of the trials that were paused the longest time ago are removed first.

        Args:
            trials: The trials of the study.
        """
        if not self._pauses:
            return
        names = {checkpoint_file(self._folder, each.digest).name for each in trials if each.state == "stopped"}
        kept = []
        for path in self._folder.glob("*.checkpoint"):
            with suppress(OSError):  # another process has removed it
                kept += [(path.stat().st_mtime, path.stat().st_size, path.name)] if path.name in names else []
        held = sum(size for _, size, _ in kept)
        for number, (_, size, name) in enumerate(sorted(kept)):
            if len(kept) - number <= MAX_PAUSED and held <= MAX_PAUSED_BYTES:
                return
            held -= size
            self._transfers.remove(name)

    def close(self) -> None:
        """Send what is left, as far as the place can be reached."""
        self._transfers.close()

    def _save_curve(self, record: TrialRecord, ending: Ending) -> Path | None:
        assert ending.result is not None
        path = curve_file(self._folder, record.number)
        try:
            write_atomically(
                path, curve_content(record.number, record.digest, record.seed, ending.state, ending.result)
            )
        except OSError as error:
            _log.warning("the curve of trial %d could not be saved: %s", record.number, error)
            return None
        return path

    def _send(self, path: Path | None) -> None:
        if path is not None:
            self._transfers.send(path.name)
