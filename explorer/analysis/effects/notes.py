"""Why an answer is missing and what would provide it, in words."""

from __future__ import annotations

from explorer.analysis.effects.answers import Networks
from explorer.analysis.effects.equal_cost import MIN_LIKE, common_range, within
from explorer.analysis.effects.paired import MIN_PAIRS
from explorer.analysis.effects.population import Population
from explorer.analysis.quantities import quantity_named

TRAIN_PAIRS = "'explorer effects --pairs N' trains networks that differ in one choice"
FEW = 2  # trained networks with a level, up to which its answers rest on the model


def span_text(low: float, high: float, cost: str) -> str:
    """Return a range of costs, such as ``0.9-2.1M macs``.

    Args:
        low: The lowest cost.
        high: The highest cost.
        cost: The name of the cost.
    """
    scale = quantity_named(cost).unit.scale([high])
    name = "" if cost.lower().endswith(scale.suffix.strip().lower() or " ") else f" {cost}"
    ends = dict.fromkeys(f"{value / scale.divisor:.3g}" for value in (low, high))
    return f"{'-'.join(ends)}{scale.suffix}{name}"


def not_separated_note(factor: str) -> str:
    """Return the note on a level whose effect the trials do not separate from those of other choices."""
    return f"the trials do not separate {factor} from the other choices; {TRAIN_PAIRS}"


def pairs_note(factor: str, pairs: int) -> str:
    """Return the note on a level with too few pairs."""
    counted = "1 trained pair differs" if pairs == 1 else f"{pairs} trained pairs differ"
    return f"{counted} only in {factor}, {MIN_PAIRS} are needed; {TRAIN_PAIRS}"


def few_networks_note(level: str, trials: int) -> str:
    """Return the note on a level with few networks."""
    counted = "1 trained network has" if trials == 1 else f"{trials} trained networks have"
    return f"only {counted} {level}: the answers rest on the model" if trials <= FEW else ""


def no_range_note(networks: Networks, population: Population, column: int, level: int, cost: str) -> str:
    """Return the note on two levels without a common range of costs: which networks would make one."""
    texts = networks.levels[networks.factors[column]]
    own = [networks.cost[networks.codes[:, column] == code] for code in (0, level)]
    ranges = [span_text(10 ** each.min(), 10 ** each.max(), cost) for each in own]
    apart = own[0].max() < own[1].min() or own[1].max() < own[0].min()
    reason = f"no common range of {cost}" if apart else f"too few networks of like {cost}"
    said = f"{reason}: {texts[0]} has {ranges[0]}, {texts[level]} {ranges[1]}"
    possible = [population.cost[population.codes[:, column] == code] for code in (0, level)]
    span = common_range(*possible)
    if span is None:
        return f"{said}; the trials show no networks of like {cost} with both levels"
    missing = [texts[code] for code, each in zip((0, level), own) if within(each, span).sum() < MIN_LIKE] or [
        texts[0],
        texts[level],
    ]
    return f"{said}; train {' and '.join(missing)} networks of {span_text(10 ** span[0], 10 ** span[1], cost)}"
