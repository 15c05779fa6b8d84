"""What users of other tools write is met with its place, what was found, and the line as the language writes it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest

from explorer.errors import Problem, SpaceError
from explorer.space.search_space import parse_space
from tests.space.mistakes.mistake import FILE, Mistake, put_in

OTHER_MODULES = ("__init__", "mistake", "test_mistakes")
KINDS = sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem not in OTHER_MODULES)
MISTAKES = [mistake for kind in KINDS for mistake in import_module(f"tests.space.mistakes.{kind}").MISTAKES]
each_mistake = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.at} {mistake.says[:50]}")


@cache
def errors_of(file: str) -> tuple[Problem, ...]:
    """Return the errors of a file."""
    with pytest.raises(SpaceError) as caught:
        parse_space(file)
    return caught.value.problems


@each_mistake
def test_a_mistake_has_one_error_with_place_and_advice(mistake: Mistake):
    """The first error names line and column, what was found and the line to write; no fault is reported twice."""
    problems = errors_of(mistake.file)
    first = problems[0]
    assert (f"{first.line}:{first.column}", first.fixes) == (mistake.at, mistake.fixes)
    assert first.message.startswith(mistake.says)
    assert len(problems) == mistake.errors
    assert first.excerpt == mistake.file.split("\n")[first.line - 1]


@each_mistake
def test_a_file_with_the_suggested_lines_loads(mistake: Mistake):
    """The text that the messages suggest, put in the place of the faulty entries, makes the file valid."""
    problems = errors_of(mistake.file)
    if not all(problem.fixes for problem in problems):
        assert not mistake.fix or len(problems) > 1
        return
    by_line = {problem.fixes: problem for problem in problems}
    for lines in product(*by_line):
        fixed = mistake.file
        for problem, line in sorted(zip(by_line.values(), lines), key=lambda pair: -pair[0].line):
            fixed = put_in(fixed, problem, line)
        assert parse_space(fixed).count() >= 1


def test_there_are_mistakes_of_all_kinds():
    """At least 160 mistakes are checked, and the file from which most differ is valid."""
    assert len({mistake.file for mistake in MISTAKES}) >= 160
    assert parse_space(FILE).count() == 96


def test_an_error_shows_its_line_with_a_caret():
    """The caret is below the column, and the suggested line follows; several errors of one line show it once."""
    with pytest.raises(SpaceError) as caught:
        parse_space(FILE.replace("norm: bn", "norm: BN | LayerNorm"), "f.yaml")
    assert caught.value.shown() == (
        "f.yaml:14:9: unknown name 'BN'; did you mean 'bn'?\n"
        "      norm: BN | LayerNorm\n"
        "            ^\n"
        "f.yaml:14:14: unknown name 'LayerNorm'; did you mean 'ln'?\n"
        "      norm: BN | LayerNorm\n"
        "                 ^\n"
        "  write `  norm: bn | ln`"
    )


def test_a_long_line_is_shown_around_its_column():
    """Of a line of thousands of characters, only the part around the error is shown."""
    with pytest.raises(SpaceError) as caught:
        parse_space(FILE.replace("norm: bn", f"norm: {'bn ' * 900}psot"), "f.yaml")
    _, excerpt, caret, *_ = caught.value.shown().splitlines()
    assert len(excerpt) < 200 and excerpt[caret.index("^") :].startswith("psot")
