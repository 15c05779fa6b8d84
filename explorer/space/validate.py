"""Check on loading that every derivation can be built: all distinct blocks if there are few enough, else a sample."""

from __future__ import annotations

import random
from collections.abc import Iterable

from explorer.errors import Problem, SpaceError
from explorer.space.count.automaton import Automaton
from explorer.space.count.decisions import Decisions
from explorer.space.derive.architecture import Deriver
from explorer.space.grammar import Grammar

MAX_STATES = 100_000
MAX_WORK = 1_000_000
MAX_WORK_FOR_MORE = 100_000  # to find more errors than the first
WORK_PER_STATE = 10
WORK_PER_LAYER = 5
SAMPLES = 1_000
WHOLE_SAMPLES = 10
MAX_PROBLEMS = 20


def validate(grammar: Grammar, decisions: Decisions, deriver: Deriver, found: Iterable[Problem] = ()) -> str:
    """Check that every derivation can be built.

    Args:
        grammar: The space.
        decisions: Its derivations.
        deriver: Derives its networks.
        found: Errors found earlier, to report together.

    Returns:
        "all" if every combination of block, input shape and choices was built. "sampled" if there are more than
        100,000 of them, or they are so large that building them takes too long; then 1,000 derivations were built, or
        fewer large ones.

    Raises:
        SpaceError: With the first error at each place of the file. After the first one, only a tenth of the work is
            spent to find others.
    """
    problems = list(found)
    complete = _all_states(grammar, problems)
    if not problems:
        # Whole networks: the head, copied layers, and the bounds on the sum of all blocks.
        _sample(decisions, deriver, WHOLE_SAMPLES if complete else SAMPLES, problems)
    if problems:
        raise SpaceError(problems)
    return "all" if complete else "sampled"


def _all_states(grammar: Grammar, problems: list[Problem]) -> bool:
    """Walk every state once, with shapes.

    Returns:
        Whether all were visited: they were few enough, and no shape depends on a number of blocks that is a choice.
    """
    try:
        automaton = Automaton(grammar, carries_shapes=True)
    except SpaceError as error:
        _add(problems, error)
        return True
    if automaton.depends_on_open_total:
        return False
    seen = {automaton.start.state}
    pending = [automaton.start.state]
    most, tried = (MAX_WORK_FOR_MORE if problems else MAX_WORK), 0
    while pending:
        state = pending.pop()
        if state.kind == "end":
            continue
        for option in sorted(set(automaton.alike(state))):
            try:
                following = automaton.answered(state, option).state
            except SpaceError as error:
                if not problems:
                    most = min(most, automaton.shapes.work + WORK_PER_STATE * len(seen) + MAX_WORK_FOR_MORE)
                _add(problems, error)
                tried += 1
                if len(problems) >= MAX_PROBLEMS:
                    return True
                if automaton.shapes.work + WORK_PER_STATE * (len(seen) + tried) > most:
                    return True
                continue
            if following not in seen:
                if len(seen) >= MAX_STATES or automaton.shapes.work + WORK_PER_STATE * (len(seen) + tried) > most:
                    return bool(problems)
                seen.add(following)
                pending.append(following)
    return True


def _sample(decisions: Decisions, deriver: Deriver, count: int, problems: list[Problem]) -> None:
    """Build ``count`` derivations, including the first, or all if there are fewer."""
    total = decisions.count()
    draw = random.Random(0)
    indices = range(total) if total <= count else (draw.randrange(total) if k else 0 for k in range(count))
    work, most = 0, MAX_WORK
    for number, index in enumerate(indices):
        if work > most and number >= WHOLE_SAMPLES:
            return
        choices = decisions.unrank(index).choices
        work += len(choices)
        try:
            work += WORK_PER_LAYER * deriver.architecture(choices).layer_count
        except SpaceError as error:
            if not problems:
                most = min(most, work + MAX_WORK_FOR_MORE)
            work += WORK_PER_LAYER * len(choices)  # the number of layers of a failed network is unknown
            _add(problems, error)
            if len(problems) >= MAX_PROBLEMS:
                return


def _add(problems: list[Problem], error: SpaceError) -> None:
    """Keep the first error at each place, since many choices lead to the same error."""
    known = {(problem.line, problem.column) for problem in problems}
    problems.extend(problem for problem in error.problems if (problem.line, problem.column) not in known)
