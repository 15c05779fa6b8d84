"""The learning curves of a study: kept during a search and reloaded when it resumes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.records import Epoch, TrainingResult
from explorer.store.lease import RETRIES, new_worker
from explorer.store.rows import Ending, Proposal
from explorer.store.writer import StudyWriter
from explorer.study.stopping.learning_curves import LearningCurves
from explorer.study.stopping.rules import RULES, UNLIMITED, Allowance, FreezeThaw, Rungs
from tests.store.conftest import make_study
from tests.store.conftest import proposal as small_proposal

EPOCHS = 4
THIRD = Rungs(3)
MANY = Allowance(new=10, trials=100)  # ten more trials may begin
NONE = Allowance(new=0, trials=0)  # no epoch is left
ALL = Allowance(new=0, trials=100)  # no trial may begin, and all may be trained to the end


def epoch(number: int, accuracy: float) -> Epoch:
    return Epoch(number, 1.0, 2.0 - accuracy, accuracy, 1.0, 0.1, 0.5)


def proposal(name: str, macs: float) -> Proposal:
    made = small_proposal(name, macs)
    return replace(made, costs={**made.costs, "weight_layers": 3})


class Search:
    """A search's handling of curves without networks: trials with given accuracies after each epoch."""

    def __init__(self, rule=THIRD, writer=None):
        self.writer = writer or StudyWriter(make_study(None), new_worker())
        self.curves = LearningCurves(self.writer.study, rule, EPOCHS)

    def trial(self, accuracies, macs: float, allowance=UNLIMITED) -> str:
        """Run one trial until it is stopped or ends, and return the stop reason."""
        number = len(self.writer.study.trials())
        record = self.writer.begin(number, proposal(f"n{number}", macs))
        self.curves.learn([record])
        self.curves.begin(record)
        return self.train(record, accuracies, allowance)

    def train(self, record, accuracies, allowance=UNLIMITED) -> str:
        curve = []
        for at, accuracy in enumerate(accuracies, 1):
            curve.append(epoch(at, accuracy))
            reason = self.curves.add_epoch(record, curve[-1], allowance)
            if reason:
                break
        result = TrainingResult(curve[-1].val_accuracy, 1.0, 1.0, len(curve), 1.0, 1.0, tuple(curve))
        if reason:
            ending = Ending("stopped", reason=reason, result=result)
        else:
            ending = Ending("complete", {"accuracy": accuracies[-1], "macs": record.costs["macs"]}, result)
        self.curves.learn(self.writer.finish(record.number, ending))
        return reason


@pytest.fixture
def search():
    return Search()


def test_a_trial_that_falls_behind_is_stopped_at_a_rung(search):
    """The first trials continue; a costlier and worse trial is stopped at the first rung, a cheaper one is not."""
    assert search.trial([0.3, 0.5, 0.7, 0.8], 100) == search.trial([0.4, 0.5, 0.8, 0.9], 110) == ""
    assert search.trial([0.2, 0.4, 0.6, 0.7], 200) == "place 3 of 3 after 1 epoch, only the best 33% continue"
    assert search.trial([0.1, 0.2, 0.3, 0.4], 50) == ""
    stopped = search.writer.study.trial(2)
    assert (stopped.state, stopped.result.epochs, stopped.objectives) == ("stopped", 1, {})
    assert [point.val_accuracy for point in stopped.result.curve] == [0.2]


def test_a_resumed_search_decides_like_the_first_one(search):
    """Curves are in the store, so a resumed search has the same rungs."""
    for accuracy, macs in ((0.3, 100), (0.4, 110), (0.2, 200), (0.5, 300), (0.1, 250)):
        search.trial([accuracy, accuracy + 0.1, accuracy + 0.2, accuracy + 0.3], macs)
    again = LearningCurves(search.writer.study, Rungs(3), EPOCHS)
    again.learn(search.writer.study.trials(full=False))
    assert again._runs == search.curves._runs and again._stopped == search.curves._stopped
    record = search.writer.begin(5, proposal("n5", 400.0))
    assert again.add_epoch(record, epoch(1, 0.1)) == search.curves.add_epoch(record, epoch(1, 0.1)) != ""


def test_a_stopped_trial_is_resumed_when_its_rank_improves(search):
    """When later trials score worse, the stopped trial is selected, resumed and trained to the end."""
    for macs in (100, 110):
        search.trial([0.5, 0.6, 0.7, 0.8], macs)
    assert search.trial([0.45, 0.6, 0.7, 0.9], 120)
    assert search.curves.trial_to_reopen() is None
    for number in range(20):
        search.trial([0.3, 0.4, 0.5, 0.6], 200 + number)
    search.trial([0.9, 0.9, 0.9, 0.9], 500)  # complete: the stopped ones are looked at again
    assert search.curves.trial_to_reopen() == 2
    record = search.writer.reopen(2)
    assert (record.state, record.attempt, record.seed) == ("running", 2, search.writer.study.trial(2).seed)
    search.curves.learn([record])
    assert search.curves.trial_to_reopen() != 2
    assert search.train(record, [0.45, 0.65, 0.75, 0.9]) == ""
    assert search.writer.study.trial(2).objectives["accuracy"] == 0.9
    assert search.writer.reopen(2) is None


def test_the_epochs_of_a_restarted_training_are_counted(search):
    """Epochs trained before a stopped trial restarts count among the epochs trained, whatever its final state."""
    study = search.writer.study
    for macs in (100, 110):
        search.trial([0.5, 0.6, 0.7, 0.8], macs)
    assert search.trial([0.1, 0.6, 0.7, 0.9], 120)  # stopped
    whole, (stopped,) = study.fingerprint["epochs"], (r.result.epochs for r in study.trials() if r.state == "stopped")
    assert study.savings()["epochs_trained"] == 2 * whole + stopped
    for ending in ("stopped", "complete"):
        record = search.writer.reopen(2)
        search.curves.learn([record])
        again = tuple(
            epoch(at, 0.8 if ending == "stopped" else 0.9) for at in range(1, 2 if ending == "stopped" else whole + 1)
        )
        result = TrainingResult(0.9, 1.0, 1.0, len(again), 1.0, 1.0, again)
        objectives = {"accuracy": 0.9, "macs": 120.0} if ending == "complete" else {}
        search.writer.finish(2, Ending(ending, objectives, result))
    saved = study.savings()
    assert saved["epochs_trained"] == 3 * whole + stopped + 1 and saved["epochs_saved"] == -stopped - 1


def test_no_trial_is_resumed_without_limit(search):
    """A trial that was started RETRIES + 1 times is not selected again."""
    for macs in (100, 110):
        search.trial([0.5, 0.6, 0.7, 0.8], macs)
    search.trial([0.45, 0.6, 0.7, 0.9], 120)
    for _ in range(RETRIES):
        record = search.writer.reopen(2)
        search.curves.learn([record])
        search.curves.learn(search.writer.finish(2, Ending("stopped", reason="again", result=None)))
    assert search.writer.study.trial(2).attempt == RETRIES + 1 and 2 not in search.curves._stopped


def test_without_a_rule_no_curves_are_kept():
    """Without a stopping rule no curve is checked or loaded."""
    search = Search(RULES["none"])
    assert search.curves.decision_epochs == () and search.trial([0.1, 0.1, 0.1, 0.1], 5) == ""
    assert search.curves.trial_to_reopen() is None


def test_the_forecast_of_a_stopped_trial_is_stored():
    """A stopped trial stores its forecast values for samplers, separate from its objectives."""
    search = Search(Rungs())
    for number in range(10):
        search.trial([0.01 * number + a for a in (0.3, 0.4, 0.5, 0.6)], 100 - number)
    record = search.writer.begin(10, proposal("n10", 95.0))
    search.curves.learn([record])
    search.curves.add_epoch(record, epoch(1, 0.31))
    expected = search.curves.expected(10)
    assert expected["accuracy"] == pytest.approx(0.61, abs=0.03)
    search.writer.finish(10, Ending("stopped", reason="behind", expected={**expected, "macs": 95.0}))
    assert search.writer.study.trial(10).expected == {**expected, "macs": 95.0}
    assert search.writer.study.trial(10).objectives == {}


def test_a_training_resumed_from_another_process_is_not_stopped(search):
    """A trial whose first epochs ran in another process is not checked at rungs; its full curve is known when it
    ends."""
    for macs in (100, 110, 90):
        search.trial([0.5, 0.6, 0.7, 0.8], macs)
    record = search.writer.begin(3, proposal("n3", 400.0))
    search.curves.learn([record])
    assert search.curves.add_epoch(record, epoch(4, 0.1)) == search.curves.add_epoch(record, epoch(2, 0.1)) == ""
    whole = tuple(epoch(at, 0.1 * at) for at in range(1, 5))
    ending = Ending("complete", {"accuracy": 0.4, "macs": 400.0}, TrainingResult(0.4, 1.0, 1.0, 4, 1.0, 1.0, whole))
    search.curves.learn(search.writer.finish(3, ending))
    assert len(search.curves._runs[3].metrics) == 4 and search.curves._runs[3].complete


def pausing() -> Search:
    """Return a search with four complete trials whose rule pauses trials."""
    search = Search(FreezeThaw())
    for number in range(4):
        assert search.trial([0.4 + 0.01 * number, 0.5, 0.6, 0.7], 100 + number, ALL) == ""
    return search


def test_a_continued_trial_is_not_judged_after_its_earlier_epochs():
    """A continued training reports its earlier epochs again: they neither shorten its curve nor are they judged."""
    search = pausing()
    assert search.trial([0.05, 0.06, 0.07, 0.08], 500, MANY).startswith("paused after 1 epoch: a new trial")
    record = search.writer.reopen(4, counts=False)
    search.curves.learn([record])
    assert search.curves.begin(record) == (2, 3)
    assert search.curves.add_epoch(record, epoch(1, 0.05), MANY) == "" and len(search.curves._runs[4].metrics) == 1
    assert search.curves.add_epoch(record, epoch(2, 0.06), MANY).startswith("paused after 2 epochs")
    search.curves.learn(search.writer.interrupt("Ctrl-C"))  # killed before it was paused again
    again = LearningCurves(search.writer.study, FreezeThaw(), EPOCHS)
    again.learn(search.writer.study.trials(full=False))
    record = StudyWriter(search.writer.study, new_worker()).resume()
    again.learn([record])
    assert (record.number, record.attempt, again.begin(record)) == (4, 1, (2, 3))


def test_the_paused_trial_that_gains_most_is_continued_without_limit():
    """The better of two paused trials is continued, each time that it was paused; none if the budget is spent."""
    search = pausing()
    assert search.trial([0.05, 0.06, 0.07, 0.08], 500, MANY) and search.trial([0.3, 0.9, 0.9, 0.9], 90, NONE)
    assert search.curves.trial_to_reopen(NONE) is None
    for epochs in (1, 2, 3):
        assert search.curves.trial_to_reopen(ALL) == 5
        record = search.writer.reopen(5, counts=False)
        assert (record.attempt, record.result.epochs) == (1, epochs)
        search.curves.learn([record])
        assert search.curves.trial_to_reopen(ALL) == 4
        search.curves.begin(record)
        assert bool(search.train(record, [0.3, 0.9, 0.9, 0.9], NONE)) == (epochs < 3)
    assert search.writer.study.trial(5).state == "complete"


def test_a_trial_that_another_worker_continued_is_read_again():
    """The curve of a paused trial that another worker has trained to its end is that of its last training."""
    search = pausing()
    assert search.trial([0.3, 0.4, 0.5, 0.6], 90, NONE)
    other = Search(FreezeThaw(), StudyWriter(search.writer.study, new_worker()))
    other.curves.learn(other.writer.study.trials(full=False))
    search.curves.learn([record := other.writer.reopen(4, counts=False)])
    other.curves.learn([record])
    assert search.curves.trial_to_reopen(ALL) is None
    other.train(record, [0.3, 0.4, 0.5, 0.6], ALL)
    ended = other.writer.study.trials(full=False)[4]
    search.curves.learn([ended])
    assert ended.state == "complete" and len(search.curves._runs[4].metrics) == EPOCHS
