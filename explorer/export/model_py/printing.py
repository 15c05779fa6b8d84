"""Formatting of generated Python code: a call on one line if it fits, else one argument a line."""

from __future__ import annotations

import math
import textwrap
from typing import Any, NamedTuple

from explorer.errors import ExportError

LINE_LENGTH = 100  # of the generated code


class Written(NamedTuple):
    """A call in the generated code.

    Attributes:
        name: The called name.
        arguments: Texts, comments (texts that begin with #) or other calls.
        spread: Whether each argument is on a line of its own, however short.
    """

    name: str
    arguments: tuple[str | Written, ...]
    spread: bool = False


def literal(value: Any) -> str:
    """Write a number, or a tuple of numbers, as Python code.

    Args:
        value: The number.

    Raises:
        ExportError: The value is not a finite int, float or bool, the only values that generated code may contain.
    """
    if type(value) is tuple:
        return f"({', '.join(map(literal, value))})"
    if type(value) in (bool, int) or (type(value) is float and math.isfinite(value)):
        return repr(value)
    raise ExportError(f"exported code holds only finite numbers, found {str(value)[:60]!r} in the architecture")


def one_line(written: str | Written) -> str:
    """Write a call on one line.

    Args:
        written: A call, or text that is returned as it is.
    """
    if isinstance(written, str):
        return written
    return f"{written.name}({', '.join(map(one_line, written.arguments))})"


def lines_of(written: str | Written, indent: int, before: str = "", after: str = "") -> list[str]:
    """Write a call on one line if it fits, else with one argument a line.

    Args:
        written: A call, or text.
        indent: Indentation of the first line in spaces.
        before: Text directly before the call.
        after: Text directly after the call.

    Returns:
        The lines.
    """
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
    """Return whether a call or one of its arguments needs several lines."""
    return isinstance(written, Written) and (written.spread or any(map(_spread, written.arguments)))


def sequential(layers: list[Written], base: str = "nn.Sequential") -> Written:
    """Write ``nn.Sequential`` of layers, one layer a line if there are several.

    Args:
        layers: The calls of the layers.
        base: The called name.
    """
    return Written(base, tuple(layers), spread=len(layers) > 1)


def docstring(summary: str, rest: str = "", indent: int = 4) -> list[str]:
    """Write a docstring, wrapped to the line length.

    Args:
        summary: The first line.
        rest: Text after an empty line; empty for none.
        indent: Indentation in spaces.

    Returns:
        The lines.
    """
    margin = " " * indent
    if not rest and len(f'{margin}"""{summary}"""') <= LINE_LENGTH:
        return [f'{margin}"""{summary}"""']
    body = _wrapped(f'"""{summary}', indent) + (["", *_wrapped(rest, indent)] if rest else [])
    return [*(f"{margin}{line}".rstrip() for line in body), f'{margin}"""']


def _wrapped(text: str, indent: int) -> list[str]:
    """Wrap text to the line length, less the indentation."""
    return textwrap.wrap(text, LINE_LENGTH - indent, break_long_words=False, break_on_hyphens=False)


def method(name: str, parameters: dict[str, str], result: str, body: list[str]) -> list[str]:
    """Write a method.

    Args:
        name: Name of the method.
        parameters: Parameter -> type, without ``self``.
        result: The return type.
        body: Lines of the body, indented by 8 spaces.

    Returns:
        The lines.
    """
    typed = [f"{key}: {kind}" for key, kind in parameters.items()]
    return [*lines_of(Written(f"def {name}", ("self", *typed)), 4, after=f" -> {result}:"), *body]
