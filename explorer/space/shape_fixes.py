"""Edits of a space file that may fix shapes that do not match. They are guesses, to be checked by loading."""

from __future__ import annotations

import re
from collections.abc import Iterator

from explorer.errors import Edit, Problem
from explorer.space.language.foreign.residual import one_choice
from explorer.space.language.source_text import in_yaml, line_of, offset_of

_CONV = re.compile(r"\b(?:dw)?conv\d+x\d+(?P<args>\([^()]*(?:\((?:[^()]|\([^()]*\))*\)[^()]*)*\))?")
_SHORTCUT = re.compile(r"^(shortcut:\s*)\{(.*)\}[ ]*$", re.MULTILINE)


def shape_edits(text: str, problem: Problem) -> Iterator[Edit]:
    """Yield edits that may fix a problem of shapes: one of the branch first, then one of the shortcut.

    Args:
        text: The text of the file.
        problem: A problem at a merge, or at a stride that no layer can have; any other has no edits.
    """
    if "needs equal shapes" in problem.message:
        yield from _at_merge(text, problem)
    elif found := re.search(r"stage (\d+).*: the stride is (\d+), but the map has only", problem.message):
        yield from _stride_of(text, int(found[1]))
    elif "the layers shrink by 1, the stride is" in problem.message or "gives a block with no merge" in problem.message:
        yield from _one_choice(text, problem)
        yield from _strided(text, problem)
    elif "write strides under 'stages'" in problem.message:
        yield from _without_strides(text, problem)
    elif "a merge is allowed only in a block" in problem.message:
        start, line = offset_of(text, (problem.line, 1)), line_of(text, problem.line)
        yield Edit(start, start + len(line), re.sub(r"\s*\+(?=\s|$)", "", line))
    elif found := re.search(r"(\d+) (?:groups|heads) .*nearest that fit: ([\d, ]+)", problem.message):
        yield from _with_divisor(text, problem, found[1], found[2].split(", "))
    elif "end it with 'fc'" in problem.message:
        yield from _with_classes(text, problem)
        at = offset_of(text, (problem.line, problem.column))
        end = at + len(re.match(r"[^\n#]*", text[at:])[0].rstrip())  # type: ignore[index]
        yield Edit(end, end, " fc")


def _one_choice(text: str, problem: Problem) -> Iterator[Edit]:
    """Yield the edit that makes a choice of one layer of ``conv3x3 bn relu | silu``, whose alternatives are rows."""
    named = re.search(r"\bwith ([\w-]+)=|the rule '([\w-]+)'", problem.message)
    name = (named[1] or named[2]) if named else "block"
    entry = re.search(rf"^[ ]*{re.escape(name)}:[ ]*([^#\n]*[^#\s])", text, re.MULTILINE)
    if entry is not None and (new := one_choice(entry[1], ())):
        yield Edit(*entry.span(1), new)


def _with_divisor(text: str, problem: Problem, number: str, fitting: list[str]) -> Iterator[Edit]:
    """Yield the edits that write numbers of groups or heads that divide the channels."""
    start = offset_of(text, (problem.line, problem.column))
    line = line_of(text, problem.line)[problem.column - 1 :]
    if found := re.search(rf"(?:\bg\s*=\s*|\bheads\s*=\s*|\()(?P<number>{number})\s*(?=[,)])", line):
        for divisor in fitting:
            yield Edit(start + found.start("number"), start + found.end("number"), divisor)


def _with_classes(text: str, problem: Problem) -> Iterator[Edit]:
    """Yield the edit that leaves the outputs of a last ``fc(100)`` to the classes, and the one of the classes."""
    start, line = offset_of(text, (problem.line, 1)), line_of(text, problem.line)
    last = re.search(r"\bfc\((\d+)\)\s*(?=#|$)", line)
    if last is None:
        return
    yield Edit(start + last.start(), start + last.end(), "fc")
    if classes := re.search(r"^classes:\s*(\d+)", text, re.MULTILINE):
        yield Edit(*classes.span(1), last[1])


def _without_strides(text: str, problem: Problem) -> Iterator[Edit]:
    """Yield the edits that give the block's stride to a pool, and that remove constant strides from a line."""
    for pool in re.finditer(r"\bavgpool(\d)x\1\(s\s*=\s*\1\)", text):
        yield Edit(*pool.span(), "avgpool")
    start = offset_of(text, (problem.line, 1))
    line = line_of(text, problem.line)
    new = re.sub(r"\(s\s*=\s*\d+\)|,\s*s\s*=\s*\d+|(?<=\()s\s*=\s*\d+,\s*", "", line)
    yield Edit(start, start + len(line), new)


def _at_merge(text: str, problem: Problem) -> Iterator[Edit]:
    merge = offset_of(text, (problem.line, problem.column))
    start = max(text.rfind(sign, 0, merge) for sign in ("\n", ": ", "| "))
    convs = list(_CONV.finditer(text, start + 1, merge))
    padded = re.sub(r"\(pad=0\)|,\s*pad=0", "", text[start + 1 : merge])
    if padded != text[start + 1 : merge]:
        yield Edit(start + 1, merge, padded)
        yield Edit(start + 1, merge, _without_width(padded))
    even = list(re.finditer(r"\b(conv|dwconv|maxpool|avgpool)(\d*[02468])x\2(?!\d)", text[start + 1 : merge]))
    for match in even:
        size = int(match[2]) + 1
        yield Edit(start + 1 + match.start(), start + 1 + match.end(), f"{match[1]}{size}x{size}")
    if not convs:
        return
    last = convs[-1]
    width, rest = _width(last["args"] or "")
    name = last[0][: len(last[0]) - len(last["args"] or "")]
    if width:
        yield Edit(last.start(), last.end(), f"{name}({rest})" if rest else name)
    shapes = re.search(r"the branch has (\d+)x\S+, the shortcut (\d+)x", problem.message)
    if shapes and not width:
        yield Edit(last.start(), last.end(), f"{name}({', '.join(filter(None, (shapes[2], rest)))})")
    if name.startswith("dw"):
        yield Edit(last.end(), last.end(), " conv1x1")
    yield from _shortcut(text, problem, width or "w")


def _without_width(text: str) -> str:
    """Return layers without the output width of their last convolution."""
    last = ([None, *_CONV.finditer(text)])[-1]
    width, rest = _width(last["args"] or "") if last else ("", "")
    if last is None or not width:
        return text
    name = last[0][: len(last[0]) - len(last["args"])]
    return f"{text[: last.start()]}{name}{f'({rest})' if rest else ''}{text[last.end() :]}"


def _width(arguments: str) -> tuple[str, str]:
    """Return the output width among a conv's arguments, "" for none, and the other arguments."""
    parts = [part.strip() for part in re.split(r",(?![^()]*\))", arguments[1:-1]) if part.strip()]
    width = next((part for part in parts if "=" not in part or part.startswith("out")), "")
    return re.sub(r"^out\s*=\s*", "", width), ", ".join(part for part in parts if part != width)


def _shortcut(text: str, problem: Problem, width: str) -> Iterator[Edit]:
    """Yield the edit that gives the conv of the shortcut this width."""
    key = "same" if "shortcut 'same'" in problem.message else "changed"
    conv = "conv1x1" if width == "w" else f"conv1x1({width})"
    if (value := _shortcut_value(text, key)) is not None:
        old = text[slice(*value)]
        new = _CONV.sub(conv, old, count=1) if _CONV.search(old) else f"{old} {conv}"
        yield Edit(*value, in_yaml(new.strip(), True))
    elif (found := _SHORTCUT.search(text)) is not None:
        yield Edit(found.end(2), found.end(2), f", {key}: {in_yaml(f'{conv} bn', True)}")
    elif re.search(r"^shortcut:", text, re.MULTILINE) is None:
        line = re.search(r"^block:.*$", text, re.MULTILINE)
        at = line.end() if line else len(text.rstrip())
        yield Edit(at, at, f"\nshortcut: {{{key}: {in_yaml(f'{conv} bn', True)}}}")


def _shortcut_value(text: str, key: str) -> tuple[int, int] | None:
    """Return where the value of a key of the general shortcut is; None without one."""
    if (found := _SHORTCUT.search(text)) is not None:
        value = re.search(rf"\b{key}:\s*([^,{{}}]*[^,{{}}\s])", found[2])
        return None if value is None else (found.start(2) + value.start(1), found.start(2) + value.end(1))
    block = re.search(rf"^shortcut:[ ]*\n(?:[ ]+.*\n)*?[ ]+{key}:[ ]*([^#\n]*[^#\n\s])", text, re.MULTILINE)
    return None if block is None else block.span(1)


def _stride_of(text: str, stage: int) -> Iterator[Edit]:
    """Yield the edit that gives a stage the stride 1."""
    listed = re.search(r"stride:\s*\[([^\]]*)\]", text)
    if listed is None:
        return
    strides = listed[1].split(",")
    if stage <= len(strides):
        strides[stage - 1] = re.sub(r"\S+", "1", strides[stage - 1])
        yield Edit(listed.start(1), listed.end(1), ",".join(strides))


def _strided(text: str, problem: Problem) -> Iterator[Edit]:
    """Yield edits that let a conv of the expression have the block's stride."""
    if "write 'zero +'" in problem.message:
        start, line = offset_of(text, (problem.line, 1)), line_of(text, problem.line)
        yield Edit(start, start + len(line), re.sub(r"\b(none|identity|scale\([^()]*\))(?=\s*\+)", "zero", line))
        return
    if "shortcut" in problem.message:
        if (value := _shortcut_value(text, "changed")) is not None:
            yield Edit(*value, f"conv1x1 {text[slice(*value)]}")
            yield Edit(*value, "conv1x1 bn")
        return
    start = offset_of(text, (problem.line, problem.column))
    line = line_of(text, problem.line)
    for match in _CONV.finditer(text, start, start + len(line) - problem.column + 1):
        if re.search(r"\bs\s*=\s*1\b", match["args"] or ""):
            yield Edit(match.start(), match.end(), re.sub(r"\bs\s*=\s*1\b", "s=s", match[0]))
