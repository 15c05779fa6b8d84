"""Residual blocks and stages, the parts of an architecture."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import Add, Merge
from explorer.networks.ops.nested.nesting import op_count

T = TypeVar("T")


class Step(NamedTuple):
    """An op with its shapes.

    Attributes:
        op: The op.
        x: The input shape.
        y: The output shape.
    """

    op: Op
    x: TensorShape
    y: TensorShape


class MergeStep(NamedTuple):
    """A merge with its shapes.

    Attributes:
        op: The merge.
        x: The output shape of the shortcut.
        y: The output shape of the merge.
    """

    op: Merge
    x: TensorShape
    y: TensorShape


class Parts(NamedTuple):
    """The ops of a block with their shapes, by the names that the parts have in the built network.

    Attributes:
        pre: The ops that branch and shortcut share.
        branch: The other ops of the branch.
        shortcut: The ops of the shortcut; None for a plain block.
        merge: The merge; None for a plain block.
        after: The ops after the merge.
        y: The output shape.
    """

    pre: tuple[Step, ...]
    branch: tuple[Step, ...]
    shortcut: tuple[Step, ...] | None
    merge: MergeStep | None
    after: tuple[Step, ...]
    y: TensorShape


@dataclass(frozen=True, slots=True)
class Block:
    """A residual branch, a shortcut, their merge, and the ops after the merge.

    Attributes:
        branch: The ops of the branch, the shared ones first.
        merge: How branch and shortcut are combined.
        after: The ops after the merge.
        shortcut: The ops of the shortcut; empty for the identity, None for a plain block.
        shared: The number of leading ops of the branch that the shortcut shares. With 0 the shortcut starts at the
            block's input; more is the shared pre-activation of He et al. 2016 (appendix).
    """

    branch: tuple[Op, ...]
    merge: Merge = Add()
    after: tuple[Op, ...] = ()
    shortcut: tuple[Op, ...] | None = ()
    shared: int = 0
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> list[Any]:
        """Return the fields for pickle and copy, without computed results."""
        return [self.branch, self.merge, self.after, self.shortcut, self.shared]

    def __setstate__(self, state: list[Any]) -> None:
        for name, value in zip(("branch", "merge", "after", "shortcut", "shared", "_known"), (*state, {})):
            object.__setattr__(self, name, value)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return a result that depends on the block and ``key`` alone. It is computed once.

        A block that occurs several times in a network, or in several networks of a space, is one object.

        Args:
            key: Everything else that the result depends on, such as the input shape. Each kind of result has keys of
                its own type.
            compute: Computes the result.
        """
        found: T | None = self._known.get(key)
        if found is None:
            found = self._known[key] = compute()
        return found

    @property
    def layer_count(self) -> int:
        """The number of ops, including those of the shortcut and in forks."""
        found: int | None = self._known.get("layers")
        if found is None:
            found = self._known["layers"] = op_count((*self.branch, *(self.shortcut or ()), *self.after))
        return found

    def parts(self, x: TensorShape) -> Parts:
        """Return the block's ops with their shapes, for an input of shape ``x``.

        Raises:
            ArchitectureError: A shape does not fit, or branch and shortcut do not match.
        """
        return self.once(x, lambda: self._parts(x))

    def _parts(self, x: TensorShape) -> Parts:
        pre, start = steps(self.branch[: self.shared], x)
        branch, y = steps(self.branch[self.shared :], start)
        shortcut = merge = None
        if self.shortcut is not None:
            shortcut, shortcut_shape = steps(self.shortcut, start)
            y = self.merge.output_shape(y, shortcut_shape)
            merge = MergeStep(self.merge, shortcut_shape, y)
        elif not isinstance(self.merge, Add):
            raise ArchitectureError(f"the merge {self.merge.spelling!r} needs a shortcut, this block has none")
        after, y = steps(self.after, y)
        return Parts(pre, branch, shortcut, merge, after, y)

    def output_shape(self, x: TensorShape) -> TensorShape:
        """Return the output shape for an input of shape ``x``.

        Raises:
            ArchitectureError: As in ``parts``.
        """
        return self.parts(x).y

    def to_json(self) -> dict[str, Any]:
        """Return the block as a mapping for JSON, without ``shared`` if it is 0."""
        out: dict[str, Any] = {"branch": ops_to_json(self.branch), "merge": self.merge.to_json()}
        out["after"] = ops_to_json(self.after)
        out["shortcut"] = None if self.shortcut is None else ops_to_json(self.shortcut)
        if self.shared:
            out["shared"] = self.shared
        return out

    def __str__(self) -> str:
        """Return the block in the space language, with literal numbers."""
        return " ".join(map(str, (*self.branch, self.merge, *self.after)))


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks with one output shape.

    Attributes:
        blocks: The blocks in order.
        transition: The ops before the first block; mostly none.
    """

    blocks: tuple[Block, ...]
    transition: tuple[Op, ...] = ()


def steps(ops: Iterable[Op], x: TensorShape) -> tuple[tuple[Step, ...], TensorShape]:
    """Return a sequence of ops with their shapes, and the output shape of the last.

    Args:
        ops: The ops in order.
        x: The input shape of the first op.

    Raises:
        ArchitectureError: A shape does not fit.
    """
    made = []
    for op in ops:
        y = op.output_shape(x)
        made.append(Step(op, x, y))
        x = y
    return tuple(made), x


def ops_to_json(ops: Iterable[Op]) -> list[dict[str, Any]]:
    """Return the ops as a list for JSON."""
    return [op.to_json() for op in ops]
