"""Conversion of an architecture to ``architecture.yaml``, a space file whose only derivation is that network.

The text is as short as a handwritten one: it leaves out widths that the language supplies, and repeats no block. The
module parses it again and checks that the result is the same network.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import prod
from typing import NamedTuple

from explorer.errors import ArchitectureError, ExportError, SpaceError
from explorer.export.spelling import Place, Run, spell_merge, spell_runs
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, Stage, Step
from explorer.networks.ops.window import Size, size_of, spell_size
from explorer.networks.walk import OpRun
from explorer.space.derive.blocks import initial_norm_act
from explorer.space.search_space import parse_space

NOT_EXPRESSIBLE = "the space language cannot express this network; export it without the format 'yaml'"


def space_text(architecture: Architecture) -> str:
    """Write a network in the space language.

    Args:
        architecture: The network.

    Returns:
        The text of the space file.

    Raises:
        ExportError: The language cannot express the network, for example one that was built by hand.
    """
    try:
        text = _write_space(architecture) or _write_space(_without_transitions(architecture))
        assert text is not None  # only transitions can make it None
        space = parse_space(text, "architecture.yaml")
        same = space.indices == 1 and space.architecture(0) == architecture
    except (ArchitectureError, SpaceError) as error:
        raise ExportError(f"{NOT_EXPRESSIBLE}: {error}") from error
    if not same:
        raise ExportError(f"{NOT_EXPRESSIBLE}: the closest text describes another network")
    return text


class SpelledBlock(NamedTuple):
    """A block in the space language.

    Attributes:
        text: The block's line of ops.
        width: Output channels.
        stride: The stride that the stage must have if this is its first block.
        shortcut: The entries that the stage's shortcut section must have.
    """

    text: str
    width: int
    stride: Size
    shortcut: dict[str, str]


@dataclass
class StageEntry:
    """One entry of ``stages``: a first block, and further blocks that are equal to each other.

    Attributes:
        first: The first block.
        rest: The further blocks.
        shortcut: The shortcut section, from all blocks of the entry.
    """

    first: SpelledBlock
    rest: list[SpelledBlock] = field(default_factory=list)
    shortcut: dict[str, str] = field(default_factory=dict)

    def accepts(self, block: SpelledBlock) -> bool:
        """Return whether ``block`` can be the entry's next block."""
        agrees = all(self.shortcut.get(key, value) == value for key, value in block.shortcut.items())
        repeats = not self.rest or self.rest[0].text == block.text
        return agrees and repeats and block.stride == 1 and block.width == self.first.width

    @property
    def block(self) -> str:
        """The text of the stage's blocks; ``s=s`` in it also fits the further blocks, whose stride is 1."""
        one_text = not self.rest or re.sub(r"\(s=s\)|, s=s", "", self.first.text) == self.rest[0].text
        return self.first.text if one_text else self.rest[0].text


def _write_space(architecture: Architecture) -> str | None:
    """Write the space file; return None if one ``transition`` line cannot express all transitions."""
    entries: list[StageEntry] = []
    for blocks in _spell_blocks(architecture):
        for place, spelled in enumerate(blocks):
            if place and entries[-1].accepts(spelled):
                entries[-1].rest.append(spelled)
                entries[-1].shortcut.update(spelled.shortcut)
            else:
                entries.append(StageEntry(spelled, shortcut=dict(spelled.shortcut)))
    strides = [entry.first.stride for entry in entries]
    transition = None
    if any(stage.transition for stage in architecture.stages):
        found = _transition(architecture, entries)
        if found is None:
            return None
        transition, strides = found
    classes = architecture.classes
    runs = {segment.path: segment.steps for segment in architecture.segments if isinstance(segment, OpRun)}
    stem, head = (spell_runs([Run(runs[part], Place())], classes)[0] for part in ("stem", "head"))
    shortcut = _common_shortcut(entries)
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
        "allow: one-network",
    ]
    return "\n".join(lines) + "\n"


def _spell_blocks(architecture: Architecture) -> list[list[SpelledBlock]]:
    """Write the blocks of each stage; texts in terms of the stage's width are chosen over the whole network."""
    blocks = list(architecture.blocks())
    branches, shortcuts = [], []
    for count, placed in enumerate(blocks, 1):
        steps = (*placed.parts.pre, *placed.parts.branch)
        place = Place(placed.branch_shape.channels, placed.x.channels, _total_stride(steps), count, len(blocks))
        branches.append(Run(steps, place))
        if placed.parts.shortcut:
            shortcuts.append(Run(placed.parts.shortcut, place))
    afters = [Run(placed.parts.after, Place()) for placed in blocks]
    texts = zip(*(spell_runs(runs, architecture.classes) for runs in (branches, afters)))
    shortcut_words = iter(spell_runs(shortcuts, architecture.classes))
    out: list[list[SpelledBlock]] = [[] for _ in architecture.stages]
    for placed, run, (branch, after) in zip(blocks, branches, texts):
        block, x, y = placed.block, placed.x, placed.branch_shape
        text = " ".join(filter(None, (branch, spell_merge(block.merge), after)))
        changed = x[1:] != y[1:] if block.merge.spelling == "cat" else x != y
        route = "none" if block.shortcut is None else next(shortcut_words) if block.shortcut else "identity"
        shortcut = {"changed" if changed else "same": route}
        if (changed or placed is blocks[0]) and initial_norm_act(block.branch):
            shortcut["from"] = "preact" if block.shared else "input"
        out[placed.stage - 1].append(SpelledBlock(text, y.channels, run.place.stride, shortcut))
    return out


def _total_stride(steps: Iterable[Step]) -> Size:
    """Return the product of the strides of the ops."""
    down, right = zip((1, 1), *(step.op.shrinks() for step in steps))
    return size_of(int(prod(down)), int(prod(right)))


def _transition(architecture: Architecture, entries: list[StageEntry]) -> tuple[str, list[Size]] | None:
    """Return the text of the transition before each stage but the first, and the strides of all stages.

    Return None if the stages do not share one transition text.
    """
    stages = architecture.stages
    if len(entries) != len(stages) or stages[0].transition:
        return None
    runs = []
    transitions = [s for s in architecture.segments if isinstance(s, OpRun) and s.part == "transition"]
    for segment, entry in zip(transitions[1:], entries[1:]):
        place = Place(entry.first.width, segment.x.channels, _total_stride(segment.steps))
        runs.append(Run(segment.steps, place))
    texts = set(spell_runs(runs, architecture.classes))
    return (texts.pop(), [entries[0].first.stride, *(run.place.stride for run in runs)]) if len(texts) == 1 else None


def _without_transitions(architecture: Architecture) -> Architecture:
    """Return the same network with each transition as a stage of one block without a shortcut."""
    stages: list[Stage] = []
    for stage in architecture.stages:
        if stage.transition:
            stages.append(Stage((Block(stage.transition, shortcut=None),)))
        stages.append(Stage(stage.blocks))
    return replace(architecture, stages=tuple(stages))


def _common_shortcut(entries: list[StageEntry]) -> dict[str, str]:
    """Return the most common shortcut entries, key by key, without those that are the language's defaults."""
    found: dict[str, str] = {}
    for key in ("same", "changed", "from"):
        needed = Counter(entry.shortcut[key] for entry in entries if key in entry.shortcut)
        if needed:
            found[key] = needed.most_common(1)[0][0]
    defaults = {"same": "identity", "from": "input"}
    return {key: value for key, value in found.items() if defaults.get(key) != value}


def _section(key: str, entries: dict[str, str], indent: str = "") -> list[str]:
    """Write a mapping as lines of YAML; nothing if it is empty."""
    return [f"{indent}{key}:", *(f"{indent}  {name}: {value}" for name, value in entries.items())] if entries else []


def _stages(entries: list[StageEntry], strides: list[Size], block: str, shortcut: dict[str, str]) -> list[str]:
    """Write ``stages``: one line if they differ only in numbers, else a list."""
    defaults = {"same": "identity", "from": "input", **shortcut}
    numbers: dict[str, list[Size]] = {
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
            texts = list(map(spell_size, values))
            shown.append(f"{key}: {texts[0] if scalar else '[' + ', '.join(texts) + ']'}")
        return [f"stages: {{{', '.join(shown)}}}"]
    lines = ["stages:"]
    for k, structure in enumerate(own):
        lines += [f"  - blocks: {numbers['blocks'][k]}", f"    width: {numbers['width'][k]}"]
        lines += [f"    stride: {spell_size(strides[k])}"] if strides[k] != 1 else []
        lines += structure
    return lines
