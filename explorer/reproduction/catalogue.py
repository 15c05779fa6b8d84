"""The experiments by name."""

from __future__ import annotations

from explorer.errors import StudyError, did_you_mean
from explorer.reproduction.experiment import SCALES, Experiment
from explorer.reproduction.experiments import (
    gradient_flow,
    he2016_fig1,
    he2016_table1,
    he2016_table2,
    he2016_table3,
    se_cifar,
    wrn,
)

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (he2016_table1, he2016_table2, he2016_table3, he2016_fig1, se_cifar, wrn, gradient_flow)
}


def find_experiment(name: str) -> Experiment:
    """Return the experiment of this name.

    Raises:
        StudyError: There is none.
    """
    if name not in EXPERIMENTS:
        near = did_you_mean(name, EXPERIMENTS)
        raise StudyError(f"unknown experiment {name[:80]!r}; known: {', '.join(EXPERIMENTS)}{near}")
    return EXPERIMENTS[name]


def check_scale(name: str) -> str:
    """Return the name of a scale.

    Raises:
        StudyError: No scale has this name.
    """
    if name not in SCALES:
        raise StudyError(f"unknown scale {name[:80]!r}; known: {', '.join(SCALES)}{did_you_mean(name, SCALES)}")
    return name
