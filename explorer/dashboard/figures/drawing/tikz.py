"""A drawing as TikZ, a LaTeX document of its own that a paper can also include."""

from __future__ import annotations

from explorer.dashboard.figures.drawing.canvas import (
    INK,
    LINE,
    LINE_HEIGHT,
    MARK,
    Box,
    Drawing,
    Frame,
    Joint,
    Line,
    Part,
)

_HEAD = r"""\documentclass[tikz,border=4pt]{standalone}
\usetikzlibrary{arrows.meta}
\renewcommand{\familydefault}{\sfdefault}
"""
_SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "×": r"$\times$",
    "–": "--",
    "…": r"\dots{}",
    "·": r"$\cdot$",
}


def tikz_text(drawing: Drawing) -> str:
    """Return a drawing as a LaTeX document. Characters that LaTeX does not know become question marks."""
    colours = {part.fill for part in drawing.parts if isinstance(part, Box)} | {INK, LINE, MARK}
    defined = "".join(f"\\definecolor{{{_colour(colour)}}}{{HTML}}{{{colour[1:]}}}\n" for colour in sorted(colours))
    parts = "\n".join(f"  {_command(part)}" for part in drawing.parts)
    picture = f"\\begin{{tikzpicture}}[x=1bp, y=-1bp, >={{Stealth[length=5bp]}}]\n{parts}\n\\end{{tikzpicture}}"
    title = escaped(drawing.title)
    return f"% {title}\n{_HEAD}{defined}\\begin{{document}}\n{picture}\n\\end{{document}}\n"


def escaped(text: str) -> str:
    """Return a text that LaTeX typesets literally."""
    return "".join(_SPECIAL.get(sign, sign if sign.isascii() else "?") for sign in text)


def _colour(value: str) -> str:
    return f"c{value[1:]}"


def _command(part: Part) -> str:
    if isinstance(part, Box):
        draw, width = (MARK, 2.2) if part.is_marked else (LINE, 0.8)
        corner = f"({part.x:.1f},{part.y:.1f}) rectangle ({part.x + part.width:.1f},{part.y + part.height:.1f})"
        style = f"draw={_colour(draw)}, fill={_colour(part.fill)}, line width={width}bp, rounded corners=3bp"
        middle, centre = part.x + part.width / 2, part.y + part.height / 2
        texts = [
            f"\\node[text={_colour(INK)}, inner sep=0, font=\\small] at"
            f" ({middle:.1f},{centre + (k - (len(part.lines) - 1) / 2) * LINE_HEIGHT:.1f}) {{{escaped(line)}}};"
            for k, line in enumerate(part.lines)
        ]
        return f"\\path[{style}] {corner}; {' '.join(texts)}"
    if isinstance(part, Line):
        options = [f"draw={_colour(LINE)}", f"line width={2.0 if part.thick else 1.0}bp"]
        options += ["->"] if part.arrow else []
        options += ["dashed"] if part.dashed else []
        return f"\\path[{', '.join(options)}] {' -- '.join(f'({x:.1f},{y:.1f})' for x, y in part.points)};"
    if isinstance(part, Joint):
        if not part.text:
            return f"\\fill[{_colour(LINE)}] ({part.x:.1f},{part.y:.1f}) circle[radius={part.radius}bp];"
        left, right = part.x - part.half_width, part.x + part.half_width
        return (
            f"\\path[draw={_colour(LINE)}, fill=white, line width=1bp, rounded corners={part.radius:.0f}bp]"
            f" ({left:.1f},{part.y - part.radius:.1f}) rectangle ({right:.1f},{part.y + part.radius:.1f});"
            f" \\node[inner sep=0] at ({part.x:.1f},{part.y:.1f}) {{{escaped(part.text)}}};"
        )
    if isinstance(part, Frame):
        corner = f"({part.x:.1f},{part.y:.1f}) rectangle ({part.x + part.width:.1f},{part.y + part.height:.1f})"
        return f"\\path[draw={_colour(LINE)}, dashed, rounded corners=4bp] {corner};"
    anchor = "base" if part.centred else "base west"
    return (
        f"\\node[text={_colour(LINE)}, inner sep=0, anchor={anchor}, font=\\footnotesize] at"
        f" ({part.x:.1f},{part.y:.1f}) {{{escaped(part.text)}}};"
    )
