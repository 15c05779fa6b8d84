"""One step of training, and how it is run: as it stands, or captured once in a CUDA graph and replayed.

A step takes no arguments. What it reads (the epoch's draws, the learning rates, its own number) and what it writes (the
losses) lie in tensors on the device that stay where they are, so the very same function runs on a CPU and inside a
graph, and nothing within an epoch waits for the device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.errors import TrainingError
from explorer.training.augment import Draws, crop, cutout, horizontal_flip, mixup
from explorer.training.averaging import WeightAverage
from explorer.training.batches import Images
from explorer.training.recipe import Recipe

MIN_MICRO_BATCH = 8  # images; batch norm's statistics over fewer say little
_log = logging.getLogger(__name__)


def make_optimiser(net: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD as the recipe says. Its learning rate is a tensor on the weights' device, which each step sets.

    Momentum begins as zeros, which comes to the same as torch's beginning without, but is there to be kept and read.
    Raises TrainingError for a network without parameters.
    """
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if not parameters:
        raise TrainingError("the network has no parameters to train")
    decays = recipe.weight_decay
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decays},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": decays if recipe.decay_vectors else 0.0},
    ]
    lr = torch.zeros((), dtype=torch.float32, device=parameters[0].device)
    optimiser = torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True,
    )  # fmt: skip
    if recipe.momentum:
        for parameter in parameters:
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


class TrainingStep:
    """Calling it trains on the next batch of the epoch that ``begin_epoch`` laid out."""

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.SGD,
        images: Images,
        recipe: Recipe,
        shift: int,
        autocast: torch.autocast,
        average: WeightAverage | None = None,
    ):
        self.net, self.optimiser, self.images = net, optimiser, images
        self.recipe, self.shift, self.autocast, self.average = recipe, shift, autocast, average
        self.micro_batches = 1  # into which a batch is split, where it does not fit the device's memory
        self._lr = optimiser.param_groups[0]["lr"]
        self._number = torch.zeros(1, dtype=torch.int64, device=self._lr.device)
        self._draws: Draws | None = None
        self._rates = self._losses = torch.zeros(0)

    def begin_epoch(self, draws: Draws, rates: Sequence[float]) -> None:
        """Lays out an epoch: what was drawn for it and the learning rate of each step."""
        self.images.prefetch(list(draws.order))
        new = draws.map(lambda drawn: drawn.to(self._lr.device))
        if self._draws is None:
            self._draws = new
            self._rates = torch.tensor(rates, dtype=torch.float32, device=self._lr.device)
            self._losses = torch.zeros(len(rates), dtype=torch.float32, device=self._lr.device)
        else:  # a captured graph reads the first epoch's tensors
            for kept, drawn in zip(self._draws, new, strict=True):
                if kept is not None and drawn is not None:
                    kept.copy_(drawn)
            self._rates.copy_(torch.tensor(rates, dtype=torch.float32))
        self._number.zero_()

    def losses(self) -> Tensor:
        """Each step's loss of the epoch, on the CPU: asking waits for the device."""
        return self._losses.cpu()

    def __call__(self) -> None:
        assert self._draws is not None, "begin_epoch comes first"
        draws = self._draws.map(lambda drawn: drawn.index_select(0, self._number)[0])
        self._lr.copy_(self._rates.index_select(0, self._number)[0])
        images, labels = self._batch(draws)
        loss = self._backward(images, labels, draws.mixup_weight)
        self.optimiser.step()
        if self.average is not None:
            self.average.update()
        self._losses.index_copy_(0, self._number, loss.view(1))
        self._number += 1

    def _batch(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """The step's images, (B, C, H, W), as the network takes them, and their labels, (B,)."""
        pixels, labels = self.images.pixels[draws.order], self.images.labels[draws.order]
        if draws.crop_row is not None and draws.crop_column is not None:
            pixels = crop(pixels, self.shift, draws.crop_row, draws.crop_column)
        if draws.flipped is not None:
            pixels = horizontal_flip(pixels, draws.flipped)
        images = self.images.normalise(pixels)
        if draws.cutout_row is not None and draws.cutout_column is not None:
            images = cutout(images, self.recipe.cutout, draws.cutout_row, draws.cutout_column)
        if draws.mixup_weight is not None:
            images = mixup(images, draws.mixup_weight)
        return images, labels

    def _backward(self, images: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor:
        """Leaves the batch's gradients in the parameters; returns its mean loss.

        Where the device's memory does not hold the batch it is halved until it does, and the parts' gradients
        are added up: the same sum, but for batch norm, whose statistics are then those of a part.
        """
        partners = labels.flip(0)
        while True:
            self.optimiser.zero_grad(set_to_none=True)
            try:
                total = torch.zeros((), dtype=torch.float32, device=labels.device)
                chunks = (tensor.chunk(self.micro_batches) for tensor in (images, labels, partners))
                for some, its_labels, its_partners in zip(*chunks, strict=True):
                    loss = self._loss(some, its_labels, its_partners, weight) * (len(its_labels) / len(labels))
                    loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
                    total += loss.detach()
                return total
            except torch.OutOfMemoryError as error:
                if self._lr.is_cuda and torch.cuda.is_current_stream_capturing():
                    raise
                self._halve_micro_batch(len(labels), error)

    def _loss(self, images: Tensor, labels: Tensor, partners: Tensor, weight: Tensor | None) -> Tensor:
        """The mean cross-entropy, (); of a mixture that of both labels, each by its weight."""
        with self.autocast:
            logits = self.net(images)
        logits, smoothing = logits.float(), self.recipe.label_smoothing
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        if weight is None:
            return loss
        return torch.lerp(F.cross_entropy(logits, partners, label_smoothing=smoothing), loss, weight)

    def _halve_micro_batch(self, batch_size: int, error: torch.OutOfMemoryError) -> None:
        if batch_size // (2 * self.micro_batches) < MIN_MICRO_BATCH:
            raise TrainingError(
                f"the device's memory does not hold the network with {batch_size // self.micro_batches} images: "
                f"{str(error).splitlines()[0]}"
            ) from error
        self.micro_batches *= 2
        _log.warning(
            "out of memory on %s: batches of %d go in %d parts", self._lr.device, batch_size, self.micro_batches
        )
        if self._lr.is_cuda:
            self.optimiser.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()


class ReplayedStep:
    """A step that runs as it stands for WARM_UP steps, then is captured and replayed.

    A small network's kernels end sooner than Python launches them; a replay launches all of a step's at once.
    ``capture``: makes of a step a function that repeats it, without running it.
    """

    WARM_UP = 3  # real steps, in which optimiser, allocator and cuDNN settle

    def __init__(self, step: Callable[[], None], capture: Callable[[Callable[[], None]], Callable[[], None]]):
        self._run, self._capture, self._taken = step, capture, 0

    def __call__(self) -> None:
        if self._taken == self.WARM_UP:
            self._run = self._capture(self._run)
        self._taken += 1
        self._run()


def capture_cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph's replay; itself where it cannot be captured, or the graph finds no memory."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        _log.warning("the step cannot be captured in a CUDA graph and runs without: %s", str(error).splitlines()[0])
        return step
    return graph.replay
