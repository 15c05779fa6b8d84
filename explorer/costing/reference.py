"""The outside counters that our costs are checked against, layer by layer: fvcore, torch, ptflops.

What each of them counts differs:
- fvcore counts conv, linear and matmul products; norms, pooling and additions it lists apart, and
  they are left out here.
- torch's FlopCounterMode counts two FLOPs a product of conv and matmul; half of it is ours.
- ptflops (aten backend) adds a MAC for each bias a conv or linear layer adds, and counts norms,
  activations, pooling and products elementwise; only its total is set beside ours.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import nn

from explorer.architecture import Architecture
from explorer.costing.analytic import count_cost
from explorer.network.build import build_network

PRODUCTS = ("conv", "linear", "matmul", "addmm", "bmm", "einsum")


@dataclass(frozen=True, slots=True)
class LayerCheck:
    """MACs of one layer by three counters."""

    path: str
    op: str
    ours: int
    fvcore: int
    torch: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Totals by counter, the layers that have any products, and every unexplained difference."""

    params: int
    params_built: int
    macs: int
    fvcore_macs: int
    torch_macs: int
    ptflops_macs: int
    ptflops_biases: int
    ptflops_elementwise: int
    layers: tuple[LayerCheck, ...]
    differences: tuple[str, ...]

    def to_dict(self) -> dict:
        return asdict(self)

    def explanation(self) -> Iterator[str]:
        yield f"params   ours {self.params:,}, built network {self.params_built:,}"
        yield f"fvcore   {self.fvcore_macs:,} MACs of conv, linear and matmul; norms, pooling and additions left out"
        yield f"torch    {self.torch_macs:,} MACs (half of FlopCounterMode's FLOPs); counts products alone"
        yield (
            f"ptflops  {self.ptflops_macs:,} MACs (aten): {self.ptflops_biases:,} for biases and "
            f"{self.ptflops_elementwise:,} for norms, activations, pooling and sums left out gives "
            f"{self.ptflops_macs - self.ptflops_biases - self.ptflops_elementwise:,}"
        )


def check_cost(architecture: Architecture) -> CheckReport:
    """Our counts beside the three counters', on the built network, one image, CPU."""
    network = build_network(architecture).eval()
    image = torch.zeros(1, *architecture.input)
    cost = count_cost(architecture)
    by_module = {"fvcore": _fvcore(network, image), "torch": _torch(network, image)}
    modules = dict(module_names(architecture))
    layers, differences = [], []
    for placed in architecture.layers():
        ours = placed.op.cost(placed.x).macs
        name = modules.get(placed.path)
        counted = {counter: counts.get(name, 0) for counter, counts in by_module.items()}
        if ours or any(counted.values()):
            layers.append(LayerCheck(placed.path, str(placed.op), ours, counted["fvcore"], counted["torch"]))
        differences += [
            f"{placed.path} ({placed.op}): {ours:,} MACs, {counter} {count:,}" for counter, count in counted.items() if count != ours
        ]
    params = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    if params != cost.params:
        differences.append(f"params: {cost.params:,}, the built network has {params:,}")
    total, products, biases = _ptflops(network, architecture)
    if products - biases != cost.macs:
        differences.append(f"ptflops: {products - biases:,} MACs of conv, linear and matmul less biases, ours {cost.macs:,}")
    return CheckReport(
        params=cost.params,
        params_built=params,
        macs=cost.macs,
        fvcore_macs=by_module["fvcore"][""],
        torch_macs=by_module["torch"][""],
        ptflops_macs=total,
        ptflops_biases=biases,
        ptflops_elementwise=total - products,
        layers=tuple(layers),
        differences=tuple(differences),
    )


def module_names(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """(path of a layer, name of its module in the built network), for every layer."""
    for index in range(len(architecture.stem)):
        yield f"stem.{index}", f"stem.{index}"
    for s, stage in enumerate(architecture.stages):
        for index in range(len(stage.transition)):
            yield f"stage{s + 1}.transition.{index}", f"stages.{s}.{index}"
        for b, block in enumerate(stage.blocks):
            path, module = f"stage{s + 1}.block{b + 1}", f"stages.{s}.{len(stage.transition) + b}"
            for index in range(len(block.branch)):
                part = f"pre.{index}" if index < block.shared else f"branch.{index - block.shared}"
                yield f"{path}.branch.{index}", f"{module}.{part}"
            for index in range(len(block.shortcut or ())):
                yield f"{path}.shortcut.{index}", f"{module}.shortcut.{index}"
            yield f"{path}.merge", f"{module}.merge"
            for index in range(len(block.after)):
                yield f"{path}.after.{index}", f"{module}.after.{index}"
    for index in range(len(architecture.head)):
        yield f"head.{index}", f"head.{index}"


def _fvcore(network: nn.Module, image: torch.Tensor) -> dict[str, int]:
    from fvcore.nn import FlopCountAnalysis

    # fvcore logs every op that it does not count.
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(network, image)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    by_module = analysis.by_module_and_operator()
    return {name: sum(int(count) for op, count in counts.items() if op in PRODUCTS) for name, counts in by_module.items()}


def _torch(network: nn.Module, image: torch.Tensor) -> dict[str, int]:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    root = type(network).__name__
    return {
        "" if name in (root, "Global") else name.removeprefix(f"{root}."): sum(counts.values()) // 2
        for name, counts in counter.get_flop_counts().items()
    }


def _ptflops(network: nn.Module, architecture: Architecture) -> tuple[int, int, int]:
    """(all MACs, those of conv, linear and matmul with their biases, the biases' share)."""
    from ptflops import get_model_complexity_info
    from ptflops.aten_ops import ATEN_OPS_MAPPING

    aten = torch.ops.aten
    products = {aten.convolution, aten._convolution, aten.mm, aten.matmul, aten.addmm, aten.bmm}

    def total(ignored: list) -> int:
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            counted, _ = get_model_complexity_info(
                network, tuple(architecture.input), backend="aten", as_strings=False,
                print_per_layer_stat=False, verbose=False, ignore_modules=ignored,
            )  # fmt: skip
        return int(counted)

    biases = 0

    def count_bias(module: nn.Module, _inputs, output: torch.Tensor) -> None:
        nonlocal biases
        biases += output.numel()

    biased = [m for m in network.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear)) and m.bias is not None]
    handles = [module.register_forward_hook(count_bias) for module in biased]
    with torch.no_grad():
        network(torch.zeros(1, *architecture.input))
    for handle in handles:
        handle.remove()
    return total([]), total([op for op in ATEN_OPS_MAPPING if op not in products]), biases
