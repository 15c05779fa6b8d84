"""Export of a network as a graph for inference: torch.export's .pt2, and ONNX. Both accept any batch size."""

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
MAX_ONNX_BYTES = 2_000_000_000  # a protobuf message, and so a self-contained ONNX file, has at most 2 GiB
EXAMPLE_BATCH = 2  # images in the traced input; torch.export treats a batch of 1 as a constant


def graph_files(
    network: nn.Module, shape: Sequence[int], outputs: Sequence[str], formats: Iterable[str]
) -> dict[str, bytes]:
    """Write a network as ``model.pt2`` and ``model.onnx``.

    Args:
        network: The network; it is left in evaluation mode.
        shape: (C, H, W) of an image.
        outputs: Names of the outputs in ONNX.
        formats: Formats; those other than ``pt2`` and ``onnx`` are ignored.

    Returns:
        Format -> content of the file.

    Raises:
        ExportError: torch cannot trace the network, ONNX has no operator for it, or the weights are too large for one
            ONNX file.
    """
    chosen = [name for name in GRAPHS if name in formats]
    if not chosen:
        return {}
    write: dict[str, Callable[[torch.export.ExportedProgram], bytes]]
    write = {"pt2": _pt2, "onnx": partial(_onnx, outputs=outputs)}
    try:
        with _without_warnings():
            program = _trace(network, shape)
            return {name: write[name](program) for name in chosen}
    except (RuntimeError, ValueError, TypeError) as error:  # torch's own exporters raise subclasses of these
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ExportError(f"torch cannot write the network as {' or '.join(chosen)}: {reason[0][:200]}") from error


def _trace(network: nn.Module, shape: Sequence[int]) -> torch.export.ExportedProgram:
    """Trace the network with a variable batch size."""
    images = torch.zeros(EXAMPLE_BATCH, *shape)
    program = torch.export.export(network.eval(), (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it holds file paths of this machine
    return program


def _pt2(program: torch.export.ExportedProgram) -> bytes:
    """Return the content of ``model.pt2``."""
    stream = io.BytesIO()
    torch.export.save(program, stream)
    return stream.getvalue()


def _onnx(program: torch.export.ExportedProgram, outputs: Sequence[str]) -> bytes:
    """Return the content of ``model.onnx``."""
    size = sum(value.numel() * value.element_size() for value in program.state_dict.values())
    if size > MAX_ONNX_BYTES:
        raise ExportError(f"weights of {size:,} bytes do not fit one ONNX file; leave out the format 'onnx'")
    exported = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=["images"], output_names=list(outputs), external_data=False
    )
    assert exported is not None  # always with dynamo=True
    graph = exported.model.graph
    graph.metadata_props.clear()
    (batch,) = {str(value.shape[0]) for value in graph.inputs if value.shape is not None}
    for value in [*graph.inputs, *(value for node in graph for value in node.outputs)]:
        if value.shape is not None:
            value.shape = type(value.shape)([_rename_batch(dimension, batch) for dimension in value.shape])
    for node in graph:
        node.metadata_props.clear()  # they hold file names of this machine and classes of this package
    data: bytes = exported.model_proto.SerializeToString()
    return data


def _rename_batch(dimension: object, batch: str) -> int | str:
    """Replace torch's name of the batch dimension, such as ``s77``, by ``batch`` in one dimension of a shape."""
    return dimension if isinstance(dimension, int) else re.sub(rf"\b{re.escape(batch)}\b", "batch", str(dimension))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress the exporters' warnings about deprecations and about operators of packages that are not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
