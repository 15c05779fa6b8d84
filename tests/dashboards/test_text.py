"""Texts from a database stay text, whatever they contain."""

from __future__ import annotations

import pytest

from explorer.dashboard.text import LENGTH, safe_text

PLACES = ("plain", "markdown", "plotly", "dot", "cell")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("raw", ["", "plain words", "depth 3", "naïve Σ 数"])
def test_ordinary_words_are_unchanged(raw, place):
    """A text of letters, digits and blanks is displayed unchanged everywhere."""
    assert safe_text(raw, place) == raw


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "sign", ["\x00", "\x07", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\U000e0041"]
)
def test_invisible_characters_are_removed(sign, place):
    """Control, bidi, zero-width and tag characters and lone surrogates are removed."""
    assert safe_text(f"a{sign}b", place) == "ab"


def test_one_line_of_limited_length():
    """Line breaks become blanks, and a text beyond the limit ends in an ellipsis."""
    assert safe_text("a\r\n b\u2028c\td") == "a b c d"
    assert len(safe_text("x" * 10_000)) == LENGTH
    assert safe_text("x" * 10, length=4) == "xxx…"
    assert safe_text("x" * 4, length=4) == "xxxx"


@pytest.mark.parametrize("raw", ["*b*", "_i_", "`c`", "[t](u)", "![](u)", "<b>", "# h", "~~s~~", "$x$", "&lt;", "a|b"])
def test_markdown_is_escaped(raw):
    """Every Markdown punctuation character gets a backslash."""
    shown = safe_text(raw, "markdown")
    assert all(shown[place - 1] == "\\" for place, sign in enumerate(shown) if sign in "*_`[]()!<>#~$&;|")


@pytest.mark.parametrize("raw", ["http://evil.example", "www.evil.example", "me@evil.example", ":smile:"])
def test_markdown_links_are_broken_up(raw):
    """Addresses and emoji names, which Markdown finds even in escaped text, are broken up."""
    bare = safe_text(raw, "markdown").replace("\\", "")
    assert raw not in bare
    assert bare.replace("\u2060", "") == raw


def test_plotly_markup_is_escaped():
    """Plotly's markup is escaped as entities."""
    assert safe_text('<a href="x">&', "plotly") == '&lt;a href="x"&gt;&amp;'


def test_dot_labels_are_escaped():
    """Quotes and backslashes cannot end a Graphviz label or start an escape sequence."""
    assert safe_text('a" x=1 \\N', "dot") == 'a\\" x=1 \\\\N'


@pytest.mark.parametrize("raw", ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1", "\r=1"])
def test_cells_are_not_formulas(raw):
    """A cell that a spreadsheet would evaluate starts with an apostrophe."""
    assert safe_text(raw, "cell").startswith("'")
    assert safe_text("1+1", "cell") == "1+1"
