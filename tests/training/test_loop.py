"""The training loop: it learns, is reproducible, stops on request, and fails with clear errors."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from explorer.data.dataset import Dataset, load_data
from explorer.data.splits import Split
from explorer.errors import DataError, TrainingError
from explorer.networks.ops.base import TensorShape
from explorer.records import TrainingResult
from explorer.system.device_lock import Pause
from explorer.training.evaluation import BATCH_SIZE
from explorer.training.loop import evaluate_network, train_network
from explorer.training.recipe import recipe
from explorer.training.sgd import SGD
from tests.training.small_network import small_network

SMALL = recipe("quick_small")


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def train(digits, epochs=2, net=None, settings=SMALL, seed=0, **options) -> TrainingResult:
    return train_network(net or small_network(), digits, settings, epochs=epochs, seed=seed, **options)


def without_times(result: TrainingResult):
    return [replace(epoch, seconds=0.0) for epoch in result.curve]


def test_waiting_for_the_device_is_not_counted(digits, monkeypatch):
    """The training asks for its device once per step and validation batch; waiting time is not counted and changes no
    bit."""
    waits = []

    class Waits(Pause):
        def __call__(self) -> float:
            waits.append(-3600.0)  # as if the clock had gone back: the time taken off the epoch shows
            return waits[-1]

    plain = train(digits, epochs=1)
    monkeypatch.setattr("explorer.training.loop.Pause", Waits)
    waited = train(digits, epochs=1)
    steps = len(digits.train) // min(SMALL.batch_size, len(digits.train))
    assert len(waits) == steps + -(-len(digits.validation) // BATCH_SIZE)
    assert waited.curve[0].seconds == pytest.approx(3600.0 * steps, rel=0.1)
    assert without_times(waited) == without_times(plain)


def test_learns(digits):
    """A small network reaches 80% accuracy after ten epochs of 200 digits."""
    net = small_network(width=16)
    assert evaluate_network(net, digits, "validation").accuracy < 0.3
    result = train(digits, epochs=10, net=net)
    assert result.val_accuracy > 0.8
    assert evaluate_network(net, digits, "test").accuracy > 0.75


def test_the_result_is_the_last_epoch(digits):
    """The result equals the curve's last epoch and the network's final state."""
    net = small_network()
    result = train(digits, epochs=3, net=net)
    last = result.curve[-1]
    assert [epoch.epoch for epoch in result.curve] == [1, 2, 3]
    assert (result.epochs, result.val_accuracy, result.val_loss, result.val_top5) == (
        3,
        last.val_accuracy,
        last.val_loss,
        last.val_top5,
    )
    now = evaluate_network(net, digits, "validation", precision=result.precision)
    assert (now.accuracy, now.top5, now.loss) == (last.val_accuracy, last.val_top5, last.val_loss)
    assert 0 < sum(epoch.seconds for epoch in result.curve) < result.seconds
    assert result.images_per_second == pytest.approx(3 * 192 / sum(epoch.seconds for epoch in result.curve))
    assert TrainingResult.from_json(result.to_json()) == result


def test_same_seed_same_result(digits):
    """The same seed and network give bit-identical curves and weights, dropout included; another seed does not."""
    nets = [small_network(dropout=0.2) for _ in range(3)]
    curves = [without_times(train(digits, net=net, seed=seed)) for net, seed in zip(nets, (5, 5, 6), strict=True)]
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]
    assert all(map(torch.equal, nets[0].state_dict().values(), nets[1].state_dict().values()))


def test_the_callers_settings_are_unchanged(digits):
    """The caller's number of threads and random state do not change."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    used = []
    train(digits, epochs=1, threads=threads + 1, on_epoch=lambda _: used.append(torch.get_num_threads()))
    assert used == [threads + 1]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_on_epoch_stops_a_training(digits):
    """``on_epoch`` is called with each epoch, and True ends the training with the epochs so far."""
    seen = []

    def stop_at_two(epoch):
        seen.append(epoch)
        return epoch.epoch == 2

    result = train(digits, epochs=5, on_epoch=stop_at_two)
    assert result.epochs == 2
    assert tuple(seen) == result.curve


def test_the_schedule_spans_all_epochs(digits):
    """Each epoch's learning rate is that of its last step in the full schedule: 6 steps of 32 in 200 images."""
    result = train(digits, epochs=4)
    assert [epoch.lr for epoch in result.curve] == [SMALL.lr_at(6 * epoch - 1, 24) for epoch in (1, 2, 3, 4)]


def test_batch_larger_than_the_data(digits):
    """If a batch is larger than the data, an epoch is one step of all images."""
    result = train(digits, epochs=2, settings=replace(SMALL, batch_size=1000))
    assert result.images_per_second == pytest.approx(2 * 200 / sum(epoch.seconds for epoch in result.curve))


def test_bfloat16_learns(digits):
    """Under autocast the network learns as well, and its weights stay float32."""
    net = small_network(width=16)
    result = train(digits, epochs=8, net=net, precision="bfloat16")
    assert result.val_accuracy > 0.6
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}


def test_without_augmentation_images_are_unchanged(digits):
    """With no shift, no flip and one batch per epoch, the loss of the first step is the same."""
    still = replace(SMALL, augment=False, batch_size=200)

    def first_losses(settings):
        results = [train(digits, epochs=1, settings=settings, seed=seed, precision="float32") for seed in (0, 1)]
        return [result.curve[0].train_loss for result in results]

    one, other = first_losses(still)
    assert one == pytest.approx(other, rel=1e-6)
    one, other = first_losses(replace(still, augment=True))
    assert one != pytest.approx(other, rel=1e-5)


class FixedScores(nn.Module):
    """A model that returns given scores for each image, in order; its one weight has no effect."""

    def __init__(self, scores: torch.Tensor):
        super().__init__()
        self.scores, self.at, self.weight = scores, 0, nn.Parameter(torch.zeros(1, 1))

    def forward(self, x):
        rows = self.scores[self.at : self.at + len(x)]
        self.at += len(x)
        return rows + self.weight.sum()


def few_images(count: int, classes: int) -> Dataset:
    part = Split(np.zeros((count, 1, 4, 4), np.uint8), np.arange(count) % classes)
    return Dataset("few", TensorShape(1, 4, 4), classes, part, part, part, (0.0,), (1.0,), 0, False, {})


def test_evaluation_metrics_are_correct():
    """Accuracy, top-5 accuracy and loss equal a manual count, with full and partial batches."""
    data = few_images(700, classes=20)
    scores = torch.randn(700, 20, generator=torch.Generator().manual_seed(0))
    scores[torch.arange(700), torch.tensor(data.test.labels)] += 1.0
    found = evaluate_network(FixedScores(scores), data, "test")
    place = (scores > scores.gather(1, torch.tensor(data.test.labels)[:, None])).sum(1)
    assert found.accuracy == pytest.approx((place == 0).double().mean().item())
    assert found.top5 == pytest.approx((place < 5).double().mean().item())
    assert found.loss == pytest.approx(
        nn.functional.cross_entropy(scores, torch.tensor(data.test.labels)).item(), rel=1e-5
    )


def test_top5_of_three_classes():
    """With fewer than five classes every image counts as top-5 correct."""
    assert evaluate_network(FixedScores(torch.randn(9, 3)), few_images(9, 3), "test").top5 == 1.0


def test_evaluation_changes_nothing(digits):
    """Evaluating twice gives the same result, because running statistics and dropout are not active."""
    net = small_network(dropout=0.5)
    assert evaluate_network(net, digits, "validation") == evaluate_network(net, digits, "validation")


def test_vectors_are_excluded_from_weight_decay():
    """Norms and biases decay with the recipe he2016 and not with quick."""
    net = small_network()
    vectors = sum(parameter.numel() for parameter in net.parameters() if parameter.ndim <= 1)
    for name, expected in (("quick", 0), ("he2016", vectors)):
        groups = SGD(net, recipe(name)).groups
        decayed = sum(parameter.numel() for decay, group in groups if decay for parameter in group)
        assert decayed == sum(parameter.numel() for parameter in net.parameters()) - vectors + expected


class Exploding(nn.Module):
    """A linear classifier whose scores are NaN at one step of training, or with 0 in evaluation."""

    def __init__(self, training_step: int):
        super().__init__()
        self.linear, self.bad, self.step = nn.Linear(64, 10), training_step, 0

    def forward(self, x):
        self.step += self.training
        bad = self.step == self.bad if self.training else self.bad == 0
        return self.linear(x.flatten(1)) * (float("nan") if bad else 1.0)


class TestFailures:
    def test_not_finite_in_training(self, digits):
        """A loss that is not finite ends the training with the epoch, the step and suggested fixes."""
        with pytest.raises(
            TrainingError, match=r"epoch 1, step 3 of 6: the training loss is nan .*a lower learning rate may help"
        ):
            train(digits, net=Exploding(training_step=3))

    def test_diverging(self, digits):
        """A learning rate that is far too high ends the training in the same way."""
        wild = replace(SMALL, lr=1000.0, weight_decay=1.0)
        with pytest.raises(TrainingError, match=r"the training loss is (nan|inf)"):
            train(digits, settings=wild, net=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), epochs=20)

    def test_not_finite_in_validation(self, digits):
        """A network that is finite in training and not in evaluation fails at its first epoch."""
        with pytest.raises(TrainingError, match="epoch 1: the validation loss is nan"):
            train(digits, net=Exploding(training_step=0))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"epochs": 0}, "epochs must be at least 1, found 0"),
            ({"threads": 0}, "threads must be at least 1, found 0"),
            ({"precision": "bf16"}, "unknown precision 'bf16'; known: float32, bfloat16"),
            ({"device": "gpu"}, "unknown device 'gpu'; known: cpu, cuda"),
            ({"device": "meta"}, "cannot train on 'meta'"),
            ({"device": "cuda:99"}, "no device 'cuda:99'"),
        ],
    )
    def test_arguments_out_of_range(self, digits, options, message):
        """Each argument out of range is rejected by name."""
        with pytest.raises(TrainingError, match=message):
            train(digits, **options)

    def test_nothing_to_train(self, digits):
        """A network without parameters is rejected."""
        with pytest.raises(TrainingError, match="the network has no parameters to train"):
            train(digits, net=nn.Flatten())

    def test_unknown_split(self, digits):
        """An unknown split is rejected."""
        with pytest.raises(DataError, match="unknown split 'tests'"):
            evaluate_network(small_network(), digits, "tests")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(digits):
    """With the same images in the same order, the loss of the first step is the same on both devices."""
    one_step = replace(SMALL, batch_size=200)
    losses = [
        train(digits, epochs=1, settings=one_step, device=device).curve[0].train_loss for device in ("cpu", "cuda")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


class TestCallersState:
    def test_trainings_in_threads_are_independent(self, digits):
        """Four concurrent trainings with dropout have the same curves as separate ones."""
        alone = [without_times(train(digits, 1, small_network(dropout=0.3), seed=seed)) for seed in range(4)]
        together: dict[int, list] = {}

        def run(seed: int, net: nn.Module) -> None:
            together[seed] = without_times(train(digits, 1, net, seed=seed))

        # Built here: ``small_network`` draws from the global state.
        threads = [threading.Thread(target=run, args=(seed, small_network(dropout=0.3))) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [together[seed] for seed in range(4)] == alone

    def test_the_callers_defaults_have_no_effect(self, digits):
        """Another default dtype, no_grad and inference_mode change neither the curve nor any random state."""
        expected = without_times(train(digits, 1, small_network(dropout=0.3)))
        net, state = small_network(dropout=0.3), torch.random.get_rng_state()
        torch.set_default_dtype(torch.float64)
        try:
            with torch.no_grad(), torch.inference_mode():
                found = train(digits, 1, net)
        finally:
            torch.set_default_dtype(torch.float32)
        assert without_times(found) == expected
        assert torch.equal(torch.random.get_rng_state(), state)
