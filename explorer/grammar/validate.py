"""Every derivation builds: checked on loading, over all distinct blocks where they can be listed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from explorer.errors import Problem, SpaceError
from explorer.grammar.automaton import Automaton
from explorer.grammar.space import SearchSpace

MAX_STATES = 100_000
MAX_WORK = 1_000_000
MAX_WORK_FOR_MORE = 100_000  # to find more faults than the first
WORK_A_STATE = 10
WORK_A_LAYER = 5
SAMPLES = 1_000
WHOLE_SAMPLES = 10
MAX_PROBLEMS = 20


def validated(space: SearchSpace, found: Iterable[Problem] = ()) -> SearchSpace:
    """The space with ``validated`` set: "all" when every (block, arriving shape, choices) was built,
    "sampled" when there are more than 100,000 of them and 1,000 derivations were (either
    ends earlier, at ``MAX_WORK``, where blocks or networks are so large that it would take long). After a first fault
    the search for others ends after a tenth of that work.

    Raises SpaceError with the faults found, one for each place in the file, those that reading it ``found`` among them.
    """
    problems = list(found)
    complete = _all_states(space, problems)
    if not problems:
        # Whole networks: the head, copied layers, and the bounds on the sum of all blocks.
        _sample(space, WHOLE_SAMPLES if complete else SAMPLES, problems)
    if problems:
        raise SpaceError(problems)
    return replace(space, validated="all" if complete else "sampled")


def _all_states(space: SearchSpace, problems: list[Problem]) -> bool:
    """Walk every state once, shapes carried; True when there were few enough to see them all, and
    no shape follows a number of blocks that is itself a choice."""
    try:
        automaton = Automaton(space, carries_shapes=True)
    except SpaceError as error:
        _add(problems, error)
        return True
    if automaton.follows_open_total:
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
                    most = min(most, automaton.shapes.work + WORK_A_STATE * len(seen) + MAX_WORK_FOR_MORE)
                _add(problems, error)
                tried += 1
                if len(problems) >= MAX_PROBLEMS:
                    return True
                if automaton.shapes.work + WORK_A_STATE * (len(seen) + tried) > most:
                    return True
                continue
            if following not in seen:
                if len(seen) >= MAX_STATES or automaton.shapes.work + WORK_A_STATE * (len(seen) + tried) > most:
                    return bool(problems)
                seen.add(following)
                pending.append(following)
    return True


def _sample(space: SearchSpace, count: int, problems: list[Problem]) -> None:
    total = space.count()
    draw = random.Random(0)
    indices = range(total) if total <= count else (draw.randrange(total) if k else 0 for k in range(count))
    work, most = 0, MAX_WORK
    for number, index in enumerate(indices):
        if work > most and number >= WHOLE_SAMPLES:
            return
        derivation = space.unrank(index)
        work += len(derivation.choices)
        try:
            work += WORK_A_LAYER * space.architecture(derivation).layer_count
        except SpaceError as error:
            if not problems:
                most = min(most, work + MAX_WORK_FOR_MORE)
            work += WORK_A_LAYER * len(derivation.choices)  # the layers of a network that fails are not known
            _add(problems, error)
            if len(problems) >= MAX_PROBLEMS:
                return


def _add(problems: list[Problem], error: SpaceError) -> None:
    """Keep the first fault at each place: the same one shows under many choices."""
    known = {(problem.line, problem.column) for problem in problems}
    problems.extend(problem for problem in error.problems if (problem.line, problem.column) not in known)
