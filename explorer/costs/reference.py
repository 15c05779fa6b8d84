"""Check the costs layer by layer against three independent counters: fvcore, torch and ptflops.

Their totals for one network differ, because they count different operations:

- fvcore counts conv, linear and matmul products, norms and pooling, but no activation functions, products and sums of
  maps. Norms and pooling are subtracted here.
- torch's FlopCounterMode counts two FLOPs per multiply-accumulate of conv and matmul, and nothing else. Half of its
  count are MACs.
- ptflops (aten backend) counts conv and matmul products and one MAC per added bias.

None of them counts attention that torch runs as one fused kernel on a CPU. The attention of this project uses plain
matmuls, which all three count.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from explorer.costs.analytic import count_cost
from explorer.networks.architecture import Architecture
from explorer.networks.build import build_network

# The operators of fvcore whose counts are MACs.
PRODUCTS = ("conv", "linear", "matmul", "addmm", "bmm", "einsum")


@dataclass(frozen=True, slots=True)
class LayerCheck:
    """The counts of one layer by all counters.

    Attributes:
        path: The path of the layer, as in ``Layer``.
        op: The op in the space language.
        ours: MACs by this project.
        fvcore: MACs by fvcore.
        torch: MACs by torch.
        ptflops: MACs by ptflops, including ``biases``.
        biases: The additions of biases that ptflops counts.
        activations: Output elements of products by this project.
        fvcore_activations: Output elements of products by fvcore.
    """

    path: str
    op: str
    ours: int
    fvcore: int
    torch: int
    ptflops: int
    biases: int
    activations: int
    fvcore_activations: int


@dataclass(frozen=True, slots=True)
class CounterCheck:
    """The total of one counter.

    Attributes:
        counter: Its name.
        total: Its own total.
        left_out: The part of the total that are not products, by kind.
        not_counted: The operations that it does not count.
    """

    counter: str
    total: int
    left_out: Mapping[str, int]
    not_counted: tuple[str, ...]

    @property
    def products(self) -> int:
        """The MACs of products: ``total`` without ``left_out``."""
        return self.total - sum(self.left_out.values())

    def __str__(self) -> str:
        less = "".join(f" - {count:,} ({what})" for what, count in sorted(self.left_out.items()))
        others = ", ".join(self.not_counted)
        return f"{self.counter:8} {self.total:,} MACs{less} = {self.products:,}; not counted: {others}"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check.

    Attributes:
        params: Trainable parameters by this project.
        params_built: Trainable parameters of the built network.
        macs: MACs by this project.
        activations: Activations by this project.
        fvcore_activations: Activations by fvcore.
        counters: The totals of fvcore, torch and ptflops.
        layers: The layers with a count above 0.
        differences: Every unexplained difference, in words; empty if all counts agree.
        fvcore_macs: Products by fvcore.
        torch_macs: Products by torch.
        ptflops_macs: The total of ptflops.
        ptflops_biases: The additions of biases by ptflops.
        ptflops_elementwise: Other operations by ptflops that are not products.
    """

    params: int
    params_built: int
    macs: int
    activations: int
    fvcore_activations: int
    counters: tuple[CounterCheck, ...]
    layers: tuple[LayerCheck, ...]
    differences: tuple[str, ...]
    fvcore_macs: int = field(init=False)
    torch_macs: int = field(init=False)
    ptflops_macs: int = field(init=False)
    ptflops_biases: int = field(init=False)
    ptflops_elementwise: int = field(init=False)

    def __post_init__(self) -> None:
        fvcore, torch_, ptflops = self.counters
        biases = ptflops.left_out["biases"]
        for name, value in (
            ("fvcore_macs", fvcore.products),
            ("torch_macs", torch_.products),
            ("ptflops_macs", ptflops.total),
            ("ptflops_biases", biases),
            ("ptflops_elementwise", sum(ptflops.left_out.values()) - biases),
        ):
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a mapping for JSON."""
        counters = [asdict(counter) | {"products": counter.products} for counter in self.counters]
        return asdict(self) | {"counters": counters}

    def explanation(self) -> Iterator[str]:
        """Yield the lines that compare the totals."""
        yield f"params      ours {self.params:,}, built network {self.params_built:,}"
        yield f"activations ours {self.activations:,}, fvcore {self.fvcore_activations:,}"
        yield f"MACs        ours {self.macs:,}; totals of the other counters, minus operations that are not products:"
        for counter in self.counters:
            yield f"  {counter}"


class _Counts(NamedTuple):
    """The counts of one counter.

    Attributes:
        by_module: Module of the network -> MACs.
        total: As in ``CounterCheck``, like the other fields.
        left_out: See there.
        not_counted: See there.
    """

    by_module: Mapping[str, int]
    total: int
    left_out: Mapping[str, int]
    not_counted: tuple[str, ...]


def check_cost(architecture: Architecture) -> CheckReport:
    """Compare the analytic costs of a network with the three counters.

    Args:
        architecture: The network. It is built and run on one image on the CPU.
    """
    network = build_network(architecture).eval()
    image = torch.zeros(1, *architecture.input)
    cost = count_cost(architecture)
    biases = _biases(network, image)
    counts = {
        "fvcore": _fvcore(network, image),
        "torch": _torch(network, image),
        "ptflops": _ptflops(network, image, biases),
    }
    put_out = _fvcore_activations(network, image)
    layers, differences = [], []
    for placed in architecture.layers():
        ours, name = placed.op.cost(placed.x), placed.module
        macs = {counter: found.by_module.get(name, 0) for counter, found in counts.items()}
        layer = LayerCheck(
            path=placed.path,
            op=str(placed.op),
            ours=ours.macs,
            **macs,
            biases=_below(biases, name),
            activations=ours.activations,
            fvcore_activations=put_out.get(name, 0),
        )
        compared = {**macs, "ptflops less biases": macs["ptflops"] - layer.biases}
        del compared["ptflops"]
        what = f"{placed.path} ({placed.op})"
        differences += [
            f"{what}: {ours.macs:,} MACs, {counter} {count:,}"
            for counter, count in compared.items()
            if count != ours.macs
        ]
        if layer.activations != layer.fvcore_activations:
            differences.append(f"{what}: {layer.activations:,} activations, fvcore {layer.fvcore_activations:,}")
        if any((layer.ours, *macs.values(), layer.activations, layer.fvcore_activations)):
            layers.append(layer)
    counters = tuple(CounterCheck(name, c.total, c.left_out, c.not_counted) for name, c in counts.items())
    params = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    # The totals include operations that belong to no layer.
    totals = [("params", cost.params, "the built network has", params)]
    totals += [("MACs", cost.macs, f"{counter.counter} finds", counter.products) for counter in counters]
    totals.append(("activations", cost.activations, "fvcore finds", put_out[""]))
    differences += [f"{what}: ours {ours:,}, {whose} {its:,}" for what, ours, whose, its in totals if ours != its]
    return CheckReport(
        cost.params, params, cost.macs, cost.activations, put_out[""], counters, tuple(layers), tuple(differences)
    )


def _below(counts: Mapping[str, int], name: str) -> int:
    """Return the sum over a module and its submodules."""
    return sum(count for module, count in counts.items() if module == name or module.startswith(f"{name}."))


def _biases(network: nn.Module, image: torch.Tensor) -> dict[str, int]:
    """Return module name -> output elements, for conv and linear layers with a bias."""
    found: dict[str, int] = {}
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)) and module.bias is not None:

            def count(module: nn.Module, _inputs: object, output: torch.Tensor, name: str = name) -> None:
                found[name] = found.get(name, 0) + output.numel()

            handles.append(module.register_forward_hook(count))
    with torch.no_grad():
        network(image)
    for handle in handles:
        handle.remove()
    return found


def _without_warnings(analysis: Any) -> Any:
    # fvcore logs a warning for each op that it does not count.
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")


def _products(by_module: Mapping[str, Mapping[str, float]]) -> dict[str, int]:
    return {name: sum(int(n) for op, n in counts.items() if op in PRODUCTS) for name, counts in by_module.items()}


def _fvcore(network: nn.Module, image: torch.Tensor) -> _Counts:
    from fvcore.nn import FlopCountAnalysis  # type: ignore[import-untyped]  # it has no annotations

    analysis = _without_warnings(FlopCountAnalysis(network, image))
    by_module = _products(analysis.by_module_and_operator())
    left_out = {op: int(count) for op, count in analysis.by_operator().items() if op not in PRODUCTS}
    not_counted = tuple(sorted(op.removeprefix("aten::") for op in analysis.unsupported_ops())) or ("nothing",)
    return _Counts(by_module, int(analysis.total()), left_out, not_counted)


def _fvcore_activations(network: nn.Module, image: torch.Tensor) -> dict[str, int]:
    from fvcore.nn import ActivationCountAnalysis

    return _products(_without_warnings(ActivationCountAnalysis(network, image)).by_module_and_operator())


def _torch(network: nn.Module, image: torch.Tensor) -> _Counts:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    root = type(network).__name__
    by_module = {
        "" if name in (root, "Global") else name.removeprefix(f"{root}."): sum(counts.values()) // 2
        for name, counts in counter.get_flop_counts().items()
    }
    return _Counts(by_module, by_module[""], {}, ("biases, norms, activations, pooling, sums and products of maps",))


def _ptflops(network: nn.Module, image: torch.Tensor, biases: Mapping[str, int]) -> _Counts:
    from ptflops.aten_engine import FlopCounterMode  # type: ignore[import-untyped]  # it has no annotations

    aten = torch.ops.aten
    products = {aten.convolution, aten._convolution, aten.mm, aten.matmul, aten.addmm, aten.bmm}
    counter = FlopCounterMode(output_params={"print_params": {}, "serialize_params": {}})
    handles = []
    for name, module in network.named_modules():
        if name:  # the hooks of ptflops cover only the direct children of the root
            handles.append(module.register_forward_pre_hook(counter.enter_module(name)))
            handles.append(module.register_forward_hook(counter.exit_module(name)))
    with counter, torch.no_grad():
        network(image)
    for handle in handles:
        handle.remove()
    counts = counter.flop_counts
    by_module = {name: sum(n for op, n in ops.items() if op in products) for name, ops in counts.items()}
    others = {str(op).removeprefix("aten."): count for op, count in counts["Global"].items() if op not in products}
    not_counted = ("norms, activations, pooling, sums and products of maps",)
    return _Counts(by_module, sum(counts["Global"].values()), {"biases": sum(biases.values()), **others}, not_counted)
