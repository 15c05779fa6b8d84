"""The inference form of a network: norms folded into the convolutions before them, where that is exact."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# These are called as they are. What lies between them, ours or the user's, is followed op by op.
_WHOLE = ("torch.nn", "explorer.networks.ops")


@dataclass(frozen=True, slots=True)
class InferenceForm:
    """A network ready for inference. ``folded`` and ``kept``: batch norms that are part of a convolution
    now, and those that are not since something else stands before them; ``traced``: whether the order of its
    operations could be read, without which nothing is folded."""

    module: nn.Module
    folded: int
    kept: int
    traced: bool

    def __str__(self) -> str:
        if not self.traced:
            return "evaluation mode, no norms folded: the network's operations cannot be traced"
        return f"evaluation mode, {self.folded} of {self.folded + self.kept} batch norms folded into convolutions"


def inference_form(network: nn.Module) -> InferenceForm:
    """A copy of ``network`` in evaluation mode that computes the same function with fewer operations.

    A batch norm with running statistics is an affine map for each channel, so behind a convolution whose output
    nothing else reads it becomes part of the weights and the bias (Jacob et al. 2018, arXiv:1712.05877, section
    3.2). One that an activation or a sum stands before, as in full pre-activation, is kept. Outputs agree to
    rounding. The order of operations is read by ``torch.fx``, so it is the data flow that counts, not the nesting.
    """
    network = copy.deepcopy(network).eval()
    kinds = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    try:
        graph = _Tracer().trace(network)
    except Exception:  # control flow that depends on data: fx has many ways to say so
        return InferenceForm(network, 0, len(kinds), traced=False)
    traced = fx.GraphModule(network, graph)
    uses = Counter(node.target for node in graph.nodes if node.op == "call_module")
    folded = sum(_fold(traced, node, uses) for node in list(traced.graph.nodes))
    traced.recompile()
    traced.delete_all_unused_submodules()
    return InferenceForm(traced.eval(), folded, len(kinds) - folded, traced=True)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return type(module).__module__.startswith(_WHOLE) and not isinstance(module, nn.Sequential)


def _fold(traced: fx.GraphModule, node: fx.Node, uses: Mapping[object, int]) -> bool:
    """Makes a norm part of the convolution before it; False where that would not be the same function."""
    if node.op != "call_module" or not isinstance(node.args[0], fx.Node):
        return False
    before = node.args[0]
    if before.op != "call_module" or len(before.users) > 1:
        return False
    conv_path = str(before.target)
    norm, conv = traced.get_submodule(str(node.target)), traced.get_submodule(conv_path)
    if type(norm) is not nn.BatchNorm2d or type(conv) is not nn.Conv2d or not norm.track_running_stats:
        return False
    if uses[node.target] > 1 or uses[before.target] > 1:  # a layer used twice
        return False
    parent, _, name = conv_path.rpartition(".")
    setattr(traced.get_submodule(parent), name, fuse_conv_bn_eval(conv, norm))
    node.replace_all_uses_with(before)
    traced.graph.erase_node(node)
    return True
