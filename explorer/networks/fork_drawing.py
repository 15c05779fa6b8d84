"""Text drawings of forks: the paths side by side, joined below."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from explorer.networks.block import Step, steps
from explorer.networks.ops.nested.fork import Fork
from explorer.networks.ops.nested.nesting import inner_of

GAP = 3  # spaces between paths


def drawn(given: Iterable[Step], name: Callable[[Step], str]) -> list[str]:
    """Return the lines of a drawing: one for each op, several for a fork.

    Args:
        given: The ops with their shapes.
        name: Returns the name of an op.
    """
    lines: list[str] = []
    for step in given:
        inner = inner_of(step.op)
        if isinstance(step.op, Fork):
            start = 1 if step.op.is_split else 0
            paths = [drawn(steps(path, step.x)[0][start:], name) for path in inner]
            lines += _side_by_side(paths, "split" if step.op.is_split else step.op.spelling)
        elif inner:
            lines += drawn(steps(inner[0], step.x)[0], name)
        else:
            lines.append(name(step))
    return lines


def column(words: Sequence[str], height: int) -> list[str]:
    """Centre the words in a column of ``height`` rows, with a vertical line above and below."""
    above = (height - len(words)) // 2
    return ["│"] * above + list(words) + ["│"] * (height - len(words) - above)


def _side_by_side(paths: list[list[str]], join: str) -> list[str]:
    """Return the lines of a fork, all of one odd length, so that a vertical line can be in the middle."""
    height = max(1, *map(len, paths))
    columns = [column(path, height) for path in paths]
    widths = [max(map(len, words)) | 1 for words in columns]
    centres = [sum(widths[:k]) + GAP * k + width // 2 for k, width in enumerate(widths)]
    length = sum(widths) + GAP * (len(widths) - 1)
    rows = [(" " * GAP).join(f"{word:^{width}}" for word, width in zip(row, widths)) for row in zip(*columns)]
    middle = length // 2
    top, bottom = (_rail(centres, length, ends) for ends in ("┌┬┐", "└┴┘"))
    top[middle] = {"─": "┴", "┬": "┼", "┌": "├", "┐": "┤"}.get(top[middle], "┴")
    label = f" {join} "
    start = max(centres[0] + 1, min(middle - len(label) // 2, centres[-1] - len(label)))
    bottom[start : start + len(label)] = label
    return ["".join(top), *rows, "".join(bottom).ljust(length)]


def _rail(centres: list[int], length: int, ends: str) -> list[str]:
    """Return a horizontal line with a corner or a branch at each centre."""
    rail = [" "] * centres[0] + ["─"] * (centres[-1] - centres[0]) + [" "] * (length - centres[-1])
    for place in centres[1:-1]:
        rail[place] = ends[1]
    rail[centres[0]], rail[centres[-1]] = ends[0], ends[2]
    return rail
