"""Suggested lines for the errors of a space file, each checked by loading the file with it."""

from __future__ import annotations

import re
from collections.abc import Callable

from explorer.errors import Edit, Problem, SpaceError
from explorer.space.language.source_text import applied, line_column, line_of
from explorer.space.shape_fixes import shape_edits

MAX_CHARACTERS = 100_000  # of a file for which lines are suggested
MAX_PROBLEMS = 20
MAX_LOADS = 16
MAX_WAYS = 2


def with_fixes(error: SpaceError, text: str, load: Callable[[str], object]) -> SpaceError:
    """Return the error with suggested lines for each problem that has some.

    Args:
        error: The errors of the file.
        text: The text of the file.
        load: Loads a text; raises SpaceError.
    """
    problems = error.problems
    if len(text) > MAX_CHARACTERS or len(problems) > MAX_PROBLEMS:
        return error
    trials = _Trials(load)
    lines = _edited_lines(text, problems, trials) if any(problem.edits for problem in problems) else {}
    fixed = []
    for problem in problems:
        found = (lines[number],) if (number := _line(text, problem)) in lines else ()
        fixed.append(problem._replace(fixes=found or _ways(text, problem, problems, trials)))
    return SpaceError(fixed)


class _Trials:
    """Loads texts, and counts how often."""

    def __init__(self, load: Callable[[str], object]):
        self.load = load
        self.count = 0

    def problems(self, text: str) -> tuple[Problem, ...]:
        """Return the errors of a text."""
        self.count += 1
        try:
            self.load(text)
        except SpaceError as error:
            return error.problems
        return ()


def _edited_lines(text: str, problems: tuple[Problem, ...], trials: _Trials) -> dict[int, str]:
    """Return the lines without an error after the edits of all problems, by their numbers.

    The edits are applied together, again for the errors that remain, until the file loads or no edits are left.
    """
    lines: dict[int, str] = {}
    for preference in range(max(len(problem.edits) for problem in problems)):
        new, left = text, problems
        while trials.count < MAX_LOADS:
            edits = dict.fromkeys(p.edits[min(preference, len(p.edits) - 1)] for p in left if p.edits)
            if not edits:
                new, left = _with_fitting_shapes(text, new, left, trials)
                break
            new = applied(new, [_with_lines(new, edit) for edit in edits])
            left = trials.problems(new)
        faulty = {problem.line for problem in left}
        for number in range(1, text.count("\n") + 2):
            line = line_of(new, number)
            if number not in faulty and line != line_of(text, number) and line.strip():
                lines.setdefault(number, _without_comment(line))
        if not left:
            break
    return lines


def _with_fitting_shapes(
    original: str, text: str, left: tuple[Problem, ...], trials: _Trials
) -> tuple[str, tuple[Problem, ...]]:
    """Return the text with shapes that match, and the errors left.

    Only lines that already differ from the original are edited, and only if one error of shapes is left.
    """
    for edit in shape_edits(text, left[0]) if len(left) == 1 else ():
        number, _ = line_column(text, edit.start)
        if "\n" in edit.text or line_of(text, number) == line_of(original, number) or trials.count >= MAX_LOADS:
            continue
        new = applied(text, [edit])
        if not (found := trials.problems(new)):
            return new, found
    return text, left


def _ways(text: str, problem: Problem, problems: tuple[Problem, ...], trials: _Trials) -> tuple[str, ...]:
    """Return lines that each fix a problem of shapes: with one of them the file has fewer errors."""
    found: list[str] = []
    for edit in shape_edits(text, problem):
        if trials.count >= MAX_LOADS:
            break
        new = applied(text, [edit])
        left = trials.problems(new)
        if len(left) < len(problems) and all(other.message != problem.message for other in left):
            number = line_column(new, edit.start + len(edit.text) - len(edit.text.lstrip("\n")))[0]
            found.append(_without_comment(line_of(new, number)))
    return tuple(dict.fromkeys(found))[:MAX_WAYS]


def _with_lines(text: str, edit: Edit) -> Edit:
    """Return an edit that keeps the number of lines, so that later lines keep their numbers."""
    lost = text.count("\n", edit.start, edit.end) - edit.text.count("\n")
    return edit._replace(text=edit.text + "\n" * lost)


def _line(text: str, problem: Problem) -> int:
    """Return the number of the line that the edits of a problem change."""
    return line_column(text, problem.edits[0].start)[0] if problem.edits else 0


def _without_comment(line: str) -> str:
    return re.sub(r"\s+#[^'\"]*$", "", line).rstrip()
