"""The one value that every later stage shares: a residual network with nothing left to choose.

An ``Architecture`` is a stem, stages of blocks and a head, all of ops with literal numbers. It is
frozen, checked when it is made, and equal to another when both compute the same function.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.block import Block, Stage, ops_to_json
from explorer.networks.canonical import canonical_text
from explorer.networks.ops import registry
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import merge_from_json
from explorer.networks.walk import Layer, PlacedBlock, Segment, at_place, walk
from explorer.system.strict_json import parse_json

FORMAT = 1
DIGEST_VERSION = "v1"
MAX_LAYERS = 10_000
MAX_SIDE = 4_096
MAX_BLOCKS = 2_000
MAX_JSON_BYTES = 1 << 24  # 10,000 layers take some 4 MB


@dataclass(frozen=True, eq=False)
class Architecture:
    """A residual network: ``input`` (channels, height, width), ``classes``, stem, stages, head.

    Raises ArchitectureError on construction when a shape does not fit, or a bound is passed.
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
                raise ArchitectureError(f"{name} must lie in 1..{high}, found {value}")
        if not self.stages or not all(stage.blocks for stage in self.stages):
            raise ArchitectureError("an architecture needs at least one stage, and a block in each")
        for number, stage in enumerate(self.stages, 1):
            if len(stage.blocks) > MAX_BLOCKS:
                raise ArchitectureError(
                    f"stage {number} has {len(stage.blocks)} blocks, at most {MAX_BLOCKS} may stand"
                )
        if self.layer_count > MAX_LAYERS:
            raise ArchitectureError(f"the network has {self.layer_count:,} layers, at most {MAX_LAYERS:,} may stand")
        output = self.segments[-1].y
        if output != (self.classes, 1, 1):
            raise ArchitectureError(
                f"the head puts out {output}, {self.classes} classes need {self.classes}x1x1; end it with 'fc'"
            )
        object.__setattr__(self, "output", output)

    @property
    def layer_count(self) -> int:
        """The number of ops, those of the shortcuts included."""
        stages = sum(len(stage.transition) + sum(block.layer_count for block in stage.blocks) for stage in self.stages)
        return len(self.stem) + stages + len(self.head)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The stem, the transitions, the blocks and the head in the order of computation, with their shapes."""
        return tuple(walk(self.input, self.stem, self.stages, self.head))

    def blocks(self) -> Iterator[PlacedBlock]:
        """Every block in the order of computation, with its shapes."""
        return (segment for segment in self.segments if isinstance(segment, PlacedBlock))

    def layers(self) -> Iterator[Layer]:
        """Every op and merge in the order of computation, with its shapes."""
        return chain.from_iterable(segment.layers() for segment in self.segments)

    def stage_shapes(self) -> list[TensorShape]:
        """The shape after the stem and after each stage."""
        shapes = {segment.stage: segment.y for segment in self.segments}
        return list(shapes.values())[:-1]

    @cached_property
    def digest(self) -> str:
        """The identity: equal for two architectures exactly when both compute the same function.

        A SHA-256 of the canonical form; its prefix is the version of that form, so that a better
        one later does not silently orphan what is stored under this one.
        """
        form = canonical_text(self.input, self.classes, self.segments)
        return f"{DIGEST_VERSION}-{hashlib.sha256(form.encode()).hexdigest()[:32]}"

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickle and copy. The segments follow from the rest and are left out."""
        return {name: value for name, value in vars(self).items() if name != "segments"}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_json(self) -> str:
        """The architecture as JSON text; ``from_json`` gives it back without loss."""
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
    def from_json(cls, text: str | bytes, digest: str = "") -> Architecture:
        """The architecture that ``to_json`` wrote, of this digest where one is given. Raises ArchitectureError for
        anything else."""
        try:
            data = parse_json(text)
        except ValueError as error:
            raise ArchitectureError(f"not JSON that can be read: {error}") from None
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
        made = cls(
            TensorShape(*data["input"]),
            data["classes"],
            _ops_from_json(data["stem"], "stem"),
            tuple(_stage_from_json(stage, f"stages[{number}]") for number, stage in enumerate(stages)),
            _ops_from_json(data["head"], "head"),
        )
        for place, stated in (("in the file", str(data.get("digest", ""))), ("expected", digest)):
            if stated.startswith(f"{DIGEST_VERSION}-") and stated != made.digest:
                raise ArchitectureError(f"the digest {place} is {stated[:60]!r}, its content gives {made.digest!r}")
        return made


def _listed(data: Any, place: str) -> list[Any]:
    """``data`` if it is a list; ``place``: where it stands in the JSON text, here and below, for the message."""
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
    blocks = _listed(data["blocks"], f"{place}.blocks")
    made = tuple(_block_from_json(block, f"{place}.blocks[{number}]") for number, block in enumerate(blocks))
    return Stage(made, _ops_from_json(data["transition"], f"{place}.transition"))


def _block_from_json(data: Any, place: str) -> Block:
    required = {"branch", "merge", "after", "shortcut"}
    if not isinstance(data, dict) or not required <= set(data) <= required | {"shared"}:
        raise ArchitectureError(f"{place}: a block has the keys {', '.join(sorted(required))} and perhaps shared")
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
    """Raises TypeError for what is not an Architecture."""
    if not isinstance(value, Architecture):
        raise TypeError(f"an Architecture is needed, as space.architecture(0) gives it; found {value!r:.80}")
