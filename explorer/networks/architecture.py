"""``Architecture``: a residual network without open choices, the input of all later steps.

An ``Architecture`` is a stem, stages of blocks and a head, all of ops with literal numbers. It is frozen, checked on
construction, and equal to another one if both compute the same function.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, groupby, islice
from operator import is_
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.block import Block, Stage, ops_to_json
from explorer.networks.canonical import canonical_text
from explorer.networks.drawing import stage_diagrams
from explorer.networks.ops import registry
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import merge_from_json
from explorer.networks.ops.nested.nesting import op_count
from explorer.networks.walk import Layer, PlacedBlock, Segment, at_place, walk
from explorer.system.strict_json import parse_json

FORMAT = 1  # of the JSON text
DIGEST_VERSION = "v1"  # of the canonical form, see ``Architecture.digest``
# Upper bounds far above those of published networks, so that a typing error is reported and does not exhaust memory.
MAX_LAYERS = 10_000  # ops of a network
MAX_SIDE = 4_096  # height and width of an image
MAX_BLOCKS = 2_000  # of a stage
MAX_JSON_BYTES = 1 << 24  # of a file that is read; 10,000 layers take about 4 MB


@dataclass(frozen=True, eq=False, repr=False)
class Architecture:
    """A residual network with literal numbers.

    Attributes:
        input: The shape of an image: channels, height, width.
        classes: The number of classes.
        stem: The ops before the first stage.
        stages: The stages, at least one, each with at least one block; without dead layers (``dead_layers``).
        head: The ops after the last stage; their output is (classes, 1, 1).
        output: The output shape of the head.

    Raises:
        ArchitectureError: A shape does not fit, or a number is out of range.
    """

    input: TensorShape
    classes: int
    stem: tuple[Op, ...]
    stages: tuple[Stage, ...]
    head: tuple[Op, ...]
    output: TensorShape = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input", TensorShape(*self.input))
        for name, value, high in (
            ("input channels", self.input.channels, 65_536),
            ("input height", self.input.height, MAX_SIDE),
            ("input width", self.input.width, MAX_SIDE),
            ("classes", self.classes, 65_536),
        ):
            if not 1 <= value <= high:
                raise ArchitectureError(f"{name} must be in 1..{high}, found {value}")
        if not self.stages or not all(stage.blocks for stage in self.stages):
            raise ArchitectureError("an architecture needs at least one stage, and a block in each")
        for number, stage in enumerate(self.stages, 1):
            if len(stage.blocks) > MAX_BLOCKS:
                raise ArchitectureError(
                    f"stage {number} has {len(stage.blocks):,} blocks; a stage has at most {MAX_BLOCKS:,} blocks"
                )
        if self.layer_count > MAX_LAYERS:
            raise ArchitectureError(
                f"the network has {self.layer_count:,} layers; a network has at most {MAX_LAYERS:,} layers"
            )
        output = self.segments[-1].y
        if output != (self.classes, 1, 1):
            raise ArchitectureError(
                f"the head has the output {output}, {self.classes} classes need {self.classes}x1x1; end it with 'fc'"
            )
        object.__setattr__(self, "output", output)
        live = [segment.block for segment in self.segments if type(segment) is PlacedBlock]
        if not all(map(is_, live, chain.from_iterable([stage.blocks for stage in self.stages]))):
            object.__setattr__(self, "stages", tuple(self._live_stages(live)))

    def _live_stages(self, blocks: Iterable[Block]) -> Iterator[Stage]:
        """Yield the stages with the blocks replaced by ``blocks``."""
        left = iter(blocks)
        for stage in self.stages:
            yield replace(stage, blocks=tuple(islice(left, len(stage.blocks))))

    def __repr__(self) -> str:
        depths = ", ".join(str(len(stage.blocks)) for stage in self.stages)
        return f"Architecture({self.digest}: {self.input}, stages of {depths} blocks, {self.classes} classes)"

    def _repr_html_(self) -> str:
        """Return a drawing of every kind of block, with the number of its repetitions, for notebooks."""
        columns = []
        for number, (diagrams, shape) in enumerate(zip(stage_diagrams(self.blocks()), self.stage_shapes()[1:]), 1):
            runs = [(diagram, len(list(run))) for diagram, run in groupby(diagrams)]
            drawn = "\n\n".join(f"{count} x\n{diagram}" for diagram, count in runs)
            columns.append(
                f"<td style='text-align: left; vertical-align: top'>stage {number}, to {shape}"
                f"<pre>{html.escape(drawn)}</pre></td>"
            )
        return f"<table><caption>{html.escape(repr(self))}</caption><tr>{''.join(columns)}</tr></table>"

    @property
    def layer_count(self) -> int:
        """The number of ops, including those of the shortcuts and in forks."""
        blocks = sum([block.layer_count for stage in self.stages for block in stage.blocks])
        return blocks + sum(map(op_count, (self.stem, *(stage.transition for stage in self.stages), self.head)))

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The stem, the transitions, the blocks and the head in the order of computation, with their shapes."""
        return tuple(walk(self.input, self.stem, self.stages, self.head))

    def blocks(self) -> Iterator[PlacedBlock]:
        """Yield every block in the order of computation, with its shapes."""
        return (segment for segment in self.segments if isinstance(segment, PlacedBlock))

    def layers(self) -> Iterator[Layer]:
        """Yield every op and merge in the order of computation, with its shapes."""
        return chain.from_iterable(segment.layers() for segment in self.segments)

    def stage_shapes(self) -> list[TensorShape]:
        """Return the shape after the stem and after each stage."""
        shapes = {segment.stage: segment.y for segment in self.segments}
        return list(shapes.values())[:-1]

    @cached_property
    def digest(self) -> str:
        """The identity: equal for two architectures exactly if both have the same canonical form.

        It is a SHA-256 of the canonical form. Its prefix is the version of that form, so that values stored under an
        earlier version are not mistaken for those of a later one.
        """
        form = canonical_text(self.input, self.classes, self.segments)
        return f"{DIGEST_VERSION}-{hashlib.sha256(form.encode()).hexdigest()[:32]}"

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle and copy, without the segments, which are computed again."""
        return {name: value for name, value in vars(self).items() if name != "segments"}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_json(self) -> str:
        """Return the architecture as JSON text, which ``from_json`` reads without loss."""
        return json.dumps(
            {
                "format": FORMAT,
                "digest": self.digest,
                "input": list(self.input),
                "classes": self.classes,
                "stem": ops_to_json(self.stem),
                "stages": [
                    {
                        "transition": ops_to_json(stage.transition),
                        "blocks": [block.to_json() for block in stage.blocks],
                    }
                    for stage in self.stages
                ],
                "head": ops_to_json(self.head),
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes | Architecture, digest: str = "") -> Architecture:
        """Return the architecture that ``to_json`` wrote.

        Args:
            text: The JSON text. An Architecture, such as that of a trial, is returned as it is.
            digest: The expected digest; empty for any.

        Raises:
            ArchitectureError: The text is not a valid architecture, or has another digest.
        """
        if isinstance(text, Architecture):
            return text
        try:
            data = parse_json(text)
        except ValueError as error:
            raise ArchitectureError(f"not valid JSON: {error}") from None
        keys = {"format", "digest", "input", "classes", "stem", "stages", "head"}
        if not isinstance(data, dict) or not keys - {"digest"} <= set(data) <= keys:
            found = ", ".join(map(str, data))[:200] if isinstance(data, dict) else type(data).__name__
            raise ArchitectureError(f"an architecture has the keys {', '.join(sorted(keys))}; found {found}")
        if data["format"] != FORMAT:
            raise ArchitectureError(
                f"architecture format {str(data['format'])[:20]} is unknown; this version reads {FORMAT}"
            )
        for key, value, length in (("input", data["input"], 3), ("classes", [data["classes"]], 1)):
            if not _whole_numbers(value, length):
                wanted = "[channels, height, width]" if key == "input" else "a whole number"
                raise ArchitectureError(f"{key}: expected {wanted}, found {str(data[key])[:80]!r}")
        stages = _listed(data["stages"], "stages")
        given = tuple(_stage_from_json(stage, f"stages[{number}]") for number, stage in enumerate(stages))
        stem, head = (_ops_from_json(data[part], part) for part in ("stem", "head"))
        made = cls(TensorShape(*data["input"]), data["classes"], stem, given, head)
        if made.stages is not given:  # earlier versions hashed the dead layers too
            return made
        for place, stated in (("in the file", str(data.get("digest", ""))), ("expected", digest)):
            if stated.startswith(f"{DIGEST_VERSION}-") and stated != made.digest:
                raise ArchitectureError(f"the digest {place} is {stated[:60]!r}, its content gives {made.digest!r}")
        return made


def _listed(data: Any, place: str) -> list[Any]:
    """Return ``data`` if it is a list. ``place``: its place in the JSON text, for messages, here and below."""
    if not isinstance(data, list) or len(data) > MAX_LAYERS:
        found = f"one of {len(data):,}" if isinstance(data, list) else f"{str(data)[:80]!r}"
        raise ArchitectureError(f"{place}: expected a list of at most {MAX_LAYERS:,}, found {found}")
    return data


def _ops_from_json(data: Any, place: str) -> tuple[Op, ...]:
    ops = _listed(data, place)
    return tuple(at_place(f"{place}[{number}]", registry.from_json, item) for number, item in enumerate(ops))


def _stage_from_json(data: Any, place: str) -> Stage:
    if not isinstance(data, dict) or set(data) != {"transition", "blocks"}:
        raise ArchitectureError(f'{place}: a stage has exactly the keys "transition" and "blocks"')
    made: list[Block] = []
    for number, item in enumerate(_listed(data["blocks"], f"{place}.blocks")):
        block = _block_from_json(item, f"{place}.blocks[{number}]")
        # A repeated block is one object, so that its shapes and costs are computed once.
        made.append(made[-1] if made and made[-1] == block else block)
    return Stage(tuple(made), _ops_from_json(data["transition"], f"{place}.transition"))


def _block_from_json(data: Any, place: str) -> Block:
    required = {"branch", "merge", "after", "shortcut"}
    if not isinstance(data, dict) or not required <= set(data) <= required | {"shared"}:
        raise ArchitectureError(f"{place}: a block has the keys {', '.join(sorted(required))} and optionally shared")
    branch = _ops_from_json(data["branch"], f"{place}.branch")
    shared = data.get("shared", 0)
    if not _whole_numbers([shared], 1) or shared > len(branch):
        raise ArchitectureError(
            f'{place}: "shared" counts leading ops of the branch, found {str(shared)[:40]!r} of {len(branch)}'
        )
    shortcut = None if data["shortcut"] is None else _ops_from_json(data["shortcut"], f"{place}.shortcut")
    merge = at_place(f"{place}.merge", merge_from_json, data["merge"])
    return Block(branch, merge, _ops_from_json(data["after"], f"{place}.after"), shortcut, shared)


def _whole_numbers(values: Any, length: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == length
        and all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values)
    )


def require_architecture(value: object) -> None:
    """Check the type of an argument.

    Raises:
        TypeError: ``value`` is not an Architecture.
    """
    if not isinstance(value, Architecture):
        raise TypeError(f"expected an Architecture, for instance space.architecture(0); found {value!r:.80}")
