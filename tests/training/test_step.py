"""The training step: fixed memory, mixed labels, split batches and CUDA graph replay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from explorer.data.dataset import load_data
from explorer.errors import TrainingError
from explorer.training.augment import draw_epoch
from explorer.training.batches import Images
from explorer.training.device import autocast
from explorer.training.recipe import recipe
from explorer.training.sgd import SGD
from explorer.training.step import ReplayedStep, TrainingStep
from tests.training.small_network import small_network

PLACE = torch.device("cpu")
PLAIN = replace(recipe("quick"), batch_size=64, augment=False)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def make_step(digits, net, settings=PLAIN) -> TrainingStep:
    images = Images(digits.train, digits, PLACE)
    return TrainingStep(net, SGD(net, settings), images, settings, digits.shift, autocast(PLACE, "float32"))


def begin(step, digits, settings=PLAIN, epoch=1, steps=3):
    draws = draw_epoch(digits, settings, steps, settings.batch_size, seed=0, epoch=epoch)
    step.begin_epoch(draws, [0.1 / (1 + number) for number in range(steps)])
    return draws


def test_equals_a_plain_training_loop(digits):
    """Three steps give the losses and weights of a plain loop over the same batches."""
    net, other = small_network(), small_network()
    step = make_step(digits, net)
    draws = begin(step, digits)
    for _ in range(3):
        step()
    images = Images(digits.train, digits, PLACE)
    decay = [{"params": [p for p in other.parameters() if p.ndim > 1], "weight_decay": PLAIN.weight_decay}]
    decay += [{"params": [p for p in other.parameters() if p.ndim <= 1], "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(decay, lr=0.1, momentum=0.9, nesterov=True)
    losses = []
    for number, rows in enumerate(draws.order):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 / (1 + number)
        loss = F.cross_entropy(other(images.normalise(images.pixels[rows])), images.labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert step.losses().tolist() == pytest.approx(losses, rel=1e-5)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_epochs_use_the_same_memory(digits):
    """A second epoch's draws, rates and losses use the first one's memory, which a captured graph reads and writes."""
    settings = replace(PLAIN, augment=True, cutout=3, mixup=0.4)
    step = make_step(digits, small_network(), settings)

    def places():
        tensors = [*step._draws, step._rates, step._losses, step._number, step._lr]
        return [tensor.data_ptr() for tensor in tensors if tensor is not None]

    begin(step, digits, settings)
    step()
    first = places()
    second = begin(step, digits, settings, epoch=2)
    assert places() == first
    assert torch.equal(step._draws.order, second.order)
    assert int(step._number) == 0


def test_labels_are_mixed_like_images(digits):
    """The loss of a mixed image is the weighted sum of the losses of both labels."""
    settings = replace(PLAIN, mixup=1.0, label_smoothing=0.1)
    net = small_network().eval()
    step = make_step(digits, net, settings)
    draws = begin(step, digits, settings)
    step()
    rows, weight = draws.order[0], draws.mixup_weight[0]
    images = Images(digits.train, digits, PLACE)
    batch, labels = images.normalise(images.pixels[rows]), images.labels[rows]
    logits = small_network().eval()(weight * batch + (1 - weight) * batch.flip(0))
    soft = weight * F.one_hot(labels, 10) + (1 - weight) * F.one_hot(labels.flip(0), 10)
    expected = F.cross_entropy(logits, soft, label_smoothing=0.1)
    assert step.losses()[0].item() == pytest.approx(expected.item(), rel=1e-5)


class LimitedMemory(nn.Module):
    """A network on a device whose memory is limited to ``most`` images at once, without batch norm."""

    def __init__(self, most: int):
        super().__init__()
        self.most = most
        self.classify = nn.Linear(64, 10)
        nn.init.constant_(self.classify.weight, 0.01)
        nn.init.zeros_(self.classify.bias)

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand much more text")
        return self.classify(x.flatten(1))


def test_a_batch_that_does_not_fit_is_split(digits):
    """A batch that runs out of memory is halved until it fits, with the losses and weights of the full batch."""
    roomy, narrow = LimitedMemory(64), LimitedMemory(16)
    steps = [make_step(digits, net) for net in (roomy, narrow)]
    for step in steps:
        begin(step, digits)
        for _ in range(3):
            step()
    assert [step.micro_batches for step in steps] == [1, 4]
    assert steps[0].losses().tolist() == pytest.approx(steps[1].losses().tolist(), rel=1e-5)
    assert torch.allclose(roomy.classify.weight, narrow.classify.weight, atol=1e-6)


def test_a_batch_that_never_fits_ends_the_training(digits):
    """If not even the smallest part fits, the training ends with a one-line reason."""
    step = make_step(digits, LimitedMemory(7))
    begin(step, digits)
    with pytest.raises(TrainingError, match=r"does not hold the network with 8 images: CUDA out of memory") as caught:
        step()
    assert "\n" not in str(caught.value)


def test_one_failed_allocation_is_retried(digits):
    """After one failed allocation the batch is retried in two parts."""
    net = small_network()
    forward, calls = net.forward, []

    def once(x):
        calls.append(len(x))
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(x)

    net.forward = once
    step = make_step(digits, net)
    begin(step, digits)
    step()
    assert calls == [64, 32, 32]
    assert step.losses()[0] > 0 and torch.isfinite(step.losses()).all()


def test_is_captured_once_and_then_replayed():
    """The first steps run eagerly; then the step is captured, without running, and replayed."""
    log = []

    def capture(step):
        log.append("captured")
        return lambda: log.append("replayed")

    step = ReplayedStep(lambda: log.append("run"), capture)
    for _ in range(6):
        step()
    assert log == ["run"] * 3 + ["captured"] + ["replayed"] * 3


def test_the_step_does_not_synchronise(digits, monkeypatch):
    """Within an epoch no value is read from the device, because reading would wait for it."""
    step = make_step(digits, small_network(), replace(PLAIN, augment=True, cutout=3, mixup=0.4))
    begin(step, digits, step.recipe)

    def waits(*args, **kwargs):
        raise AssertionError("the step asked the device for a number")

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, waits)
    for _ in range(3):
        step()
    monkeypatch.undo()
    assert torch.isfinite(step.losses()).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graph_gives_the_same_losses(digits):
    """On a GPU, training with and without CUDA graphs gives losses that agree."""
    from explorer.training.loop import train_network

    results = [
        train_network(small_network(), digits, PLAIN, epochs=4, seed=0, device="cuda", graph=graph, precision="float32")
        for graph in (False, True)
    ]
    for plain, replayed in zip(*(result.curve for result in results), strict=True):
        assert replayed.train_loss == pytest.approx(plain.train_loss, rel=1e-2)
