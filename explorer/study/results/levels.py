"""The levels of choices that a study has not tried, so that nothing is known of their effects."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.errors import ExplorerError
from explorer.records import TrialRecord
from explorer.space.levels import Level, levels_of, missing_levels
from explorer.space.search_space import parse_space
from explorer.store.study import Study

MAX_NAMED = 12  # levels in one line


def untried_levels(study: Study, records: Iterable[TrialRecord] | None = None) -> list[Level]:
    """Return the levels that no complete or stopped trial has; none if the space of the study cannot be read any more.

    Args:
        study: The study.
        records: Its trials, if they are read already.
    """
    trials = study.trials(full=False) if records is None else records
    tried = [trial.choices for trial in trials if trial.state in ("complete", "stopped", "cached")]
    try:
        levels = levels_of(parse_space(study.space_text, f"the space of study {study.name!r}"))
    except ExplorerError:
        return []
    return list(missing_levels(levels, tried))


def untried_text(levels: list[Level]) -> str:
    """Return in words which levels were not tried; empty if none.

    Args:
        levels: As ``untried_levels`` returns them.
    """
    if not levels:
        return ""
    named = ", ".join(map(str, levels[:MAX_NAMED]))
    more = f" and {len(levels) - MAX_NAMED} more" if len(levels) > MAX_NAMED else ""
    return f"not tried: {named}{more}; more trials with --cover K try every level at least K times"
