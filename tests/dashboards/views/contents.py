"""What a page that was run displays."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def texts(at: AppTest) -> str:
    """Return all texts of a page."""
    assert not at.exception
    return "\n".join(str(element.value) for element in [*at.text, *at.code, *at.caption, *at.markdown, *at.subheader])


def runs(at: AppTest):
    """Return the table of trials on the page of runs."""
    assert not at.exception
    return next(frame.value for frame in at.dataframe if "reason" in frame.value)
