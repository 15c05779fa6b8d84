"""The results of an analysis of effects, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """A difference of the objective between a level and its reference.

    Attributes:
        effect: The mean difference, in the unit of the objective (accuracies are fractions).
        ci95: Its 95% confidence interval.
        significant: Whether the difference is not zero, corrected for the number of comparisons.
    """

    effect: float
    ci95: Interval
    significant: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Paired(Answer):
    """All else equal: the mean difference between networks that differ only in this choice.

    Attributes:
        pairs: The number of pairs of trained networks.
        cost_ratio: The geometric mean of the ratios of their costs, level / reference.
    """

    pairs: int
    cost_ratio: float


@dataclass(frozen=True, slots=True)
class Frontier(Answer):
    """On the frontier: the difference between the best objectives under the same budget, averaged over budgets.

    All budgets from ``low`` to ``high`` have equal weight on a logarithmic scale.

    Attributes:
        low: The lowest budget compared, ``from`` in JSON.
        high: The highest budget compared, ``to`` in JSON.
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class EqualCost(Answer):
    """At equal cost: the difference between the mean objectives of networks of like cost, averaged over costs.

    All costs from ``low`` to ``high`` have equal weight on a logarithmic scale.

    Attributes:
        low: The lowest cost compared, ``from`` in JSON.
        high: The highest cost compared, ``to`` in JSON.
        trials: The number of trained networks with this level from ``low`` to ``high``.
        reference_trials: The same of the reference level.
    """

    low: float
    high: float
    trials: int
    reference_trials: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What one level of a choice does to the objective, against the reference level: three answers.

    Attributes:
        factor: The choice.
        level: The level.
        reference: The reference level of the factor.
        trials: The number of trained networks with this level.
        equal_cost: The answer at equal cost; None if the trials cannot tell it.
        paired: The answer all else equal; None likewise.
        frontier: The answer on the frontier; None likewise.
        note: Why an answer is missing, what would provide it, and what may bias one; empty if there is nothing to say.
    """

    factor: str
    level: str
    reference: str
    trials: int
    equal_cost: EqualCost | None
    paired: Paired | None
    frontier: Frontier | None
    note: str = ""

    @property
    def effect(self) -> float | None:
        """The effect at equal cost; None if the trials cannot tell it."""
        return self.equal_cost.effect if self.equal_cost else None

    @property
    def ci95(self) -> Interval | None:
        """The 95% confidence interval of the effect at equal cost; None if the trials cannot tell it."""
        return self.equal_cost.ci95 if self.equal_cost else None

    @property
    def significant(self) -> bool:
        """Whether the effect at equal cost is not zero, corrected for the number of comparisons."""
        return self.equal_cost is not None and self.equal_cost.significant

    def to_json(self) -> dict[str, Any]:
        """Return the effect as a mapping for JSON."""
        return {
            "factor": self.factor,
            "level": self.level,
            "reference": self.reference,
            "trials": self.trials,
            "effect": self.effect,
            "ci95": self.ci95,
            "equal_cost": _to_json(self.equal_cost),
            "paired": _to_json(self.paired),
            "frontier": _to_json(self.frontier),
            "significant": self.significant,
            "note": self.note,
        }


def _to_json(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    fields: Mapping[str, Any] = asdict(answer)
    return {{"low": "from", "high": "to"}.get(name, name): value for name, value in fields.items()}


@dataclass(frozen=True, slots=True)
class Interaction:
    """By how much the effect of one choice differs between two levels of another choice, all else equal.

        effect = (level - reference at ``other_level``) - (level - reference at ``other_reference``)

    Attributes:
        factor: The choice whose effect is compared.
        level: Its level.
        reference: Its reference level.
        other: The other choice.
        other_level: Its level.
        other_reference: Its reference level.
        effect: The difference between the two effects, in the unit of the objective.
        ci95: Its 95% confidence interval.
        trials: The number of trained networks with both levels.
        significant: Whether the difference is not zero, corrected for the number of comparisons.
    """

    factor: str
    level: str
    reference: str
    other: str
    other_level: str
    other_reference: str
    effect: float
    ci95: Interval
    trials: int
    significant: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the interaction as a mapping for JSON."""
        return asdict(self)
