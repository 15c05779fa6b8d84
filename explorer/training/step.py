"""One training step, which runs eagerly or is captured in a CUDA graph and replayed.

A step takes no arguments. Its inputs (the epoch's draws, the learning rates, the step's number) and its outputs (the
losses) are tensors on the device that keep their memory. The same function therefore runs on a CPU and in a CUDA graph,
and nothing within an epoch waits for the device.
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
from explorer.training.batches import Images, resized
from explorer.training.recipe import Recipe
from explorer.training.sgd import SGD, Muon

MIN_MICRO_BATCH = 8  # images; batch norm's statistics over fewer are too noisy
_log = logging.getLogger(__name__)


class TrainingStep:
    """A callable that trains on the next batch of the epoch that ``begin_epoch`` prepared.

    Args:
        net: The network.
        optimiser: Its optimiser.
        images: The training images.
        recipe: The recipe.
        shift: Pixels of padding for random crops.
        autocast: The context in which the network computes.
        average: The average to update after each step, if any.

    Attributes:
        micro_batches: Number of parts into which a batch is split because the whole does not fit in memory.
    """

    def __init__(
        self,
        net: nn.Module,
        optimiser: SGD | Muon,
        images: Images,
        recipe: Recipe,
        shift: int,
        autocast: torch.autocast,
        average: WeightAverage | None = None,
    ):
        self.net, self.optimiser, self.images = net, optimiser, images
        self.recipe, self.shift, self.autocast, self.average = recipe, shift, autocast, average
        self.micro_batches = 1
        self._lr = optimiser.lr
        self._number = torch.zeros(1, dtype=torch.int64, device=self._lr.device)
        self._draws: Draws | None = None
        self._size: tuple[int, int] | None = None
        self._rates = self._losses = torch.zeros(0)

    def begin_epoch(self, draws: Draws, rates: Sequence[float], size: tuple[int, int] | None = None) -> None:
        """Prepare an epoch.

        Args:
            draws: The random numbers of the epoch.
            rates: The learning rate of each step.
            size: Height and width of the images, if not those of the network's input.
        """
        self._size = size
        self.images.prefetch(list(draws.order))
        new = draws.map(lambda drawn: drawn.to(self._lr.device))
        if self._draws is None:
            self._draws = new
            self._rates = torch.tensor(rates, dtype=torch.float32, device=self._lr.device)
            self._losses = torch.zeros(len(rates), dtype=torch.float32, device=self._lr.device)
        else:  # a captured graph reads the memory of the first epoch's tensors
            for buffer, drawn in zip(self._draws, new, strict=True):
                if buffer is not None and drawn is not None:
                    buffer.copy_(drawn)
            self._rates.copy_(torch.tensor(rates, dtype=torch.float32))
        self._number.zero_()

    def losses(self) -> Tensor:
        """Return the loss of each step of the epoch, on the CPU; this waits for the device."""
        return self._losses.cpu()

    def __call__(self) -> None:
        assert self._draws is not None, "begin_epoch must be called first"
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
        """Return the step's augmented, normalised and resized images, (B, C, H, W), and their labels, (B,)."""
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
        return resized(images, self.net, self._size), labels

    def _backward(self, images: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor:
        """Compute the batch's gradients and return its mean loss.

        If the batch does not fit in the device's memory, it is halved until it does, and gradients are accumulated over
        the micro-batches. The gradients are the same except for batch norm, whose statistics are those of a
        micro-batch.
        """
        partners = labels.flip(0)
        while True:
            self.optimiser.zero_grad()
            try:
                total = torch.zeros((), dtype=torch.float32, device=labels.device)
                chunks = (tensor.chunk(self.micro_batches) for tensor in (images, labels, partners))
                for part, part_labels, part_partners in zip(*chunks, strict=True):
                    loss = self._loss(part, part_labels, part_partners, weight) * (len(part_labels) / len(labels))
                    loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
                    total += loss.detach()
                return total
            except torch.OutOfMemoryError as error:
                if self._lr.is_cuda and torch.cuda.is_current_stream_capturing():
                    raise
                self._halve_micro_batch(len(labels), error)

    def _loss(self, images: Tensor, labels: Tensor, partners: Tensor, weight: Tensor | None) -> Tensor:
        """Return the mean cross-entropy, (); with mixup it is the weighted mean over both labels of each image."""
        with self.autocast:
            logits = self.net(images)
        logits, smoothing = logits.float(), self.recipe.label_smoothing
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        if weight is None:
            return loss
        return torch.lerp(F.cross_entropy(logits, partners, label_smoothing=smoothing), loss, weight)

    def _halve_micro_batch(self, batch_size: int, error: torch.OutOfMemoryError) -> None:
        """Double the number of micro-batches. Raises TrainingError if they would be too small."""
        if batch_size // (2 * self.micro_batches) < MIN_MICRO_BATCH:
            raise TrainingError(
                f"the device's memory does not hold the network with {batch_size // self.micro_batches} images: "
                f"{str(error).splitlines()[0]}"
            ) from error
        self.micro_batches *= 2
        _log.warning(
            "out of memory on %s: each batch of %d is split into %d parts",
            self._lr.device,
            batch_size,
            self.micro_batches,
        )
        if self._lr.is_cuda:
            self.optimiser.zero_grad()
            torch.cuda.empty_cache()


class ReplayedStep:
    """A step that runs eagerly for WARM_UP steps and is then captured and replayed.

    The kernels of a small network finish faster than Python launches them; a replay launches all kernels of a step at
    once.

    Args:
        step: The step.
        capture: Returns a function that replays a given step; it does not train.
    """

    WARM_UP = 3  # steps in which optimiser state and memory are allocated and cuDNN chooses its algorithms

    def __init__(self, step: Callable[[], None], capture: Callable[[Callable[[], None]], Callable[[], None]]):
        self._run, self._capture, self._steps = step, capture, 0

    def __call__(self) -> None:
        if self._steps == self.WARM_UP:
            self._run = self._capture(self._run)
        self._steps += 1
        self._run()


def capture_cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """Capture ``step`` in a CUDA graph and return the graph's replay; return ``step`` if it cannot be captured.

    The current stream is captured, within ``process_settings``: the steps before ran in it, and a capture that fails
    leaves it as the current one. torch's own stream for captures belongs to the first device of the process on which
    anything was captured; on another device a step would run there, outside the graph.
    """
    graph = torch.cuda.CUDAGraph()
    try:
        # thread_local: CUDA calls of the caller's other threads must not invalidate this capture.
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
            step()
    except RuntimeError as error:  # includes torch.OutOfMemoryError
        _log.warning("the step cannot be captured in a CUDA graph and runs without it: %s", str(error).splitlines()[0])
        return step
    return graph.replay
