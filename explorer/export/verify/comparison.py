"""Does what was exported compute what the network does? Run in a process of its own, and compared."""

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

TOLERANCE = 1e-5
BATCHES = (1, 2, 7)

Outputs = dict[int, list[Tensor]]  # batch -> what the network puts out


class Exported(NamedTuple):
    """A folder to run: the (channels, height, width) of its images, and which of its formats."""

    folder: Path
    shape: Sequence[int]
    formats: Sequence[str]


def fixed_input(shape: Sequence[int], batch: int) -> Tensor:
    """The images on which outputs are compared, (batch, C, H, W); ``fresh_process.py`` makes the same."""
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))


def own_outputs(network: nn.Module, shape: Sequence[int], batches: Sequence[int] = BATCHES) -> Outputs:
    """What the network itself puts out for ``fixed_input``, in evaluation.

    On one thread, as in the fresh process: the order of sums depends on the number, and so does the last bit.
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
    """For each folder: format -> its outputs for ``fixed_input``. Raises ExportError when one of them cannot be run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "outputs.safetensors"
        asked = [[str(folder.resolve()), list(shape), list(formats)] for folder, shape, formats in models]
        fresh.answer({"batches": list(batches), "out": str(out), "models": asked})
        tensors = load_file(out)
    found: list[dict[str, dict[int, dict[int, Tensor]]]] = [{name: {} for name in model.formats} for model in models]
    for key, value in tensors.items():  # in any order: the index of the output stands in the key
        number, name, batch, index = key.split("/")
        found[int(number)][name].setdefault(int(batch), {})[int(index)] = value
    return [
        {name: {b: [y[k] for k in sorted(y)] for b, y in of.items()} for name, of in each.items()} for each in found
    ]


def max_abs_difference(name: str, found: Outputs, expected: Outputs) -> float:
    """The largest difference between what a format put out and the network's own outputs.

    Raises ExportError when it is above 1e-5, or above 1e-5 of the largest output where that is more than 1: the last
    bit of a large float32 is larger than that. ``model.py`` runs the same operations and must agree to the last bit.
    Values that are not finite cannot be compared: they are an error too, wherever they come from.
    """
    largest = 0.0
    for batch, outputs in expected.items():
        if [y.shape for y in found.get(batch, ())] != [y.shape for y in outputs]:
            raise ExportError(f"{name}: for a batch of {batch} other shapes come out than from the network")
        for y, own in zip(found[batch], outputs):
            if not own.isfinite().all():
                raise ExportError(
                    f"{name} cannot be compared: the network's own outputs are not finite for random images; its"
                    " weights are too large, or it is too deep for untrained weights. Export the formats yaml and"
                    " safetensors alone, or other weights"
                )
            if not y.isfinite().all():
                raise ExportError(f"{name}: its outputs are not finite for a batch of {batch}, the network's are")
            difference = (y - own).abs().max().item()
            allowed = 0.0 if name == "model.py" else TOLERANCE * max(1.0, own.abs().max().item())
            if difference > allowed:
                raise ExportError(
                    f"{name}: other outputs than the network's: they differ by {difference:g}, {allowed:g} may be"
                )
            largest = max(largest, difference)
    return largest
