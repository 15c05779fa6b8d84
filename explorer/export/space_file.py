"""Architecture to ``architecture.yaml``: a space file whose only derivation is that network.

The text is written as a person would: widths that follow the stage's are left out, blocks that repeat
stand once. It is then read back, and its network must have the same digest.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from math import prod
from typing import NamedTuple

from explorer.architecture import Architecture, Block, Stage
from explorer.errors import ArchitectureError, ExportError, SpaceError
from explorer.export.spelling import Place, Run, spell_merge, spell_runs
from explorer.ops.base import Op, TensorShape
from explorer.space.derive.blocks import initial_norm_act
from explorer.space.search_space import parse_space

UNSPEAKABLE = "this network has no spelling in the space language, export it without the format 'yaml'"


def space_text(architecture: Architecture) -> str:
    """The space file. Raises ExportError for a network that the language cannot say (one made by hand)."""
    try:
        text = _written(architecture) or _written(_without_transitions(architecture))
        space = parse_space(text, "architecture.yaml")
        same = space.count() == 1 and space.architecture(0) == architecture
    except (ArchitectureError, SpaceError) as error:
        raise ExportError(f"{UNSPEAKABLE}: {error}") from error
    if not same:
        raise ExportError(f"{UNSPEAKABLE}: what comes nearest reads as another network")
    return text


class Spelled(NamedTuple):
    """A block in words. ``stride``: what the stage's header is to say when the block opens it.
    ``shortcut``: the keys of a shortcut section that the block needs to be so."""

    text: str
    width: int
    stride: int
    shortcut: dict[str, str]


@dataclass
class Entry:
    """One entry of ``stages``: a first block, and others that equal each other."""

    first: Spelled
    rest: list[Spelled] = field(default_factory=list)
    shortcut: dict[str, str] = field(default_factory=dict)

    def takes(self, block: Spelled) -> bool:
        """Whether ``block`` may stand as the entry's next."""
        agrees = all(self.shortcut.get(key, value) == value for key, value in block.shortcut.items())
        repeats = not self.rest or self.rest[0].text == block.text
        return agrees and repeats and block.stride == 1 and block.width == self.first.width

    @property
    def block(self) -> str:
        """The text of the stage's blocks. With ``s=s`` it may say the first and the others alike: theirs is 1."""
        alike = not self.rest or re.sub(r"\(s=s\)|, s=s", "", self.first.text) == self.rest[0].text
        return self.first.text if alike else self.rest[0].text


def _written(architecture: Architecture) -> str | None:
    """The text; None when its transitions do not fit the one expression that a file has for them."""
    entries: list[Entry] = []
    for blocks in _spelled_blocks(architecture):
        for place, block in enumerate(blocks):
            if place and entries[-1].takes(block):
                entries[-1].rest.append(block)
                entries[-1].shortcut.update(block.shortcut)
            else:
                entries.append(Entry(block, shortcut=dict(block.shortcut)))
    strides = [entry.first.stride for entry in entries]
    transition = None
    if any(stage.transition for stage in architecture.stages):
        found = _transition(architecture, entries)
        if found is None:
            return None
        transition, strides = found
    classes = architecture.classes
    stem = spell_runs([Run(architecture.stem, architecture.input, Place())], classes)[0]
    head = spell_runs([Run(architecture.head, architecture.stage_shapes()[-1], Place())], classes)[0]
    shortcut = _general(entries)
    block = Counter(entry.block for entry in entries).most_common(1)[0][0]
    lines = [
        f"name: network_{architecture.digest.split('-')[1][:8]}",
        "about: One network, the only derivation of this space.",
        f"input: {architecture.input}",
        f"classes: {classes}",
        "",
        f"stem: {stem or 'none'}",
        *_stages(entries, strides, block, shortcut),
        f"block: {block}",
        *_section("shortcut", shortcut),
        *([f"transition: {transition}"] if transition else []),
        f"head: {head or 'none'}",
    ]
    return "\n".join(lines) + "\n"


def _spelled_blocks(architecture: Architecture) -> list[list[Spelled]]:
    """The blocks of each stage in words; numbers are put in relation to the stage over the whole network."""
    placed = []
    total = sum(len(stage.blocks) for stage in architecture.stages)
    for number, (stage, x) in enumerate(zip(architecture.stages, architecture.stage_shapes())):
        for op in stage.transition:
            x = op.output_shape(x)
        for block in stage.blocks:
            branch = _output(block.branch, x)
            place = Place(branch.channels, x.channels, _shrinking(block.branch), len(placed) + 1, total)
            runs = [Run(block.branch, x, place)]
            if block.shortcut:
                runs.append(Run(block.shortcut, _output(block.branch[: block.shared], x), place))
            placed.append((number, block, x, branch, runs))
            x = block.output_shape(x)
    branches = spell_runs([runs[0] for *_, runs in placed], architecture.classes)
    afters = [Run(block.after, _merged(block, x, branch), Place()) for _, block, x, branch, _ in placed]
    after = spell_runs(afters, architecture.classes)
    shortcuts = iter(spell_runs([runs[1] for *_, runs in placed if len(runs) > 1], architecture.classes))
    out: list[list[Spelled]] = [[] for _ in architecture.stages]
    for index, (number, block, x, branch, runs) in enumerate(placed):
        text = " ".join(filter(None, (branches[index], spell_merge(block.merge), after[index])))
        changed = x[1:] != branch[1:] if block.merge.spelling == "cat" else x != branch
        words = "none" if block.shortcut is None else next(shortcuts) if block.shortcut else "identity"
        shortcut = {"changed" if changed else "same": words}
        if (changed or index == 0) and initial_norm_act(block.branch):
            shortcut["from"] = "preact" if block.shared else "input"
        out[number].append(Spelled(text, runs[0].place.width, runs[0].place.stride, shortcut))
    return out


def _output(ops: tuple[Op, ...], x: TensorShape) -> TensorShape:
    for op in ops:
        x = op.output_shape(x)
    return x


def _shrinking(ops: tuple[Op, ...]) -> int:
    return prod(op.receptive()[1] for op in ops)


def _merged(block: Block, x: TensorShape, branch: TensorShape) -> TensorShape:
    if block.shortcut is None:
        return branch
    return block.merge.output_shape(branch, _output(block.shortcut, _output(block.branch[: block.shared], x)))


def _transition(architecture: Architecture, entries: list[Entry]) -> tuple[str, list[int]] | None:
    """The transition that stands before each stage but the first, and the strides of the stages that it
    opens; None when the stages have no one such."""
    stages = architecture.stages
    if len(entries) != len(stages) or stages[0].transition:
        return None
    runs = []
    for stage, entry, x in zip(stages[1:], entries[1:], architecture.stage_shapes()[1:]):
        runs.append(Run(stage.transition, x, Place(entry.first.width, x.channels, _shrinking(stage.transition))))
    texts = set(spell_runs(runs, architecture.classes))
    return (texts.pop(), [entries[0].first.stride, *(run.place.stride for run in runs)]) if len(texts) == 1 else None


def _without_transitions(architecture: Architecture) -> Architecture:
    """The same network, each transition written as a stage of one block without a shortcut."""
    stages: list[Stage] = []
    for stage in architecture.stages:
        if stage.transition:
            stages.append(Stage((Block(stage.transition, shortcut=None),)))
        stages.append(Stage(stage.blocks))
    return replace(architecture, stages=tuple(stages))


def _general(entries: list[Entry]) -> dict[str, str]:
    """The shortcut that most stages need, key by key; a shortcut that is the identity needs no word."""
    found: dict[str, str] = {}
    for key in ("same", "changed", "from"):
        wanted = Counter(entry.shortcut[key] for entry in entries if key in entry.shortcut)
        if wanted:
            found[key] = wanted.most_common(1)[0][0]
    defaults = {"same": "identity", "from": "input"}
    return {key: value for key, value in found.items() if defaults.get(key) != value}


def _section(key: str, entries: dict[str, str], indent: str = "") -> list[str]:
    return [f"{indent}{key}:", *(f"{indent}  {name}: {value}" for name, value in entries.items())] if entries else []


def _stages(entries: list[Entry], strides: list[int], block: str, shortcut: dict[str, str]) -> list[str]:
    """``stages``: one line where they differ in numbers alone, else a list."""
    defaults = {"same": "identity", "from": "input", **shortcut}
    numbers = {
        "blocks": [1 + len(entry.rest) for entry in entries],
        "width": [entry.first.width for entry in entries],
        "stride": strides,
    }
    own = []
    for entry in entries:
        lines = [f"    block: {entry.block}"] if entry.block != block else []
        if entry.first.text != entry.block:
            lines.append(f"    first: {entry.first.text}")
        differs = {key: value for key, value in entry.shortcut.items() if defaults.get(key) != value}
        own.append(lines + _section("shortcut", differs, "    "))
    if not any(own):
        shown = []
        for key, values in numbers.items():
            if key == "stride" and set(values) == {1}:
                continue
            scalar = len(set(values)) == 1 and (key != "width" or len(values) == 1 or len(set(strides)) > 1)
            shown.append(f"{key}: {values[0] if scalar else values}")
        return [f"stages: {{{', '.join(shown)}}}"]
    lines = ["stages:"]
    for k, structure in enumerate(own):
        lines += [f"  - blocks: {numbers['blocks'][k]}", f"    width: {numbers['width'][k]}"]
        lines += [f"    stride: {strides[k]}"] if strides[k] != 1 else []
        lines += structure
    return lines
