"""Python text laid out as a formatter would: one line where it fits, else one argument a line."""

from __future__ import annotations

import math
import textwrap
from typing import Any, NamedTuple

from explorer.errors import ExportError

LINE_LENGTH = 100


class Written(NamedTuple):
    """A call as it will stand in the code: ``name(*arguments)``. An argument is text, a comment
    (text that begins with #) or another call. ``spread``: one argument a line, however short."""

    name: str
    arguments: tuple[str | Written, ...]
    spread: bool = False


def literal(value: Any) -> str:
    """A number as Python text. Raises ExportError for anything that is not a plain finite number:
    nothing else can enter generated code."""
    if type(value) in (bool, int) or (type(value) is float and math.isfinite(value)):
        return repr(value)
    raise ExportError(f"exported code holds only finite numbers, found {str(value)[:60]!r} in the architecture")


def one_line(written: str | Written) -> str:
    if isinstance(written, str):
        return written
    return f"{written.name}({', '.join(map(one_line, written.arguments))})"


def lines_of(written: str | Written, indent: int, before: str = "", after: str = "") -> list[str]:
    """``before``, the call and ``after`` as lines, each indented by ``indent`` blanks or more."""
    margin = " " * indent
    short = f"{margin}{before}{one_line(written)}{after}"
    if isinstance(written, str) or not (_spread(written) or len(short) > LINE_LENGTH):
        return [short]
    lines = [f"{margin}{before}{written.name}("]
    for argument in written.arguments:
        comment = isinstance(argument, str) and argument.startswith("#")
        lines += lines_of(argument, indent + 4, after="" if comment else ",")
    return [*lines, f"{margin}){after}"]


def _spread(written: str | Written) -> bool:
    return isinstance(written, Written) and (written.spread or any(map(_spread, written.arguments)))


def sequential(layers: list[Written], base: str = "nn.Sequential") -> Written:
    """``nn.Sequential`` of layers, each on a line of its own where there are several."""
    return Written(base, tuple(layers), spread=len(layers) > 1)


def docstring(summary: str, rest: str = "", indent: int = 4) -> list[str]:
    """A docstring: the summary, and after an empty line the rest, both wrapped to the line length."""
    margin = " " * indent
    if not rest and len(f'{margin}"""{summary}"""') <= LINE_LENGTH:
        return [f'{margin}"""{summary}"""']
    body = _wrapped(f'"""{summary}', indent) + (["", *_wrapped(rest, indent)] if rest else [])
    return [*(f"{margin}{line}".rstrip() for line in body), f'{margin}"""']


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, LINE_LENGTH - indent, break_long_words=False, break_on_hyphens=False)


def method(name: str, parameters: dict[str, str], result: str, body: list[str]) -> list[str]:
    """A method of a class; ``parameters``: name -> type, without self; ``body`` indented by 8 already."""
    typed = [f"{key}: {kind}" for key, kind in parameters.items()]
    return [*lines_of(Written(f"def {name}", ("self", *typed)), 4, after=f" -> {result}:"), *body]
