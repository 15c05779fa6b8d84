"""The samplers by name. Each is made anew for every ask, from the study's seed and the trial's number,
so that a resumed study asks what an uninterrupted one would have asked."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from explorer.errors import StudyError, did_you_mean
from explorer.grammar.space import SearchSpace
from explorer.study.choosers import distributions_of

NSGA2_POPULATION = 20  # Optuna's 50 would leave a search of an hour at random


class UniformSampler(BaseSampler):
    """Every derivation of the space equally likely; each choice in turn would favour those with few followers."""

    def __init__(self, space: SearchSpace, seed: int):
        self._space = space
        self._drawn = dict(space.unrank(random.Random(seed).randrange(space.count())).choices)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(distributions_of(self._space, self._drawn))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._drawn

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        raise AssertionError(f"the derivation drawn does not answer {name}")


def _tpe(space: SearchSpace, seed: int) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), choices modelled jointly within each of
    the groups that occur together (Falkner et al. 2018): a space of rules is conditional."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True)


def _nsga2(space: SearchSpace, seed: int) -> BaseSampler:
    """The genetic algorithm of Deb et al. 2002."""
    return NSGAIISampler(seed=seed, population_size=NSGA2_POPULATION)


def _gp(space: SearchSpace, seed: int) -> BaseSampler:
    """A Gaussian process with expected hypervolume gain. Choices that not every trial had are drawn at random;
    fitted anew for each trial, it takes seconds from some hundred trials on."""
    return GPSampler(seed=seed)


SAMPLERS: dict[str, Callable[[SearchSpace, int], BaseSampler]] = {
    "random": UniformSampler,
    "tpe": _tpe,
    "nsga2": _nsga2,
    "gp": _gp,
}


def check_sampler(name: str) -> str:
    """The name itself. Raises StudyError when no sampler bears it."""
    if name not in SAMPLERS:
        raise StudyError(f"unknown sampler {name!r}; known: {', '.join(SAMPLERS)}{did_you_mean(name, SAMPLERS)}")
    return name
