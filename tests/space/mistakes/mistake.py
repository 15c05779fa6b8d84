"""A mistake in a space file: where its error is, what it says, and the line that it suggests."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from explorer.errors import Problem
from tests.space.spaces import text

# A file in block style, as most users write it.
FILE = """name: mine
input: 3x32x32
classes: 10
stem: conv3x3(16) bn relu
stages:
  blocks: depth
  width: [16, 32, 64]
  stride: [1, 2, 2]
block: conv1x1(w*ratio) norm act conv3x3(w*ratio) norm act conv1x1 norm attn + act
shortcut:
  changed: conv1x1 bn
head: gap fc
grammar:
  norm: bn
  act: relu | silu
  attn: none | se(r=4)
  ratio: 1/4 | 1/2
  depth: 1 | 2 | 3
vary:
  attn: stage
limits:
  params: <= 2M
"""


class Mistake(NamedTuple):
    """A mistake.

    Attributes:
        at: Line and column of the first error.
        says: The start of its message.
        fix: The line that it suggests, or several of which one is needed; "" for none.
        bad: Sections of the plain space that have the mistake (see ``text``); or a key of ``FILE`` and what takes the
            place of its entry; or a text of ``FILE`` and what takes its place.
        errors: The number of errors of the file.
    """

    at: str
    says: str
    fix: str | tuple[str, ...]
    bad: dict[str, Any] | tuple[str, str]
    errors: int = 1

    @property
    def file(self) -> str:
        """The file with the mistake."""
        if isinstance(self.bad, dict):
            return text(**self.bad)
        old, new = self.bad
        if entry := re.search(rf"^( *){old}:.*\n(?:\1 +.*\n)*", FILE, re.MULTILINE):
            return FILE.replace(entry[0], f"{entry[1]}{new}\n", 1)
        assert old in FILE
        return FILE.replace(old, new, 1)

    @property
    def fixes(self) -> tuple[str, ...]:
        """The suggested lines."""
        return (self.fix,) if isinstance(self.fix, str) and self.fix else tuple(self.fix)


def put_in(file: str, problem: Problem, line: str) -> str:
    """Return a file with a suggested line in place of the entry of an error, as a reader of the message does."""
    lines = file.splitlines()
    key = line.split(":")[0]
    entries = [number for number, other in enumerate(lines) if other.split(":")[0].rstrip() == key]
    if not entries and "needs equal shapes" in problem.message:
        return file + line + "\n"
    start = min(entries, key=lambda number: abs(number + 1 - problem.line), default=problem.line - 1)
    end = start + 1
    indented = len(lines[start]) - len(lines[start].lstrip())
    while not line.endswith(":") and lines[start].rstrip().endswith(":") and end < len(lines):
        if len(lines[end]) - len(lines[end].lstrip()) <= indented:
            break
        end += 1
    return "\n".join([*lines[:start], line, *lines[end:]]) + "\n"
