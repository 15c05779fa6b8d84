"""A drawing as a PDF of its own size."""

from __future__ import annotations

import io

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

FONT = "Helvetica"


def pdf_bytes(drawing: Drawing) -> bytes:
    """Return a drawing as a PDF of one page. Characters that Helvetica does not have become question marks."""
    from reportlab.lib.colors import HexColor
    from reportlab.pdfgen.canvas import Canvas

    left, top, width, height = drawing.extent()
    file = io.BytesIO()
    page = Canvas(file, pagesize=(width, height), invariant=True)
    page.setTitle(_known(drawing.title))

    def at(x: float, y: float) -> tuple[float, float]:
        return x - left, height - (y - top)

    def text(x: float, y: float, words: str, size: float, colour: str, centred: bool = True) -> None:
        page.setFillColor(HexColor(colour))
        page.setFont(FONT, size)
        (page.drawCentredString if centred else page.drawString)(*at(x, y), _known(words))

    def rectangle(part: Box | Frame, radius: float) -> tuple[float, float, float, float, float]:
        return *at(part.x, part.y + part.height), part.width, part.height, radius

    def draw(part: Part) -> None:
        page.setDash()
        page.setStrokeColor(HexColor(LINE))
        page.setFillColor(HexColor(LINE))
        page.setLineWidth(1.0)
        if isinstance(part, Box):
            page.setStrokeColor(HexColor(MARK if part.is_marked else LINE))
            page.setLineWidth(2.4 if part.is_marked else 0.8)
            page.setFillColor(HexColor(part.fill))
            page.roundRect(*rectangle(part, 4), stroke=1, fill=1)
            first = part.y + part.height / 2 - (len(part.lines) - 1) * LINE_HEIGHT / 2 + FONT_SIZE * 0.35
            for k, line in enumerate(part.lines):
                text(part.x + part.width / 2, first + LINE_HEIGHT * k, line, FONT_SIZE, INK)
        elif isinstance(part, Line):
            page.setLineWidth(2.2 if part.thick else 1.1)
            if part.dashed:
                page.setDash(4, 3)
            points = [at(*point) for point in part.points]
            path = page.beginPath()
            path.moveTo(*points[0])
            for point in points[1:]:
                path.lineTo(*point)
            page.drawPath(path)
            if part.arrow:
                _draw_head(page, points[-2], points[-1])
        elif isinstance(part, Joint):
            _draw_joint(page, part, at(part.x, part.y))
            if part.text:
                text(part.x, part.y + 4, part.text, FONT_SIZE, INK)
        elif isinstance(part, Frame):
            page.setDash(5, 4)
            page.roundRect(*rectangle(part, 6), stroke=1, fill=0)
        elif isinstance(part, Note):
            text(part.x, part.y, part.text, SMALL, LINE, part.centred)

    for part in drawing.parts:
        draw(part)
    page.save()
    return file.getvalue()


def _draw_joint(page: object, joint: Joint, centre: tuple[float, float]) -> None:
    from reportlab.lib.colors import white
    from reportlab.pdfgen.canvas import Canvas

    assert isinstance(page, Canvas)
    if not joint.text:
        page.circle(*centre, joint.radius, stroke=0, fill=1)
        return
    page.setFillColor(white)
    corner = centre[0] - joint.half_width, centre[1] - joint.radius
    page.roundRect(*corner, 2 * joint.half_width, 2 * joint.radius, joint.radius, stroke=1, fill=1)


def _draw_head(page: object, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw the head of an arrow along an axis."""
    from reportlab.pdfgen.canvas import Canvas

    assert isinstance(page, Canvas)
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1])) or 1.0
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    path = page.beginPath()
    path.moveTo(*end)
    path.lineTo(end[0] - 6 * dx - 3 * dy, end[1] - 6 * dy + 3 * dx)
    path.lineTo(end[0] - 6 * dx + 3 * dy, end[1] - 6 * dy - 3 * dx)
    path.close()
    page.drawPath(path, stroke=0, fill=1)


def _known(text: str) -> str:
    return text.encode("cp1252", "replace").decode("cp1252")
