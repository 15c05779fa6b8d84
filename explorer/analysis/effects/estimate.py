"""The three answers about each level of a choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from explorer.analysis.effects.contrast import Contrasts, Estimate
from explorer.analysis.effects.effect import Effect, EqualCost, Frontier, Paired
from explorer.analysis.effects.equal_cost import Span, common_range, equal_cost_estimate, within
from explorer.analysis.effects.frontier import FrontierAnswers
from explorer.analysis.effects.notes import few_networks_note, no_range_note, not_separated_note, pairs_note
from explorer.analysis.effects.paired import MIN_PAIRS, paired_estimate, trained_pairs
from explorer.analysis.effects.significance import significant


def level_effects(contrasts: Contrasts, wanted: Sequence[str], maximised: bool, cost: str) -> list[Effect]:
    """Return the effect of each level of some choices, against the most frequent level.

    Args:
        contrasts: The fitted model.
        wanted: The choices.
        maximised: Whether larger values of the objective are better.
        cost: The name of the cost.
    """
    networks, answers = contrasts.networks, _Answers(contrasts, FrontierAnswers(contrasts, maximised), cost)
    found = [
        answers.of(networks.place(name), level) for name in wanted for level in range(1, len(networks.levels[name]))
    ]
    return _with_significance(found)


class _Answers:
    """The three answers about a level, before the correction for multiple comparisons."""

    def __init__(self, contrasts: Contrasts, frontier: FrontierAnswers, cost: str):
        self._contrasts, self._frontier, self._cost = contrasts, frontier, cost

    def of(self, column: int, level: int) -> tuple[Effect, dict[str, float]]:
        """Return the effect of a level, and the p-value of each answer."""
        networks = self._contrasts.networks
        factor = networks.factors[column]
        own = networks.codes[:, column] == level
        effect = Effect(
            factor=factor,
            level=networks.levels[factor][level],
            reference=networks.levels[factor][0],
            trials=int(networks.trainings[own].sum()),
            equal_cost=None,
            paired=None,
            frontier=None,
        )
        if not self._contrasts.separates(column, level):
            return replace(effect, note=not_separated_note(factor)), {}
        estimates: dict[str, Estimate | None] = {}
        notes = [few_networks_note(effect.level, int(own.sum()))]
        pairs, ratio = trained_pairs(networks.codes, networks.cost, column, level)
        if pairs >= MIN_PAIRS and (paired := paired_estimate(self._contrasts, column, level)):
            estimates["paired"] = paired
            effect = replace(effect, paired=Paired(paired.effect, paired.ci95, pairs, ratio))
        else:
            notes.append(pairs_note(factor, pairs))
        reference = networks.codes[:, column] == 0
        span = common_range(networks.cost[reference], networks.cost[own])
        if span is None:
            notes.append(no_range_note(networks, self._contrasts.population, column, level, self._cost))
        else:
            effect, found = self._at_cost(effect, column, level, span)
            estimates |= found
        notes.append(self._contrasts.population.note)
        chances = {name: estimate.p for name, estimate in estimates.items() if estimate is not None}
        return replace(effect, note="; ".join(filter(None, notes))), chances

    def _at_cost(
        self, effect: Effect, column: int, level: int, span: Span
    ) -> tuple[Effect, dict[str, Estimate | None]]:
        """Return the effect with the answers over a range of costs."""
        low, high = 10 ** span[0], 10 ** span[1]
        if equal := equal_cost_estimate(self._contrasts, column, level, span):
            trials, reference = (self._trials_within(column, code, span) for code in (level, 0))
            effect = replace(effect, equal_cost=EqualCost(equal.effect, equal.ci95, low, high, trials, reference))
        if best := self._frontier.estimate(column, level, span):
            effect = replace(effect, frontier=Frontier(best.effect, best.ci95, low, high))
        return effect, {"equal_cost": equal, "frontier": best}

    def _trials_within(self, column: int, level: int, span: Span) -> int:
        networks = self._contrasts.networks
        return int(networks.trainings[within(networks.cost, span) & (networks.codes[:, column] == level)].sum())


def _with_significance(found: Sequence[tuple[Effect, Mapping[str, float]]]) -> list[Effect]:
    """Return the effects with those answers marked that survive the correction for multiple comparisons."""
    effects = [effect for effect, _ in found]
    for name in ("equal_cost", "paired", "frontier"):
        places = [place for place, (_, chances) in enumerate(found) if name in chances]
        sure = significant([found[place][1][name] for place in places])
        for place, survives in zip(places, sure):
            answer = replace(getattr(effects[place], name), significant=survives)
            effects[place] = replace(effects[place], **{name: answer})
    return effects
