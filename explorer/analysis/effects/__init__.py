"""What the choices of a design space do to an objective: all else equal, at equal cost, and on the frontier.

All are pure functions of the records of a study.
"""

from __future__ import annotations

from explorer.analysis.effects.answers import comparable, levels_of, quantity, varying_choices
from explorer.analysis.effects.effect import Answer, Effect, EqualCost, Frontier, Interaction, Paired
from explorer.analysis.effects.effect_model import EffectModel, choice_effects, interactions
from explorer.analysis.effects.proposed_pairs import (
    Narrowing,
    Proposal,
    ProposedTraining,
    expected_narrowing,
    propose_pairs,
)

__all__ = [
    "Answer",
    "Effect",
    "EffectModel",
    "EqualCost",
    "Frontier",
    "Interaction",
    "Narrowing",
    "Paired",
    "Proposal",
    "ProposedTraining",
    "choice_effects",
    "comparable",
    "expected_narrowing",
    "interactions",
    "levels_of",
    "propose_pairs",
    "quantity",
    "varying_choices",
]
