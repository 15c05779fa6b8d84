"""The one value that every later stage shares: a residual network with nothing left to choose.

An ``Architecture`` is a stem, stages of blocks and a head, all of ops with literal numbers. It is
frozen, checked when it is made, and equal to another when both compute the same function.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from explorer.canonical import canonical_text
from explorer.errors import ArchitectureError
from explorer.ops import registry
from explorer.ops.base import Op, TensorShape
from explorer.ops.merge import Add, Merge, merge_from_json
from explorer.system.strict_json import parse_json

FORMAT = 1
DIGEST_VERSION = "v1"
MAX_LAYERS = 10_000
MAX_SIDE = 4_096
MAX_BLOCKS = 2_000
MAX_JSON_BYTES = 1 << 24  # 10,000 layers take some 4 MB


@dataclass(frozen=True, slots=True)
class Block:
    """A residual branch, its meeting with the shortcut, and what follows the merge.

    ``shortcut``: its ops; empty for the identity, None for no shortcut at all (a plain block).
    ``shared``: how many leading ops of the branch the shortcut is taken after; 0 takes it from the
    block's input, more is the shared pre-activation of He et al. 2016 (appendix).
    """

    branch: tuple[Op, ...]
    merge: Merge = Add()
    after: tuple[Op, ...] = ()
    shortcut: tuple[Op, ...] | None = ()
    shared: int = 0

    @property
    def layer_count(self) -> int:
        """The number of ops, those of the shortcut included."""
        return len(self.branch) + len(self.shortcut or ()) + len(self.after)

    def output_shape(self, x: TensorShape) -> TensorShape:
        """The shape put out for an arriving ``x``. Raises ArchitectureError when branch and shortcut do not meet."""
        start = _through(self.branch[: self.shared], x) if self.shared else x
        y = _through(self.branch[self.shared :], start)
        if self.shortcut is not None:
            y = self.merge.output_shape(y, _through(self.shortcut, start))
        elif not isinstance(self.merge, Add):
            raise ArchitectureError(f"the merge {self.merge.spelling!r} needs a shortcut, this block has none")
        return _through(self.after, y)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"branch": _ops_to_json(self.branch), "merge": self.merge.to_json()}
        out["after"] = _ops_to_json(self.after)
        out["shortcut"] = None if self.shortcut is None else _ops_to_json(self.shortcut)
        if self.shared:
            out["shared"] = self.shared
        return out

    def __str__(self) -> str:
        """The block as a line of the language, with literal numbers."""
        return " ".join(map(str, (*self.branch, self.merge, *self.after)))


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one output size, with the ops of the transition that opens the stage, if any."""

    blocks: tuple[Block, ...]
    transition: tuple[Op, ...] = ()


class Placed(NamedTuple):
    """An op in its place. ``path``: ``stem.0``, ``stage2.block1.branch.3``, ``stage1.block2.merge``,
    ``head.2``; stages and blocks count from 1, ops from 0. ``x`` arrives (at a merge: the shortcut), ``y`` leaves."""

    path: str
    op: Op | Merge
    x: TensorShape
    y: TensorShape


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
        output = self.stage_shapes()[-1]
        output = _at("head", _through, self.head, output)
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

    def stage_shapes(self) -> list[TensorShape]:
        """The shape after the stem and after each stage."""
        shapes = [_at("stem", _through, self.stem, self.input)]
        for number, stage in enumerate(self.stages, 1):
            x = _at(f"the transition to stage {number}", _through, stage.transition, shapes[-1])
            known: dict[tuple[int, TensorShape], TensorShape] = {}
            for place, block in enumerate(stage.blocks, 1):
                key = (id(block), x)
                if key not in known:
                    known[key] = _at(f"stage {number}, block {place}", block.output_shape, x)
                x = known[key]
            shapes.append(x)
        return shapes

    def layers(self) -> Iterator[Placed]:
        """Every op and merge in the order of computation, with the shapes around it."""

        def run(path: str, ops: Iterable[Op], x: TensorShape, first: int = 0) -> Iterator[Placed]:
            for index, op in enumerate(ops, first):
                y = op.output_shape(x)
                yield Placed(f"{path}.{index}", op, x, y)
                x = y

        x = self.input
        yield from run("stem", self.stem, x)
        x = _through(self.stem, x)
        for number, stage in enumerate(self.stages, 1):
            yield from run(f"stage{number}.transition", stage.transition, x)
            x = _through(stage.transition, x)
            for place, block in enumerate(stage.blocks, 1):
                path = f"stage{number}.block{place}"
                start = _through(block.branch[: block.shared], x)
                yield from run(f"{path}.branch", block.branch, x)
                y = _through(block.branch, x)
                if block.shortcut is not None:
                    yield from run(f"{path}.shortcut", block.shortcut, start)
                    arriving = _through(block.shortcut, start)
                    y = block.merge.output_shape(y, arriving)
                    yield Placed(f"{path}.merge", block.merge, arriving, y)
                yield from run(f"{path}.after", block.after, y)
                x = _through(block.after, y)
        yield from run("head", self.head, x)

    @cached_property
    def digest(self) -> str:
        """The identity: equal for two architectures exactly when both compute the same function.

        A SHA-256 of the canonical form; its prefix is the version of that form, so that a better
        one later does not silently orphan what is stored under this one.
        """
        return f"{DIGEST_VERSION}-{hashlib.sha256(canonical_text(self).encode()).hexdigest()[:32]}"

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
                "stem": _ops_to_json(self.stem),
                "stages": [
                    {
                        "transition": _ops_to_json(stage.transition),
                        "blocks": [block.to_json() for block in stage.blocks],
                    }
                    for stage in self.stages
                ],
                "head": _ops_to_json(self.head),
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


def _through(ops: Iterable[Op], x: TensorShape) -> TensorShape:
    for op in ops:
        x = op.output_shape(x)
    return x


def _at(place: str, compute, *args):
    try:
        return compute(*args)
    except ArchitectureError as error:
        raise ArchitectureError(f"{place}: {error}") from None


def _ops_to_json(ops: Iterable[Op]) -> list[dict[str, Any]]:
    return [op.to_json() for op in ops]


def _listed(data: Any, place: str) -> list:
    """``data`` if it is a list; ``place``: where it stands in the JSON text, here and below, for the message."""
    if not isinstance(data, list) or len(data) > MAX_LAYERS:
        found = f"one of {len(data):,}" if isinstance(data, list) else f"{str(data)[:80]!r}"
        raise ArchitectureError(f"{place}: expected a list of at most {MAX_LAYERS:,}, found {found}")
    return data


def _ops_from_json(data: Any, place: str) -> tuple[Op, ...]:
    ops = _listed(data, place)
    return tuple(_at(f"{place}[{number}]", registry.from_json, item) for number, item in enumerate(ops))


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
    merge = _at(f"{place}.merge", merge_from_json, data["merge"])
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
