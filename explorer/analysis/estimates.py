"""The best estimate of each trial's objective: from trainings of fresh seeds if there are any, else the trial's own.

The trials of a front are selected by the values of one training each, so these values are biased upwards. Trainings
from fresh seeds (``explorer confirm``, ``--repeats``) are not: their mean replaces the trial's value. For trained
networks they are tested on the test split.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from explorer.analysis.amounts import amount, plural
from explorer.analysis.noise import pooled_std, repeats_of
from explorer.analysis.quantities import FRACTIONS
from explorer.records import ConfirmationRecord, TrialRecord

CONFIDENCE = 0.95  # of the intervals


@dataclass(frozen=True, slots=True)
class Estimate:
    """The best estimate of an objective of one network.

    Attributes:
        name: The objective.
        value: The mean over the fresh seeds, or the value of the trial.
        ci95: Half the width of its 95% interval (Student's t, with the standard deviation pooled over all networks);
            None if no network has two fresh seeds.
        seeds: The number of fresh seeds; 0 for the value of the trial.
        split: "test" or "validation"; empty for a caller's function.
    """

    name: str
    value: float
    ci95: float | None = None
    seeds: int = 0
    split: str = ""

    @property
    def source(self) -> str:
        """Where the value comes from: ``test, 5 fresh seeds`` or ``validation, one seed``."""
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
    fresh: dict[str, list[float]] = {}
    for record in repeats_of(confirmations, epochs):
        value = record.test.get(name, record.measured.get(name))
        if record.state == "complete" and value is not None:
            fresh.setdefault(record.digest, []).append(value)
    half = _half_width(fresh.values())
    found = {}
    for trial in trials:
        own = trial.objectives.get(name)
        if trial.state != "complete" or own is None:
            continue
        split, values = "" if epochs is None else "validation", fresh.get(trial.digest, [])
        if values:
            mean = math.fsum(values) / len(values)
            interval = None if half is None else half / math.sqrt(len(values))
            found[trial.number] = Estimate(name, mean, interval, len(values), "test" if split else "")
        else:
            found[trial.number] = Estimate(name, own, split=split)
    return found


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
    values: dict[int, dict[str, float]] = {}
    for name in dict.fromkeys(names) if confirmations else ():
        for number, estimate in best_estimates(trials, confirmations, name, epochs).items():
            if estimate.seeds:
                values.setdefault(number, {})[name] = estimate.value
    return [
        replace(trial, objectives={**trial.objectives, **values[trial.number]}) if trial.number in values else trial
        for trial in trials
    ]
