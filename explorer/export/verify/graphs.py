"""A network as a graph that runs without any Python of its own: torch.export's .pt2, and ONNX. Both take any batch."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from explorer.errors import ExportError

GRAPHS = ("pt2", "onnx")
MAX_ONNX_BYTES = 2_000_000_000  # a protobuf message, and so a self-contained ONNX file, ends at 2 GiB
EXAMPLE_BATCH = 2  # of the images that are traced; 1 would be taken for a constant


def graph_files(
    network: nn.Module, shape: Sequence[int], outputs: Sequence[str], formats: Iterable[str]
) -> dict[str, bytes]:
    """``model.pt2`` and ``model.onnx``, those that are among the formats: format -> content.

    ``shape``: the (channels, height, width) of an image; ``outputs``: the names of what the network puts out.
    Raises ExportError when torch cannot trace the network, or ONNX has no operator for it.
    """
    wanted = [name for name in GRAPHS if name in formats]
    if not wanted:
        return {}
    write: dict[str, Callable[[torch.export.ExportedProgram], bytes]]
    write = {"pt2": _pt2, "onnx": partial(_onnx, outputs=outputs)}
    try:
        with _quiet():
            program = _traced(network, shape)
            return {name: write[name](program) for name in wanted}
    except (RuntimeError, ValueError, TypeError) as error:  # torch's own exporters raise subclasses of these
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ExportError(f"torch cannot write the network as {' or '.join(wanted)}: {reason[0][:200]}") from error


def _traced(network: nn.Module, shape: Sequence[int]) -> torch.export.ExportedProgram:
    images = torch.zeros(EXAMPLE_BATCH, *shape)
    program = torch.export.export(network.eval(), (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # the paths of this machine's files
    return program


def _pt2(program: torch.export.ExportedProgram) -> bytes:
    stream = io.BytesIO()
    torch.export.save(program, stream)
    return stream.getvalue()


def _onnx(program: torch.export.ExportedProgram, outputs: Sequence[str]) -> bytes:
    size = sum(value.numel() * value.element_size() for value in program.state_dict.values())
    if size > MAX_ONNX_BYTES:
        raise ExportError(f"weights of {size:,} bytes do not fit one ONNX file; leave out the format 'onnx'")
    made = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=["images"], output_names=list(outputs), external_data=False
    )
    assert made is not None  # as with every export by dynamo
    graph = made.model.graph
    graph.metadata_props.clear()
    (batch,) = {str(value.shape[0]) for value in graph.inputs if value.shape is not None}
    for value in [*graph.inputs, *(value for node in graph for value in node.outputs)]:
        if value.shape is not None:
            value.shape = type(value.shape)([_renamed(side, batch) for side in value.shape])
    for node in graph:
        node.metadata_props.clear()  # this machine's file names, and classes of this package
    data: bytes = made.model_proto.SerializeToString()
    return data


def _renamed(side: object, batch: str) -> int | str:
    """A side of a shape, with torch's name for the batch (s77) replaced by a plain one."""
    return side if isinstance(side, int) else re.sub(rf"\b{re.escape(batch)}\b", "batch", str(side))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what torch's exporters say of their own insides: deprecations, operators of packages not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
