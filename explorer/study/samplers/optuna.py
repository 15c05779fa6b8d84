"""Optuna's samplers: tpe, nsga2 and gp.

An Optuna study in this process has the trials of the study. It is filled from the store, which is the only record:
a resumed search needs no special case, and there is no second database that could differ.
"""

from __future__ import annotations

import random
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseGASampler, BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import Trial, TrialState, create_trial

from explorer.analysis.limits import Limit
from explorer.errors import SpaceError
from explorer.records import TrialRecord
from explorer.space.choices import Choice, Chooser, Derivation
from explorer.space.levels import Level
from explorer.space.search_space import SearchSpace
from explorer.study.seeds import seed_for

NSGA2_POPULATION = 20  # with Optuna's default of 50, a search of an hour would be mostly random


def _tpe(seed: int) -> BaseSampler:
    """Return tree-structured Parzen estimators (Bergstra et al. 2011).

    Choices that occur together are modelled jointly (Falkner et al. 2018), because a space of rules is conditional.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True)


def _nsga2(seed: int) -> BaseSampler:
    """Return the genetic algorithm NSGA-II (Deb et al. 2002)."""
    return NSGAIISampler(seed=seed, population_size=NSGA2_POPULATION)


def _gp(seed: int) -> BaseSampler:
    """Return Optuna's Gaussian process with expected hypervolume improvement.

    Choices that do not occur in every trial are drawn at random. With some hundred trials a fit takes seconds.
    """
    return GPSampler(seed=seed, warn_independent_sampling=False)


OPTUNA_SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {"tpe": _tpe, "nsga2": _nsga2, "gp": _gp}


class OptunaAdapter:
    """An Optuna sampler with the trials of a study.

    Args:
        space: The space of the study.
        objectives: Name to "max" or "min".
        sampler: "tpe", "nsga2" or "gp".
        seed: Seed of the study.
        limits: Become Optuna's constraints, so that rejected trials show where the space is infeasible.
    """

    needs_notes = True

    def __init__(
        self, space: SearchSpace, objectives: Mapping[str, str], sampler: str, seed: int, limits: Sequence[Limit] = ()
    ):
        self._space = space
        self._limits = limits
        self._objectives = tuple(objectives)
        self._make_sampler = OPTUNA_SAMPLERS[sampler]
        self._seed = seed
        self._study = _quiet_study(
            [StudyDirection.MAXIMIZE if way == "max" else StudyDirection.MINIMIZE for way in objectives.values()]
        )
        self._running: dict[int, int] = {}  # trial number -> Optuna's id, which differs if workers share a study
        self._distributions: dict[str, BaseDistribution] = {}
        self._values: dict[str, list[float]] = {name: [] for name in objectives}  # of the complete trials

    def ask(self, number: int, level: Level | None = None) -> tuple[Derivation, dict[str, Any]]:
        """Return the sampler's proposal for trial ``number``, and its notes on it; with ``level`` if it occurs."""
        if level is not None:
            self._study.enqueue_trial({level.choice: level.option})
        self._study.sampler = self._make_sampler(seed_for("sampler", self._seed, number))
        trial = self._study.ask()
        self._running[number] = trial._trial_id
        draw = random.Random(seed_for("allowed", self._seed, number))
        try:
            derivation = self._space.derive(ask_trial(trial, draw))
        except SpaceError:
            if self._space.is_counted:
                raise
            self.forget(number)  # no network has its suggestions, which is not known before the last of them
            derivation = self._space.draw(draw)
            return derivation, self.adopt(number, derivation)
        return derivation, self._notes(trial._trial_id)

    def adopt(self, number: int, derivation: Derivation) -> dict[str, Any]:
        """Return the sampler's notes on a network that the search chose for trial ``number``.

        With a genetic algorithm the network joins the generation: if limits reject nearly all proposals, networks that
        the search chose are the parents.
        """
        self._study.enqueue_trial(dict(derivation.choices))
        self.ask(number)
        sampler, trial_id = self._study.sampler, self._running[number]
        if isinstance(sampler, BaseGASampler):  # it did not propose the network, so it has not stored its generation
            sampler.get_trial_generation(self._study, self._study._storage.get_trial(trial_id))
        return self._notes(trial_id)

    def _notes(self, trial_id: int) -> dict[str, Any]:
        return dict(self._study._storage.get_trial(trial_id).system_attrs)

    def forget(self, number: int) -> None:
        """Withdraw the proposal for trial ``number``, whose number another worker has used."""
        self._study._storage.set_trial_state_values(self._running.pop(number), TrialState.FAIL)

    def __contains__(self, number: int) -> bool:
        """Return whether the sampler has trial ``number`` as running."""
        return number in self._running

    def learn(self, record: TrialRecord, notes: Mapping[str, Any]) -> None:
        """Add or update a trial.

        Each network counts once: a cached trial is reported to Optuna as failed, as are all trials without values. A
        failed trial that Optuna does not have is not added.

        Args:
            record: The trial.
            notes: The sampler's notes that were stored with it.
        """
        state, values = TrialState.FAIL, None
        if record.state == "running" and record.same_as is None:
            state = TrialState.RUNNING
        elif record.state == "complete":
            state, values = TrialState.COMPLETE, [record.objectives[name] for name in self._objectives]
            for name, value in zip(self._objectives, values):
                self._values[name].append(value)
        elif record.state == "rejected" and any(value > 0.0 for value in self._constraints(record).values()):
            # Optuna reads constraints of complete trials only, so a rejected trial is complete, with median values.
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
        """Return by how much the trial exceeds each limit; above 0 if it breaks the limit."""
        return {str(limit): limit.excess(record.costs) for limit in self._limits}

    def _assumed(self, record: TrialRecord, name: str) -> float:
        """Return an objective of a trial that was not trained: exact if it is a cost, else the median so far."""
        known = self._values[name]
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


def _quiet_study(directions: list[StudyDirection]) -> optuna.Study:
    """Return an Optuna study in memory, created without Optuna's log message."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(directions=directions)
    finally:
        optuna.logging.set_verbosity(verbosity)


def ask_trial(trial: Trial, draw: random.Random) -> Chooser:
    """Return a chooser that takes the trial's suggestions.

    A suggestion that the conditions of the space do not allow is replaced in the trial by one that they allow, drawn
    uniformly: Optuna's distributions cannot depend on earlier choices.
    """

    def choose(choice: Choice) -> str:
        suggested = trial.suggest_categorical(choice.name, choice.options)
        if suggested not in choice.closed:
            return suggested
        allowed = draw.choice(choice.allowed)
        distribution = CategoricalDistribution(choice.options)
        internal = distribution.to_internal_repr(allowed)
        trial.storage.set_trial_param(trial._trial_id, choice.name, internal, distribution)
        return allowed

    return choose


def distributions_of(space: SearchSpace, choices: Mapping[str, str]) -> dict[str, CategoricalDistribution]:
    """Return Optuna's distributions of the choice points of one derivation."""
    found = {}

    def replay(choice: Choice) -> str:
        found[choice.name] = CategoricalDistribution(choice.options)
        return choices[choice.name]

    space.derive(replay)
    return found
