"""The learning curves of one study, kept beside its ledger, and what the stopping rule makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from explorer.quantities import TRAINED
from explorer.records import Epoch, TrialRecord
from explorer.store.lease import RETRIES
from explorer.store.study import Study
from explorer.study.stopping import Rule, Run, predict

FEWEST_TO_TELL = 3  # complete trials without which samplers are told nothing of stopped ones
FEW = 5  # trials up to which the store is asked for each, not for all


class Curves:
    """Every trial's way so far, in the study's objectives, as this process knows it: its own trials epoch by
    epoch, others' when they end. ``epochs``: of a whole training."""

    def __init__(self, study: Study, rule: Rule, epochs: int):
        self.looks = rule.looks(epochs)
        self._study = study
        self._rule = rule
        self._runs: dict[int, Run] = {}
        self._stopped: dict[int, int] = {}  # trial -> its epochs, of those that may be taken up again
        self._news = False  # whether a trial was completed since the stopped ones were looked at

    def hear(self, record: TrialRecord, epoch: Epoch) -> str:
        """Takes in an epoch of a running trial; returns why the trial is to end there, or an empty text."""
        before, known = self._runs.pop(record.number, Run(())), epoch.epoch - 1
        if len(before.learnt) < known:  # it goes on from what another process began: its way is told when it ends
            return ""
        before = Run(before.learnt[:known], before.costs, before.signs[:known])
        self._runs[record.number] = self._run(record, epoch, before)
        if epoch.epoch not in self.looks:
            return ""
        (reason,) = self._rule.reasons(epoch.epoch, [self._runs[record.number]], self._others([record.number]))
        return reason

    def learn(self, changed: Iterable[TrialRecord]) -> None:
        """Takes in what trials came to, from the store where this process did not hear it."""
        if not self.looks:
            return
        ended = []
        for record in changed:
            self._stopped.pop(record.number, None)
            if record.state in ("complete", "stopped"):
                ended.append(record)
            elif record.state != "running":
                self._runs.pop(record.number, None)
        unheard = [record.number for record in ended if record.number not in self._runs]
        for record in self._study.trials() if len(unheard) > FEW else map(self._study.trial, unheard):
            if record.number in unheard and record.result is not None:
                run = Run(())
                for epoch in record.result.curve:
                    run = self._run(record, epoch, run)
                self._runs[record.number] = run
        for record in ended:
            run = self._runs.get(record.number)
            if run is None:
                continue
            self._runs[record.number] = replace(run, complete=record.state == "complete")
            self._news |= record.state == "complete"
            if record.state == "stopped" and record.attempt <= RETRIES:
                self._stopped[record.number] = len(run.learnt)

    def reopened(self) -> int | None:
        """A stopped trial that would go on by what is known now; None when there is none."""
        if not self._news:
            return None
        for epoch in sorted(set(self._stopped.values())):
            numbers = [number for number, epochs in self._stopped.items() if epochs == epoch]
            judged = [self._runs[number] for number in numbers]
            for number, reason in zip(numbers, self._rule.reasons(epoch, judged, self._others(numbers))):
                if not reason:
                    return number
        self._news = False
        return None

    def expected(self, number: int) -> dict[str, float]:
        """What a stopped trial would have come to in those objectives that training brings: no better than the best
        complete trial, no worse than it stood. Empty before enough trials are complete to tell."""
        complete = [run for run in self._runs.values() if run.complete]
        run = self._runs.get(number)
        if run is None or len(complete) < FEWEST_TO_TELL:
            return {}
        (mean,) = predict(len(run.learnt), [run], complete).mean
        best = np.min([other.learnt[-1] for other in complete], axis=0)
        values = np.clip(mean, best, np.maximum(best, run.learnt[-1]))
        return {name: sign * float(value) for (name, sign), value in zip(self._measured(), values)}

    def _others(self, numbers: Iterable[int]) -> list[Run]:
        left_out = set(numbers)
        return [run for number, run in self._runs.items() if number not in left_out]

    def _measured(self) -> list[tuple[str, int]]:
        """The objectives that training brings, each with the sign that makes it one to minimise."""
        objectives = self._study.objectives.items()
        return [(name, -1 if direction == "max" else 1) for name, direction in objectives if name in TRAINED]

    def _run(self, record: TrialRecord, epoch: Epoch, before: Run) -> Run:
        """A trial's run, one epoch longer than it was ``before``."""
        objectives = self._study.objectives.items()
        learnt = tuple(sign * getattr(epoch, TRAINED[name]) for name, sign in self._measured())
        costs = tuple(
            -record.costs[name] if direction == "max" else record.costs[name]
            for name, direction in objectives
            if name not in TRAINED
        )
        return Run((*before.learnt, learnt), costs, (*before.signs, signs_of(epoch, record.costs)))


def signs_of(epoch: Epoch, costs: Mapping[str, float]) -> tuple[float, ...]:
    """What tells how a training will end: how it stands, and how large and how deep its network is. (Without loss and
    depth forecasts on the digit tasks were off by a tenth to a quarter more; more costs added nothing.)"""
    return (
        epoch.val_accuracy,
        math.log(max(epoch.val_loss, 1e-9)),
        math.log1p(costs["macs"]),
        math.log1p(costs["weight_layers"]),
    )
