"""Colours, symbols, margins and notes that figures share."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable

from plotly import graph_objects as go

from explorer.dashboard.data.trials import NOT_ASKED, OTHERS
from explorer.dashboard.text import safe_text

# Paul Tol's "bright" scheme: distinct with any colour vision, on white and on black.
# Symbols change with the colours, so that no information depends on colour alone.
PALETTE = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star")
GREY = "#8C8C8C"  # readable on white and on black
HIGHLIGHT = "#E8590C"
MARGIN = {"l": 10, "r": 10, "t": 30, "b": 10}
LINE_HEIGHT = 15  # pixels of a line of a label or a note
INK = {False: "#31333F", True: "#FAFAFA"}  # of texts, on the light and on the dark theme
GRID = {False: "#E4E5EA", True: "#343843"}
PAPER = {False: "#FFFFFF", True: "#1B1E27"}  # of hover texts
NOTE_LENGTH, NOTE_LINES = 50, 6  # characters and lines that fit a narrow figure; the page shows the whole note


def template(dark: bool) -> go.layout.Template:
    """Return the defaults of all figures: texts of one size with a contrast of at least 4.5:1, no background."""
    axis = {
        "gridcolor": GRID[dark],
        "linecolor": GRID[dark],
        "zerolinecolor": GRID[dark],
        "tickfont": {"color": INK[dark], "size": 12},
        "title": {"font": {"color": INK[dark], "size": 13}},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"color": INK[dark], "size": 12, "family": "Source Sans, Source Sans Pro, system-ui, sans-serif"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": PALETTE,
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": PAPER[dark],
                "bordercolor": GREY,
                "font": {"color": INK[dark], "size": 13},
                "align": "left",
            },
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": INK[dark]},
        }
    )


def add_note(figure: go.Figure, note: str) -> go.Figure:
    """Write a warning above a figure, if it is not empty; return the figure."""
    if note:
        lines = textwrap.wrap(note, NOTE_LENGTH)[:NOTE_LINES]
        figure.add_annotation(
            text="<br>".join(safe_text(line, "plotly") for line in lines),
            **{"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"},
            align="left",
            showarrow=False,
            font={"size": 11, "weight": 600},
        )
        figure.update_layout(margin={"t": 20 + LINE_HEIGHT * len(lines)})
    return figure


def level_styles(levels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return level -> (colour, symbol), ordered by name, so that equal sets of levels have equal styles."""
    known = sorted(set(levels), key=lambda level: (level in (OTHERS, NOT_ASKED), _sort_key(level)))
    styles = {}
    for index, level in enumerate(known):
        grey = level in (OTHERS, NOT_ASKED)
        styles[level] = (GREY, "x") if grey else (PALETTE[index % len(PALETTE)], SYMBOLS[index % len(SYMBOLS)])
    return styles


def _sort_key(level: str) -> tuple[float, str]:
    try:
        return float(level), level
    except ValueError:
        return math.inf, level
