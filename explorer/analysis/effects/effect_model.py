"""The effects of choices, and their interactions, from the records of a study; one fit answers all questions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from explorer.analysis.effects.answers import compared, wanted_factors
from explorer.analysis.effects.conditional import ConditionalEffect, conditional_effects
from explorer.analysis.effects.contrast import Contrasts
from explorer.analysis.effects.curves import LevelCurve, level_curves
from explorer.analysis.effects.effect import Effect, Interaction
from explorer.analysis.effects.equal_cost import PairAtCost, pairs_at_cost
from explorer.analysis.effects.estimate import level_effects
from explorer.analysis.effects.importance import Importance, importances
from explorer.analysis.effects.interactions import pair_interactions
from explorer.analysis.effects.one_thread import one_thread
from explorer.analysis.effects.population import Space, population_of
from explorer.analysis.quantities import is_maximised
from explorer.records import TrialRecord


class EffectModel:
    """A model of an objective over the networks of a design space. It is fitted when it is first asked, and once.

    Complete trials with both quantities are used; repeated trainings of a network count as one network with less
    noise. The reference of a choice is its most frequent level; of equally frequent levels, the first.

    Args:
        records: The trials.
        objective: The objective.
        cost: The cost at which networks are compared.
        maximised: Whether larger values of the objective are better. Default: as for its name.
        space: Choices and cost of all networks of the design space, or of a random sample of them, about which the
            answers are. Default: all combinations of the levels that occur, with costs as the trials tell them.

    Raises:
        StudyError: Objective and cost are the same quantity, or fewer than two trials can be compared.
    """

    def __init__(
        self,
        records: Iterable[TrialRecord],
        objective: str = "accuracy",
        cost: str = "macs",
        *,
        maximised: bool | None = None,
        space: Space | None = None,
    ):
        self._known, self._networks = compared(records, objective, cost)
        self._maximised = is_maximised(objective) if maximised is None else maximised
        self._cost, self._space = cost, space

    @cached_property
    def _contrasts(self) -> Contrasts:
        return Contrasts(self._networks, population_of(self._networks, self._space))

    def effects(self, factor: str | None = None) -> list[Effect]:
        """Return the effect of each level of each choice, against the reference.

        Args:
            factor: The choice; ``attn`` means every ``attn@...``. Default: all choices.

        Raises:
            StudyError: The factor is unknown, or has only one level.
        """
        wanted = wanted_factors(self._known, self._networks, factor)
        if not wanted:
            return []
        with one_thread():
            return level_effects(self._contrasts, wanted, self._maximised, self._cost)

    def interactions(self, factor: str | None = None) -> list[Interaction]:
        """Return for each two choices by how much the effect of one differs between the levels of the other.

        Args:
            factor: One of the two choices; ``attn`` means every ``attn@...``. Default: all choices.

        Raises:
            StudyError: As ``effects``.
        """
        wanted = wanted_factors(self._known, self._networks, factor)
        if len(self._networks.factors) < 2:
            return []
        with one_thread():
            return pair_interactions(self._contrasts, wanted)

    def conditional_effects(self, factor: str, other: str) -> list[ConditionalEffect]:
        """Return the effect of each level of a choice under each level of another one; the most frequent levels first.

        Args:
            factor: The choice whose effect is wanted.
            other: The other choice.
        """
        with one_thread():
            return conditional_effects(self._contrasts, factor, other)

    def importances(self) -> list[Importance]:
        """Return the share of the variance over the space that each choice explains, the largest first."""
        with one_thread():
            return importances(self._contrasts)

    def pairs_at_cost(self, factor: str, other: str) -> list[PairAtCost]:
        """Return how much better each pair of levels of two choices is than all networks of like cost.

        Args:
            factor: The first choice.
            other: The second choice.
        """
        with one_thread():
            return pairs_at_cost(self._contrasts, factor, other)

    def curves(self, factor: str) -> list[LevelCurve]:
        """Return the objective over cost for each level of a choice, the most frequent level first.

        Args:
            factor: The choice.
        """
        with one_thread():
            return level_curves(self._contrasts, factor, self._maximised)


def choice_effects(
    records: Iterable[TrialRecord],
    objective: str = "accuracy",
    cost: str = "macs",
    factor: str | None = None,
    *,
    maximised: bool | None = None,
    space: Space | None = None,
) -> list[Effect]:
    """Return the effect of each level of each choice, against the most frequent level.

    Args:
        records: As for ``EffectModel``, like ``objective``, ``cost``, ``maximised`` and ``space``.
        objective: The objective.
        cost: The cost at which networks are compared.
        factor: The choice; ``attn`` means every ``attn@...``. Default: all choices.
        maximised: Whether larger values of the objective are better. Default: as for its name.
        space: Choices and cost of networks of the design space.

    Raises:
        StudyError: The factor is unknown, objective and cost are the same quantity, or fewer than two trials can be
            compared.
    """
    return EffectModel(records, objective, cost, maximised=maximised, space=space).effects(factor)


def interactions(
    records: Iterable[TrialRecord], objective: str = "accuracy", cost: str = "macs", factor: str | None = None
) -> list[Interaction]:
    """Return for each two choices by how much the effect of one differs between the levels of the other.

    Args:
        records: The trials.
        objective: The objective.
        cost: Trials without this cost are left out, as in ``choice_effects``.
        factor: One of the two choices; ``attn`` means every ``attn@...``. Default: all choices.

    Raises:
        StudyError: As ``choice_effects``.
    """
    return EffectModel(records, objective, cost).interactions(factor)
