"""Who answers when a space asks for a choice: an Optuna trial."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.distributions import CategoricalDistribution
from optuna.trial import Trial

from explorer.space.choices import Chooser
from explorer.space.search_space import SearchSpace


def ask_trial(trial: Trial) -> Chooser:
    """Answers with the trial's suggestions. Choice points are named alike in every derivation of a space."""
    return lambda choice: trial.suggest_categorical(choice.name, choice.options)


def distributions_of(space: SearchSpace, choices: Mapping[str, str]) -> dict[str, CategoricalDistribution]:
    """What Optuna calls a search space: the choice points of one derivation with their options."""
    found = {}

    def replay(choice) -> str:
        found[choice.name] = CategoricalDistribution(choice.options)
        return choices[choice.name]

    space.derive(replay)
    return found
