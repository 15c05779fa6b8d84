"""An exponential moving average of a network's weights, which is validated and saved instead of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The exponential moving average of weights and normalisation statistics (Polyak and Juditsky 1992).

    The decay of step t = 0, 1, ... is min(``decay``, (1 + t) / (10 + t)), so that early weights lose their influence
    soon. All tensors keep their memory, so that ``update`` can be captured in a CUDA graph.

    Args:
        net: The network whose weights are averaged.
        decay: The greatest decay of a step, 0..1.
    """

    def __init__(self, net: nn.Module, decay: float):
        self.decay = decay
        self._weights = {name: tensor for name, tensor in net.state_dict().items() if tensor.is_floating_point()}
        self._averages = {name: tensor.detach().clone() for name, tensor in self._weights.items()}
        self.updates = torch.zeros((), dtype=torch.float32, device=next(iter(self._weights.values())).device)

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the network's present weights."""
        share = torch.clamp(9.0 / (10.0 + self.updates), min=1.0 - self.decay)
        averages = list(self._averages.values())
        change = torch._foreach_sub(list(self._weights.values()), averages)
        torch._foreach_mul_(change, share)
        torch._foreach_add_(averages, change)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the averaged weights within the ``with`` block and restore its own after it."""
        own = {name: tensor.clone() for name, tensor in self._weights.items()}
        self.copy_to_network()
        try:
            yield
        finally:
            self._write(own)

    def copy_to_network(self) -> None:
        """Overwrite the network's weights with the averaged ones."""
        self._write(self._averages)

    @torch.no_grad()
    def _write(self, values: dict[str, Tensor]) -> None:
        for name, tensor in self._weights.items():
            tensor.copy_(values[name])

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of the average by name; they are not copies, so writing to them restores a state."""
        return {"updates": self.updates, **{f"of.{name}": tensor for name, tensor in self._averages.items()}}
