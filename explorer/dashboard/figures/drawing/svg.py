"""A drawing as SVG."""

from __future__ import annotations

import html

from explorer.dashboard.figures.drawing.canvas import (
    FONT_SIZE,
    INK,
    LINE,
    LINE_HEIGHT,
    MARK,
    SMALL,
    Box,
    Drawing,
    Frame,
    Joint,
    Line,
    Note,
    Part,
)

FONT = "Helvetica, Arial, sans-serif"


def svg_text(drawing: Drawing, ink: str = LINE) -> str:
    """Return a drawing as an SVG document.

    Args:
        drawing: The drawing.
        ink: Colour of lines and of texts without a box, which must be readable on the page.
    """
    left, top, width, height = drawing.extent()
    parts = "\n".join(_element(part, ink) for part in drawing.parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}"'
        f' width="{width:.0f}" height="{height:.0f}" role="img" font-family="{FONT}">'
        f"<title>{html.escape(drawing.title)}</title>\n"
        f'<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
        f' markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{ink}"/></marker></defs>\n'
        f"{parts}\n</svg>\n"
    )


def _element(part: Part, ink: str) -> str:
    if isinstance(part, Box):
        stroke, width = (MARK, 2.6) if part.is_marked else (LINE, 1.0)
        middle = part.x + part.width / 2
        first = part.y + part.height / 2 - (len(part.lines) - 1) * LINE_HEIGHT / 2 + FONT_SIZE * 0.35
        texts = "".join(
            f'<text x="{middle:.1f}" y="{first + LINE_HEIGHT * k:.1f}" text-anchor="middle" font-size="{FONT_SIZE}"'
            f' fill="{INK}">{html.escape(line)}</text>'
            for k, line in enumerate(part.lines)
        )
        return (
            f'<rect x="{part.x:.1f}" y="{part.y:.1f}" width="{part.width:.1f}" height="{part.height:.1f}" rx="4"'
            f' fill="{part.fill}" stroke="{stroke}" stroke-width="{width}"/>{texts}'
        )
    if isinstance(part, Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in part.points)
        style = ' stroke-dasharray="4 3"' if part.dashed else ""
        style += ' marker-end="url(#arrow)"' if part.arrow else ""
        width = 2.4 if part.thick else 1.2
        return f'<polyline points="{points}" fill="none" stroke="{ink}" stroke-width="{width}"{style}/>'
    if isinstance(part, Joint):
        if not part.text:
            return f'<circle cx="{part.x:.1f}" cy="{part.y:.1f}" r="{part.radius}" fill="{ink}"/>'
        return (
            f'<rect x="{part.x - part.half_width:.1f}" y="{part.y - part.radius:.1f}" width="{2 * part.half_width:.1f}"'
            f' height="{2 * part.radius:.1f}" rx="{part.radius}" fill="#FFFFFF" stroke="{ink}" stroke-width="1.4"/>'
            f'<text x="{part.x:.1f}" y="{part.y + 4:.1f}" text-anchor="middle" font-size="{FONT_SIZE}" fill="{INK}">'
            f"{html.escape(part.text)}</text>"
        )
    if isinstance(part, Frame):
        return (
            f'<rect x="{part.x:.1f}" y="{part.y:.1f}" width="{part.width:.1f}" height="{part.height:.1f}" rx="6"'
            f' fill="none" stroke="{ink}" stroke-width="1" stroke-dasharray="5 4"/>'
        )
    return _note(part, ink)


def _note(note: Note, ink: str) -> str:
    anchor = "middle" if note.centred else "start"
    return (
        f'<text x="{note.x:.1f}" y="{note.y:.1f}" text-anchor="{anchor}" font-size="{SMALL}" fill="{ink}">'
        f"{html.escape(note.text)}</text>"
    )
