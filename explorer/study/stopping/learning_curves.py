"""The learning curves of a study, and the decisions of its stopping rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

import numpy as np

from explorer.analysis.quantities import TRAINED
from explorer.records import Epoch, TrialRecord
from explorer.store.lease import RETRIES
from explorer.store.study import Study
from explorer.study.stopping.rules import Rule, Run, predict

MIN_COMPLETE = 3  # complete trials needed before the final values of stopped trials are predicted
MAX_RUNS = (
    4_000  # ended trials whose curves are kept, the last to end: the rule needs no more, and time and memory grow
)
MAX_READ = 200  # trials that are read from the store in one query, which bounds the memory


class LearningCurves:
    """The objectives of every trial after each epoch.

    The process's own trials are followed epoch by epoch, those of other workers are read when they end.

    Args:
        study: The study.
        rule: The stopping rule.
        epochs: Epochs of a training without early stopping.
    """

    def __init__(self, study: Study, rule: Rule, epochs: int):
        self.decision_epochs = rule.decision_epochs(epochs)
        self._study = study
        self._rule = rule
        self._runs: dict[int, Run] = {}
        self._stopped: dict[int, int] = {}  # trial -> its epochs, for trials that may be resumed
        self._has_new_complete = False  # whether a trial was completed since the stopped ones were judged

    def decision_epochs_of(self, record: TrialRecord) -> tuple[int, ...]:
        """Return the epochs after which the rule judges a trial. It never stops a counterpart: a pair needs both."""
        return () if record.counterpart else self.decision_epochs

    def add_epoch(self, record: TrialRecord, epoch: Epoch) -> str:
        """Add an epoch of a running trial.

        Returns:
            The reason to stop the trial, or an empty text to continue it.
        """
        before, known = self._runs.pop(record.number, Run(())), epoch.epoch - 1
        if len(before.metrics) < known:  # resumed from another process's checkpoint: the curve is read when it ends
            return ""
        before = Run(before.metrics[:known], before.costs, before.predictors[:known])
        self._runs[record.number] = self._run(record, epoch, before)
        if epoch.epoch not in self.decision_epochs_of(record):
            return ""
        (reason,) = self._rule.reasons(epoch.epoch, [self._runs[record.number]], self._others([record.number]))
        return reason

    def learn(self, changed: Iterable[TrialRecord]) -> None:
        """Update trials that changed; curves of other workers' trials are read from the store."""
        if not self.decision_epochs:
            return
        ended = []
        for record in changed:
            self._stopped.pop(record.number, None)
            if record.state in ("complete", "stopped"):
                ended.append(record)
            elif record.state != "running":
                self._runs.pop(record.number, None)
        unread = [record.number for record in ended if record.number not in self._runs]
        for record in self._read(unread[-MAX_RUNS:]):
            if record.result is not None:
                run = Run(())
                for epoch in record.result.curve:
                    run = self._run(record, epoch, run)
                self._runs[record.number] = run
        for record in ended:
            known = self._runs.get(record.number)
            if known is None:
                continue
            del self._runs[record.number]  # the dict is in the order in which the trials ended
            self._runs[record.number] = replace(known, complete=record.state == "complete")
            self._has_new_complete |= record.state == "complete"
            if record.state == "stopped" and record.attempt <= RETRIES:
                self._stopped[record.number] = len(known.metrics)
        over = len(self._runs) - MAX_RUNS
        ended_first = (number for number, run in self._runs.items() if number in self._stopped or run.complete)
        for number in list(islice(ended_first, max(0, over))):
            del self._runs[number]
            self._stopped.pop(number, None)

    def _read(self, numbers: list[int]) -> Iterator[TrialRecord]:
        """Read trials with their curves, some at a time."""
        for first in range(0, len(numbers), MAX_READ):
            yield from self._study.trials_of(numbers[first : first + MAX_READ])

    def trial_to_reopen(self) -> int | None:
        """Return a stopped trial that the rule would continue now, or None."""
        if not self._has_new_complete:
            return None
        for epoch in sorted(set(self._stopped.values())):
            numbers = [number for number, epochs in self._stopped.items() if epochs == epoch]
            judged = [self._runs[number] for number in numbers]
            for number, reason in zip(numbers, self._rule.reasons(epoch, judged, self._others(numbers))):
                if not reason:
                    return number
        self._has_new_complete = False
        return None

    def expected(self, number: int) -> dict[str, float]:
        """Predict the final values of a stopped trial.

        A prediction is at most as good as the best complete trial and at least as good as the trial's last epoch.

        Returns:
            Name to value, for the objectives that training measures; empty before ``MIN_COMPLETE`` trials are complete.
        """
        complete = [run for run in self._runs.values() if run.complete]
        run = self._runs.get(number)
        if run is None or len(complete) < MIN_COMPLETE:
            return {}
        (mean,) = predict(len(run.metrics), [run], complete).mean
        best = np.min([other.metrics[-1] for other in complete], axis=0)
        values = np.clip(mean, best, np.maximum(best, run.metrics[-1]))
        return {name: sign * float(value) for (name, sign), value in zip(self._measured(), values)}

    def _others(self, numbers: Iterable[int]) -> list[Run]:
        left_out = set(numbers)
        return [run for number, run in self._runs.items() if number not in left_out]

    def _measured(self) -> list[tuple[str, int]]:
        """Return the objectives that training measures, each with the sign by which it is minimised."""
        objectives = self._study.objectives.items()
        return [(name, -1 if direction == "max" else 1) for name, direction in objectives if name in TRAINED]

    def _run(self, record: TrialRecord, epoch: Epoch, before: Run) -> Run:
        """Return the run ``before``, extended by an epoch."""
        objectives = self._study.objectives.items()
        metrics = tuple(sign * getattr(epoch, TRAINED[name]) for name, sign in self._measured())
        costs = tuple(
            -record.costs[name] if direction == "max" else record.costs[name]
            for name, direction in objectives
            if name not in TRAINED
        )
        return Run((*before.metrics, metrics), costs, (*before.predictors, predictors_of(epoch, record.costs)))


def predictors_of(epoch: Epoch, costs: Mapping[str, float]) -> tuple[float, ...]:
    """Return the predictors of the final values of a training: accuracy, log loss, log MACs and log depth.

    Without loss and depth, errors on the digit tasks were 10% to 25% larger; more costs gave no improvement.
    """
    return (
        epoch.val_accuracy,
        math.log(max(epoch.val_loss, 1e-9)),
        math.log1p(costs["macs"]),
        math.log1p(costs["weight_layers"]),
    )
