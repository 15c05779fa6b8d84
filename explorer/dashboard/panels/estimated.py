"""The trials of a study with the best estimates of their objectives: fresh seeds where there are any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from explorer.analysis.estimates import TREND_COST, Estimate, best_estimates
from explorer.dashboard.data.columns import TrialTable
from explorer.dashboard.session import cached, confirmed_of, identity, table_of
from explorer.records import TrialRecord
from explorer.store import Study


def estimated(study: Study) -> TrialTable:
    """Return the trials with the best estimates of their objectives. Raises StoreError."""
    table = table_of(study)
    if not confirmed_of(study):
        return table

    def compute() -> TrialTable:
        values: dict[int, dict[str, float]] = {}
        for name in study.objectives:
            for number, estimate in _all_estimates(study, name).items():
                if not estimate.is_own:
                    values.setdefault(number, {})[name] = estimate.value
        return table.with_objectives(values)

    return cached((*identity(study), study.revision, "estimated"), compute)


def estimates_of(study: Study, name: str, numbers: Iterable[int]) -> dict[int, Estimate]:
    """Return the best estimates of an objective of some trials. Raises StoreError."""
    if confirmed_of(study):
        every = _all_estimates(study, name)
        return {number: every[number] for number in numbers if number in every}
    table = table_of(study)
    places = [place for number in numbers if (place := table.place(number)) is not None]
    return best_estimates(table.records(places, [name]), (), name, study.fingerprint.get("epochs"))


def estimates_for(study: Study, trial: TrialRecord) -> dict[str, Estimate]:
    """Return the best estimates of a trial's objectives other than its own values. Raises StoreError.

    A cached trial has those of the trial whose network it has.
    """
    number = trial.number if trial.same_as is None else trial.same_as
    found = {name: estimates_of(study, name, [number]).get(number) for name in study.objectives}
    return {name: estimate for name, estimate in found.items() if estimate is not None and not estimate.is_own}


def with_best(study: Study, trials: list[TrialRecord]) -> list[TrialRecord]:
    """Return trials with the best estimates of their objectives. Raises StoreError."""
    if not confirmed_of(study):
        return trials
    known, found = {name: _all_estimates(study, name) for name in study.objectives}, []
    for trial in trials:
        number = trial.number if trial.same_as is None else trial.same_as
        best = {name: own[number].value for name, own in known.items() if number in own and name in trial.objectives}
        found.append(replace(trial, objectives={**trial.objectives, **best}) if best else trial)
    return found


def _all_estimates(study: Study, name: str) -> dict[int, Estimate]:
    """Return the best estimate of an objective for each complete trial; one network's depends on all others."""
    table, epochs = table_of(study), study.fingerprint.get("epochs")

    def compute() -> dict[int, Estimate]:
        done = table.records(np.flatnonzero(table.complete), [name], [TREND_COST])
        return best_estimates(done, confirmed_of(study), name, epochs)

    return cached((*identity(study), study.revision, "estimates", name), compute)
