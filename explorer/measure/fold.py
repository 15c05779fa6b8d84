"""The inference form of a network: batch norms are folded into the convolutions before them where this is exact.

Standardised weights are constants in inference, so such a convolution becomes a plain one first.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Modules of these packages are not traced into; all other modules are traced operation by operation.
_LEAF_PACKAGES = ("torch.nn", "explorer.networks.ops")


@dataclass(frozen=True, slots=True)
class InferenceForm:
    """A network ready for inference.

    Attributes:
        module: The network in evaluation mode.
        folded: Batch norms that are now part of a convolution.
        kept: Batch norms that are not, because they do not directly follow a convolution.
        traced: Whether ``torch.fx`` could trace the network; if not, nothing is folded.
    """

    module: nn.Module
    folded: int
    kept: int
    traced: bool

    def __str__(self) -> str:
        if not self.traced:
            return "evaluation mode, no norms folded: the network's operations cannot be traced"
        return f"evaluation mode, {self.folded} of {self.folded + self.kept} batch norms folded into convolutions"


def inference_form(network: nn.Module) -> InferenceForm:
    """Return a copy of a network in evaluation mode that computes the same function with fewer operations.

    A batch norm with running statistics is an affine map of each channel. If it directly follows a convolution whose
    output nothing else reads, it becomes part of the convolution's weights and bias (Jacob et al. 2018,
    arXiv:1712.05877, section 3.2). A batch norm after an activation or a sum, as in full pre-activation, is kept. The
    order of operations comes from ``torch.fx``: the data flow counts, not the nesting of modules.

    Args:
        network: The network, which stays as it is.

    Returns:
        The inference form. Its outputs equal the network's up to rounding.
    """
    network = copy.deepcopy(network).eval()
    for path, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d) and (standardised := getattr(module, "standardised_weight", None)):
            _replace(network, path, _convolution(module, standardised()))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    try:
        graph = _Tracer().trace(network)
    except Exception:  # control flow that depends on data; fx raises many types of errors for it
        return InferenceForm(network, 0, len(norms), traced=False)
    traced = fx.GraphModule(network, graph)
    uses = Counter(node.target for node in graph.nodes if node.op == "call_module")
    folded = sum(_fold(traced, node, uses) for node in list(traced.graph.nodes))
    traced.recompile()
    traced.delete_all_unused_submodules()
    return InferenceForm(traced.eval(), folded, len(norms) - folded, traced=True)


def _convolution(conv: nn.Conv2d, weight: Tensor) -> nn.Conv2d:
    """Return a plain convolution with the bias and geometry of ``conv``, and with other weights."""
    same = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    geometry: dict[str, Any] = {name: getattr(conv, name) for name in same}
    plain = nn.Conv2d(**geometry, bias=False, device="meta")  # draws no random numbers
    plain.weight, plain.bias = nn.Parameter(weight.detach()), conv.bias
    return plain.eval()


def _replace(network: nn.Module, path: str, module: nn.Module) -> None:
    """Replace the submodule at ``path``."""
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, module)


class _Tracer(fx.Tracer):
    """A tracer that treats the modules of _LEAF_PACKAGES as single operations, except Sequential and forks."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return type(module).__module__.startswith(_LEAF_PACKAGES) and not isinstance(
            module, (nn.Sequential, nn.ModuleList)
        )


def _fold(traced: fx.GraphModule, node: fx.Node, uses: Mapping[object, int]) -> bool:
    """Fold a batch norm into the convolution before it; return False where this would change the function."""
    if node.op != "call_module" or not isinstance(node.args[0], fx.Node):
        return False
    before = node.args[0]
    if before.op != "call_module" or len(before.users) > 1:
        return False
    conv_path = str(before.target)
    norm, conv = traced.get_submodule(str(node.target)), traced.get_submodule(conv_path)
    if type(norm) is not nn.BatchNorm2d or type(conv) is not nn.Conv2d or not norm.track_running_stats:
        return False
    if uses[node.target] > 1 or uses[before.target] > 1:  # the layer is used twice
        return False
    _replace(traced, conv_path, fuse_conv_bn_eval(conv, norm))
    node.replace_all_uses_with(before)
    traced.graph.erase_node(node)
    return True
