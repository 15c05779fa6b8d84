"""Stopped trials that train again: those that the stopping rule would continue now, and those that it paused."""

from __future__ import annotations

from collections.abc import Callable

from explorer.records import TrialRecord
from explorer.store.writer import StudyWriter
from explorer.study.budget import Budget
from explorer.study.proposer import Proposer
from explorer.study.stopping.learning_curves import LearningCurves
from explorer.study.stopping.rules import Allowance
from explorer.study.trial_index import TrialIndex


class StoppedTrials:
    """Restarts stopped trials of a study.

    Args:
        curves: The learning curves of the study's trials.
        writer: Writes to the study.
        budget: The budget of the search.
        proposer: Proposes the networks of new trials.
        trials: The trials of the study.
        learn: Reads the changes in the store.
    """

    def __init__(
        self,
        curves: LearningCurves,
        writer: StudyWriter,
        budget: Budget,
        proposer: Proposer,
        trials: TrialIndex,
        learn: Callable[[], None],
    ):
        self._curves = curves
        self._writer = writer
        self._budget = budget
        self._proposer = proposer
        self._trials = trials
        self._learn = learn

    def allowance(self) -> Allowance:
        """Return what the budget leaves to a rule that pauses trials."""
        trials, is_exhausted = self._trials, bool(self._proposer.exhausted)
        return self._budget.allowance(trials.done + trials.in_flight, trials.unchanged, is_exhausted)

    def reopen(self) -> TrialRecord | None:
        """Restart the stopped trial that the rule would train next; None if a new trial comes first."""
        while (number := self._curves.trial_to_reopen(self.allowance())) is not None:
            record = self._writer.reopen(number, counts=not self._curves.pauses)
            if record is not None:
                return record
            self._learn()  # another worker has restarted it
        return None

    def reopen_paused(self) -> TrialRecord | None:
        """Continue a paused trial when no new one may begin.

        Returns:
            The trial. None if none is worth its epochs, the time is used, or too many trials failed.
        """
        is_over = self._budget.has_failed() or self._budget.is_time_used(self._trials.median_seconds())
        return self.reopen() if self._curves.pauses and not is_over else None
