"""The training loop: ``train_network`` trains one network and validates it after every epoch."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor, nn

from explorer.data.dataset import Dataset
from explorer.errors import TrainingError
from explorer.networks.build import Network
from explorer.networks.randomness import dropping_from
from explorer.records import Epoch, TrainingResult
from explorer.system.device_lock import Pause
from explorer.training.activation_checkpointing import checkpointed_stages, needs_checkpointing
from explorer.training.augment import draw_epoch, greatest_shift
from explorer.training.averaging import WeightAverage
from explorer.training.batches import Images
from explorer.training.checkpoint import Checkpoint
from explorer.training.convolutions import replace_faulty_convolutions
from explorer.training.cpu.layers import fast_layers
from explorer.training.device import AUTO, autocast, dropout_generator, freed_memory_kept, process_settings
from explorer.training.evaluation import Evaluation, evaluate
from explorer.training.image_sizes import image_sizes
from explorer.training.precision import choose_precision
from explorer.training.recipe import Recipe, require_several_values
from explorer.training.settings import ON
from explorer.training.sgd import SGD, Muon, make_optimiser
from explorer.training.step import ReplayedStep, TrainingStep, capture_cuda_graph


def train_network(
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    epochs: int,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
    precision: str = AUTO,
    graph: bool = True,
    activation_checkpointing: str = AUTO,
    checkpoint: Path | None = None,
    pauses: bool = False,
    on_epoch: Callable[[Epoch], bool | None] | None = None,
) -> TrainingResult:
    """Train ``net`` in place on ``data.train``, validate it after every epoch, and leave it on ``device``.

    On a CPU the same network, seed, precision and number of threads give bitwise equal results. While another process
    measures a latency on the device, training waits between two steps; waiting changes no result and does not count as
    training time. Augmented images are resized to the input of a network of ``build_network``, also for validation.

    Args:
        net: The network with its initial weights.
        data: The data set.
        recipe: Batch size, optimiser, learning rate schedule and augmentation.
        epochs: Number of epochs, at least 1.
        seed: Seed of the order of images, of augmentation and of dropout, but not of the weights.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: Number of computing threads.
        precision: ``float32``; ``bfloat16`` for autocast with float32 weights; ``auto`` for the one measured as faster.
        graph: Whether to replay the step as a CUDA graph on a GPU.
        activation_checkpointing: ``on``, ``off``, or ``auto`` for what ``needs_checkpointing`` says. It changes memory
            and time, not the results. Only networks of ``build_network`` can be checkpointed.
        checkpoint: File for checkpoints, written between epochs if enough time has passed. If an interrupted run is
            repeated with the same arguments it resumes from the file, with bitwise equal results on a CPU. The caller
            removes the file after it has stored the result.
        pauses: Whether a training that ``on_epoch`` stops writes a checkpoint first. With the same arguments it then
            continues from there, as an interrupted run does.
        on_epoch: Called with each finished epoch, and on resuming with each earlier one; if it returns True for a new
            epoch, training stops.

    Returns:
        The metrics of the last epoch, the curve of all epochs, and the throughput.

    Raises:
        TrainingError: The loss or a weight is not finite, even a part of a batch does not fit in the device's memory,
            or an argument is out of range.
    """
    if epochs < 1:
        raise TrainingError(f"epochs must be at least 1, found {epochs}")
    began = time.perf_counter()
    with ExitStack() as settings:
        torch_device = settings.enter_context(process_settings(device, threads))
        settings.enter_context(freed_memory_kept())
        pause = settings.enter_context(Pause(str(torch_device)))
        net.to(torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch annotates no memory_format
        settings.enter_context(replace_faulty_convolutions(net))
        dropout = dropout_generator(torch_device)
        settings.enter_context(dropping_from(net, dropout))
        optimiser = make_optimiser(net, recipe)
        train, validation = Images(data.train, data, torch_device), Images(data.validation, data, torch_device)
        batch_size = min(recipe.batch_size, len(train))
        if isinstance(net, Network):
            require_several_values(net.architecture, batch_size)
        steps = len(train) // batch_size
        if precision == AUTO:
            shape = net.architecture.input if isinstance(net, Network) else data.shape
            precision = choose_precision(net, shape, data.classes, batch_size, torch_device)
        cast = autocast(torch_device, precision)
        if isinstance(net, Network) and (
            activation_checkpointing == ON
            or (
                activation_checkpointing == AUTO
                and needs_checkpointing(net.architecture, batch_size, precision, torch_device, threads)
            )
        ):
            settings.enter_context(checkpointed_stages(net, dropout))
        fused = settings.enter_context(fast_layers(net))
        average = WeightAverage(net, recipe.ema) if recipe.ema else None
        step = TrainingStep(net, optimiser, train, recipe, greatest_shift(data, recipe), cast, average)
        replays = graph and not train.streamed and torch_device.type == "cuda"
        take_step = ReplayedStep(step, capture_cuda_graph) if replays else step
        sizes = image_sizes(net, recipe, epochs, batch_size)

        curve: tuple[Epoch, ...] = ()
        saved = None
        if checkpoint is not None:
            saved = Checkpoint(
                checkpoint, _fingerprint(net, data, recipe, epochs, seed, torch_device, threads, precision, fused)
            )
            curve, seconds_before = saved.read(_state(net, optimiser, average)) or ((), 0.0)
            began -= seconds_before
            for earlier in curve:
                if on_epoch is not None:
                    on_epoch(earlier)

        for epoch in range(len(curve) + 1, epochs + 1):
            started = time.perf_counter()
            dropout.manual_seed(_dropout_seed(seed, epoch))
            rates = [recipe.lr_at((epoch - 1) * steps + number, epochs * steps) for number in range(steps)]
            size = sizes[epoch - 1]
            if replays and size != sizes[epoch - 2]:
                take_step = ReplayedStep(step, capture_cuda_graph)  # a captured graph has the shapes of its capture
            step.begin_epoch(draw_epoch(data, recipe, steps, batch_size, seed, epoch), rates, size)
            net.train()
            paused = 0.0
            for _ in range(steps):
                paused += pause()
                take_step()
            train_loss = _mean_loss(step.losses(), epoch, rates)
            _require_finite(net, epoch)
            seconds = time.perf_counter() - started - paused

            scores = _validate(net, validation, cast, average, pause, size)
            if not math.isfinite(scores.loss):
                raise TrainingError(
                    f"epoch {epoch}: the validation loss is {scores.loss}; "
                    f"a lower learning rate than the recipe's {recipe.lr:g} may help"
                )
            curve += (Epoch(epoch, train_loss, scores.loss, scores.accuracy, scores.top5, rates[-1], seconds),)
            stops = on_epoch is not None and on_epoch(curve[-1])
            if saved is not None and epoch < epochs and (pauses if stops else saved.is_due()):
                saved.write(_state(net, optimiser, average), curve, time.perf_counter() - began)
            if stops:
                break
        if average is not None:
            average.copy_to_network()

    last = curve[-1]
    return TrainingResult(
        val_accuracy=last.val_accuracy,
        val_loss=last.val_loss,
        val_top5=last.val_top5,
        epochs=last.epoch,
        seconds=time.perf_counter() - began,
        images_per_second=last.epoch * steps * batch_size / sum(epoch.seconds for epoch in curve),
        curve=curve,
        precision=precision,
    )


def evaluate_network(
    net: nn.Module,
    data: Dataset,
    split: str = "test",
    *,
    device: str = "cpu",
    threads: int = 1,
    precision: str = "float32",
) -> Evaluation:
    """Evaluate ``net`` on one split and leave it in evaluation mode on ``device``.

    Args:
        net: The network.
        data: The data set.
        split: ``train``, ``validation`` or ``test``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: Number of computing threads.
        precision: ``float32`` or ``bfloat16``.

    Returns:
        Accuracies and loss.

    Raises:
        DataError: The split is unknown, or its files are damaged.
        TrainingError: An argument is out of range.
    """
    with process_settings(device, threads) as torch_device:
        net.to(torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch annotates no memory_format
        return evaluate(net, Images(data.split(split), data, torch_device), autocast(torch_device, precision))


def _validate(
    net: nn.Module,
    images: Images,
    cast: torch.autocast,
    average: WeightAverage | None,
    pause: Pause,
    size: tuple[int, int] | None,
) -> Evaluation:
    """Evaluate the averaged weights if there are any, else the network's own."""
    if average is None:
        return evaluate(net, images, cast, pause, size)
    with average.applied():
        return evaluate(net, images, cast, pause, size)


def _mean_loss(losses: Tensor, epoch: int, rates: list[float]) -> float:
    """Return the epoch's mean training loss. Raises TrainingError if the loss of a step is not finite."""
    bad = torch.nonzero(~torch.isfinite(losses))
    if len(bad):
        step = int(bad[0])
        raise TrainingError(
            f"epoch {epoch}, step {step + 1} of {len(losses)}: the training loss is {losses[step].item()} "
            f"(learning rate {rates[step]:g}); a lower learning rate may help"
        )
    return losses.mean().item()


def _require_finite(net: nn.Module, epoch: int) -> None:
    """Raise TrainingError if a weight is not finite. The loss may still be finite, because ReLU may map NaN to 0."""
    tensors = [tensor for tensor in net.state_dict().values() if tensor.is_floating_point()]
    if not torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).all():
        raise TrainingError(f"epoch {epoch}: some weights are not finite; a lower learning rate may help")


def _dropout_seed(seed: int, epoch: int) -> int:
    """Return the seed of the dropout generator in one epoch, of 64 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8])


def _state(net: nn.Module, optimiser: SGD | Muon, average: WeightAverage | None) -> dict[str, Tensor]:
    """Return all tensors that change in training by name; they are not copies."""
    state = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    for name, parameter in net.named_parameters():
        if parameter in optimiser.momentum:
            state[f"momentum.{name}"] = optimiser.momentum[parameter]
    if average is not None:
        state |= {f"average.{name}": tensor for name, tensor in average.state().items()}
    return state


def _fingerprint(
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    epochs: int,
    seed: int,
    device: torch.device,
    threads: int,
    precision: str,
    fused: bool,
) -> str:
    """Return a hash of everything that determines the results of a run, as it is before the first step."""
    weights = hashlib.sha256()
    for tensor in net.state_dict().values():
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    fixed = {
        "network": str(net), "weights": weights.hexdigest(), "data": dict(data.fingerprint), "recipe": recipe.to_json(),
        "epochs": epochs, "seed": seed, "device": device.type, "threads": threads, "precision": precision,
        "fused_norms": fused, "torch": torch.__version__,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
