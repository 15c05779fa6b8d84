"""The layers of a network in the order of computation, with their places, shapes and modules.

``walk`` yields the stem, the transitions, the blocks and the head. The method ``layers`` of each yields its ops. In
place of a fork it yields the ops of its paths and, last, the join: the fork without the ops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, ParamSpec, TypeVar

from explorer.errors import ArchitectureError
from explorer.networks.block import Block, Parts, Stage, Step, steps
from explorer.networks.dead_layers import without_dead_layers
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import Merge
from explorer.networks.ops.nested.fork import Fork
from explorer.networks.ops.nested.nesting import Nested

P = ParamSpec("P")
T = TypeVar("T")


class Layer(NamedTuple):
    """An op or a merge with its place in the network.

    Attributes:
        stage: The number of the stage, from 1; 0 for the stem, the number of stages + 1 for the head.
        block: The number of the block in its stage, from 1; 0 outside of blocks.
        part: stem, transition or head; in a block pre, branch, shortcut, merge or after.
        path: ``stem.0``, ``stage2.transition.0``, ``stage2.block1.branch.3``, ``stage1.block2.merge``, ``head.2``.
            Stages and blocks count from 1, ops from 0. The ops of ``pre`` are the first of the branch. An op in a fork
            has the path of the fork, then the numbers of the fork's path and of the op, from 0: ``stem.0.1.2``; a join
            has ``stem.0.join``.
        module: The name of its module in the built network: ``stages.1.0.branch.1``. Plain sums and joins have none.
        op: The op or merge.
        x: The input shape; for a merge the output shape of the shortcut, for a join that of the first path.
        y: The output shape.
        joined: For a merge the output shapes of shortcut and branch, for a join those of all paths; empty otherwise.
    """

    stage: int
    block: int
    part: str
    path: str
    module: str
    op: Op | Merge
    x: TensorShape
    y: TensorShape
    joined: tuple[TensorShape, ...] = ()

    @property
    def section(self) -> str:
        """stem, stage1, stage2, ..., head."""
        return self.path.partition(".")[0]

    def opened(self) -> Iterator[Layer]:
        """Yield the layer; for a fork those of its paths, and the join; nothing for a tap."""
        if not isinstance(self.op, Nested):
            yield self
            return
        for number, ops in enumerate(self.op.inner()):
            of = f".{number}" if isinstance(self.op, Fork) else ""
            for index, (op, x, y) in enumerate(steps(ops, self.x)[0]):
                names = f"{self.path}{of}.{index}", f"{self.module}{of}.{index}"
                yield from Layer(self.stage, self.block, self.part, *names, op, x, y).opened()
        if isinstance(self.op, Fork):
            joined = tuple(self.op.outputs(self.x))
            join = self._replace(op=self.op.joint(), x=joined[0], joined=joined)
            yield join._replace(path=f"{self.path}.join", module=f"{self.module}.join")


class OpRun(NamedTuple):
    """The ops of a stem, a transition or a head.

    Attributes:
        part: stem, transition or head.
        stage: As in ``Layer``.
        steps: The ops with their shapes.
        x: The input shape.
        y: The output shape.
    """

    part: str
    stage: int
    steps: tuple[Step, ...]
    x: TensorShape
    y: TensorShape

    @property
    def main(self) -> tuple[Step, ...]:
        """The ops that every image passes, in order."""
        return self.steps

    @property
    def path(self) -> str:
        """``stem``, ``stage2.transition``, ``head``."""
        return f"stage{self.stage}.transition" if self.part == "transition" else self.part

    @property
    def module(self) -> str:
        """The name of the module in the built network that contains the ops: ``stem``, ``stages.1``, ``head``."""
        return f"stages.{self.stage - 1}" if self.part == "transition" else self.part

    def layers(self) -> Iterator[Layer]:
        """Yield the ops in order."""
        path, module = self.path, self.module
        for index, step in enumerate(self.steps):
            yield from Layer(self.stage, 0, self.part, f"{path}.{index}", f"{module}.{index}", *step).opened()


class PlacedBlock(NamedTuple):
    """A block with its place in the network.

    Attributes:
        stage: The number of the stage, from 1.
        number: The number of the block in its stage, from 1.
        module_index: The index of the block's module in the module of its stage, which starts with the ops of the
            transition.
        block: The block, without dead layers.
        x: The input shape.
        parts: The block's ops with their shapes.
    """

    stage: int
    number: int
    module_index: int
    block: Block
    x: TensorShape
    parts: Parts

    @property
    def y(self) -> TensorShape:
        """The output shape."""
        return self.parts.y

    @property
    def branch_shape(self) -> TensorShape:
        """The output shape of the branch."""
        return (self.x, *(step.y for step in (*self.parts.pre, *self.parts.branch)))[-1]

    @property
    def main(self) -> tuple[Step, ...]:
        """The ops of the residual branch and those after the merge, in order."""
        return self.parts.pre + self.parts.branch + self.parts.after

    @property
    def path(self) -> str:
        """``stage2.block1``."""
        return f"stage{self.stage}.block{self.number}"

    @property
    def module(self) -> str:
        """The name of its module in the built network: ``stages.1.0``."""
        return f"stages.{self.stage - 1}.{self.module_index}"

    def layers(self) -> Iterator[Layer]:
        """Yield the ops of the block and its merge, in order."""
        pre, branch, shortcut, merge, after, _ = self.parts
        stage, number, path, module = self.stage, self.number, self.path, self.module
        for index, step in enumerate(pre):
            yield from Layer(stage, number, "pre", f"{path}.branch.{index}", f"{module}.pre.{index}", *step).opened()
        for index, step in enumerate(branch):
            place = f"{path}.branch.{len(pre) + index}"
            yield from Layer(stage, number, "branch", place, f"{module}.branch.{index}", *step).opened()
        for index, step in enumerate(shortcut or ()):
            place = f"{path}.shortcut.{index}"
            yield from Layer(stage, number, "shortcut", place, f"{module}.shortcut.{index}", *step).opened()
        if merge is not None:
            both = merge.x, self.branch_shape
            yield Layer(stage, number, "merge", f"{path}.merge", f"{module}.merge", *merge, both)
        for index, step in enumerate(after):
            yield from Layer(stage, number, "after", f"{path}.after.{index}", f"{module}.after.{index}", *step).opened()


Segment = OpRun | PlacedBlock


def walk(
    image: TensorShape, stem: tuple[Op, ...], stages: tuple[Stage, ...], head: tuple[Op, ...]
) -> Iterator[Segment]:
    """Yield the stem, then each stage's transition (mostly without ops) and blocks, then the head.

    Dead layers of blocks (``dead_layers``) are left out.

    Args:
        image: The shape of an image, the input of the stem.
        stem: The ops of the stem.
        stages: The stages.
        head: The ops of the head.

    Raises:
        ArchitectureError: A shape does not fit; the message starts with the place.
    """
    made, x = at_place("stem", steps, stem, image)
    yield OpRun("stem", 0, made, image, x)
    for number, stage in enumerate(stages, 1):
        made, y = (), x
        if stage.transition:
            made, y = at_place(f"the transition to stage {number}", steps, stage.transition, x)
        yield OpRun("transition", number, made, x, y)
        x = y
        last: tuple[Block, TensorShape] | None = None
        for place, block in enumerate(stage.blocks, 1):
            if last is None or last[0] is not block or last[1] != x:  # else it repeats the last one
                last = block, x
                live = at_place(f"stage {number}, block {place}", _live, block, x)
                parts = live.parts(x)
            yield PlacedBlock(number, place, len(stage.transition) + place - 1, live, x, parts)
            x = parts.y
    made, y = at_place("head", steps, head, x)
    yield OpRun("head", len(stages) + 1, made, x, y)


def _live(block: Block, x: TensorShape) -> Block:
    """Return the block without its dead layers. Raises ArchitectureError if a shape of any layer does not fit."""
    block.parts(x)
    return block.once(("live", x), lambda: without_dead_layers(block, x))


def at_place(place: str, compute: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return ``compute(*args, **kwargs)``, with ``place`` before the message of an error.

    Args:
        place: Where in the network or file, for instance "stage 1, block 2".
        compute: The function to call.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Raises:
        ArchitectureError: ``compute`` raises it.
    """
    try:
        return compute(*args, **kwargs)
    except ArchitectureError as error:
        raise ArchitectureError(f"{place}: {error}") from None
