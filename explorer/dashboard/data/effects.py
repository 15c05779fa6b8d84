"""Tables of effects, and the words and numbers in which a figure and a table give the same answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas

from explorer.analysis.amounts import plural
from explorer.analysis.effects import Answer, Effect, EqualCost, Frontier, Interaction, Paired
from explorer.dashboard.quantities import Unit, short_text, unit_of
from explorer.dashboard.text import safe_text


def answers_of(effect: Effect) -> tuple[Paired | None, EqualCost | None, Frontier | None]:
    """Return the answers of an effect in the order of figures and tables."""
    return effect.paired, effect.equal_cost, effect.frontier


def answer_titles(cost: str) -> tuple[str, str, str]:
    """Return the names of the three answers.

    Args:
        cost: Name of the cost.
    """
    return "all else equal", f"at equal {unit_of(cost, []).title}", "on the frontier"


def points_name(objective: Unit) -> str:
    """Return the unit of a difference: percentage points of a share, otherwise the objective's own unit, or empty."""
    return "points" if objective.name == "%" else objective.name


def signed(value: float, objective: Unit) -> str:
    """Return a difference of the objective without its unit: ``+6.1``."""
    return signed_number(value / objective.divisor, objective)


def signed_number(shown: float, objective: Unit) -> str:
    """Return a difference that is in the objective's unit already: ``+6.1``, ``+135k``."""
    if objective.name == "%":
        return f"{round(shown, 1) + 0.0:+.1f}"  # + 0.0: no "-0.0"
    text = short_text(shown + 0.0)
    return text if text.startswith("-") else f"+{text}"


def interval_text(answer: Answer | Interaction, objective: Unit) -> str:
    """Return a 95% interval without its unit: ``[+2.0, +10.1]``."""
    return f"[{signed(answer.ci95[0], objective)}, {signed(answer.ci95[1], objective)}]"


def range_text(low: float, high: float, cost: str) -> str:
    """Return a range of a cost: ``0.91–2.1M``; one value if both ends read the same.

    Args:
        low: The lowest cost.
        high: The highest cost.
        cost: Name of the cost.
    """
    unit = unit_of(cost, [high])
    shown = [
        f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}" for value in (low / unit.divisor, high / unit.divisor)
    ]
    return "–".join(dict.fromkeys(shown)) + unit.suffix


def ratio_text(ratio: float) -> str:
    """Return a ratio of costs: ``3.9x``, ``1.02x``."""
    return f"{ratio:.2f}x" if 0.9 < ratio < 1.1 else f"{ratio:,.0f}x" if ratio >= 99.5 else f"{ratio:.2g}x"


def answer_text(answer: Answer | None, objective: Unit, cost: str) -> str:
    """Return an answer with its interval and what was compared; empty without one.

    Args:
        answer: The answer.
        objective: Unit of the objective.
        cost: Name of the cost.
    """
    if answer is None:
        return ""
    parts = [f"{signed(answer.effect, objective)} {interval_text(answer, objective)}"]
    title = unit_of(cost, []).title
    if isinstance(answer, Paired):
        parts += [f"{ratio_text(answer.cost_ratio)} {title}", plural(answer.pairs, "pair")]
    elif isinstance(answer, (EqualCost, Frontier)):
        parts.append(f"at {range_text(answer.low, answer.high, cost)} {title}")
    if isinstance(answer, EqualCost):
        parts.append(f"{answer.trials:,} and {answer.reference_trials:,} networks")
    return ", ".join([*parts, *(["not zero"] if answer.significant else [])])


def effect_rows(effects: Iterable[Effect], objective: Unit, cost: str) -> pandas.DataFrame:
    """Return one row per effect, as ``explorer effects`` prints it.

    Args:
        effects: As ``explorer.analysis.effects.choice_effects`` returns them.
        objective: Unit of the objective; effects are in points if it is a share.
        cost: Name of the cost.
    """
    titles = answer_titles(cost)
    rows: list[dict[str, Any]] = []
    for effect in effects:
        answers = answers_of(effect)
        paired, equal_cost, frontier = answers
        row: dict[str, Any] = {
            "choice": safe_text(effect.factor, "cell"),
            "level": safe_text(effect.level, "cell"),
            "against": safe_text(effect.reference, "cell"),
            "trials": effect.trials,
        }
        row |= _shown(titles[0], paired, objective)
        row[f"ratio of {unit_of(cost, []).title}"] = ratio_text(paired.cost_ratio) if paired else ""
        row["pairs"] = paired.pairs if paired else 0
        row |= _shown(titles[1], equal_cost, objective)
        row["costs compared"] = range_text(equal_cost.low, equal_cost.high, cost) if equal_cost else ""
        row["networks compared"] = f"{equal_cost.trials} and {equal_cost.reference_trials}" if equal_cost else ""
        row |= _shown(titles[2], frontier, objective)
        row["budgets compared"] = range_text(frontier.low, frontier.high, cost) if frontier else ""
        row["not zero"] = ", ".join(title for title, each in zip(titles, answers) if each and each.significant)
        row["note"] = safe_text(effect.note, "cell", length=600)
        rows.append(row)
    return pandas.DataFrame(rows)


def _shown(title: str, answer: Answer | None, objective: Unit) -> dict[str, Any]:
    """Return the columns of an answer; a number only where there is one."""
    return {
        title: math.nan if answer is None else answer.effect / objective.divisor,
        f"{title}: 95% interval": "" if answer is None else interval_text(answer, objective),
    }


def effects_csv(effects: Iterable[Effect]) -> str:
    """Return effects as CSV, in the fields of ``explorer effects --json`` and their units: shares are fractions."""
    rows = []
    for effect in effects:
        row: dict[str, Any] = {}
        for name, value in effect.to_json().items():
            row |= _flat(name, value)
        rows.append(row)
    return pandas.DataFrame(rows).to_csv(index=False)


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Return a field of JSON as columns; none where it is null."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return {column: cell for key, each in value.items() for column, cell in _flat(f"{name}_{key}", each).items()}
    if isinstance(value, (tuple, list)):
        return {f"{name}_low": value[0], f"{name}_high": value[1]}
    return {name: safe_text(value, "cell", length=600) if isinstance(value, str) else value}


def by_size(effects: Iterable[Effect]) -> list[Effect]:
    """Return effects sorted by size, those of one choice together.

    Choices with an answer that is not zero come first, and of these the one with the largest such answer. Of a choice
    without one, and within a choice, the largest answer of any kind counts.
    """
    groups: dict[str, list[Effect]] = {}
    for effect in effects:
        groups.setdefault(effect.factor, []).append(effect)

    def size(effect: Effect) -> tuple[bool, float]:
        told = [answer for answer in answers_of(effect) if answer is not None]
        sure = [abs(answer.effect) for answer in told if answer.significant]
        return bool(sure), max(sure or [abs(answer.effect) for answer in told] or [-1.0])

    ranked = [sorted(own, key=size, reverse=True) for own in groups.values()]
    return [effect for own in sorted(ranked, key=lambda own: size(own[0]), reverse=True) for effect in own]


def clearest_factor(effects: Sequence[Effect]) -> str:
    """Return the choice whose effect at equal cost is farthest from zero, in widths of its interval; else the first."""
    return max(effects, key=lambda effect: clearness(effect.equal_cost) if effect.equal_cost else -1.0).factor


def clearest_pairs(interactions: Iterable[Interaction]) -> dict[tuple[str, str], Interaction]:
    """Return for each pair of choices, in both orders, its clearest interaction.

    A significant one is clearer than any other; among equals, the one that is farthest from zero in widths of its
    interval.
    """
    found: dict[tuple[str, str], Interaction] = {}
    for each in interactions:
        best = found.get((each.factor, each.other))
        if best is None or (each.significant, clearness(each)) > (best.significant, clearness(best)):
            found[each.factor, each.other] = found[each.other, each.factor] = each
    return found


def clearness(answer: Answer | Interaction) -> float:
    """Return the distance of an estimate from zero in widths of its 95% interval."""
    width = answer.ci95[1] - answer.ci95[0]
    return abs(answer.effect) / width if width > 0 else math.inf if answer.effect else 0.0
