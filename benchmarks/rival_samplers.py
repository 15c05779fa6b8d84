"""Samplers of other projects, called directly for search_quality.py. The projects are not dependencies: each is
imported on use, from an environment that has it.

    pip install ax-platform        # ax
    pip install syne-tune botorch  # syne-tune-ehvi, syne-tune-evolution

On a busy machine with two cores, Ax 1.3.1 and the EHVI of Syne Tune 0.16 did not finish their initial designs within
several minutes; Syne Tune's evolution takes seconds.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping

Evaluate = Callable[[Mapping[str, str]], tuple[float, float]]  # choices -> MACs, error; both minimised


def _ax(names: list[str], options: list[str], evaluate: Evaluate, seed: int, queries: int) -> None:
    """Use the Client of Ax with its defaults: unordered choices, both objectives minimised, no noise levels."""
    from ax.api.client import Client
    from ax.api.configs import ChoiceParameterConfig

    logging.disable(logging.INFO)  # Ax gives each of its loggers a level of its own
    client = Client(random_seed=seed)
    choices = [
        ChoiceParameterConfig(name=name, values=options, parameter_type="str", is_ordered=False) for name in names
    ]
    client.configure_experiment(name="search_quality", parameters=choices)
    client.configure_optimization(objective="-macs, -error")
    for _ in range(queries):
        for index, chosen in client.get_next_trials(max_trials=1).items():
            macs, error = evaluate(chosen)
            client.complete_trial(trial_index=index, raw_data={"macs": macs, "error": error})


def _syne_tune(make):
    def ask(names: list[str], options: list[str], evaluate: Evaluate, seed: int, queries: int) -> None:
        """Use a searcher of Syne Tune through its ask and tell, with its defaults."""
        from syne_tune.config_space import choice
        from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler
        from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

        space = {name: choice(options) for name in names}
        scheduler = SingleFidelityScheduler(
            space, metrics=["macs", "error"], do_minimize=True, searcher=make(space, seed), random_seed=seed
        )
        asking = AskTellScheduler(scheduler)
        for _ in range(queries):
            trial = asking.ask()
            macs, error = evaluate(trial.config)
            asking.tell(trial, {"macs": macs, "error": error})

    return ask


def _ehvi(space, seed: int):
    from syne_tune.optimizer.schedulers.multiobjective.expected_hyper_volume_improvement import (
        ExpectedHyperVolumeImprovement,
    )

    return ExpectedHyperVolumeImprovement(space, random_seed=seed)


def _evolution(space, seed: int):
    from syne_tune.optimizer.schedulers.multiobjective.multi_objective_regularized_evolution import (
        MultiObjectiveRegularizedEvolution,
    )

    return MultiObjectiveRegularizedEvolution(space, random_seed=seed)


RIVALS = {
    "ax": ("ax", _ax),
    "syne-tune-ehvi": ("syne_tune", _syne_tune(_ehvi)),
    "syne-tune-evolution": ("syne_tune", _syne_tune(_evolution)),
}


def why_not(sampler: str) -> str:
    """Return why the sampler cannot be used here; empty if it can."""
    package = RIVALS[sampler][0]
    return "" if importlib.util.find_spec(package) else f"the package {package} is not installed"


def ask_rival(sampler: str, names: list[str], options: list[str], evaluate: Evaluate, seed: int, queries: int) -> None:
    """Let the sampler named ``sampler`` choose one of ``options`` for each of ``names``, ``queries`` times."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        RIVALS[sampler][1](names, options, evaluate, seed, queries)
