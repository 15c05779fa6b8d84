"""How a trial ended, for the store: from the last message of its job."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from explorer.analysis.quantities import LARGEST, SCORES
from explorer.records import TrialRecord
from explorer.store.rows import Ending
from explorer.study.plan import Plan
from explorer.study.proposer import Proposer
from explorer.study.retries import failed_ending
from explorer.study.trial_index import TrialIndex
from explorer.study.workers.jobs import Failure, Outcome

_log = logging.getLogger(__name__)


class Endings:
    """Makes the endings of trials.

    Args:
        plan: The search.
        proposer: Predicts the final values of stopped trials.
        trials: The trials of the study.
    """

    def __init__(self, plan: Plan, proposer: Proposer, trials: TrialIndex):
        self._plan = plan
        self._proposer = proposer
        self._trials = trials
        self._has_warned = False  # whether the warning about ignored answers of evaluate was given

    def of(self, record: TrialRecord, message: Outcome | Failure, stopped: str, began: float) -> Ending:
        """Return the ending of a trial.

        Args:
            record: The trial.
            message: The last message of its job.
            stopped: Why the stopping rule has stopped it; empty if it has not.
            began: When its job was given to the executor, by the monotonic clock. The time in a queue does not count.
        """
        seconds = time.monotonic() - began if message.seconds is None else message.seconds
        return replace(self._of(record, message, stopped), duration=seconds)

    def _of(self, record: TrialRecord, message: Outcome | Failure, stopped: str) -> Ending:
        if isinstance(message, Failure):
            return failed_ending(message, record.attempt)
        result, environment = message.result, message.environment
        if stopped and result is not None and result.epochs < self._plan.epochs:
            scores = {name: score for name, score in message.measured.items() if name in SCORES}
            expected = self._proposer.expected(record)
            return Ending("stopped", scores, result, stopped, environment, expected=expected)
        self._note_ignored([*message.ignored, *(repr(name) for name in message.measured if name in record.costs)])
        measured = {name: value for name, value in message.measured.items() if name not in record.costs}
        objectives = {**measured, **self._proposer.known_objectives(record)}
        weights = message.weights if self._trials.joins_frontier(objectives) else ""
        return Ending("complete", objectives, result, "", environment, weights, latency=message.latency)

    def _note_ignored(self, names: Sequence[str]) -> None:
        """Warn, once per run, about answers of ``evaluate`` that are not stored."""
        if names and not self._has_warned:
            _log.warning(
                "ignored answers of 'evaluate': %s; expected finite numbers of magnitude up to %g, with names that are"
                " no costs",
                ", ".join(names),
                LARGEST,
            )
            self._has_warned = True
