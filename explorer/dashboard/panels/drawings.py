"""A drawing on a page, and its download as SVG, PDF or TikZ."""

from __future__ import annotations

import base64
import html

import streamlit as st

from explorer.dashboard.figures.drawing.canvas import Drawing
from explorer.dashboard.figures.drawing.pdf import pdf_bytes
from explorer.dashboard.figures.drawing.svg import svg_text
from explorer.dashboard.figures.drawing.tikz import tikz_text
from explorer.dashboard.figures.style import INK
from explorer.dashboard.panels.theme import is_dark


def draw_drawing(drawing: Drawing, key: str, height: int | None = None) -> None:
    """Draw a drawing with a menu of downloads.

    Args:
        drawing: The drawing.
        key: A name that no other drawing of the page has.
        height: Greatest height in pixels; None for its own.
    """
    source = base64.b64encode(svg_text(drawing, INK[is_dark()]).encode()).decode()
    limit = f' style="max-height:{height}px"' if height else ""
    alt = html.escape(drawing.title)
    st.html(f'<div class="explorer-drawing"><img src="data:image/svg+xml;base64,{source}" alt="{alt}"{limit}></div>')
    with st.popover("Save drawing", key=f"{key}_save", on_change="rerun") as menu:
        if menu.open:  # made only when the menu is open
            for name, data, kind in (
                ("SVG", svg_text(drawing), "image/svg+xml"),
                ("PDF", pdf_bytes(drawing), "application/pdf"),
                ("TikZ", tikz_text(drawing), "text/x-tex"),
            ):
                ending = "tex" if name == "TikZ" else name.lower()
                st.download_button(
                    name, data, f"{key}.{ending}", kind, on_click="ignore", key=f"{key}_{ending}", width="stretch"
                )
