"""Check on loading that every derivation can be built: all distinct blocks if there are few enough, else a sample."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from explorer.errors import Problem, SpaceError
from explorer.space.choices import Derivation
from explorer.space.count.constrained import ConstrainedDecisions
from explorer.space.count.decisions import QUICK_COVERAGE, Decisions, Progress
from explorer.space.derive.architecture import Deriver
from explorer.space.grammar import Grammar

MAX_WORK = QUICK_COVERAGE
MAX_WORK_FOR_MORE = 20_000  # to find more errors than the first
MAX_SAMPLED_WORK = 10_000  # some 0.03 s
SAMPLES = 1_000
WHOLE_SAMPLES = 10
MAX_WALKED_WORK = 3_000  # of random walks, some 0.05 s
EXACT_SAMPLES = 100_000  # without a bound on work, if conditions exclude units that cannot be built
MAX_PROBLEMS = 20


def validate(
    grammar: Grammar,
    decisions: Decisions,
    deriver: Deriver,
    found: Iterable[Problem] = (),
    max_work: float = MAX_WORK,
    progress: Progress = lambda states: None,
) -> str:
    """Check that every derivation can be built.

    Args:
        grammar: The space.
        decisions: Its derivations.
        deriver: Derives its networks.
        found: Errors found earlier, to report together.
        max_work: The largest work for building every combination of block, input shape and choices, in nodes that are
            read. The default takes about 0.2 s.
        progress: Called often with the number of states so far.

    Returns:
        "all" if every combination was built. "sampled" if that is more than ``max_work``; then 1,000 derivations were
        built, or fewer large ones.

    Raises:
        SpaceError: With the first error at each place of the file. After the first one, less work is spent to find
            others.
    """
    problems = list(found)
    excluded: list[Problem] = []  # conditions may exclude the networks with these errors
    if grammar.where and not problems:
        _require_networks(grammar, decisions)
    complete = _all_units(decisions, excluded if grammar.where else problems, max_work, progress) and not excluded
    if not problems:
        # Whole networks: the head, copied layers, and the bounds on the sum of all blocks.
        exact = bool(excluded) and math.isinf(max_work)
        count, most = (EXACT_SAMPLES, math.inf) if exact else (WHOLE_SAMPLES if complete else SAMPLES, MAX_SAMPLED_WORK)
        complete |= _sample(decisions, deriver, count, problems, most) and bool(excluded)
    if problems:
        raise SpaceError(problems)
    return "all" if complete else "sampled"


def _require_networks(grammar: Grammar, decisions: Decisions) -> None:
    """Raise SpaceError if the conditions exclude every network."""
    if not decisions.is_counted or decisions.indices:
        return
    for number, condition in enumerate(grammar.where, 1):
        without_later = ConstrainedDecisions(replace(grammar, where=grammar.where[:number]))
        if without_later.is_counted and not without_later.indices:
            others = " together with the conditions before it" if number > 1 else ""
            message = f"no network satisfies the condition '{condition.text}'{others}"
            raise grammar.error(message, condition.place)


def _all_units(decisions: Decisions, problems: list[Problem], max_work: float, progress: Progress) -> bool:
    """Derive every distinct unit once.

    Returns:
        Whether all were derived: they were few enough, and no shape depends on a number of blocks that is a choice.
    """
    try:
        coverage = decisions.coverage
    except SpaceError as error:
        _add(problems, error)
        return True
    if coverage.depends_on_open_total:
        return False
    most = MAX_WORK_FOR_MORE if problems else max_work
    for fault in coverage.walk():
        progress(coverage.states)
        if fault is not None:
            if not problems:
                most = min(most, coverage.work + MAX_WORK_FOR_MORE)
            _add(problems, fault)
            if len(problems) >= MAX_PROBLEMS:
                return True
        if coverage.work > most:
            return bool(problems)
    return True


def _sample(
    decisions: Decisions, deriver: Deriver, count: int, problems: list[Problem], most: float = MAX_SAMPLED_WORK
) -> bool:
    """Build ``count`` derivations, including the first, or all if there are fewer, with the work ``most``.

    Returns:
        Whether all were built.
    """
    is_all = decisions.is_counted and decisions.indices <= count
    work = 0
    for number, derivation in enumerate(decisions.all() if is_all else _draws(decisions, count, math.isinf(most))):
        if work > most and number >= WHOLE_SAMPLES:
            return False
        choices = derivation.choices
        work += len(choices)
        try:
            work += deriver.architecture(choices).layer_count
        except SpaceError as error:
            if not problems:
                most = min(most, work + MAX_SAMPLED_WORK // 5)
            work += len(choices)  # the number of layers of a failed network is unknown
            _add(problems, error)
            if len(problems) >= MAX_PROBLEMS:
                return False
    return is_all


def _draws(decisions: Decisions, count: int, is_exact: bool) -> Iterator[Derivation]:
    """Yield the first derivation and random ones, ``count`` together; fewer if they are not counted and that takes
    long, unless ``is_exact``."""
    yield decisions.first_with(lambda choice: None)
    if decisions.is_counted or is_exact:
        source = random.Random(0)
        yield from (decisions.draw(source) for _ in range(count - 1))
    else:
        yield from (found.derivation for found in decisions.random_walks.up_to(count - 1, MAX_WALKED_WORK))


def _add(problems: list[Problem], error: SpaceError) -> None:
    """Keep the first error at each place, since many choices lead to the same error."""
    known = {(problem.line, problem.column) for problem in problems}
    problems.extend(problem for problem in error.problems if (problem.line, problem.column) not in known)
