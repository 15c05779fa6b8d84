"""Confirmation runs in the store: claimed once, resumed and summarised."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from explorer.analysis.noise import frontier_probabilities
from explorer.errors import StoreError
from explorer.records import BlockFlow, Environment, Epoch, GradientFlow, TrainingResult
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.rows import Ending
from explorer.store.studies import find_study, open_study
from explorer.store.views.gradient_flows import save_gradient_flow
from tests.store.conftest import GONE, proposal

ENVIRONMENT = Environment("cpu", "a CPU", 1, "Linux", "3.11", {"torch": "2"})


def result(accuracy: float, epochs: int = 2) -> TrainingResult:
    """Return the result of a training with this validation accuracy."""
    curve = (Epoch(1, 1.0, 1.0, accuracy, 1.0, 0.1, 1.0),)
    return TrainingResult(accuracy, 1.0, 1.0, epochs, 2.0, 100.0, curve)


def confirm(writer: ConfirmationWriter, digest: str, values: dict[int, float], epochs: int = 2, gain: float = 0.1):
    """Write one run per seed with its test accuracy; validation accuracy is higher by ``gain``."""
    for seed, value in values.items():
        training = Wanted(digest, epochs, seed)
        assert writer.claim([training]) is not None
        test = {"accuracy": value, "top5": 1.0, "loss": 1 - value}
        assert writer.finish(training, test=test, result=result(value + gain, epochs), environment=ENVIRONMENT)


@pytest.fixture
def study(writer):
    """Three complete networks: a and b on the validation front, c dominated."""
    for number, (name, cost, accuracy) in enumerate((("a", 10.0, 0.5), ("b", 20.0, 0.7), ("c", 30.0, 0.6))):
        writer.begin(number, proposal(name, cost))
        writer.finish(number, Ending("complete", {"accuracy": accuracy, "macs": cost}))
    return writer.study


def test_a_run_is_claimed_once_and_resumed_when_its_worker_is_lost(study):
    """A running or finished run cannot be claimed; a released, lost or failed one can, with attempt + 1."""
    one, other = ConfirmationWriter(study, new_worker()), ConfirmationWriter(study, new_worker())
    wanted = [Wanted("v1-a", 2, 1), Wanted("v1-a", 2, 2)]
    first, second = one.claim(wanted), other.claim(wanted)
    assert (first.seed, second.seed) == (1, 2) and one.claim(wanted) is other.claim(wanted) is None
    one.renew()
    one.release()
    again = other.claim(wanted)
    assert (again.seed, again.attempt) == (1, 2)
    assert one.finish(wanted[0], test={"accuracy": 0.1}) is None  # it now belongs to the other worker
    assert other.finish(wanted[0], reason="it broke\nbadly").reason == "it broke badly"
    assert other.finish(wanted[1], test={"accuracy": 0.5}, result=result(0.6)).state == "complete"
    third = one.claim(wanted)
    assert (third.seed, third.attempt, third.state) == (1, 3, "running")
    assert one.claim([]) is None
    gone = ConfirmationWriter(study, GONE)
    assert gone.claim([Wanted("v1-b", 2, 1)]) and one.claim([Wanted("v1-b", 2, 1)]).attempt == 2


def test_confirmed_networks_have_test_metrics_and_probabilities(study):
    """Confirmed networks are sorted by cost, with mean and deviation over seeds and the probability from pooled
    noise."""
    writer = ConfirmationWriter(study, new_worker())
    assert study.confirmed() == [] and study.training_noise() is None and study.frontier_probabilities() == {}
    confirm(writer, "v1-b", {1: 0.60, 2: 0.64})
    confirm(writer, "v1-a", {1: 0.55, 2: 0.59, 3: 0.60})
    writer.claim([Wanted("v1-a", 2, 4)])  # running, and so not counted
    writer.finish(Wanted("v1-a", 2, 4), reason="no")
    a, b = study.confirmed()
    assert (a.trial, a.digest, a.x, a.seeds, a.failed, a.epochs) == (0, "v1-a", 10.0, 3, 1, 2)
    assert a.test == (0.55, 0.59, 0.60) and a.test_mean == pytest.approx(0.58)
    assert a.test_std == pytest.approx(np.std(a.test, ddof=1)) and a.validation_mean == pytest.approx(0.68)
    noise = np.sqrt((2 * a.test_std**2 + b.test_std**2) / 3)
    expected = frontier_probabilities([10, 20], [0.58, 0.62], [noise / 3**0.5, noise / 2**0.5])
    assert [a.frontier_probability, b.frontier_probability] == pytest.approx(expected)
    assert 0.5 < b.frontier_probability < 1 == pytest.approx(a.frontier_probability)
    by_loss = study.confirmed(y="loss")
    assert [each.test_mean for each in by_loss] == pytest.approx([0.42, 0.38])
    assert [each.frontier_probability for each in by_loss] == pytest.approx(expected)
    assert [each.x for each in study.confirmed("params")] == [7, 7]
    with pytest.raises(StoreError, match=r"has no quantity 'mac'.*did you mean 'macs'"):
        study.confirmed("mac")
    with pytest.raises(StoreError, match="not for 'macs'"):
        study.confirmed(y="macs")


def test_one_seed_is_compared_with_the_trial(study):
    """With one run per network the test split has no deviation or probability, but the noise of validation is known."""
    writer = ConfirmationWriter(study, new_worker())
    confirm(writer, "v1-a", {1: 0.5})  # validation 0.6, the trial has 0.5
    confirm(writer, "v1-b", {1: 0.6})  # validation 0.7, as the trial
    assert [(each.test_std, each.frontier_probability) for each in study.confirmed()] == [(None, None)] * 2
    assert study.training_noise() == pytest.approx(np.sqrt(0.1**2 / 2 / 2))


def test_the_noise_gives_each_trial_its_probability(study):
    """The noise and the probabilities use all runs of a network, its trial first."""
    writer = ConfirmationWriter(study, new_worker())
    confirm(writer, "v1-b", {1: 0.50, 2: 0.54})  # validation .60 and .64
    assert [(each.digest, each.cost, each.values) for each in study.trainings("macs", "accuracy")] == [
        ("v1-a", 10.0, (0.5,)),
        ("v1-b", 20.0, (0.7, pytest.approx(0.6), pytest.approx(0.64))),
        ("v1-c", 30.0, (0.6,)),
    ]
    assert study.training_noise() == pytest.approx(np.std([0.7, 0.6, 0.64], ddof=1))
    noise, found = study.frontier_certainty().noise, study.frontier_probabilities()
    assert (noise.degrees_of_freedom, noise.networks) == (2, 1) and noise.std == study.training_noise()
    assert list(found) == [0, 1, 2] and 0.5 < found[1] < found[0] == pytest.approx(1)
    assert 0.1 < found[2] < 0.9  # dominated in its one training, and perhaps not in the next
    assert study.frontier_certainty("macs", "params") is None  # no repeat measures it


def test_evaluations_of_a_function_are_kept_with_their_values(study):
    """A repeat by the caller's ``evaluate`` has the values that it returned, and no test result to confirm with."""
    writer = ConfirmationWriter(study, new_worker())
    training = Wanted("v1-b", 2, 1)
    assert writer.claim([training]) is not None
    assert writer.finish(training, measured={"accuracy": 0.66, "joules": 3.0}).state == "complete"
    (record,) = study.confirmations()
    assert (record.measured, record.test, record.result) == ({"accuracy": 0.66, "joules": 3.0}, {}, None)
    assert study.confirmed() == [] and study.training_noise() == pytest.approx(0.04 / 2**0.5)


def test_trainings_of_different_lengths_are_not_pooled(study):
    """By default only runs as long as the last one count, and trial noise comes from runs of the study's own length."""
    writer = ConfirmationWriter(study, new_worker())
    confirm(writer, "v1-a", {1: 0.5, 2: 0.6})
    confirm(writer, "v1-a", {1: 0.8, 2: 0.9}, epochs=9)
    assert [each.test for each in study.confirmed()] == [(0.8, 0.9)]
    assert [each.test for each in study.confirmed(epochs=2)] == [(0.5, 0.6)] and study.confirmed(epochs=3) == []
    assert study.training_noise() == pytest.approx(np.std([0.5, 0.6, 0.7], ddof=1))
    assert len(study.confirmations()) == 4


def test_changes_are_returned_by_revision(study):
    """A reader of one revision gets exactly the later changes."""
    writer = ConfirmationWriter(study, new_worker())
    confirm(writer, "v1-a", {1: 0.5})
    seen = max(record.revision for record in study.confirmations())
    assert seen > max(record.revision for record in study.trials()) and study.confirmations(seen) == []
    confirm(writer, "v1-b", {1: 0.5})
    (new,) = study.confirmations(seen)
    assert (new.digest, new.state, new.environment) == ("v1-b", "complete", ENVIRONMENT)


def test_gradient_flows_are_stored_by_network(study):
    """A stored gradient flow is read back, a later one replaces it, and another network has none."""
    flow = GradientFlow("v1-a", 3, 32, "noise", 2.3, (BlockFlow(1, 1, 0.5, 0.9, 0.4, 0.0, 1.5),))
    save_gradient_flow(study, GradientFlow("v1-a", 1, 8, "noise", 2.0, ()))
    save_gradient_flow(study, flow)
    assert study.gradient_flow("v1-a") == flow and study.gradient_flow("v1-b") is None


def test_a_database_without_confirmation_tables(tmp_path):
    """A database without these tables is read as if they were empty; the next search or confirmation adds them."""
    shutil.copy(Path(__file__).parent / "databases" / "version_1_full.db", tmp_path / "old.db")
    with sqlite3.connect(tmp_path / "old.db") as connection:
        for table in ("explorer_confirmations", "explorer_gradients"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    Path(tmp_path / "old.db").chmod(0o444)
    before = (tmp_path / "old.db").read_bytes()
    study = open_study(f"sqlite:///{tmp_path}/old.db", "measured")
    digest = study.trial(0).digest
    assert study.confirmations() == study.confirmed() == [] and study.frontier_probabilities() == {}
    assert study.training_noise() is None and study.gradient_flow(digest) is None
    assert (tmp_path / "old.db").read_bytes() == before
    shutil.copy(tmp_path / "old.db", tmp_path / "new.db")
    (tmp_path / "new.db").chmod(0o644)
    database = open_for_writing(f"sqlite:///{tmp_path}/new.db")
    confirm(ConfirmationWriter(find_study(database, "measured"), new_worker()), digest, {1: 0.5})
    assert len(find_study(database, "measured").confirmed()) == 1
    assert find_study(database, "measured").trial(0).digest == digest
    database.close()
