"""Optuna's samplers by name. Each is made anew for every ask, from the study's seed and the trial's number,
so that a resumed study asks what an uninterrupted one would have asked."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler

NSGA2_POPULATION = 20  # Optuna's 50 would leave a search of an hour at random


def _tpe(seed: int) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), choices modelled jointly within each of
    the groups that occur together (Falkner et al. 2018): a space of rules is conditional."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True)


def _nsga2(seed: int) -> BaseSampler:
    """The genetic algorithm of Deb et al. 2002."""
    return NSGAIISampler(seed=seed, population_size=NSGA2_POPULATION)


def _gp(seed: int) -> BaseSampler:
    """A Gaussian process with expected hypervolume gain. Choices that not every trial had are drawn at random;
    fitted anew for each trial, it takes seconds from some hundred trials on."""
    return GPSampler(seed=seed, warn_independent_sampling=False)


OPTUNA_SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {"tpe": _tpe, "nsga2": _nsga2, "gp": _gp}
