"""The files of the trials that run on this machine: checkpoints, trained weights and curves."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from explorer.records import TrialRecord
from explorer.store.artifacts import checkpoint_file, curve_content, curve_file, weights_file
from explorer.store.rows import Ending
from explorer.store.study import Study
from explorer.system.files import remove, write_atomically

_log = logging.getLogger(__name__)


class TrialFiles:
    """Brings checkpoints to this machine before a trial starts, and the files of a trial to their place at its end.

    Args:
        study: The study.
    """

    def __init__(self, study: Study):
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

        Stopped trials lose their checkpoints too: they are many, with few epochs each.

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
        self._transfers.remove(checkpoint_file(self._folder, record.digest).name)

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
