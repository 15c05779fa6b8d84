"""The learning curves of a study, and the decisions of its stopping rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

import numpy as np

from explorer.analysis.amounts import plural
from explorer.analysis.quantities import TRAINED
from explorer.records import Epoch, TrainingResult, TrialRecord
from explorer.store.lease import RETRIES
from explorer.store.study import Study
from explorer.study.stopping.continuations import Continuations
from explorer.study.stopping.rules import UNLIMITED, Allowance, FreezeThaw, Rule, Run, predict

MIN_COMPLETE = 3  # complete trials needed before the final values of stopped trials are predicted
MAX_RUNS = (
    4_000  # ended trials whose curves are kept, the last to end: the rule needs no more, and time and memory grow
)
MAX_READ = 200  # trials that are read from the store in one query, which bounds the memory
MIN_LOSS = 1e-9  # so that a loss has a logarithm


class LearningCurves:
    """The objectives of every trial after each epoch.

    The process's own trials are followed epoch by epoch, those of other workers are read when they end.

    Args:
        study: The study.
        rule: The stopping rule.
        epochs: Epochs of a training without early stopping.

    Attributes:
        pauses: Whether a stopped trial continues from its checkpoint.
    """

    def __init__(self, study: Study, rule: Rule | FreezeThaw, epochs: int):
        self.decision_epochs = rule.decision_epochs(epochs)
        self.pauses = isinstance(rule, FreezeThaw) and bool(self.decision_epochs)
        self._study = study
        self._rule = rule
        self._epochs = epochs
        self._runs: dict[int, Run] = {}
        self._stopped: dict[int, int] = {}  # trial -> its epochs, for trials that may be resumed
        self._has_new_complete = False  # whether a trial was completed since the stopped ones were judged
        self._here: set[int] = set()  # running trials of this process
        self._continued: dict[int, int] = {}  # running trial -> the epochs after which it was paused
        self._networks: dict[int, str] = {}  # paused trial -> the digest of its network
        self._continuations = Continuations(study)
        self._forgotten = 0  # epochs of ended trials whose curves are not kept
        self._changes = 0  # of the runs
        self._unworthy: tuple[int, Allowance] | None = None  # when no paused trial was worth its epochs

    def decision_epochs_of(self, record: TrialRecord) -> tuple[int, ...]:
        """Return the epochs after which the rule judges a trial.

        It never stops a counterpart: a pair needs both. A paused trial was judged after its earlier epochs before.
        """
        if record.counterpart:
            return ()
        known = self._continued.get(record.number, 0)
        return tuple(epoch for epoch in self.decision_epochs if epoch > known)

    def begin(self, record: TrialRecord) -> tuple[int, ...]:
        """Note that this process trains a trial, and return the epochs after which the rule judges it.

        Args:
            record: The trial, with the result of an earlier training if it was stopped before.
        """
        self._here.add(record.number)
        if self.pauses and record.result is not None:
            self._continued[record.number] = record.result.epochs
            self._runs[record.number] = self._run_of(record, record.result)
            self._continuations.begin(record)
        return self.decision_epochs_of(record)

    def add_epoch(self, record: TrialRecord, epoch: Epoch, allowance: Allowance = UNLIMITED) -> str:
        """Add an epoch of a running trial.

        Args:
            record: The trial.
            epoch: The epoch.
            allowance: What the budget leaves to a rule that pauses trials.

        Returns:
            The reason to stop the trial, or an empty text to continue it.
        """
        if epoch.epoch <= self._continued.get(record.number, 0):  # a continued training reports them again
            self._continuations.repeat(record.number, epoch)
            return ""
        before, known = self._runs.pop(record.number, Run(())), epoch.epoch - 1
        if len(before.metrics) < known:  # resumed from another process's checkpoint: the curve is read when it ends
            return ""
        self._runs[record.number] = self._run(record, epoch, before, known)
        self._changes += 1
        if epoch.epoch not in self.decision_epochs_of(record):
            return ""
        if isinstance(self._rule, FreezeThaw):
            return self._reason_to_pause(self._rule, record.number, allowance)
        (reason,) = self._rule.reasons(epoch.epoch, [self._runs[record.number]], self._others([record.number]))
        return reason

    def learn(self, changed: Iterable[TrialRecord]) -> None:
        """Update trials that changed; curves of other workers' trials are read from the store."""
        if not self.decision_epochs:
            return
        ended = []
        for record in changed:
            self._changes += 1
            self._stopped.pop(record.number, None)
            self._networks.pop(record.number, None)
            if record.state in ("complete", "stopped"):
                ended.append(record)
            elif record.state != "running":
                self._runs.pop(record.number, None)
            if record.state != "running":
                self._continued.pop(record.number, None)
        unread = [r.number for r in ended if r.number not in self._runs or r.number not in self._here]
        for record in self._read(unread[-MAX_RUNS:]):
            if record.result is not None:
                self._runs[record.number] = self._run_of(record, record.result)
        if self.pauses and ended:
            self._continuations.count()
        for record in ended:
            self._continuations.end(record.number, record.number in self._here)
            self._here.discard(record.number)
            known = self._runs.get(record.number)
            if known is None:
                continue
            del self._runs[record.number]  # the dict is in the order in which the trials ended
            self._runs[record.number] = replace(known, complete=record.state == "complete")
            self._has_new_complete |= record.state == "complete"
            if record.state == "stopped" and (self.pauses or record.attempt <= RETRIES):
                self._stopped[record.number] = len(known.metrics)
                self._networks[record.number] = record.digest
        over = len(self._runs) - MAX_RUNS
        ended_first = (number for number, run in self._runs.items() if number in self._stopped or run.complete)
        for number in list(islice(ended_first, max(0, over))):
            self._forgotten += len(self._runs.pop(number).metrics)
            self._stopped.pop(number, None)
            self._networks.pop(number, None)

    def _read(self, numbers: list[int]) -> Iterator[TrialRecord]:
        """Read trials with their curves, some at a time."""
        for first in range(0, len(numbers), MAX_READ):
            yield from self._study.trials_of(numbers[first : first + MAX_READ])

    def trial_to_reopen(self, allowance: Allowance = UNLIMITED) -> int | None:
        """Return a stopped trial that the rule would continue now, or None.

        Args:
            allowance: What the budget leaves to a rule that pauses trials.
        """
        if isinstance(self._rule, FreezeThaw):
            return self._trial_to_continue(self._rule, allowance)
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

    def _trial_to_continue(self, rule: FreezeThaw, allowance: Allowance) -> int | None:
        """Return the paused trial to train next, or None."""
        if not self._stopped or self._unworthy == (self._changes, allowance):
            return None
        numbers, seen = list(self._stopped), self._seen(allowance)
        place = rule.choose(self._paused(), self._others(numbers), self._epochs, seen)
        if place is None:
            self._unworthy = self._changes, allowance
        return None if place is None else numbers[place]

    def _reason_to_pause(self, rule: FreezeThaw, number: int, allowance: Allowance) -> str:
        """Return why to pause a running trial, or an empty text to continue it."""
        others, seen = self._others([number, *self._stopped]), self._seen(allowance)
        run = self._runs[number]
        place = rule.choose([run, *self._paused()], others, self._epochs, seen)
        if place == 0:
            return ""
        paused = f"paused after {plural(len(run.metrics), 'epoch')}"
        if place is not None:
            return f"{paused}: a paused trial is expected to gain more per epoch"
        if allowance.new:
            return f"{paused}: a new trial is expected to gain more per epoch"
        return f"{paused}: its other epochs exceed the budget, or are expected to gain nothing"

    def _seen(self, allowance: Allowance) -> Allowance:
        """Return the allowance with the epochs that no run shows."""
        return replace(allowance, spent=self._forgotten + self._continuations.given_up)

    def _paused(self) -> list[Run]:
        """Return the runs of the paused trials, with the epochs that their checkpoints do not hold."""
        paused = {number: (self._networks[number], epochs) for number, epochs in self._stopped.items()}
        lost = self._continuations.lost_epochs(paused)
        return [replace(self._runs[number], lost_epochs=lost[number]) for number in paused]

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

    def _run_of(self, record: TrialRecord, result: TrainingResult) -> Run:
        """Return the run of a training."""
        run = Run(())
        for known, epoch in enumerate(result.curve):
            run = self._run(record, epoch, run, known)
        return run

    def _run(self, record: TrialRecord, epoch: Epoch, before: Run, known: int) -> Run:
        """Return the run of the first ``known`` epochs of ``before`` and another epoch."""
        objectives = self._study.objectives.items()
        metrics = tuple(sign * getattr(epoch, TRAINED[name]) for name, sign in self._measured())
        costs = tuple(
            -record.costs[name] if direction == "max" else record.costs[name]
            for name, direction in objectives
            if name not in TRAINED
        )
        return Run(
            (*before.metrics[:known], metrics),
            costs,
            (*before.predictors[:known], predictors_of(epoch, record.costs)),
            train_losses=(*before.train_losses[:known], math.log(max(epoch.train_loss, MIN_LOSS))),
        )


def predictors_of(epoch: Epoch, costs: Mapping[str, float]) -> tuple[float, ...]:
    """Return the predictors of the final values of a training: accuracy, log loss, log MACs and log depth.

    Without loss and depth, errors on the digit tasks were 10% to 25% larger; more costs gave no improvement.
    """
    return (
        epoch.val_accuracy,
        math.log(max(epoch.val_loss, MIN_LOSS)),
        math.log1p(costs["macs"]),
        math.log1p(costs["weight_layers"]),
    )
