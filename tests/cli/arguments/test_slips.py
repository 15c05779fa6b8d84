"""Suggestions for misspelled command lines."""

import pytest

from tests.command_line import run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["serach"], "did you mean 'search'"),
        (["run"], "did you mean 'search'"),
        (["resume"], "did you mean 'search'"),
        (["list"], "did you mean 'studies'"),
        (["search", "--trails", "3"], "No such option '--trails'; did you mean '--trials'"),
        (["search", "-study", "x"], "No such option '-study'; did you mean '--study'"),
        (["search", "-trials=3"], "No such option '-trials'; did you mean '--trials'"),
        (
            ["search", "--space", "he2016_orders.yaml", "--trials", "lots"],
            "is not a whole number; write one as in 1000",
        ),
        (["--storage", "x.db", "studies"], "put options after it"),
        (["search", "--frobnicate"], "explorer search: No such option '--frobnicate'"),
        (["data", "lst"], "Did you mean 'list'?"),
        (["cost", "a.yaml", "act=silu"], "did you mean 'a.yaml#act=silu'?"),
        (["cost", "order=original", "he2016_orders", "--json"], "did you mean 'he2016_orders#order=original'?"),
        (["train", "a.yml", "attn@stage1=se(4)", "act=silu"], "did you mean 'a.yml#attn@stage1=se(4),act=silu'?"),
        (["search", "preact_variants"], "did you mean --space preact_variants?"),
    ],
)
def test_a_misspelling_is_answered_with_a_suggestion(capsys, words, line):
    """A misspelled command, option or number gives one line that names the correct one."""
    status, out, errors = run(capsys, *words)
    assert (status, out) == (2, "") and line in errors and len(errors.splitlines()) == 1


@pytest.mark.parametrize("words", [["help"], ["help", "search"], ["help", "data", "list"]])
def test_help_is_a_command(capsys, words):
    """``explorer help COMMAND`` prints what ``explorer COMMAND --help`` prints."""
    status, out, _ = run(capsys, *words)
    assert status == 0 and out == run(capsys, *words[1:], "--help")[1]
