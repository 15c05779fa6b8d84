"""The effects of a study's choices, for scripts and the command line."""

from __future__ import annotations

from explorer.analysis.effects import Effect, EffectModel
from explorer.analysis.noise import repeats_of
from explorer.store.study import Study
from explorer.study.recorded_space import space_networks


def fit_effects(study: Study, x: str, y: str) -> EffectModel:
    """Fit the model of effects to the trials of a study.

    Args:
        study: The study.
        x: The cost.
        y: The objective.
    """
    records = study.trials(full=False)
    maximised = {"max": True, "min": False}.get(study.objectives.get(y, ""))
    return EffectModel(records, y, x, maximised=maximised, space=space_networks(study, records, x))


def values_text(study: Study) -> str:
    """Return a sentence about the compared values if fresh seeds gave some networks better estimates; else ""."""
    fresh = repeats_of(study.confirmations(), study.fingerprint.get("epochs"))
    if not any(record.state == "complete" for record in fresh):
        return ""
    return (
        "Effects compare the values of the search, one training of each trial, so that all networks are measured alike;"
        " the best estimates from fresh seeds are not used."
    )


def choice_effects(
    study: Study,
    factor: str | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    mix_environments: bool = False,
) -> list[Effect]:
    """Return what each choice of a study does: all else equal, at equal cost, and on the frontier.

    Args:
        study: The study.
        factor: Only this choice; all by default.
        x: The cost; that of the study's ``plane`` by default.
        y: The objective; that of the study's ``plane`` by default.
        mix_environments: Whether to compare latencies that were measured in several environments.

    Returns:
        One effect for each level but the reference of each choice.

    Raises:
        ExplorerError: The study has no such quantity or choice, or too few trials to tell an effect.
    """
    x, y = study.axes(x, y)
    study.require_known((x, y))
    if not mix_environments:
        study.require_one_environment((x, y))
    return fit_effects(study, x, y).effects(factor)
