"""Suggested lines for the errors of a space file, each checked by loading the file with it."""

from __future__ import annotations

from collections.abc import Callable

from explorer.errors import Edit, Problem, SpaceError
from explorer.space.language.source_text import applied, line_column, line_of

MAX_CHARACTERS = 100_000  # of a file for which lines are suggested
MAX_PROBLEMS = 20
MAX_LOADS = 12


def with_fixes(error: SpaceError, text: str, load: Callable[[str], object]) -> SpaceError:
    """Return the error with a suggested line for each problem that has one.

    The edits of all problems are applied together, again for the errors that remain, until the file loads or no
    edits are left. A line is suggested only if it has no error then.

    Args:
        error: The errors of the file.
        text: The text of the file.
        load: Loads a text; raises SpaceError.
    """
    problems = error.problems
    if len(text) > MAX_CHARACTERS or len(problems) > MAX_PROBLEMS or not any(p.edits for p in problems):
        return error
    loads = 0
    best: dict[int, str] = {}
    for preference in range(max(len(problem.edits) for problem in problems)):
        new, left, now = text, problems, problems
        while loads < MAX_LOADS:
            edits = list(dict.fromkeys(p.edits[min(preference, len(p.edits) - 1)] for p in now if p.edits))
            if not edits:
                break
            new = applied(new, [_with_lines(new, edit) for edit in edits])
            loads += 1
            try:
                load(new)
            except SpaceError as remaining:
                left = now = remaining.problems
            else:
                left = now = ()
        faulty = {problem.line for problem in left}
        for number in range(1, text.count("\n") + 2):
            line = line_of(new, number)
            if number not in faulty and line != line_of(text, number) and line.strip():
                best.setdefault(number, line.strip())
        if not left:
            break
    return SpaceError(problem._replace(fix=best.get(_line(text, problem), "")) for problem in problems)


def _with_lines(text: str, edit: Edit) -> Edit:
    """Return an edit that keeps the number of lines, so that later lines keep their numbers."""
    lost = text.count("\n", edit.start, edit.end) - edit.text.count("\n")
    return edit._replace(text=edit.text + "\n" * lost)


def _line(text: str, problem: Problem) -> int:
    """Return the number of the line that the edits of a problem change."""
    return line_column(text, problem.edits[0].start)[0] if problem.edits else 0

