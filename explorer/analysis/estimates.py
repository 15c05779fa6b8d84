"""The best estimate of each trial's objective: from trainings of fresh seeds if there are any.

The trials of a front are selected by the values of one training each, so these values are biased upwards. Trainings
from fresh seeds (``explorer confirm``, ``--repeats``) are not: their mean replaces the trial's value. For trained
networks they are tested on the test split.

As soon as fresh seeds have shown the noise of one training, the networks without any get the value that fresh seeds are
expected to give them (``frontier_certainty.expected_values``). Otherwise one lucky training would be compared with the
unbiased mean of a confirmed network, and would win. decisions/0020 gives the reasons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from explorer.analysis.amounts import amount, plural
from explorer.analysis.frontier_certainty import expected_values, training_noise
from explorer.analysis.noise import pooled_std, repeats_of, validation_value
from explorer.analysis.quantities import FRACTIONS
from explorer.records import ConfirmationRecord, TrialRecord

CONFIDENCE = 0.95  # of the intervals
TREND_COST = "macs"  # networks of like MACs are compared, whichever cost is drawn, so that a network has one estimate


@dataclass(frozen=True, slots=True)
class Estimate:
    """The best estimate of an objective of one network.

    Attributes:
        name: The objective.
        value: The mean over the fresh seeds, or what these are expected to give, or the value of the trial.
        ci95: Half the width of its 95% interval (Student's t, with the standard deviation pooled over all networks);
            None without fresh seeds, or if no network has two.
        seeds: The number of fresh seeds; 0 without any.
        split: "test" or "validation"; empty for a caller's function.
        searched: The value of the trial's own training if ``value`` is another; else None.
    """

    name: str
    value: float
    ci95: float | None = None
    seeds: int = 0
    split: str = ""
    searched: float | None = None

    @property
    def is_own(self) -> bool:
        """Whether the value is that of the trial's one training."""
        return not self.seeds and self.searched is None

    @property
    def source(self) -> str:
        """Where the value is from: ``test, 5 fresh seeds``, ``validation, one seed`` or ``expected, one seed: 83%``."""
        if self.searched is not None and not self.seeds:
            return f"expected, one seed: {amount(self.name, self.searched)}"
        seeds = plural(self.seeds, "fresh seed") if self.seeds else "one seed"
        return ", ".join([*([self.split] if self.split else []), seeds])

    @property
    def interval(self) -> str:
        """The value with its interval: ``93.2% ± 0.4``."""
        if self.ci95 is None:
            return amount(self.name, self.value)
        half = f"{100 * self.ci95:.1f}" if self.name in FRACTIONS else f"{self.ci95:.2g}"
        return f"{amount(self.name, self.value)} ± {half}"

    def __str__(self) -> str:
        return f"{self.interval} ({self.source})"

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as a mapping for JSON."""
        return {**asdict(self), "source": self.source}


def best_estimates(
    trials: Iterable[TrialRecord], confirmations: Iterable[ConfirmationRecord], name: str, epochs: int | None
) -> dict[int, Estimate]:
    """Return the best estimate of an objective for each complete trial that has it.

    Args:
        trials: The trials.
        confirmations: Further trainings of their networks. Only those as long as a trial count, since others are not
            comparable.
        name: The objective.
        epochs: The epochs of a trial; None in a study of a caller's function.

    Returns:
        Trial number -> estimate.
    """
    fresh: dict[str, list[ConfirmationRecord]] = {}
    for record in repeats_of(confirmations, epochs):
        if record.state == "complete" and _fresh_value(record, name) is not None:
            fresh.setdefault(record.digest, []).append(record)
    values = {digest: [_fresh_value(record, name) for record in records] for digest, records in fresh.items()}
    half = _half_width(values.values())
    complete = [trial for trial in trials if trial.state == "complete" and trial.objectives.get(name) is not None]
    expected = _expected(complete, fresh, name)
    split, found = "" if epochs is None else "validation", {}
    for trial in complete:
        own, seeds = trial.objectives[name], values.get(trial.digest, [])
        if seeds:
            interval = None if half is None else half / math.sqrt(len(seeds))
            mean = math.fsum(seeds) / len(seeds)
            found[trial.number] = Estimate(name, mean, interval, len(seeds), "test" if split else "", own)
        elif trial.number in expected:
            found[trial.number] = Estimate(name, expected[trial.number], split="test" if split else "", searched=own)
        else:
            found[trial.number] = Estimate(name, own, split=split)
    return found


def _fresh_value(record: ConfirmationRecord, name: str) -> Any:
    """Return the objective of a training from a fresh seed: on the test split, or as a function returned it."""
    return record.test.get(name, record.measured.get(name))


def _expected(trials: list[TrialRecord], fresh: Mapping[str, list[ConfirmationRecord]], name: str) -> dict[int, float]:
    """Return the value that fresh seeds are expected to give each network without any.

    All trainings are compared on the validation split. The mean difference of the confirmed networks' fresh seeds
    between the test split and the validation split is then added, since other networks are shown with test values.

    Args:
        trials: The complete trials that have the objective.
        fresh: Digest -> the trainings from fresh seeds.
        name: The objective.

    Returns:
        Trial number -> value; empty if the noise of one training is unknown.
    """
    groups = []
    for trial in trials:  # a training from its own seed is not another one
        again = [_validated(each, name) for each in fresh.get(trial.digest, ()) if each.seed != trial.seed]
        groups.append((trial.objectives[name], *again))
    noise = training_noise(groups, name in FRACTIONS)
    if noise is None:
        return {}
    tested = [_fresh_value(record, name) - _validated(record, name) for each in fresh.values() for record in each]
    offset = math.fsum(tested) / len(tested)
    costs = [trial.costs.get(TREND_COST, 0.0) for trial in trials]
    shifted = {
        trial.number: value + offset
        for trial, value in zip(trials, expected_values(costs, groups, noise))
        if trial.digest not in fresh
    }
    return {number: min(max(value, 0.0), 1.0) for number, value in shifted.items()} if name in FRACTIONS else shifted


def _validated(record: ConfirmationRecord, name: str) -> float:
    """Return the objective of a training from a fresh seed on the validation split, where trials have theirs."""
    value = validation_value(record, name)
    return float(_fresh_value(record, name) if value is None else value)


def _half_width(groups: Iterable[list[float]]) -> float | None:
    """Return half the width of the interval of one training; None if no network has two."""
    repeated = [values for values in groups if len(values) > 1]
    std = pooled_std(repeated)
    if std is None:
        return None
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return std * float(stdtrit(sum(len(values) - 1 for values in repeated), (1 + CONFIDENCE) / 2))


def with_estimates(
    trials: Iterable[TrialRecord],
    confirmations: Iterable[ConfirmationRecord],
    names: Iterable[str],
    epochs: int | None,
) -> list[TrialRecord]:
    """Return the trials with the best estimates of their objectives.

    Args:
        trials: The trials.
        confirmations: As for ``best_estimates``.
        names: The objectives.
        epochs: As for ``best_estimates``.
    """
    trials, confirmations = list(trials), list(confirmations)
    found: dict[int, dict[str, Estimate]] = {}
    for name in dict.fromkeys(names) if confirmations else ():
        for number, estimate in best_estimates(trials, confirmations, name, epochs).items():
            if not estimate.is_own:
                found.setdefault(number, {})[name] = estimate
    return [estimated(trial, found[trial.number]) if trial.number in found else trial for trial in trials]


def estimated(trial: TrialRecord, estimates: Mapping[str, Estimate]) -> TrialRecord:
    """Return a trial with these estimates, whose values replace those of its objectives."""
    values = {name: estimate.value for name, estimate in estimates.items()}
    return replace(trial, objectives={**trial.objectives, **values}, estimates=estimates)


def searched(trial: TrialRecord) -> TrialRecord:
    """Return a trial with the values of its own training instead of its estimates."""
    values = {name: each.value if each.searched is None else each.searched for name, each in trial.estimates.items()}
    return replace(trial, objectives={**trial.objectives, **values}, estimates={})
