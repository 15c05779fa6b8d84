"""Comparison of the outputs of exported files with the outputs of the network."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from explorer.errors import ExportError
from explorer.export.verify.process import FreshProcess

TOLERANCE = 1e-5  # absolute, or relative to the largest output where that is above 1
BATCHES = (1, 2, 7)  # a single image, the size that is traced, and an odd size

Outputs = dict[int, list[Tensor]]  # batch size -> outputs of the network


class Exported(NamedTuple):
    """An exported folder to run.

    Attributes:
        folder: The folder.
        shape: (C, H, W) of an image.
        formats: The formats to run.
    """

    folder: Path
    shape: Sequence[int]
    formats: Sequence[str]


def fixed_input(shape: Sequence[int], batch: int) -> Tensor:
    """Return the images on which outputs are compared.

    Args:
        shape: (C, H, W) of an image.
        batch: Number of images, which is also the seed.

    Returns:
        Standard normal images, (batch, C, H, W); ``fresh_process.py`` generates the same images.
    """
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))


def own_outputs(network: nn.Module, shape: Sequence[int], batches: Sequence[int] = BATCHES) -> Outputs:
    """Run the network itself on ``fixed_input``, in evaluation mode.

    The network runs on one thread, as in the fresh process: the order of summation, and so the last bit, depends on the
    number of threads.

    Args:
        network: The network; it is left in evaluation mode.
        shape: (C, H, W) of an image.
        batches: Batch sizes.

    Returns:
        Batch size -> outputs.
    """
    network.eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            found = {batch: network(fixed_input(shape, batch)) for batch in batches}
    finally:
        torch.set_num_threads(threads)
    return {batch: [y] if isinstance(y, Tensor) else list(y) for batch, y in found.items()}


def exported_outputs(
    fresh: FreshProcess, models: Sequence[Exported], batches: Sequence[int] = BATCHES
) -> list[Mapping[str, Outputs]]:
    """Run exported folders on ``fixed_input`` in a fresh process.

    Args:
        fresh: The process.
        models: The folders and their formats.
        batches: Batch sizes.

    Returns:
        For each folder: format -> its outputs.

    Raises:
        ExportError: A format cannot be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "outputs.safetensors"
        request = [[str(folder.resolve()), list(shape), list(formats)] for folder, shape, formats in models]
        fresh.run({"batches": list(batches), "out": str(out), "models": request})
        tensors = load_file(out)
    found: list[dict[str, dict[int, dict[int, Tensor]]]] = [{name: {} for name in model.formats} for model in models]
    for key, value in tensors.items():  # in any order: the key holds the index of the output
        number, name, batch, index = key.split("/")
        found[int(number)][name].setdefault(int(batch), {})[int(index)] = value
    return [
        {name: {b: [y[k] for k in sorted(y)] for b, y in of.items()} for name, of in each.items()} for each in found
    ]


def max_abs_difference(name: str, found: Outputs, expected: Outputs) -> float:
    """Compare the outputs of an exported file with the network's own outputs.

    ``model.py`` runs the same operations as the network, so its outputs must be equal to the last bit. Other files may
    differ by 1e-5, or by 1e-5 of the largest output if that is above 1, because the last bit of a large float32 is
    larger than 1e-5.

    Args:
        name: Name of the file.
        found: The outputs of the file.
        expected: The network's own outputs.

    Returns:
        The largest absolute difference.

    Raises:
        ExportError: A shape differs, a difference is too large, or a value on either side is not finite.
    """
    largest = 0.0
    for batch, outputs in expected.items():
        if [y.shape for y in found.get(batch, ())] != [y.shape for y in outputs]:
            raise ExportError(f"{name}: its output shapes for a batch of {batch} differ from the network's")
        for y, own in zip(found[batch], outputs):
            if not own.isfinite().all():
                raise ExportError(
                    f"{name} cannot be compared: the network's own outputs are not finite for random images; its"
                    " weights are too large, or it is too deep for untrained weights. Export only the formats yaml"
                    " and safetensors, or other weights"
                )
            if not y.isfinite().all():
                raise ExportError(f"{name}: its outputs are not finite for a batch of {batch}, the network's are")
            difference = (y - own).abs().max().item()
            allowed = 0.0 if name == "model.py" else TOLERANCE * max(1.0, own.abs().max().item())
            if difference > allowed:
                raise ExportError(
                    f"{name}: its outputs differ from the network's by {difference:g}, at most {allowed:g} is allowed"
                )
            largest = max(largest, difference)
    return largest
