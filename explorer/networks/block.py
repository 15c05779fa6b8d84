"""A residual block, and a stage of blocks: what an architecture is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import Add, Merge


class Step(NamedTuple):
    """An op with the shape ``x`` that arrives at it and the shape ``y`` that leaves."""

    op: Op
    x: TensorShape
    y: TensorShape


class MergeStep(NamedTuple):
    """A merge with the shape ``x`` that the shortcut brings and the shape ``y`` that leaves."""

    op: Merge
    x: TensorShape
    y: TensorShape


class Parts(NamedTuple):
    """A block for one arriving shape, under the names that its parts have in the built network.

    Attributes:
        pre: The ops that branch and shortcut share.
        branch: The other ops of the branch.
        shortcut: The ops of the shortcut; None for a plain block.
        merge: The merge; None for a plain block.
        after: The ops behind the merge.
        y: The leaving shape.
    """

    pre: tuple[Step, ...]
    branch: tuple[Step, ...]
    shortcut: tuple[Step, ...] | None
    merge: MergeStep | None
    after: tuple[Step, ...]
    y: TensorShape


@dataclass(frozen=True, slots=True)
class Block:
    """A residual branch, its merge with the shortcut, and what follows the merge.

    Attributes:
        branch: The ops of the branch, the shared ones first.
        merge: How branch and shortcut meet.
        after: The ops behind the merge.
        shortcut: The ops of the shortcut; empty for the identity, None for a plain block.
        shared: How many leading ops of the branch the shortcut is taken after. 0 takes it from the block's
            input, more is the shared pre-activation of He et al. 2016 (appendix).
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

    def parts(self, x: TensorShape) -> Parts:
        """The block's ops with their shapes, for an arriving ``x``.

        Raises:
            ArchitectureError: A shape does not fit, or branch and shortcut do not meet.
        """
        pre, start = steps(self.branch[: self.shared], x)
        branch, y = steps(self.branch[self.shared :], start)
        shortcut = merge = None
        if self.shortcut is not None:
            shortcut, arriving = steps(self.shortcut, start)
            y = self.merge.output_shape(y, arriving)
            merge = MergeStep(self.merge, arriving, y)
        elif not isinstance(self.merge, Add):
            raise ArchitectureError(f"the merge {self.merge.spelling!r} needs a shortcut, this block has none")
        after, y = steps(self.after, y)
        return Parts(pre, branch, shortcut, merge, after, y)

    def output_shape(self, x: TensorShape) -> TensorShape:
        """The leaving shape for an arriving ``x``. Raises ArchitectureError as ``parts`` does."""
        return self.parts(x).y

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"branch": ops_to_json(self.branch), "merge": self.merge.to_json()}
        out["after"] = ops_to_json(self.after)
        out["shortcut"] = None if self.shortcut is None else ops_to_json(self.shortcut)
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


def steps(ops: Iterable[Op], x: TensorShape) -> tuple[tuple[Step, ...], TensorShape]:
    """Ops one after the other for an arriving ``x``, with their shapes; and the shape that leaves."""
    made = []
    for op in ops:
        y = op.output_shape(x)
        made.append(Step(op, x, y))
        x = y
    return tuple(made), x


def ops_to_json(ops: Iterable[Op]) -> list[dict[str, Any]]:
    return [op.to_json() for op in ops]
