"""The blocks of code of a page, and the commands of a shell block."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from docs.generate import ROOT

# An optional comment before a block says why it is not run, or the name of the file that it is.
BLOCK = re.compile(
    r"(?:^ *<!-- (?P<mark>[^\n]*?) -->\n+)?^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
COMMENT = re.compile(r"(?:^|\s)#\s")  # shlex would begin one within space.yaml#17
NOT_RUN = "not run: "
# Installing is what .ci/run and .ci/extras do, in environments of their own.
INSTALLING = re.compile(r"^(python3 -m venv|(\.venv/bin/)?pip install)\b")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes:
        page: Path of the page below the root of the repository.
        line: The line at which the block begins.
        language: As the page names it: sh, python, yaml.
        text: The code.
        mark: The text of the comment before the block; empty without one.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str

    @property
    def reason(self) -> str:
        """Why the block is not run; empty if it is."""
        if self.mark == "test":
            return "it starts the tests: .ci/run takes it from the README"
        return self.mark.removeprefix(NOT_RUN) if self.mark.startswith(NOT_RUN) else ""

    @property
    def file(self) -> str:
        """The name of the file that the block is; empty if it is none."""
        return self.mark if re.fullmatch(r"[\w-]+\.\w+", self.mark) else ""


def pages() -> list[str]:
    """Return all pages that people read, but for changes and records, which quote earlier versions."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    names = (path.relative_to(ROOT).as_posix() for path in found)
    return sorted(name for name in names if name != "CHANGELOG.md" and "/decisions/" not in name)


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of code of a page."""
    text = (ROOT / page).read_text()
    return [
        Block(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            textwrap.dedent(found["text"]),
            found["mark"] or "",
        )
        for found in BLOCK.finditer(text)
    ]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a shell block, without what installs packages."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in line.split(" && "):
            words = shlex.split(COMMENT.split(command)[0])
            if words and not INSTALLING.match(command.strip()):
                yield words
