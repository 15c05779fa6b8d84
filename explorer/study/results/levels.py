"""The levels of choices of which a study knows little or nothing: not tried, or stopped early in every trial."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from explorer.analysis.limits import parse_limit
from explorer.analysis.quantities import COSTS
from explorer.costs.whole_space.costs import TooManyUnits
from explorer.costs.whole_space.within import levels_within
from explorer.errors import ExplorerError
from explorer.records import State, TrialRecord
from explorer.space.levels import Level, levels_of, missing_levels
from explorer.store.study import Study
from explorer.study.recorded_space import recorded_space

MAX_NAMED = 12  # levels in one line


def untried_levels(study: Study, records: Iterable[TrialRecord] | None = None) -> list[Level]:
    """Return the levels that no complete or stopped trial has; none if the space of the study cannot be read any more.

    Args:
        study: The study.
        records: Its trials, if they are read already.
    """
    return _levels_without(study, ("complete", "stopped", "cached"), records)


def stopped_levels(study: Study, records: Iterable[TrialRecord] | None = None) -> list[Level]:
    """Return the levels of which every trial was stopped early: they have no effect, since no trial is complete.

    Args:
        study: The study.
        records: Its trials, if they are read already.
    """
    records = study.trials(full=False) if records is None else list(records)
    untried = untried_levels(study, records)
    return [level for level in _levels_without(study, ("complete", "cached"), records) if level not in untried]


def _levels_without(study: Study, states: Collection[State], records: Iterable[TrialRecord] | None) -> list[Level]:
    """Return the levels that no trial in one of these states has."""
    trials = study.trials(full=False) if records is None else list(records)
    tried = [trial.choices for trial in trials if trial.state in states]
    try:
        levels = levels_of(recorded_space(study, trials))
    except ExplorerError:
        return []
    return list(missing_levels(levels, tried))


def excluded_levels(study: Study, levels: Iterable[Level]) -> list[Level]:
    """Return the levels that no network within the limits of space and study on computed costs has.

    Empty if the space has more than 200,000 derivations or is not counted, since costs are then not computed for all.

    Args:
        study: The study.
        levels: The levels in question.
    """
    levels = list(levels)
    if not levels:
        return []
    try:
        space = recorded_space(study)
        limits = [limit for limit in (*space.limits, *map(parse_limit, study.limits)) if limit.cost in COSTS]
        if not limits:
            return []
        left = set(levels_within(space, limits))
    except (ExplorerError, TooManyUnits):
        return []
    return [level for level in levels if level not in left]


def untried_text(levels: list[Level], excluded: Collection[Level] = ()) -> str:
    """Return in words which levels were not tried; empty if none.

    Args:
        levels: As ``untried_levels`` returns them.
        excluded: Those of them that ``excluded_levels`` returns.
    """
    texts = []
    if others := [level for level in levels if level not in excluded]:
        texts.append(f"not tried: {_named(others)}; more trials with --cover K try every level at least K times")
    if outside := [level for level in levels if level in excluded]:
        texts.append(f"not tried, because the limits exclude all networks with it: {_named(outside)}")
    return "; ".join(texts)


def stopped_text(levels: list[Level]) -> str:
    """Return in words of which levels no trial is complete; empty if none.

    Args:
        levels: As ``stopped_levels`` returns them.
    """
    if not levels:
        return ""
    return f"no complete trial, all were stopped early: {_named(levels)}; a search with --stopping none completes all"


def unknown_levels_text(study: Study, records: Iterable[TrialRecord]) -> str:
    """Return in words which levels have no effect for want of a complete trial; empty if none.

    Args:
        study: The study.
        records: Its trials.
    """
    records = list(records)
    untried = untried_levels(study, records)
    texts = untried_text(untried, excluded_levels(study, untried)), stopped_text(stopped_levels(study, records))
    return "; ".join(filter(None, texts))


def _named(levels: list[Level]) -> str:
    """Return the first levels by name, and the number of the others."""
    more = f" and {len(levels) - MAX_NAMED} more" if len(levels) > MAX_NAMED else ""
    return ", ".join(map(str, levels[:MAX_NAMED])) + more
