"""Optuna's study as the memory of its samplers, kept in this process and filled from the store.

The store is the only record. Everything the sampler knows it has read there, its own trials included,
so a resumed search is not a special case, and there is no second database to disagree with the first.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import TrialState, create_trial

from explorer.limits import Limit
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.search_space import SearchSpace
from explorer.study.choosers import ask_trial, distributions_of
from explorer.study.optuna_samplers import OPTUNA_SAMPLERS
from explorer.study.seeds import seed_for


class OptunaMemory:
    """What the sampler named ``sampler`` knows of one study's trials.

    ``limits`` are Optuna's constraints, of every trial: a rejected one tells it where the space is infeasible.
    """

    def __init__(
        self, space: SearchSpace, objectives: Mapping[str, str], sampler: str, seed: int, limits: Sequence[Limit] = ()
    ):
        self._space = space
        self._limits = limits
        self._objectives = tuple(objectives)
        self._make_sampler = OPTUNA_SAMPLERS[sampler]
        self._seed = seed
        self._study = _quiet_study(
            ["maximize" if direction == "max" else "minimize" for direction in objectives.values()]
        )
        self._running: dict[int, int] = {}  # our number -> Optuna's id, which differs where workers share a study
        self._distributions: dict[str, BaseDistribution] = {}
        self._answers: dict[str, list[float]] = {name: [] for name in objectives}  # of the complete trials

    def ask(self, number: int) -> tuple[Derivation, dict[str, Any]]:
        """The sampler's proposal for trial ``number`` and its notes on it."""
        self._study.sampler = self._make_sampler(seed_for("sampler", self._seed, number))
        trial = self._study.ask()
        self._running[number] = trial._trial_id
        derivation = self._space.derive(ask_trial(trial))
        return derivation, self._notes(trial._trial_id)

    def adopt(self, number: int, derivation: Derivation) -> dict[str, Any]:
        """The sampler's notes on a network that the loop has chosen for trial ``number`` in its stead. Of a genetic
        algorithm it joins the generation: where limits reject nearly all that is proposed, the loop's are its parents.
        """
        self._study.enqueue_trial(dict(derivation.choices))
        self.ask(number)
        sampler, trial_id = self._study.sampler, self._running[number]
        if isinstance(sampler, BaseGASampler):  # which has not been asked, and so has not noted the generation
            sampler.get_trial_generation(self._study, self._study._storage.get_trial(trial_id))
        return self._notes(trial_id)

    def _notes(self, trial_id: int) -> dict[str, Any]:
        return dict(self._study._storage.get_trial(trial_id).system_attrs)

    def forget(self, number: int) -> None:
        """Takes back what was asked for trial ``number``: another worker's trial bears that number."""
        self._study._storage.set_trial_state_values(self._running.pop(number), TrialState.FAIL)

    def __contains__(self, number: int) -> bool:
        """Whether trial ``number`` is known here as running."""
        return number in self._running

    def learn(self, record: TrialRecord, notes: Mapping[str, Any]) -> None:
        """Takes in a trial as the store has it now; ``notes`` are the sampler's, for a trial not known here.

        Each network counts once: a trial answered from another's is no news. It is told as failed, as are
        trials without values, and a failed one that is not known need not be.
        """
        state, values = TrialState.FAIL, None
        if record.state == "running" and record.same_as is None:
            state = TrialState.RUNNING
        elif record.state == "complete":
            state, values = TrialState.COMPLETE, [record.objectives[name] for name in self._objectives]
            for name, value in zip(self._objectives, values):
                self._answers[name].append(value)
        elif record.state == "rejected" and any(value > 0.0 for value in self._constraints(record).values()):
            # To Optuna's samplers only complete trials are infeasible. What was not trained stands in the middle.
            state, values = TrialState.COMPLETE, [self._assumed(record, name) for name in self._objectives]
        if record.number not in self._running:
            if state != TrialState.FAIL:
                self._add(record, state, values, notes)
        elif state != TrialState.RUNNING:
            trial_id = self._running.pop(record.number)
            if state == TrialState.COMPLETE:
                for name, value in self._constraints(record).items():
                    self._study._storage.set_trial_system_attr(trial_id, f"{_CONSTRAINTS_KEY}:{name}", value)
            self._study._storage.set_trial_state_values(trial_id, state, values)

    def _constraints(self, record: TrialRecord) -> dict[str, float]:
        """For each limit how far the trial is beyond it, above 0 where it breaks it."""
        return {str(limit): limit.excess(record.costs) for limit in self._limits}

    def _assumed(self, record: TrialRecord, name: str) -> float:
        """An objective of a trial that was not trained: exact if it is a cost, else the median of the answers."""
        known = self._answers[name]
        return record.costs[name] if name in record.costs else statistics.median(known) if known else 0.0

    def _add(
        self, record: TrialRecord, state: TrialState, values: list[float] | None, notes: Mapping[str, Any]
    ) -> None:
        if not set(record.choices) <= set(self._distributions):
            self._distributions |= distributions_of(self._space, record.choices)
        trial = create_trial(
            state=state,
            values=values,
            params=dict(record.choices),
            distributions={name: self._distributions[name] for name in record.choices},
            system_attrs=dict(notes),
            constraints=self._constraints(record) if state == TrialState.COMPLETE else None,
        )
        trial_id = self._study._storage.create_new_trial(self._study._study_id, template_trial=trial)
        if state == TrialState.RUNNING:
            self._running[record.number] = trial_id


def _quiet_study(directions: list[str]) -> optuna.Study:
    """A study in memory, made without the line that Optuna logs about it."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(directions=directions)
    finally:
        optuna.logging.set_verbosity(verbosity)
